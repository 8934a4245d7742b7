"""The answer to ``status``: the supervisor, its queues and its pools as they are now. Plain data."""

from __future__ import annotations

from dataclasses import field

from .plain import dataclass


@dataclass(frozen=True)
class QueueStatus:
    name: str
    mode: str
    pool: str
    concurrency: int | None
    running: int
    queued: int
    scheduled: int
    blocked: int = 0


@dataclass(frozen=True)
class PoolStatus:
    """state: "starting", "up", "failed" or "unreachable"; ``problem`` says why it is not up."""

    name: str
    state: str
    concurrency: int
    running: int
    spare: int
    pid: int | None = None
    retiring: int = 0
    problem: str | None = None


@dataclass(frozen=True)
class SupervisorStatus:
    pid: int
    version: str
    generation: int
    started_at: float
    config: str
    state_dir: str
    socket: str
    stopping: bool
    durable: bool
    counts: dict[str, int]
    refused: int
    queues: list[QueueStatus]
    pools: list[PoolStatus]
    journal_bytes: int
    warnings: list[str] = field(default_factory=list)
