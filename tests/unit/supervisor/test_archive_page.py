"""A page out of memory and history: every job once, memory's copy if there are two, in order, without a gap."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import msgpack
import pytest
from jobyard.protocol import codec, messages, schema
from jobyard.protocol.job import JobInfo, Policy
from jobyard.protocol.lists import SORTS, Filter, List
from jobyard.protocol.states import FINISHED
from jobyard.supervisor import reads
from jobyard.supervisor.archive_page import Page
from jobyard.supervisor.core import records as r
from jobyard.supervisor.core.machine import Machine
from jobyard.supervisor.core.rules import Rules
from jobyard.supervisor.core.snapshot import job_from_wire, job_to_wire
from jobyard.supervisor.core.state import Job, State
from jobyard.supervisor.kin import up_to_date
from jobyard.supervisor.spliced import Packed, Spliced

JOBS = 80
FILTERS = [
    Filter(),
    Filter(states=["cancelled"]),
    Filter(states=["queued", "cancelled"], queue="mail"),
    Filter(queue="mail"),
]


class World:
    """Some jobs are in memory, some in the history, some in both, and of some the history has an older copy."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(seed)
        state = State()
        self.machine = Machine(state, Rules())
        self.archived: dict[int, Job] = {}
        for number in range(1, JOBS + 1):
            queue = rng.choice(["default", "mail"])
            new = r.NewJob(number, f"{number:032x}", "app:f", "f", b"", queue, 0, Policy(), float(number), 0.0)
            state.apply(r.Submitted([new]))
        order = rng.sample(range(1, JOBS + 1), JOBS)
        for at, number in enumerate(order):
            if rng.random() < 0.7:
                state.apply(r.Cancelled([number], 1000.0 + at // 3, "me"))
        for number in list(state.finished):
            fate = rng.choice(["recent", "both", "left", "left", "put back"])
            if fate != "recent":
                self.archived[number] = job_from_wire(job_to_wire(state.jobs[number]))
            if fate == "left":
                state.apply(r.Pruned([number]))
            elif fate == "put back":
                state.apply(r.Requeued(number, 2000.0, "me"))

    def expected(self, request: List) -> list[int]:
        jobs = {**self.archived, **self.machine.state.jobs}
        found = [job for job in jobs.values() if reads.fits(job, request)]
        return [job.id for job in sorted(found, key=lambda job: reads.place(request.sort, job.id, job.finished_at))]

    def rows(self, question: dict[str, Any]) -> list[Any]:
        """What the history process answers."""
        request = schema.from_wire(List, question["request"])
        found = [job for job in self.archived.values() if reads.fits(job, request) and job.id <= question["highest"]]
        found.sort(key=lambda job: reads.place(request.sort, job.id, job.finished_at))
        if request.before is not None:
            behind = reads.place(request.sort, request.before, request.before_at)
            found = [job for job in found if reads.place(request.sort, job.id, job.finished_at) > behind]
        return [[job.id, job.finished_at, str(job.id).encode(), 100, [[], []]] for job in found[: question["count"]]]

    def page(self, request: List) -> Spliced:
        infos = [self.machine.info(job) for job in reads.page(self.machine, request)]
        page = Page(self.machine, request, infos, self.machine.state.pruned_id, None)
        while not page.complete:
            page.take(self.rows(page.question()))
        return page.reply(None)


def id_of(job: JobInfo | Packed) -> int:
    return int(job.data) if isinstance(job, Packed) else job.id


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("wanted", FILTERS, ids=str)
@pytest.mark.parametrize("limit", [1, 7, 100])
@pytest.mark.parametrize("seed", range(5))
def test_pages_follow_each_other_and_hold_every_job_once(seed: int, limit: int, wanted: Filter, sort: str) -> None:
    world = World(seed)
    request = List(wanted, limit, sort=sort)
    expected, found, more = world.expected(request), [], True
    while more:
        reply = world.page(request)
        ids = [id_of(job) for job in reply.jobs]
        found += ids
        more = reply.more
        assert not more or len(ids) == limit
        if ids:
            last = world.machine.state.jobs.get(ids[-1]) or world.archived[ids[-1]]
            request = dataclasses.replace(
                request, before=last.id, before_at=last.finished_at if sort == "finished" else None
            )
    assert found == expected


@pytest.mark.parametrize("seed", range(5))
def test_copy_in_memory_wins(seed: int) -> None:
    world = World(seed)
    both = world.archived.keys() & world.machine.state.jobs.keys()
    assert both
    for job in world.page(List(limit=1000)).jobs:
        assert isinstance(job, JobInfo) == (id_of(job) in world.machine.state.jobs)


def test_job_that_is_put_back_while_the_history_answers_is_on_the_page_as_it_is() -> None:
    world = World(0)
    state = world.machine.state
    number = max(number for number in world.archived if number not in state.jobs)
    page = Page(world.machine, List(limit=1000), [], state.pruned_id, None)
    rows = world.rows(page.question())
    state.apply(r.Restored(job_to_wire(world.archived[number])))
    state.apply(r.Requeued(number, 3000.0, "me"))
    page.take(rows)
    [job] = [job for job in page.reply(None).jobs if id_of(job) == number]
    assert isinstance(job, JobInfo) and job.state == "queued"
    assert job.state not in FINISHED


def test_spliced_reply_is_the_frame_of_open_jobs() -> None:
    world = World(1)
    infos = [world.machine.info(job) for job in world.machine.state.jobs.values()]
    packed = [Packed(codec.pack(schema.to_wire(info)), 100) if info.id % 2 else info for info in infos]
    plain = messages.pack_reply("7", messages.Jobs(infos, True, "why"))
    assert Spliced(packed, True, "why").pack("7") == plain


def test_spliced_reply_holds_as_much_as_a_message_may() -> None:
    large = Packed(b"\xc4" * (3 << 20), 100)
    reply = Spliced.fitting([large] * 10)
    assert (len(reply.jobs), reply.more) == (2, True)
    assert len(Spliced.fitting([Packed(b"x" * (20 << 20), 100)]).jobs) == 1
    assert len(Spliced.fitting([Packed(b"x", 200_000)] * 3).jobs) == 2


def test_archived_job_is_told_with_the_kin_that_memory_knows() -> None:
    state = State()
    for number, after in ((1, None), (2, None), (3, [1, 2]), (4, [2])):
        new = r.NewJob(number, f"{number:032x}", "app:f", "f", b"", "q", 0, Policy(), 0.0, 0.0, after=after)
        state.apply(r.Submitted([new]))
    machine = Machine(state, Rules())
    state.apply(r.Cancelled([3], 5.0, "me"))
    info = schema.to_wire(machine.info(state.jobs[3]))
    state.apply(r.Pruned([3]))
    info["parents"] = [
        {"id": 1, "state": ""},
        {"id": 2, "state": ""},
        {"id": 77, "state": ""},
        {"id": 78, "state": "failed"},
    ]
    told = msgpack.unpackb(up_to_date(machine, 3, Packed(codec.pack(info), 100), [[1, 2, 77], []]).data)
    assert [(one["id"], one["state"]) for one in told["parents"]] == [(1, "queued"), (2, "queued"), (78, "failed")]
    packed = Packed(codec.pack({**info, "id": 2, "parents": [], "children_count": 2}), 100)
    assert up_to_date(machine, 2, packed, [[], [3, 4]]) is packed, "nothing is to be added"
    assert msgpack.unpackb(up_to_date(machine, 2, packed, [[], [3, 9]]).data)["children_count"] == 3
