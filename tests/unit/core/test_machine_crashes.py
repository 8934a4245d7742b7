"""The supervisor or the whole machine goes down at each moment of a job's life: what the next supervisor makes of it.

Here the zygotes have gone down too; those that the next supervisor takes over are in test_machine_adoption.
"""

from __future__ import annotations

import pytest
from bench import RULES, WALL, Bench
from jobyard.supervisor.core import events as e
from jobyard.supervisor.core.check import check
from jobyard.supervisor.core.machine import Machine
from jobyard.supervisor.core.records import Record
from jobyard.supervisor.core.state import Job, State

AFTER = {"supervisor": (e.Now(200.0, WALL + 100.0), "boot"), "machine": (e.Now(5.0, WALL + 100.0), "another boot")}
both = pytest.mark.parametrize("what", AFTER)


def job_after(what: str, records: list[Record]) -> Job:
    """The one job, when what was on disk has been replayed and the processes left behind are known to be dead."""
    state = State()
    for record in records:
        state.apply(record)
    now, boot = AFTER[what]
    machine = Machine(state, RULES)
    machine.begin(now, boot)
    machine.step(now, [e.ZygoteGone(zygote.pool, uuid) for uuid, zygote in state.zygotes.items()])
    check(state)
    (job,) = state.jobs.values()
    return job


def kept(bench: Bench, *lost: str) -> list[Record]:
    """The records without the last one, which must be of this kind, as after a crash before it was synced."""
    for kind in lost:
        assert type(bench.records[-1]).__name__ == kind
    return bench.records[: len(bench.records) - len(lost)]


@both
def test_scheduled_job_stays_with_the_time_at_which_it_is_due(what: str) -> None:
    bench = Bench()
    due = bench.submit(delay_s=600.0).run_at
    job = job_after(what, bench.records)
    assert (job.state, job.run_at) == ("scheduled", due)


@both
def test_job_that_waits_for_its_next_attempt_stays_with_its_attempts(what: str) -> None:
    bench = Bench()
    waiting = bench.submit()
    bench.run(waiting)
    bench.end(waiting, "retry_later", delay_s=600.0, counted=True)
    job = job_after(what, bench.records)
    assert (job.state, job.run_at, job.spent, len(job.attempts)) == ("scheduled", waiting.run_at, 1, 1)


@both
def test_queued_job_stays_queued(what: str) -> None:
    bench = Bench()
    bench.submit()
    job = job_after(what, bench.records)
    assert (job.state, job.attempt) == ("queued", 0)


@both
@pytest.mark.parametrize(("lost", "losses"), [((), 1), (("Started",), 0)], ids=["start on disk", "start not on disk"])
def test_job_that_was_about_to_start_is_queued_again(what: str, lost: tuple[str, ...], losses: int) -> None:
    bench = Bench()
    bench.run(bench.submit())
    job = job_after(what, kept(bench, *lost))
    assert (job.state, job.losses, job.spent) == ("queued", losses, 0)


@both
def test_running_job_is_lost_and_queued_again_without_spending_an_attempt(what: str) -> None:
    bench = Bench()
    bench.run(bench.submit())
    job = job_after(what, bench.records)
    assert (job.state, job.losses, job.spent, job.attempts[-1].outcome) == ("queued", 1, 0, "lost")


@both
def test_running_job_that_somebody_has_cancelled_is_cancelled(what: str) -> None:
    bench = Bench()
    job = bench.submit()
    bench.run(job)
    bench.ask(e.CancelAsked(None, [job.id], "me", "enough"))
    after = job_after(what, bench.records)
    assert (after.state, after.reason) == ("cancelled", "enough")


@both
def test_job_whose_end_is_on_disk_has_ended(what: str) -> None:
    bench = Bench()
    job = bench.submit()
    bench.run(job)
    bench.end(job)
    after = job_after(what, bench.records)
    assert (after.state, after.result, after.losses) == ("succeeded", b"r", 0)


@both
def test_job_whose_end_did_not_reach_the_disk_runs_again(what: str) -> None:
    bench = Bench()
    job = bench.submit()
    bench.run(job)
    bench.end(job)
    after = job_after(what, kept(bench, "Ended"))
    assert (after.state, after.losses, after.attempts[-1].outcome) == ("queued", 1, "lost")


def test_jobs_that_wait_do_not_mind_the_end_of_a_zygote() -> None:
    bench = Bench()
    scheduled, queued = bench.submit(delay_s=60.0), bench.submit()
    bench.step(e.ZygoteGone("default", "z"))
    assert (scheduled.state, queued.state, queued.losses) == ("scheduled", "queued", 0)
    bench.step(e.ZygoteUp("default", "z2", 2, 2, "boot"))
    bench.ready()
    assert queued.state == "running"


def test_result_stands_although_its_process_was_killed_after_it() -> None:
    bench = Bench()
    job = bench.submit()
    bench.run(job)
    bench.end(job, "ok", signal="SIGKILL")
    assert (job.state, job.result) == ("succeeded", b"r")
