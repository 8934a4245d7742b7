"""Clocks that are set, stand still or are suspended, and processes that do: T7. Nothing starts early, nothing is killed
for it, and what waits for a point in time follows the clock on the wall."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiers
from jobyard import Client, Job
from live import Yard, wait_for
from set_clock import Clock, needs_compiler

ROUNDS = tiers.size(1, 20, 200)  # of each kind
LATE_S = 5.0  # for a busy machine; a clock that is believed where it must not be is wrong by an hour
HOUR_S, YEAR_S = 3600.0, 365 * 86400.0
STOPPED_S = 1.5
SPRING, AUTUMN = 1774746000.0, 1792890000.0  # when clocks are put forth and back in Berlin in 2026
JOBS = """
import os, time
from jobyard import current_job

def note(path):
    with open(path, "a") as file:
        file.write(f"{time.monotonic()} {time.time()}\\n")

def fail_first(path):
    note(path)
    if current_job().attempt == 1:
        raise ValueError("the first time")

def rest(path, seconds):
    note(path)
    time.sleep(seconds)

def hold(path, gate):
    note(path)
    while not os.path.exists(gate):
        time.sleep(0.02)
"""
CONFIG = """
[defaults]
grace = 0.2
retries = 0
[queues.held]
paused = true
[pools.default]
concurrency = 16
spare_children = 8
env = {{ LD_PRELOAD = "{LD_PRELOAD}", TEST_CLOCK = "{TEST_CLOCK}", TZ = "Europe/Berlin" }}
"""
Disturb = Callable[["Ground"], None]


class Ground:
    """A yard whose clock can be set, and the moments at which its jobs began."""

    def __init__(self, yard: Yard, clock: Clock) -> None:
        self.yard, self.clock = yard, clock
        self.client: Client = yard.client(timeout=60)
        self.late_max_s = 0.0
        self._count = 0

    def path(self) -> Path:
        self._count += 1
        return self.yard.path(f"noted{self._count}")

    def begun(self, path: Path, number: int = 0) -> tuple[float, float]:
        """Monotonic time and wall-clock time of that beginning, once it is there."""

        def look() -> list[str]:
            return path.read_text().splitlines()[number:] if path.exists() else []

        monotonic, wall = wait_for("the job to begin", look)[0].split()
        return float(monotonic), float(wall)

    def judge(self, came: float, due: float) -> None:
        assert due <= came <= due + LATE_S, f"{came - due:+.3f} s late"
        self.late_max_s = max(self.late_max_s, came - due)


def step(seconds: float) -> Disturb:
    return lambda ground: ground.clock.step(ground.yard, seconds)


def put_to(at: float) -> Disturb:
    """The clock gets there half a second later."""
    return lambda ground: ground.clock.set(ground.yard, at - 0.5)


def freeze(ground: Ground) -> None:
    ground.clock.freeze(ground.yard)


def stop_supervisor(ground: Ground) -> None:
    with stopped(ground.yard.pid):
        time.sleep(STOPPED_S)


def stop_zygote(ground: Ground) -> None:
    (zygote,) = ground.yard.zygotes()
    with stopped(zygote):
        time.sleep(STOPPED_S)


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


KINDS: dict[str, Disturb] = {
    "1 s forth": step(1),
    "1 s back": step(-1),
    "1 h forth": step(HOUR_S),
    "1 h back": step(-HOUR_S),
    "1 year forth": step(YEAR_S),
    "1 year back": step(-YEAR_S),
    "summer time begins": put_to(SPRING),
    "summer time ends": put_to(AUTUMN),
    "standing still": freeze,
    "supervisor stopped": stop_supervisor,
    "zygote stopped": stop_zygote,
}


@pytest.fixture
def ground(tmp_path: Path, make_yard: Callable[..., Yard]) -> Ground:
    clock = Clock(tmp_path)
    yard = make_yard(CONFIG.format(**clock.environ), JOBS, start=False)
    assert "pid" in yard.start(env={**os.environ, **clock.environ, "TZ": "Europe/Berlin"})
    yard.zygotes()
    return Ground(yard, clock)


def wait_until_running(jobs: list[Job[Any]]) -> None:
    wait_for("the jobs to run", lambda: all(job.state == "running" for job in jobs))


def delayed_and_limited(ground: Ground, disturb: Disturb) -> None:
    """Delays, retries and time limits over a disturbance: each takes the time that it says, by the monotonic clock."""
    client, gate = ground.client, ground.path()
    long = client.options(timeout=60, soft_timeout=50, stall_timeout=55)
    running = [long.submit("jobs:hold", str(ground.path()), str(gate)) for _ in range(4)]
    waiting = client.options(queue="held", expires="10m").submit("jobs:note", "")
    wait_until_running(running)
    delayed, tried = ground.path(), ground.path()
    submitted = time.monotonic()
    client.options(delay=0.7).submit("jobs:note", str(delayed))
    client.options(retry={"max_attempts": 2, "delay": 0.6}).submit("jobs:fail_first", str(tried))
    late = client.options(timeout=0.8).submit("jobs:rest", str(ground.path()), 60)
    done = client.options(timeout=0.8).submit("jobs:rest", str(ground.path()), 0.4)
    first = ground.begun(tried)[0]
    disturb(ground)
    assert late.wait(60)
    ground.judge(time.monotonic(), submitted + 0.8)  # the limit counts from before the job's own code
    ground.judge(ground.begun(delayed)[0], submitted + 0.7)
    ground.judge(ground.begun(tried, 1)[0], first + 0.6)
    assert done.wait(60)
    gate.touch()
    assert all(job.wait(60) for job in running)
    assert [job.state for job in (*running, done, late)] == ["succeeded"] * 5 + ["failed"]
    assert late.info().attempts[0].outcome == "timeout"
    assert waiting.state == "queued", "ten minutes have not passed"
    waiting.cancel()


@needs_compiler
@pytest.mark.tier("T7")
@pytest.mark.timeout(tiers.size(120, 3_600, 36_000))
def test_delays_and_limits_take_the_time_they_say_whatever_becomes_of_the_clock(ground: Ground) -> None:
    for number in range(ROUNDS):
        kinds = list(KINDS.items())
        random.Random(number).shuffle(kinds)
        for kind, disturb in kinds:
            try:
                delayed_and_limited(ground, disturb)
            except AssertionError as error:
                raise AssertionError(f"{kind}: {error}") from error
    tiers.report("T7", "clocks set, frozen, processes stopped", rounds=ROUNDS * len(KINDS), early=0, killed=0,
                 late_s_max=round(ground.late_max_s, 3))  # fmt: skip


def at_a_time(ground: Ground, step_s: float, due_s: float) -> tuple[Job[None], Path]:
    """A job that is due at a point in time ``due_s`` from now by the wall clock, and then a step of that clock."""
    path = ground.path()
    job = ground.client.options(at=ground.clock.time() + due_s).submit("jobs:note", str(path))
    ground.clock.step(ground.yard, step_s)
    return job, path


@needs_compiler
@pytest.mark.tier("T7")
@pytest.mark.timeout(tiers.size(120, 3_600, 36_000))
@pytest.mark.parametrize("step_s", [HOUR_S, YEAR_S], ids=["an hour", "a year"])
def test_job_that_waits_for_a_point_in_time_follows_the_clock(ground: Ground, step_s: float) -> None:
    for _ in range(ROUNDS):
        due_at = ground.clock.time() + step_s + 0.3
        job, path = at_a_time(ground, step_s, step_s + 0.3)
        came = ground.begun(path)[1]
        assert due_at <= came <= due_at + LATE_S
        assert job.wait(60)
        due_at = ground.clock.time() + 0.3
        job, path = at_a_time(ground, -step_s, 0.3)
        after = ground.client.options(delay=0.5).submit("jobs:note", str(ground.path()))
        assert after.wait(60) and job.state == "scheduled", "the clock says that its time is far away"
        ground.clock.step(ground.yard, step_s)
        came = ground.begun(path)[1]
        assert due_at <= came <= due_at + LATE_S
        assert job.wait(60)
    tiers.report("T7", "points in time, and a clock that is set", rounds=2 * ROUNDS, early=0)


@needs_compiler
@pytest.mark.tier("T7")
def test_after_a_suspend_delays_are_over_and_nothing_has_timed_out(ground: Ground) -> None:
    for _ in range(ROUNDS):
        client, gate = ground.client, ground.path()
        limited = client.options(timeout=60, soft_timeout=50, stall_timeout=55)
        running = [limited.submit("jobs:hold", str(ground.path()), str(gate)) for _ in range(4)]
        path, other = ground.path(), ground.path()
        client.options(delay=HOUR_S / 2).submit("jobs:note", str(path))
        longer = client.options(delay=2 * HOUR_S).submit("jobs:note", str(other))
        wait_until_running(running)
        before = time.monotonic()
        ground.clock.step(ground.yard, HOUR_S, HOUR_S)
        ground.judge(ground.begun(path)[0], before)
        assert longer.state == "scheduled" and all(job.state == "running" for job in running)
        longer.cancel()
        gate.touch()
        assert all(job.wait(60) for job in running)
        assert {job.state for job in running} == {"succeeded"}
    tiers.report(
        "T7", "suspended for an hour", rounds=ROUNDS, early=0, killed=0, late_s_max=round(ground.late_max_s, 3)
    )
