"""What can happen to the machine. Plain data, made by the driver and the executors; ``decide`` has a case for each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...protocol.job import ErrorInfo, Policy, Progress, Usage
from .rules import Rules


@dataclass(frozen=True, slots=True)
class Now:
    """A moment: ``boot`` is CLOCK_BOOTTIME in seconds, ``wall`` seconds since the epoch."""

    boot: float
    wall: float


@dataclass(frozen=True, slots=True)
class Child:
    """A process that is or will be running one attempt: its zygote's uuid and the zygote's number for it."""

    pool: str
    zygote: str
    kid: int
    pid: int = 0
    pid_started: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A job as asked for, with every name, option and argument checked.

    ``archived_id`` is that of the job with this very uid in the history, if it was looked for there and found;
    ``archived_parents`` says how those of ``after`` ended that have left memory. ``shown`` is as of ``NewJob``.
    """

    uid: str
    ref: str
    name: str
    payload: bytes
    queue: str
    priority: int
    policy: Policy
    delay_s: float = 0.0
    at: float | None = None
    expires_s: float | None = None
    key: str | None = None
    on_duplicate: str = "return"
    tags: dict[str, str] | None = None
    parent: int | None = None
    resent: bool = False
    after: list[int] = field(default_factory=list)
    on_parent_failure: str = "cancel"
    archived_id: int | None = None
    archived_parents: dict[int, str] = field(default_factory=dict)
    shown: bytes | None = None


@dataclass(frozen=True, slots=True)
class Configured:
    """New rules are in force."""

    rules: Rules


@dataclass(frozen=True, slots=True)
class SubmitAsked:
    """``durability``: "memory" replies before the jobs are stored; "fsync" and "written" when they are."""

    token: Any
    jobs: list[Wanted]
    durability: str = "fsync"


@dataclass(frozen=True, slots=True)
class CancelAsked:
    token: Any
    ids: list[int]
    by: str
    reason: str | None = None
    grace_s: float | None = None
    more: bool = False
    archived: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RetryAsked:
    """``archived``: the job as the history has it, of ``job_to_wire``; needed only if it is not in memory."""

    token: Any
    id: int
    by: str
    archived: list[Any] | None = None


@dataclass(frozen=True, slots=True)
class Archived:
    """The history holds every job that finished up to this number; ``finish_bytes`` of the state was this by then."""

    upto: int
    finish_bytes: int


@dataclass(frozen=True, slots=True)
class HistoryLost:
    """What the history held is gone: every finished job in memory is to be archived again."""


@dataclass(frozen=True, slots=True)
class SetAsked:
    """``limited`` tells a ``timeout_s`` of None from none given; None elsewhere is not given. ``archived``: jobs that
    have left memory."""

    token: Any
    ids: list[int]
    by: str
    priority: int | None = None
    queue: str | None = None
    delay_s: float | None = None
    at: float | None = None
    limited: bool = False
    timeout_s: float | None = None
    archived: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RemoveAsked:
    """``archived``: those of the ids that were in the history alone, which has forgotten them. ``kept``: those that had
    not ended when it was asked: it may have what they were before they were put back, so they stay, ended or not."""

    token: Any
    ids: list[int]
    archived: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PruneAsked:
    """Forget those of ``ids`` that are finished still. ``archived`` are all that the history has forgotten."""

    token: Any
    ids: list[int]
    archived: list[int] = field(default_factory=list)
    more: bool = False


@dataclass(frozen=True, slots=True)
class QueueSetAsked:
    token: Any
    queues: list[str]
    mode: str


@dataclass(frozen=True, slots=True)
class StopAsked:
    """Nothing is started any more. mode: "wait" for the running jobs, stop them "now", or "keep" those running that a
    later supervisor can take over."""

    token: Any
    mode: str


@dataclass(frozen=True, slots=True)
class ZygoteUp:
    """A zygote is ready; it becomes its pool's current one, and the one before takes no new work.

    Attributes:
        socket: where a later supervisor finds it; empty if it ends with this one.
        digest: names the description that it was started with.
        code_version: names the code that it has loaded.
    """

    pool: str
    uuid: str
    pid: int
    pid_started: int
    boot_id: str
    socket: str = ""
    digest: str = ""
    code_version: str = ""


@dataclass(frozen=True, slots=True)
class ZygoteAdopted:
    """A zygote that an earlier supervisor has recorded serves this one now.

    Told once for each that lives, in the first step of a generation, and before its children: those that wait follow
    as ``ChildReady``, those that have ended as ``ChildExited``. Every other zygote of the state gets a ``ZygoteGone``
    instead.

    Attributes:
        current: it fits the config, and becomes its pool's current one; otherwise it only finishes what it has.
        kids: its numbers for all children that it has not forgotten: those that wait, run, or ended and were not
            acknowledged. An attempt of any other is lost, and all its processes are known to be dead.
    """

    pool: str
    uuid: str
    current: bool
    kids: frozenset[int]
    pid: int = 0


@dataclass(frozen=True, slots=True)
class ZygoteGone:
    """A zygote has ended. ``fenced``: it and all that it ever started are known to be dead. ``why`` is for people.

    ``void``: its numbers for children that were certainly never told to begin what they were given, as of ``Exit``.
    """

    pool: str
    uuid: str
    fenced: bool = True
    why: str = ""
    void: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class ChildReady:
    """A child waits for an attempt."""

    child: Child


@dataclass(frozen=True, slots=True)
class PrepareFailed:
    """``count`` children could not be made (EAGAIN, ENOMEM...). No attempt was harmed."""

    pool: str
    zygote: str
    count: int
    why: str


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended, as its parent saw it.

    Attributes:
        killed: why it was made to end ("cancel", "timeout", "stall", "stop", "oom"), None if it was not.
        at: wall-clock time of the end.
        survivors: processes of the attempt that could not be killed.
        reason: the limit that it went over, for people, if that is known.
        void: it was certainly never told to begin what it was given, so that nothing of it has run.
    """

    at: float
    exit_code: int | None = None
    signal: str | None = None
    killed: str | None = None
    usage: Usage | None = None
    survivors: int = 0
    reason: str | None = None
    void: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """What a child said last.

    kind: "ok", "error", "give_up", "retry_later", "final" (an error that is never tried again) or "stopped" (it unwound
    because it was told to stop). ``delay_s`` and ``counted`` (it spends one of the attempts) are of "retry_later".
    """

    kind: str
    result: bytes | None = None
    error: ErrorInfo | None = None
    delay_s: float | None = None
    counted: bool = False
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class ChildExited:
    """A child and its whole tree are gone. ``seq`` is acknowledged once this is durable."""

    child: Child
    seq: int
    exit: Exit
    end: End | None = None


@dataclass(frozen=True, slots=True)
class Progressed:
    """A running job said how far it is. Not durable."""

    child: Child
    progress: Progress


@dataclass(frozen=True, slots=True)
class LogGrown:
    """The output of a followed child grew, or is complete. The driver wakes its readers; the machine never sees it."""

    child: Child
    done: bool = False


@dataclass(frozen=True, slots=True)
class OutputRefused:
    """The disk refuses what an attempt prints. For people; the machine never sees it.

    Attributes:
        base: path of the attempt's output, without suffix.
        size: bytes that are lost by now; 0 if they cannot be counted.
        errno: why.
    """

    base: str
    size: int
    errno: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class ClockStepped:
    """The wall clock was set: times given by it are due at other moments now."""


Event = (
    Configured
    | SubmitAsked
    | CancelAsked
    | RetryAsked
    | SetAsked
    | RemoveAsked
    | PruneAsked
    | Archived
    | HistoryLost
    | QueueSetAsked
    | StopAsked
    | ZygoteUp
    | ZygoteAdopted
    | ZygoteGone
    | ChildReady
    | PrepareFailed
    | ChildExited
    | Progressed
    | Tick
    | ClockStepped
)
