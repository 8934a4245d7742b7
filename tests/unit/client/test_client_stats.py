"""Figures of many jobs: percentiles by nearest rank, sums and shares, and what they say of nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from jobyard.client.stats import summarise
from jobyard.protocol.history import Times
from jobyard.protocol.job import AttemptInfo, Usage


@dataclass
class Done:
    """A job as the history could give it."""

    ref: str = "jobs:a"
    queue: str = "default"
    state: str = "succeeded"
    attempts: list[AttemptInfo] = field(default_factory=list)


def attempt(run_s: float | None = 1.0, wait_s: float = 0.0, usage: Usage | None = None) -> AttemptInfo:
    return AttemptInfo(1, 100.0, None if run_s is None else 100.0 + run_s, wait_s=wait_s, usage=usage)


@pytest.mark.parametrize(
    ("count", "p50", "p95"), [(1, 1.0, 1.0), (2, 1.0, 2.0), (10, 5.0, 10.0), (20, 10.0, 19.0), (100, 50.0, 95.0)]
)
def test_percentiles_are_times_that_did_occur(count: int, p50: float, p95: float) -> None:
    jobs = [Done(attempts=[attempt(float(number))]) for number in range(count, 0, -1)]
    assert summarise(jobs).total.run == Times(count, p50, p95, float(count))


def test_nothing_has_no_percentiles_and_no_rate() -> None:
    total = summarise([]).total
    assert (total.jobs, total.wait, total.run, total.success_rate) == (0, Times(), Times(), None)
    waiting = summarise([Done(state="queued"), Done(state="cancelled")]).total
    assert (waiting.jobs, waiting.success_rate) == (2, None)


def test_cancelled_and_unfinished_jobs_are_no_part_of_the_rate() -> None:
    states = ["succeeded", "succeeded", "succeeded", "failed", "cancelled", "running"]
    assert summarise([Done(state=state) for state in states]).total.success_rate == 0.75


def test_every_attempt_counts_and_one_that_runs_has_waited_but_not_ended() -> None:
    used = [Usage(1.0, 0.5, 300), Usage(0.25, 0.25, 200)]
    job = Done(attempts=[attempt(2.0, 0.1, used[0]), attempt(4.0, 5.0, used[1]), attempt(None, 0.2)])
    total = summarise([job]).total
    assert (total.attempts, total.run.count, total.wait.max_s) == (3, 2, 5.0)
    assert (total.cpu_s, total.peak_rss_bytes) == (2.0, 300)


def test_a_clock_that_was_set_back_makes_no_negative_time() -> None:
    assert summarise([Done(attempts=[attempt(-3.0)])]).total.run.max_s == 0.0


def test_functions_and_queues_are_told_apart_most_jobs_first() -> None:
    found = summarise([Done(), Done("jobs:b", "mail"), Done("jobs:b"), Done("jobs:c", "mail")])
    assert [(one.name, one.jobs) for one in found.jobs] == [("jobs:b", 2), ("jobs:a", 1), ("jobs:c", 1)]
    assert [(one.name, one.jobs) for one in found.queues] == [("default", 2), ("mail", 2)]
    assert found.total.name == ""
