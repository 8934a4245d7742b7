"""What the machine wants done. The driver performs these; each class says when.

Order of durability: everything in ``Effects.durable`` happens after the records of the same step are on disk, first in
first out; ``Effects.prepare`` at once; ``Effects.kills`` after their record, but at once while storage is degraded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .events import Child
from .records import Record


@dataclass(frozen=True, slots=True)
class Prepare:
    """Make children that block until they are given an attempt."""

    pool: str
    zygote: str
    count: int


@dataclass(frozen=True, slots=True)
class Order:
    """All that a child needs to run one attempt."""

    job_id: int
    attempt: int
    uid: str
    ref: str
    payload: bytes
    max_attempts: int
    tried: int
    timeout_s: float | None = None
    soft_timeout_s: float | None = None
    stall_timeout_s: float | None = None
    grace_s: float = 10.0
    tags: dict[str, str] | None = None
    queue: str = "default"
    parents: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Go:
    """Let this child run the attempt; its start is durable."""

    child: Child
    order: Order


@dataclass(frozen=True, slots=True)
class Discard:
    """Let a child that has no attempt go."""

    child: Child


@dataclass(frozen=True, slots=True)
class Kill:
    """End an attempt's whole tree: ask, wait ``grace_s``, then kill. kind as in ``Exit.killed``."""

    child: Child
    kind: str
    grace_s: float
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class AckExit:
    """The exit is durable; the zygote may forget it."""

    child: Child
    seq: int


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer the request behind ``token``: a reply dataclass or an error."""

    token: Any
    reply: Any


@dataclass(frozen=True, slots=True)
class Notify:
    """Something happened: wake who waits for it, tell the stream.

    It says what was so when it was decided: when it becomes durable, the job may be further on in memory. ``job_id`` is
    0 for what is not about one job; ``run_at`` is given for a scheduled job, ``ids`` for jobs that were pruned.
    """

    kind: str
    job_id: int = 0
    attempt: int = 0
    outcome: str | None = None
    at: float = 0.0
    state: str | None = None
    ref: str | None = None
    name: str | None = None
    queue: str | None = None
    run_at: float | None = None
    reason: str | None = None
    ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Dropped:
    """So many finished jobs were forgotten that no history holds: say so."""

    count: int


@dataclass(frozen=True, slots=True)
class Retire:
    """This zygote takes no new work: let it end when its last child is gone."""

    pool: str
    zygote: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """Nothing runs any more: the supervisor may exit."""


Durable = Go | Discard | Prepare | AckExit | Reply | Notify | Dropped | Retire | Stopped


@dataclass(slots=True)
class Effects:
    """Result of one step. ``early`` replies wait only for the record to be handed to the journal, and for the last step
    that ``reserves`` ids, from which theirs are."""

    records: list[Record] = field(default_factory=list)
    prepare: list[Prepare] = field(default_factory=list)
    durable: list[Durable] = field(default_factory=list)
    early: list[Reply] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    reserves: bool = False
