"""Finished jobs and the history: who leaves memory when, who is dropped, and how one comes back."""

from __future__ import annotations

from bench import RULES, Bench
from jobyard.protocol.errors import WrongState
from jobyard.protocol.messages import Removed
from jobyard.supervisor.core import effects as f
from jobyard.supervisor.core import events as e
from jobyard.supervisor.core.eviction import ARCHIVE_BYTES
from jobyard.supervisor.core.job import JOB_BYTES
from jobyard.supervisor.core.rules import Limits, Rules
from jobyard.supervisor.core.snapshot import job_to_wire


def finish(bench: Bench, count: int) -> list[int]:
    """Jobs that are cancelled before they start; their ids."""
    before = set(bench.state.jobs)
    bench.step(e.SubmitAsked(object(), [bench.want(queue="off") for _ in range(count)]))
    ids = sorted(set(bench.state.jobs) - before)
    bench.step(e.CancelAsked(None, ids, "me"))
    return ids


def test_finished_jobs_stay_over_the_limit_until_the_history_holds_them() -> None:
    bench = Bench(Rules(RULES.queues, RULES.pools, Limits(finished_jobs=10)))
    first = finish(bench, 30)
    assert list(bench.state.finished) == first
    archived = e.Archived(bench.state.finish_count, bench.state.finish_bytes)
    later = finish(bench, 5)
    bench.step(archived)
    assert list(bench.state.finished) == [*first[25:], *later]
    more = finish(bench, 20)
    assert list(bench.state.finished) == [*later, *more], "those that came later are not archived"
    assert (bench.state.pruned_id, bench.machine.eviction.upto) == (30, 30)
    assert not any(isinstance(effect, f.Dropped) for effect in bench.last.durable)


def test_finished_jobs_that_cannot_be_archived_are_dropped_over_a_bound_and_counted() -> None:
    bench = Bench(Rules(RULES.queues, RULES.pools, Limits(finished_jobs=10, unarchived_bytes=20 * (JOB_BYTES + 1))))
    ids = finish(bench, 50)
    assert list(bench.state.finished) == ids[30:]
    assert f.Dropped(30) in bench.last.durable
    more = finish(bench, 1)
    assert list(bench.state.finished) == [*ids[31:], *more]
    assert f.Dropped(1) in bench.last.durable
    assert not bench.state.counts["queued"]


def test_unfinished_jobs_are_never_dropped() -> None:
    bench = Bench(Rules(RULES.queues, RULES.pools, Limits(finished_jobs=0, unarchived_bytes=0)))
    bench.step(e.SubmitAsked("t", [bench.want(queue="off") for _ in range(50)]))
    finish(bench, 5)
    assert bench.state.counts["queued"] == 50


def test_archiving_is_due_when_memory_is_to_be_freed_and_it_is_worth_it() -> None:
    bench = Bench(Rules(RULES.queues, RULES.pools, Limits(finished_jobs=10)))
    finish(bench, 100)
    assert not bench.machine.eviction.archive_due(bench.machine.rules.limits), "too few"
    while len(bench.state.finished) < ARCHIVE_BYTES // JOB_BYTES:
        finish(bench, 500)
    assert bench.machine.eviction.archive_due(bench.machine.rules.limits)
    bench.step(e.Archived(bench.state.finish_count, bench.state.finish_bytes))
    assert not bench.machine.eviction.archive_due(bench.machine.rules.limits)
    bench.step(e.HistoryLost())
    held = len(bench.state.finished) * (JOB_BYTES + 1)
    assert (bench.machine.eviction.upto, bench.machine.eviction.unarchived_bytes) == (0, held)


def test_much_that_is_in_memory_makes_archiving_wait_for_more() -> None:
    bench = Bench(Rules(RULES.queues, RULES.pools, Limits(finished_jobs=10)))
    bench.step(e.SubmitAsked("t", [bench.want(queue="off") for _ in range(4000)]))
    finish(bench, 1500)
    assert not bench.machine.eviction.archive_due(bench.machine.rules.limits)
    finish(bench, 1000)
    assert bench.machine.eviction.archive_due(bench.machine.rules.limits)


def test_archived_job_is_put_back_whole() -> None:
    bench = Bench()
    job = bench.submit(tags={"a": "b"}, payload=b"args")
    bench.run(job)
    bench.end(job, "give_up")
    wire = job_to_wire(job)
    assert bench.ask(e.RemoveAsked(None, [job.id])) == Removed([job.id])
    assert not bench.state.jobs
    assert bench.ask(e.RetryAsked(None, job.id, "me", wire)).id == job.id
    back = bench.state.jobs[job.id]
    assert (back.state, back.payload, back.tags, back.attempt, back.spent) == ("queued", b"args", {"a": "b"}, 1, 0)
    assert isinstance(bench.ask(e.RetryAsked(None, job.id, "me", wire)), WrongState), "it is here already"
    bench.run(back)
    bench.end(back)
    assert (back.state, [info.number for info in back.attempts]) == ("succeeded", [1, 2])


def test_job_that_is_put_back_while_it_is_being_removed_stays() -> None:
    bench = Bench()
    ids = finish(bench, 2)
    bench.ask(e.RetryAsked(None, ids[0], "me"))
    bench.ask(e.RemoveAsked(None, ids))
    assert list(bench.state.jobs) == [ids[0]]


def test_resent_submit_that_the_history_knows_is_answered_as_existing() -> None:
    bench = Bench(Rules(RULES.queues, RULES.pools, Limits(finished_jobs=0, unarchived_bytes=0)))
    finish(bench, 1)
    reply = bench.ask(e.SubmitAsked(None, [bench.want(resent=True, archived_id=1)]))
    assert [(one.id, one.existing) for one in reply.jobs] == [(1, True)]
    assert not bench.state.jobs
