"""What is said of a job: how to run it, and what became of it. Plain data shared by client and supervisor."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import field
from datetime import UTC, datetime, timedelta
from typing import Any

from . import codec
from .plain import dataclass
from .states import COARSE, FINISHED


@dataclass(frozen=True, slots=True)
class Retry:
    """When and how often a failed job is tried again.

    Args:
        max_attempts: attempts in all, the first included.
        delay: seconds (or "15m", or a timedelta) before the next attempt; a list gives each wait, the last repeats.
        backoff: each wait is the one before times this; 1.0 keeps it fixed.
        max_delay: no wait is longer.
        jitter: each wait is made longer or shorter by up to this part of it.
        on: exception classes or qualified names; if given, only these (and subclasses) are tried again. The words
            "timeout" and "crash" stand for attempts that ended so.
        give_up_on: exception classes or names that are never tried again.
    """

    max_attempts: int = 3
    delay: float | str | timedelta | Sequence[float | str | timedelta] = 5.0
    backoff: float = 1.0
    max_delay: float | str | timedelta | None = None
    jitter: float = 0.0
    on: Sequence[type[BaseException] | str] = ()
    give_up_on: Sequence[type[BaseException] | str] = ()

    def to_options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclasses.dataclass(frozen=True, slots=True)  # a key of dicts
class RetryPolicy:
    """A retry policy with every value decided. ``delays_s`` holds at least one wait."""

    max_attempts: int = 3
    delays_s: tuple[float, ...] = (5.0,)
    backoff: float = 1.0
    max_delay_s: float | None = None
    jitter: float = 0.0
    on: tuple[str, ...] = ()
    give_up_on: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)  # a key of dicts
class Policy:
    """How attempts of a job are treated; many jobs share one."""

    retry: RetryPolicy = RetryPolicy()
    timeout_s: float | None = None
    soft_timeout_s: float | None = None
    stall_timeout_s: float | None = None
    grace_s: float = 10.0
    on_lost: str = "retry"


@dataclass(frozen=True, slots=True)
class Usage:
    """What an attempt used. Sizes in bytes, times in seconds.

    Attributes:
        peak_rss_bytes: the most memory held above ``base_rss_bytes``.
        base_rss_bytes: memory the process had before the job's own code ran.
        approximate: the process died before it could report, so the kernel's coarser figures are used.
    """

    cpu_user_s: float = 0.0
    cpu_system_s: float = 0.0
    peak_rss_bytes: int = 0
    base_rss_bytes: int = 0
    approximate: bool = False


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """An exception as text. ``kinds`` are the qualified names of its class and that class's bases, nearest first."""

    type: str
    message: str
    traceback: str = ""
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AttemptInfo:
    """One attempt. Times are seconds since the epoch; ``code_version`` names the code that its pool had loaded."""

    number: int
    started_at: float
    ended_at: float | None = None
    outcome: str | None = None
    exit_code: int | None = None
    signal: str | None = None
    reason: str | None = None
    error: ErrorInfo | None = None
    usage: Usage | None = None
    wait_s: float = 0.0
    pid: int = 0
    host: str = ""
    pool: str = ""
    log: str | None = None
    code_version: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a running job says it is."""

    done: float = 0.0
    total: float | None = None
    text: str = ""
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Parent:
    """A job that another one waits for, or waited for.

    Attributes:
        state: how it ended; while it has not, the state that it is in now.
    """

    id: int
    state: str


@dataclass(frozen=True, slots=True)
class JobInfo:
    """A job as the supervisor knows it. Times are seconds since the epoch; ``utc`` makes datetimes of them.

    Attributes:
        attempt: number of the last attempt. spent: how many ended attempts count against ``max_attempts``.
        payload, result_payload: arguments and result as they were sent; ``args``, ``kwargs``, ``result`` decode them.
        durable: False if the journal could not be written when this was said.
        warnings: what people should know beside it, such as output that could not be written; answered to get only.
        parent: the job in which this one was submitted.
        parents: the jobs of ``after``, in its order. children_count: how many jobs wait or waited for this one.
    """

    id: int
    uid: str
    ref: str
    name: str
    state: str
    queue: str
    pool: str
    priority: int
    created_at: float
    run_at: float
    policy: Policy
    payload: bytes
    started_at: float | None = None
    finished_at: float | None = None
    expires_at: float | None = None
    attempt: int = 0
    spent: int = 0
    losses: int = 0
    attempts: list[AttemptInfo] = field(default_factory=list)
    cancel_requested: bool = False
    reason: str | None = None
    key: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    parent: int | None = None
    progress: Progress | None = None
    result_payload: bytes | None = None
    durable: bool = True
    warnings: list[str] = field(default_factory=list)
    parents: list[Parent] = field(default_factory=list)
    on_parent_failure: str = "cancel"
    children_count: int = 0

    @property
    def finished(self) -> bool:
        return self.state in FINISHED

    @property
    def status(self) -> str:
        """The state as one of the four words "pending", "running", "completed" and "failed"."""
        return COARSE[self.state]

    @property
    def max_attempts(self) -> int:
        return self.policy.retry.max_attempts

    @property
    def args(self) -> tuple[Any, ...]:
        """The positional arguments, decoded."""
        return tuple(codec.unpack_arguments(self.payload)[0])

    @property
    def kwargs(self) -> dict[str, Any]:
        """The named arguments, decoded."""
        return codec.unpack_arguments(self.payload)[1]

    @property
    def result(self) -> Any:
        """The returned value, or None while there is none."""
        return None if self.result_payload is None else codec.unpack_value(self.result_payload)

    @property
    def last_attempt(self) -> AttemptInfo | None:
        return self.attempts[-1] if self.attempts else None

    @property
    def error(self) -> ErrorInfo | None:
        """What the last attempt raised, if it raised."""
        last = self.last_attempt
        return last.error if last else None


def utc(at: float | None) -> datetime | None:
    """An aware datetime in UTC from seconds since the epoch."""
    return None if at is None else datetime.fromtimestamp(at, UTC)
