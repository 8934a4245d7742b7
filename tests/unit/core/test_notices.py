"""What the machine tells the stream: each change once, after its record, with what was so at that moment."""

from __future__ import annotations

from bench import RULES, WALL, Bench
from jobyard.supervisor.core import effects as f
from jobyard.supervisor.core import events as e
from jobyard.supervisor.core.job import JOB_BYTES
from jobyard.supervisor.core.rules import Limits, Rules


def told(bench: Bench) -> list[f.Notify]:
    return [effect for effect in bench.last.durable if isinstance(effect, f.Notify)]


def test_job_that_starts_in_the_step_of_its_submit_is_told_as_queued_and_then_as_running() -> None:
    bench = Bench()
    bench.ready()
    job = bench.submit()
    assert [(one.kind, one.state, one.attempt) for one in told(bench)] == [
        ("submitted", "queued", 0),
        ("started", "running", 1),
    ]
    assert {(one.job_id, one.name, one.ref, one.queue, one.at) for one in told(bench)} == {
        (job.id, "f", "app:f", "default", WALL)
    }


def test_end_is_told_with_the_state_that_follows_and_when_the_job_may_start_again() -> None:
    bench = Bench()
    bench.ready()
    job = bench.submit()
    bench.end(job, "error")
    (ended,) = told(bench)
    assert (ended.kind, ended.outcome, ended.state, ended.run_at) == ("ended", "error", "scheduled", WALL + 5.0)


def test_mode_of_a_queue_is_told_when_it_changes_and_only_then() -> None:
    bench = Bench()
    bench.ask(e.QueueSetAsked(None, ["default", "mail"], "paused"))
    assert [(one.kind, one.queue, one.job_id) for one in told(bench)] == [
        ("queue_paused", "default", 0),
        ("queue_paused", "mail", 0),
    ]
    bench.ask(e.QueueSetAsked(None, ["default", "mail"], "paused"))
    assert told(bench) == []
    bench.ask(e.QueueSetAsked(None, ["mail"], "draining"))
    bench.ask(e.QueueSetAsked(None, ["mail"], "open"))
    assert [one.kind for one in told(bench)] == ["queue_resumed"]


def test_jobs_that_are_pruned_are_told_together() -> None:
    bench = Bench(Rules(RULES.queues, RULES.pools, Limits(finished_jobs=1, unarchived_bytes=JOB_BYTES + 1)))
    jobs = [bench.submit(delay_s=60.0) for _ in range(3)]
    bench.ask(e.CancelAsked(None, [job.id for job in jobs], "me", "no use"))
    assert [(one.kind, one.ids, one.reason) for one in told(bench)] == [
        ("cancelled", (), "no use"),
        ("cancelled", (), "no use"),
        ("cancelled", (), "no use"),
        ("pruned", (jobs[0].id, jobs[1].id), None),
    ]


def test_jobs_that_leave_memory_for_the_history_are_still_there_and_not_told_of() -> None:
    bench = Bench(Rules(RULES.queues, RULES.pools, Limits(finished_jobs=1)))
    jobs = [bench.submit(delay_s=60.0) for _ in range(3)]
    bench.ask(e.CancelAsked(None, [job.id for job in jobs], "me", "no use"))
    bench.step(e.Archived(bench.state.finish_count, bench.state.finish_bytes))
    assert (list(bench.state.jobs), told(bench)) == ([jobs[2].id], [])
