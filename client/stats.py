"""Figures of many jobs: how long they waited and ran, what they used, how many ended well.

Pure: either what the supervisor has counted by the hour is put together (``questions``, ``combined``), or facts of jobs
are counted here (``summarise``), for what is not kept by the hour. Sends nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..protocol.history import Stats as StatsAsked
from ..protocol.history import StatsReply, StatsRow, Times
from ..protocol.job import AttemptInfo
from ..protocol.messages import Filter
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
class Figures:
    """Figures of a set of jobs.

    Attributes:
        name: of the function or queue; "" for all.
        states: how many jobs are in each state.
        attempts: how many of theirs were started, as far as they are remembered; of the kept figures, have ended.
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


def questions(chosen: Filter) -> list[StatsAsked]:
    """What to ask for the kept figures: three requests; none if they do not tell such jobs apart."""
    others = chosen.states or chosen.tags or chosen.until is not None or chosen.after is not None
    alias = chosen.ref is not None and ":" not in chosen.ref
    if others or alias or chosen.error is not None or chosen.search is not None:
        return []
    return [StatsAsked(by, chosen.ref, chosen.queue, chosen.since) for by in ([], ["ref"], ["queue"])]


def combined(replies: Sequence[StatsReply]) -> Stats:
    """Figures from the replies to ``questions``."""
    total, jobs, queues = (reply.rows for reply in replies)
    everything = _kept(total[0]) if total else _Tally().figures("")
    return Stats(everything, _ranked(map(_kept, jobs)), _ranked(map(_kept, queues)))


def _kept(row: StatsRow) -> Figures:
    ended = row.states.get(SUCCEEDED, 0) + row.states.get(FAILED, 0)
    return Figures(
        name=row.ref or row.queue or "",
        jobs=sum(row.states.values()),
        states=row.states,
        attempts=row.run.count,
        success_rate=row.states.get(SUCCEEDED, 0) / ended if ended else None,
        wait=row.wait,
        run=row.run,
        cpu_s=row.cpu_s,
        peak_rss_bytes=row.peak_rss_bytes,
    )


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
    by_name = [[tally.figures(name) for name, tally in by.items()] for by in (by_ref, by_queue)]
    return Stats(total.figures(""), *map(_ranked, by_name))


def _ranked(figures: Iterable[Figures]) -> list[Figures]:
    return sorted(figures, key=lambda one: (-one.jobs, one.name))


def _times(seconds: list[float]) -> Times:
    if not seconds:
        return Times()
    ordered = sorted(seconds)
    return Times(len(ordered), _percentile(ordered, 50), _percentile(ordered, 95), ordered[-1])


def _percentile(ordered: Sequence[float], percent: int) -> float:
    """The nearest rank: the smallest value that at least so many percent do not exceed."""
    return ordered[-(-len(ordered) * percent // 100) - 1]
