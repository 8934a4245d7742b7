"""Pages of the history against a plain filter over all jobs: whatever is asked, the same jobs in the same order."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from typing import Any

import pytest
from finished import AT, finished
from jobyard.protocol.history import Stats
from jobyard.protocol.lists import SORTS, Filter, List
from jobyard.supervisor import reads
from jobyard.supervisor.core.state import Job
from jobyard.supervisor.history import query, store, text
from jobyard.supervisor.history.series import HOUR_S
from jobyard.supervisor.history.store import Store

WORDS = ["invoice-77", "a%b", "under_score", 'quo"te', "Straße", "x", "42", "back\\slash", "ZebrA", "-"]


def make_jobs() -> list[Job]:
    rng = random.Random(5)
    jobs = []
    for number in range(1, 200):
        state = rng.choice(["succeeded", "failed", "cancelled"])
        jobs.append(
            finished(
                number,
                state,
                args=(rng.choice(WORDS), rng.randrange(300)),
                error=rng.choice(["no such customer", "Time is over", "100%"]) if state == "failed" else None,
                queue=rng.choice(["default", "mail"]),
                ref=rng.choice(["app:f", "app:g"]),
                name=rng.choice(["f", "Alias"]),
                after=rng.choice([None, None, [200], [200, 201]]),
                tags=rng.choice([None, {"user": "7"}, {"user": "7", "kind": "x=y"}]),
                created_at=AT + rng.choice([0.0, -500.0]) + number,
                finished_at=AT + rng.randrange(100),
            )
        )
        jobs[-1].reason = rng.choice([None, "customer asked for it"])
    return jobs


JOBS = make_jobs()
FILTERS = [
    Filter(),
    Filter(states=["failed"]),
    Filter(states=["failed", "cancelled"], queue="mail"),
    Filter(queue="mail"),
    Filter(ref="app:f"),
    Filter(ref="Alias", states=["succeeded"]),
    Filter(ref="f", queue="default", states=["failed", "queued"]),
    Filter(states=["running"]),
    Filter(tags={"user": "7"}),
    Filter(tags={"user": "7", "kind": "x=y"}, queue="mail"),
    Filter(since=AT + 100),
    Filter(until=AT - 400, states=["failed"]),
    Filter(since=AT - 450, until=AT + 50, ref="app:g"),
    Filter(since=AT + 1e6),
    Filter(error="CUSTOMER"),
    Filter(error="is o", queue="mail"),
    Filter(error="%"),
    Filter(error=""),
    Filter(error="asked"),
    Filter(search="asked customer"),
    Filter(after=201),
    Filter(after=200, search="zebra", states=["failed", "succeeded"]),
    Filter(after=199),
    *[Filter(search=word) for word in WORDS],
    Filter(search="zebra 17"),
    Filter(search="invoice no", states=["failed"]),
    Filter(search="app.oops"),
    Filter(search="nobody"),
    Filter(search="   "),
]


def expected(request: List) -> list[int]:
    def holds(job: Job) -> bool:
        wanted = request.filter
        said = "\n".join([text.arguments(job.payload), text.error(job), text.reason(job)]).lower()
        found = all(word in said for word in (wanted.search or "").lower().split())
        return found and reads.fits(job, dataclasses.replace(request, filter=dataclasses.replace(wanted, search=None)))

    found = sorted((job for job in JOBS if holds(job)), key=lambda job: place(request, job))
    return [job.id for job in found]


def place(request: List, job: Job) -> tuple[float, int]:
    return reads.place(request.sort, job.id, job.finished_at)


@pytest.fixture(scope="module", params=["with an index of texts", "without"])
def full(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Store]:
    """Is not changed by any of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "without":
            patch.setattr(store, "_TEXTS", "CREATE VIRTUAL TABLE texts USING no_such_module(x)")
        with Store.open(tmp_path_factory.mktemp("history") / "history.db") as opened:
            opened.archive(JOBS, len(JOBS), 0.0)
            yield opened


@pytest.mark.parametrize("wanted", FILTERS, ids=str)
@pytest.mark.parametrize("sort", SORTS)
def test_pages_follow_each_other_and_hold_what_a_plain_filter_finds(full: Store, wanted: Filter, sort: str) -> None:
    by_id = {job.id: job for job in JOBS}
    request, found = List(wanted, sort=sort), []
    while page := [job_id for job_id, _ in query.page(full.database, request, None, 7)]:
        found += page
        at = by_id[page[-1]].finished_at if sort == "finished" else None
        request = dataclasses.replace(request, before=page[-1], before_at=at)
    assert found == expected(List(wanted, sort=sort))


@pytest.mark.parametrize("wanted", FILTERS, ids=str)
def test_nothing_above_the_highest_id_is_on_a_page(full: Store, wanted: Filter) -> None:
    found = [job_id for job_id, _ in query.page(full.database, List(wanted), 90, 500)]
    assert found == [job_id for job_id in expected(List(wanted)) if job_id <= 90]


@pytest.mark.parametrize(
    "odd", ['"""', "'; DROP TABLE jobs; --", "a AND", "NEAR(x y)", "*", "error:x", "\0\0\0\0", "(" * 99, "abc " * 250]
)
def test_odd_words_are_words(full: Store, odd: str) -> None:
    for wanted in (Filter(search=odd), Filter(error=odd)):
        assert query.page(full.database, List(wanted), None, 5) == []
    assert len(query.page(full.database, List(), None, 500)) == len(JOBS)


def test_jobs_are_found_by_uid_and_id(full: Store) -> None:
    uid = JOBS[3].uid
    assert query.ids_of_uids(full.database, [uid, "0" * 32]) == {uid: 4}
    assert [job_id for job_id, _ in query.by_ids(full.database, [9, 999, 4])] == [9, 4]


@pytest.mark.parametrize("by", [[], ["hour"], ["ref"], ["queue"], ["hour", "ref", "queue"]])
@pytest.mark.parametrize("given", [{}, {"queue": "mail"}, {"ref": "app:g"}, {"since": AT}, {"until": AT - HOUR_S}])
def test_counts_are_those_of_the_jobs(full: Store, by: list[str], given: dict[str, Any]) -> None:
    request = Stats(by, **given)
    found = query.stats(full.database, request)
    assert sum(tally.submitted for tally in found.values()) == sum(
        1
        for job in JOBS
        if (request.queue in (None, job.queue) and request.ref in (None, job.ref))
        and (request.since is None or job.created_at // HOUR_S >= request.since // HOUR_S)
        and (request.until is None or job.created_at // HOUR_S <= request.until // HOUR_S)
    )
    assert all((group[0] is None) == ("hour" not in by) for group in found)
