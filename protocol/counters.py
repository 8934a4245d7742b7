"""The answer to ``counters``: what happened to jobs since the supervisor was started. Plain data."""

from __future__ import annotations

from .plain import dataclass


@dataclass(frozen=True)
class Distribution:
    """Times of attempts: how many took at most each of ``Counted.bounds_s``, then all others; and their sum."""

    counts: list[int]
    sum_s: float


@dataclass(frozen=True)
class QueueCounters:
    """Counts of one queue that only ever grow. ``attempts`` counts those that ended, by outcome."""

    queue: str
    submitted: int
    succeeded: int
    failed: int
    cancelled: int
    attempts: dict[str, int]
    wait: Distribution
    run: Distribution
    cpu_s: float


@dataclass(frozen=True)
class Counted:
    """Answer to counters. ``started_at``: since when, in seconds since the epoch."""

    started_at: float
    bounds_s: list[float]
    queues: list[QueueCounters]
