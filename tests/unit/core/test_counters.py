"""Counters of what the machine says has happened: each thing once, by queue. And when there is nothing left to do."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from bench import Bench
from jobyard.protocol.counters import QueueCounters
from jobyard.protocol.job import Usage
from jobyard.supervisor.core import effects as f
from jobyard.supervisor.core import events as e
from jobyard.supervisor.idle import is_idle
from jobyard.supervisor.metrics import BOUNDS_S, Counters


class Counted(Bench):
    """A bench whose notices are counted."""

    def __init__(self) -> None:
        self.notices: list[f.Notify] = []
        super().__init__()
        self.counters = Counters(self.machine)

    def _took(self, effects: f.Effects) -> f.Effects:
        self.notices += [effect for effect in effects.durable if isinstance(effect, f.Notify)]
        return super()._took(effects)

    def queue(self, name: str = "default") -> QueueCounters:
        for notice in self.notices:
            self.counters.take(notice)
        self.notices.clear()
        return next(one for one in self.counters.reply().queues if one.queue == name)


@pytest.fixture
def bench() -> Counted:
    return Counted()


def test_declared_queues_are_there_before_anything_happened(bench: Counted) -> None:
    assert [one.queue for one in bench.counters.reply().queues] == ["default", "mail", "off"]
    assert bench.queue().run.counts == [0] * (len(BOUNDS_S) + 1)


def test_a_job_that_failed_once_is_one_job_and_two_attempts(bench: Counted) -> None:
    job = bench.submit()
    bench.t += 2.0
    bench.run(job)
    bench.t += 0.3
    bench.end(job, "error", usage=Usage(0.25, 0.25))
    bench.wait(5.0)
    bench.run(job)
    bench.t += 40.0
    bench.end(job, usage=Usage(1.0))
    found = bench.queue()
    assert (found.submitted, found.succeeded, found.failed, found.cancelled) == (1, 1, 0, 0)
    assert found.attempts == {"error": 1, "ok": 1}
    assert found.cpu_s == 1.5
    assert found.run.counts[BOUNDS_S.index(0.5)] == found.run.counts[BOUNDS_S.index(60.0)] == 1
    assert found.run.sum_s == pytest.approx(40.3)
    assert found.wait.counts[BOUNDS_S.index(5.0)] == 1
    assert sum(found.wait.counts) == sum(found.run.counts) == 2


def test_a_cancelled_job_counts_once_whether_it_ran_or_not(bench: Counted) -> None:
    waiting, running = bench.submit(queue="off"), bench.submit()
    bench.run(running)
    bench.step(e.CancelAsked(object(), [waiting.id, running.id], "me"))
    bench.end(running, "stopped", killed="cancel")
    assert (bench.queue("off").cancelled, bench.queue().cancelled) == (1, 1)


def test_a_time_on_a_bound_belongs_below_it_and_one_over_all_is_last(bench: Counted) -> None:
    for seconds in (1.0, 1e9):
        job = bench.submit()
        bench.run(job)
        bench.t += seconds
        bench.end(job)
    counts = bench.queue().run.counts
    assert (counts[BOUNDS_S.index(1.0)], counts[-1]) == (1, 1)


def test_what_runs_or_may_start_is_something_to_do(bench: Counted) -> None:
    sites = SimpleNamespace(pools={"default": SimpleNamespace(state="up")})
    assert is_idle(bench.machine, sites)
    bench.submit(delay_s=60.0)
    bench.submit(queue="off")  # which is paused
    assert is_idle(bench.machine, sites)
    job = bench.submit()
    assert not is_idle(bench.machine, sites)
    sites.pools["default"].state = "failed"
    assert is_idle(bench.machine, sites)
    bench.run(job)
    assert not is_idle(bench.machine, sites)
