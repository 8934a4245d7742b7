"""The port behind which attempts run. The core never knows which executor it has; one conformance suite covers all.

A child is made before it is known what it will run (``prepare``), so that a job that reaches an idle pool starts after
one sync and one message. Children are named by ``Child``; their events are those of ``supervisor/core/events.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from ..core.effects import Order
from ..core.events import (
    Child,
    ChildExited,
    ChildReady,
    LogGrown,
    OutputRefused,
    PrepareFailed,
    Progressed,
    ZygoteAdopted,
    ZygoteGone,
    ZygoteUp,
)

LoopEvent = ZygoteUp | ZygoteAdopted | ZygoteGone | ChildReady | PrepareFailed | ChildExited | Progressed | LogGrown
ExecutorEvent = LoopEvent | OutputRefused


@dataclass(frozen=True, slots=True)
class Caps:
    """What an executor can do.

    Attributes:
        survives_supervisor: its children go on when the supervisor dies, and can be taken over.
        splits_streams: stdout, stderr and logging are told apart in the output.
    """

    survives_supervisor: bool
    splits_streams: bool


class Executor(Protocol):
    """One site of one pool, named for ever by ``uuid``. All methods return at once; a gone child is no error."""

    caps: Caps
    pool: str
    uuid: str

    def fileno(self) -> int:
        """One descriptor for the loop, readable when ``events`` has something."""
        ...

    def start(self) -> None:
        """Start it; ``ZygoteUp`` or ``ZygoteGone`` follows."""
        ...

    def prepare(self, count: int) -> None:
        """Make children; each answers with ``ChildReady``, or ``PrepareFailed`` counts those that could not be made."""
        ...

    def go(self, child: Child, order: Order) -> None:
        """Arm the deadlines and let the child run. Idempotent by attempt."""
        ...

    def discard(self, child: Child) -> None:
        """End a child that was given nothing. Its ``ChildExited`` follows."""
        ...

    def kill(self, child: Child, kind: str, grace_s: float, reason: str | None) -> None:
        """Ask the attempt to stop, wait ``grace_s``, kill its whole tree. Idempotent; a shorter grace wins."""
        ...

    def ack(self, child: Child, seq: int) -> None:
        """The exit ``seq`` of this child is durable."""
        ...

    def follow(self, child: Child, size: int) -> None:
        """Tell once, by ``LogGrown``, when the child's output is larger than ``size`` bytes or complete."""
        ...

    def retire(self) -> None:
        """Take no new work; end after the last child. ``ZygoteGone`` follows."""
        ...

    def leave(self) -> None:
        """Let go of it: what survives this process goes on, for the next one to take over; the rest is killed."""
        ...

    def close(self) -> None:
        """Kill everything at once and wait for it, at most a few seconds."""
        ...

    def events(self) -> list[ExecutorEvent]:
        """What happened since the last call; never blocks."""
        ...


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """All that an executor needs to know of its pool; plain values, so that it can be handed to another interpreter.

    Attributes:
        python: the interpreter. path: absolute directories that go first on ``sys.path``.
        env: the complete environment of zygote and children.
        allow: patterns of protocol/refs.py, aliases included; the child checks against them again.
        runtime_dir: owner-only directory for sockets. output_dir: root of the attempts' output files.
    """

    name: str
    python: str
    cwd: str
    path: list[str]
    env: dict[str, str]
    allow: list[str]
    runtime_dir: str
    output_dir: str
    preload: list[str] = field(default_factory=list)
    setup: str | None = None
    child_setup: str | None = None
    start: str = "fork"
    nofile: int | None = None
    nproc: int | None = None
    nice: int = 0
    memory_max_bytes: int | None = None
    result_bytes: int = 1 << 20
    traceback_bytes: int = 64 * 1024
    max_job_bytes: int = 16 << 20
