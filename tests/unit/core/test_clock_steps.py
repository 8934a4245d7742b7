"""The wall clock is set while jobs wait: what goes by durations does not notice, what goes by dates follows."""

from __future__ import annotations

import pytest
from bench import BOOT, WALL, Bench
from jobyard.supervisor.core import events as e

DAY = 86400.0
STEPS = [sign * size for size in (1.0, 3600.0, 365 * DAY) for sign in (1, -1)]
every_step = pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step:+g}s")


class Stepped(Bench):
    """A bench whose wall clock can be set."""

    skew = 0.0

    @property
    def now(self) -> e.Now:
        return e.Now(BOOT + self.t, WALL + self.t + self.skew)

    def set_clock(self, step: float) -> None:
        self.skew += step
        self.step(e.ClockStepped())

    def pass_time(self, seconds: float) -> None:
        self.t += seconds
        self.step(e.Tick())


@every_step
def test_delay_is_as_long_as_it_was_asked_for(step: float) -> None:
    bench = Stepped()
    job = bench.submit(delay_s=60.0)
    bench.pass_time(10.0)
    bench.set_clock(step)
    bench.pass_time(49.99)
    assert job.state == "scheduled"
    bench.pass_time(0.01)
    assert job.state == "queued"


@every_step
def test_wait_before_a_retry_is_as_long_as_it_was(step: float) -> None:
    bench = Stepped()
    job = bench.submit()
    bench.run(job)
    bench.end(job, "error")
    bench.set_clock(step)
    bench.pass_time(4.99)
    assert job.state == "scheduled"
    bench.pass_time(0.01)
    assert job.state == "queued"


@every_step
def test_job_with_a_date_starts_at_that_date_and_never_before(step: float) -> None:
    bench = Stepped()
    job = bench.submit(at=WALL + 2 * 3600.0)
    bench.set_clock(step)
    left_s = 2 * 3600.0 - step
    if left_s > 0:
        bench.pass_time(left_s - 0.01)
        assert job.state == "scheduled"
        bench.pass_time(0.01)
    assert job.state == "queued"


@every_step
def test_no_waiting_job_expires_before_its_time(step: float) -> None:
    bench = Stepped()
    jobs = [bench.submit(expires_s=3600.0, queue="off") for _ in range(20)]
    bench.pass_time(10.0)
    bench.set_clock(step)
    bench.ask(e.SetAsked(None, [job.id for job in jobs], "me", priority=3))
    bench.pass_time(3589.0)
    assert {job.state for job in jobs} == {"queued"}
    bench.pass_time(1.0)
    assert {job.state for job in jobs} == {"cancelled"}


@every_step
def test_no_running_job_is_ended_by_a_step(step: float) -> None:
    bench = Stepped()
    jobs = [bench.submit() for _ in range(2)]
    for job in jobs:
        bench.run(job)
    bench.set_clock(step)
    bench.pass_time(1.0)
    assert bench.kills == [] and {job.state for job in jobs} == {"running"}
