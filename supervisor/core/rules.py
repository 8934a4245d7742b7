"""The part of the config that the machine decides by: queues, pools and limits; no files, paths or names of jobs."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class QueueRule:
    """``concurrency`` None: limited by its pool alone."""

    pool: str = "default"
    concurrency: int | None = None
    paused: bool = False


@dataclass(frozen=True, slots=True)
class PoolRule:
    """``spare`` children are made ahead of need, within ``concurrency``; while jobs wait, some more, unless it is 0."""

    concurrency: int = 1
    spare: int = 2


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of what is held in memory."""

    unfinished_jobs: int = 1_000_000
    unfinished_bytes: int = 1 << 30
    finished_jobs: int = 10_000
    finished_bytes: int = 64 << 20
    unarchived_bytes: int = 256 << 20
    losses: int = 3
    kept_attempts: int = 20
    parents: int = 1_000


@dataclass(frozen=True, slots=True)
class Rules:
    queues: dict[str, QueueRule] = field(default_factory=lambda: {"default": QueueRule()})
    pools: dict[str, PoolRule] = field(default_factory=lambda: {"default": PoolRule()})
    limits: Limits = Limits()
