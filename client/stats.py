"""Figures of many jobs: how long they waited and ran, what they used, how many ended well.

Pure: facts of jobs in, figures out. Where the facts come from (a supervisor's memory, a history) is the caller's
business; whatever has the four attributes of ``Facts`` can be counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..protocol.job import AttemptInfo
from ..protocol.states import FAILED, SUCCEEDED


class Facts(Protocol):
    """What is counted of a job; ``JobInfo`` has it."""

    @property
    def ref(self) -> str: ...
    @property
    def queue(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def attempts(self) -> Sequence[AttemptInfo]: ...


@dataclass(frozen=True, slots=True)
class Times:
    """How ``count`` times are spread, in seconds; None if there are none. Percentiles are times that did occur."""

    count: int = 0
    p50_s: float | None = None
    p95_s: float | None = None
    max_s: float | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of a set of jobs.

    Attributes:
        name: of the function or queue; "" for all.
        states: how many jobs are in each state.
        attempts: how many were started, as far as they are remembered.
        success_rate: succeeded out of succeeded and failed; None before either.
        wait: from being due to starting, per attempt. run: from start to end, per attempt that ended.
        peak_rss_bytes: the most that any attempt held.
    """

    name: str
    jobs: int
    states: dict[str, int]
    attempts: int
    success_rate: float | None
    wait: Times
    run: Times
    cpu_s: float
    peak_rss_bytes: int


@dataclass(frozen=True, slots=True)
class Stats:
    """``jobs`` by function and ``queues`` by queue, each with the most jobs first."""

    total: Figures
    jobs: list[Figures]
    queues: list[Figures]


@dataclass(slots=True)
class _Tally:
    states: Counter[str] = field(default_factory=Counter)
    waits_s: list[float] = field(default_factory=list)
    runs_s: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    peak_rss_bytes: int = 0

    def add(self, job: Facts) -> None:
        self.states[job.state] += 1
        for attempt in job.attempts:
            self.waits_s.append(attempt.wait_s)
            if attempt.ended_at is not None:
                self.runs_s.append(max(0.0, attempt.ended_at - attempt.started_at))
            if attempt.usage is not None:
                self.cpu_s += attempt.usage.cpu_user_s + attempt.usage.cpu_system_s
                self.peak_rss_bytes = max(self.peak_rss_bytes, attempt.usage.peak_rss_bytes)

    def figures(self, name: str) -> Figures:
        ended = self.states[SUCCEEDED] + self.states[FAILED]
        return Figures(
            name=name,
            jobs=self.states.total(),
            states={state: count for state, count in sorted(self.states.items()) if count},
            attempts=len(self.waits_s),
            success_rate=self.states[SUCCEEDED] / ended if ended else None,
            wait=_times(self.waits_s),
            run=_times(self.runs_s),
            cpu_s=self.cpu_s,
            peak_rss_bytes=self.peak_rss_bytes,
        )


def summarise(jobs: Iterable[Facts]) -> Stats:
    """Figures of all ``jobs``, which are looked at once and not kept."""
    total = _Tally()
    by_ref: dict[str, _Tally] = {}
    by_queue: dict[str, _Tally] = {}
    for job in jobs:
        for tally in (total, by_ref.setdefault(job.ref, _Tally()), by_queue.setdefault(job.queue, _Tally())):
            tally.add(job)
    return Stats(total.figures(""), _ranked(by_ref), _ranked(by_queue))


def _ranked(tallies: dict[str, _Tally]) -> list[Figures]:
    return sorted((tally.figures(name) for name, tally in tallies.items()), key=lambda one: (-one.jobs, one.name))


def _times(seconds: list[float]) -> Times:
    if not seconds:
        return Times()
    ordered = sorted(seconds)
    return Times(len(ordered), _percentile(ordered, 50), _percentile(ordered, 95), ordered[-1])


def _percentile(ordered: Sequence[float], percent: int) -> float:
    """The nearest rank: the smallest value that at least so many percent do not exceed."""
    return ordered[-(-len(ordered) * percent // 100) - 1]
