"""Examples that other job runners give in their documentation, by the second: retries, delays, priorities."""

from __future__ import annotations

from bench import BOOT, Bench
from jobyard.protocol.job import Policy, RetryPolicy


def test_five_retries_are_ten_seconds_apart_and_then_the_job_has_failed() -> None:
    bench = Bench()
    job = bench.submit(policy=Policy(retry=RetryPolicy(max_attempts=6, delays_s=(10.0,))))
    started_at = []
    while job.state != "failed":
        bench.run(job)
        started_at.append(bench.now.boot - BOOT)
        bench.end(job, "error")
        if job.state == "scheduled":
            bench.wait(9.999)
            assert job.state == "scheduled"
            bench.wait(0.001)
    assert started_at == [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]
    assert (job.attempt, job.spent) == (6, 6)


def test_second_attempt_ten_seconds_after_the_first_succeeds() -> None:
    bench = Bench()
    job = bench.submit(policy=Policy(retry=RetryPolicy(max_attempts=4, delays_s=(10.0,))))
    bench.run(job)
    bench.end(job, "error")
    assert bench.machine.wake_at() == BOOT + 10.0
    bench.wait(10.0)
    bench.run(job)
    bench.end(job)
    assert (job.state, [info.outcome for info in job.attempts]) == ("succeeded", ["error", "ok"])


def test_delayed_jobs_that_are_due_together_start_by_priority() -> None:
    bench = Bench()
    low = bench.submit(delay_s=15.0, priority=-10)
    high = bench.submit(delay_s=15.0, priority=10)
    normal = bench.submit(priority=0)
    bench.wait(15.0)
    assert bench.run_in_turn(3) == [high.id, normal.id, low.id]


def test_delay_of_an_hour_is_over_after_an_hour() -> None:
    bench = Bench()
    bench.ready()
    job = bench.submit(delay_s=3600.0)
    bench.wait(3599.999)
    assert job.state == "scheduled"
    bench.wait(0.001)
    assert job.state == "running"


def test_job_that_is_never_told_otherwise_is_tried_three_times_five_seconds_apart() -> None:
    policy = Policy().retry
    assert (policy.max_attempts, policy.delays_s, policy.backoff, policy.jitter) == (3, (5.0,), 1.0, 0.0)
