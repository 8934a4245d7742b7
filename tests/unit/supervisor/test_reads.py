"""Lists of jobs: newest first, page by page, whatever order they finished in."""

from __future__ import annotations

import pytest
from jobyard.protocol.errors import BadArguments
from jobyard.protocol.job import AttemptInfo, ErrorInfo, Policy
from jobyard.protocol.messages import Filter, List
from jobyard.supervisor import reads
from jobyard.supervisor.core import records as r
from jobyard.supervisor.core.machine import Machine
from jobyard.supervisor.core.rules import Rules
from jobyard.supervisor.core.state import State


@pytest.fixture
def machine() -> Machine:
    """Jobs 1 to 9; 3, 8 and 5 are cancelled, in this order; even ones are in queue "mail" and carry a tag."""
    state = State()
    for number in range(1, 10):
        even = number % 2 == 0
        new = r.NewJob(
            number, f"{number:032x}", "app:f", "f", b"", "mail" if even else "default", 0, Policy(), float(number), 0.0,
            tags={"even": "yes", "n": str(number)} if even else None,
        )  # fmt: skip
        state.apply(r.Submitted([new]))
    state.apply(r.Cancelled([3, 8, 5], 0.0, "me"))
    again = State()
    for chunk in state.dump():
        again.load(chunk)
    return Machine(again, Rules())


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (Filter(), [9, 8, 7, 6, 5, 4, 3, 2, 1]),
        (Filter(states=["cancelled"]), [8, 5, 3]),
        (Filter(queue="mail"), [8, 6, 4, 2]),
        (Filter(tags={"even": "yes"}, states=["queued"]), [6, 4, 2]),
        (Filter(tags={"even": "yes", "n": "4"}), [4]),
        (Filter(since=7.0), [9, 8, 7]),
        (Filter(ref="f", queue="default", states=["queued"]), [9, 7, 1]),
        (Filter(ref="g"), []),
    ],
)
def test_every_condition_holds_and_the_newest_comes_first(machine: Machine, wanted: Filter, ids: list[int]) -> None:
    assert [job.id for job in reads.listed(machine, List(wanted)).jobs] == ids


def test_error_is_looked_for_in_type_and_message_of_the_last_attempt_in_any_case(machine: Machine) -> None:
    job = machine.state.jobs[2]
    raised = AttemptInfo(2, 0.0, error=ErrorInfo("builtins.ConnectionError", "No route to Host"))
    job.attempts = (AttemptInfo(1, 0.0, error=ErrorInfo("builtins.KeyError", "7")), raised)
    found = {text: len(reads.listed(machine, List(Filter(error=text))).jobs) for text in ("connection", "HOST", "key")}
    assert found == {"connection": 1, "HOST": 1, "key": 0}


def test_pages_follow_each_other_without_a_gap(machine: Machine) -> None:
    first = reads.listed(machine, List(limit=4))
    second = reads.listed(machine, List(limit=5, before=first.jobs[-1].id))
    assert [job.id for job in [*first.jobs, *second.jobs]] == [9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert (first.more, second.more) == (True, False)


def test_unknown_state_is_named(machine: Machine) -> None:
    with pytest.raises(BadArguments, match="'done'"):
        reads.listed(machine, List(Filter(states=["done"])))


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (Filter(until=3.0), [2, 1]),
        (Filter(since=2.0, until=4.0), [3, 2]),
        (Filter(search="ARGS 7"), [7]),
        (Filter(search="nobody"), []),
        (Filter(error="nobody"), []),
    ],
)
def test_times_and_words_are_conditions_too(machine: Machine, wanted: Filter, ids: list[int]) -> None:
    for job in machine.state.jobs.values():
        job.payload = f"args {job.id}".encode()
    assert [job.id for job in reads.listed(machine, List(wanted)).jobs] == ids


def test_jobs_are_sorted_as_asked(machine: Machine) -> None:
    assert [job.id for job in reads.listed(machine, List(limit=3, sort="oldest")).jobs] == [1, 2, 3]
    assert [job.id for job in reads.listed(machine, List(limit=3, sort="oldest", before=7)).jobs] == [8, 9]
    assert [job.id for job in reads.listed(machine, List(sort="finished")).jobs] == [8, 5, 3]
    assert [job.id for job in reads.listed(machine, List(sort="finished", before=5, before_at=0.0)).jobs] == [3]


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (List(sort="size"), "sorted by 'size'"),
        (List(sort="finished", before=3), "before_at goes with before"),
        (List(before=3, before_at=1.0), "before_at goes with before"),
        (List(before=1 << 63), "is not a job id"),
        (List(Filter(search="x" * 1001)), "search of 1,001 characters"),
        (List(Filter(error="x" * 1001)), "error of 1,001 characters"),
    ],
)
def test_page_that_cannot_be_is_refused(machine: Machine, request_: List, said: str) -> None:
    with pytest.raises(BadArguments, match=said):
        reads.listed(machine, request_)


def test_reply_holds_no_more_than_a_message_may(monkeypatch: pytest.MonkeyPatch, machine: Machine) -> None:
    monkeypatch.setattr(reads, "REPLY_ELEMENTS_MAX", 350)
    reply = reads.listed(machine, List(limit=9))
    assert ([info.id for info in reply.jobs], reply.more) == ([9, 8, 7], True)


def test_filter_for_what_comes_after_a_job_takes_its_children(machine: Machine) -> None:
    for number in (10, 11):
        new = r.NewJob(number, f"{number:032x}", "app:f", "f", b"", "default", 0, Policy(), 0.0, 0.0, after=[2, 9])
        machine.state.apply(r.Submitted([new]))
    assert [job.id for job in reads.matching(machine, Filter(after=9))] == [11, 10]
    assert [job.id for job in reads.matching(machine, Filter(after=9), before=11)] == [10]
    assert list(reads.matching(machine, Filter(after=3))) == []
