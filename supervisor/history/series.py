"""What became of jobs, counted by hour, reference and queue, with times as histograms. Pure; stores nothing.

Owns the bounds of the histograms and what of a job is counted where: its submit in the hour of the submit, its end in
the hour of the end, with the times and usage of its attempts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ...protocol.history import StatsRow
from ...protocol.history import Times as Spread
from ..core.state import Job

HOUR_S = 3600
BUCKETS = 288  # the last one begins at half a year
_FIRST_S = 0.001
_PER_DOUBLING = 8

ALL_TIME = -1  # instead of an hour: since the history began
Key = tuple[int, str, str]  # hour, reference, queue
Group = tuple[int | None, str | None, str | None]


def bucket(seconds: float) -> int:
    """Number of the bucket for a time; each ends at 1.09 times the end of the one before."""
    if seconds <= _FIRST_S:
        return 0
    return min(BUCKETS - 1, math.ceil(math.log2(seconds / _FIRST_S) * _PER_DOUBLING))


def bound_s(number: int) -> float:
    """The end of a bucket."""
    return float(_FIRST_S * 2 ** (number / _PER_DOUBLING))


@dataclass(slots=True)
class Times:
    """How many times fell into each bucket, and the longest."""

    counts: dict[int, int] = field(default_factory=dict)
    max_s: float = 0.0

    def add(self, seconds: float) -> None:
        number = bucket(seconds)
        self.counts[number] = self.counts.get(number, 0) + 1
        self.max_s = max(self.max_s, seconds)

    def merge(self, other: Times) -> None:
        for number, count in other.counts.items():
            self.counts[number] = self.counts.get(number, 0) + count
        self.max_s = max(self.max_s, other.max_s)

    def spread(self) -> Spread:
        if not self.counts:
            return Spread()
        return Spread(sum(self.counts.values()), self._percentile(0.5), self._percentile(0.95), self.max_s)

    def _percentile(self, part: float) -> float:
        """The middle of the bucket in which that part of all times is reached, which is at most 5 % off."""
        wanted = part * sum(self.counts.values())
        seen = 0
        for number in sorted(self.counts):
            seen += self.counts[number]
            if seen >= wanted:
                return min(bound_s(number) / 2 ** (0.5 / _PER_DOUBLING) if number else _FIRST_S, self.max_s)
        return self.max_s


@dataclass(slots=True)
class Tally:
    """The figures of one group of jobs."""

    submitted: int = 0
    states: Counter[str] = field(default_factory=Counter)
    cpu_s: float = 0.0
    peak_rss_bytes: int = 0
    wait: Times = field(default_factory=Times)
    run: Times = field(default_factory=Times)

    def end(self, job: Job, counted: int) -> None:
        """Count the end of ``job``, and its attempts behind number ``counted``."""
        self.states[job.state] += 1
        for attempt in job.attempts:
            if attempt.number <= counted or attempt.ended_at is None:
                continue
            self.wait.add(attempt.wait_s)
            self.run.add(max(0.0, attempt.ended_at - attempt.started_at))
            if attempt.usage is not None:
                self.cpu_s += attempt.usage.cpu_user_s + attempt.usage.cpu_system_s
                self.peak_rss_bytes = max(self.peak_rss_bytes, attempt.usage.peak_rss_bytes)

    def merge(self, other: Tally) -> None:
        self.submitted += other.submitted
        self.states.update(other.states)  # what was taken back is below 0 until it meets what it is taken from
        self.cpu_s += other.cpu_s
        self.peak_rss_bytes = max(self.peak_rss_bytes, other.peak_rss_bytes)
        self.wait.merge(other.wait)
        self.run.merge(other.run)

    def to_wire(self) -> list[Any]:
        counted = [self.submitted, dict(self.states), self.cpu_s, self.peak_rss_bytes]
        return [*counted, *([list(one.counts.items()), one.max_s] for one in (self.wait, self.run))]

    @classmethod
    def from_wire(cls, wire: list[Any]) -> Tally:
        submitted, states, cpu_s, peak, *times = wire
        wait, run = (Times(dict(counts), max_s) for counts, max_s in times)
        return cls(submitted, Counter(states), cpu_s, peak, wait, run)

    @property
    def is_empty(self) -> bool:
        """Nothing is left to be told."""
        return not (self.submitted or +self.states or self.run.counts)

    def row(self, group: Group) -> StatsRow:
        hour, ref, queue = group
        return StatsRow(
            hour=None if hour is None else float(hour),
            ref=ref,
            queue=queue,
            submitted=self.submitted,
            states=dict(sorted((+self.states).items())),
            wait=self.wait.spread(),
            run=self.run.spread(),
            cpu_s=self.cpu_s,
            peak_rss_bytes=self.peak_rss_bytes,
        )


class Former(NamedTuple):
    """A job as it was when its end was counted: in the history, though it was put back since."""

    id: int
    uid: str
    state: str
    ref: str
    queue: str
    finished_at: float
    attempt: int


class Series:
    """Tallies by key."""

    def __init__(self) -> None:
        self.tallies: dict[Key, Tally] = {}

    def submitted(self, job: Job) -> None:
        self._at(job.created_at, job).submitted += 1

    def ended(self, job: Job, counted: int = 0) -> None:
        """``counted``: the attempts up to this number were counted when the job had ended before."""
        assert job.finished_at is not None
        self._at(job.finished_at, job).end(job, counted)

    def taken_back(self, former: Former) -> None:
        """It was put back: the end that was counted is none any more. Its attempts were made, and stay."""
        self._of(former.finished_at, former.ref, former.queue).states[former.state] -= 1

    def unfinished(self, job: Job, again: bool = False) -> None:
        """``again``: its submit is counted already."""
        tally = self._at(job.created_at, job)
        tally.submitted += not again
        tally.states[job.state] += 1

    def _at(self, at: float, job: Job) -> Tally:
        return self._of(at, job.ref, job.queue)

    def _of(self, at: float, ref: str, queue: str) -> Tally:
        return self.tallies.setdefault((hour_of(at), ref, queue), Tally())


def hour_of(at: float) -> int:
    """When the hour of this moment began."""
    return int(at // HOUR_S) * HOUR_S


def grouped(tallies: Iterable[tuple[Key, Tally]], by: Iterable[str]) -> dict[Group, Tally]:
    """The tallies put together by the parts of their keys that are named in ``by``."""
    names = set(by)
    groups: dict[Group, Tally] = {}
    for (hour, ref, queue), tally in tallies:
        group = (
            hour if "hour" in names else None,
            ref if "ref" in names else None,
            queue if "queue" in names else None,
        )
        groups.setdefault(group, Tally()).merge(tally)
    return groups


def latest_first(group: Group) -> tuple[int, str, str]:
    """The order of groups in a reply."""
    hour, ref, queue = group
    return -(hour or 0), ref or "", queue or ""
