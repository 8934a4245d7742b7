"""The durable facts: one class per kind of journal record, past participles all.

Each says what replay does with it. On disk a record is the msgpack list ``[tag, field, ...]`` in the order of the
fields below; a field may be added at the end with a default, never removed or moved, and ``JOURNAL_VERSION``
counts changes. ``supervisor/core/state.py`` applies them; nothing else changes a job.
"""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass
from typing import Any, ClassVar

from ...protocol.job import AttemptInfo, ErrorInfo, Policy, RetryPolicy, Usage
from ...protocol.states import QUEUED

JOURNAL_VERSION = 3


@dataclass(frozen=True, slots=True)
class Began:
    """A supervisor took over. Replay: remember its generation; on another boot, waiting times go by the wall clock."""

    TAG: ClassVar[int] = 1
    generation: int
    boot_id: str
    at: float


@dataclass(frozen=True, slots=True)
class ZygoteStarted:
    """A process that may have children exists. Replay: remember whom to fence or adopt."""

    TAG: ClassVar[int] = 2
    uuid: str
    pool: str
    pid: int
    pid_started: int
    boot_id: str
    at: float
    socket: str = ""
    digest: str = ""
    code_version: str = ""


@dataclass(frozen=True, slots=True)
class ZygoteEnded:
    """That process and all it ever started are gone. Replay: forget it."""

    TAG: ClassVar[int] = 3
    uuid: str


@dataclass(frozen=True, slots=True)
class NewJob:
    """One job inside ``Submitted``. ``due_boot`` is None for a time given by the wall clock, and for none.

    ``after`` are the ids of earlier jobs; a job that has some begins as blocked, however those ended. ``ended`` says
    of each how it ended, None of those that are in memory.
    """

    id: int
    uid: str
    ref: str
    name: str
    payload: bytes
    queue: str
    priority: int
    policy: Policy
    created_at: float
    run_at: float
    due_boot: float | None = None
    expires_at: float | None = None
    key: str | None = None
    tags: dict[str, str] | None = None
    parent: int | None = None
    scheduled: bool = False
    after: list[int] | None = None
    on_parent_failure: str = "cancel"
    ended: list[str | None] | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """Jobs exist. Replay: add them, blocked, scheduled or queued."""

    TAG: ClassVar[int] = 4
    jobs: list[NewJob]


@dataclass(frozen=True, slots=True)
class Promoted:
    """Their time came, or their parents have ended. Replay: -> ``state``; they may run since ``run_at``, if given."""

    TAG: ClassVar[int] = 5
    ids: list[int]
    state: str = QUEUED
    run_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Started:
    """An attempt was given to a child; durable before the child may run it. Replay: queued -> running."""

    TAG: ClassVar[int] = 6
    id: int
    attempt: int
    at: float
    zygote: str
    kid: int
    pid: int
    pid_started: int
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt is over and its processes are gone. Replay: running -> ``state``.

    ``counted`` says whether it spends one of the job's attempts; ``run_at`` and ``due_boot`` are the next attempt's.
    """

    TAG: ClassVar[int] = 7
    id: int
    attempt: int
    at: float
    outcome: str
    state: str
    exit_code: int | None = None
    signal: str | None = None
    reason: str | None = None
    error: ErrorInfo | None = None
    usage: Usage | None = None
    result: bytes | None = None
    counted: bool = True
    run_at: float = 0.0
    due_boot: float | None = None


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """Somebody wants a running job gone. Replay: remember it until the attempt ends."""

    TAG: ClassVar[int] = 8
    id: int
    at: float
    by: str
    reason: str | None = None
    grace_s: float | None = None


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Jobs that were not running are over. Replay: -> cancelled."""

    TAG: ClassVar[int] = 9
    ids: list[int]
    at: float
    by: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Requeued:
    """Somebody put a finished job back. Replay: -> queued, with all its attempts before it again; -> blocked if one of
    its parents has not ended."""

    TAG: ClassVar[int] = 10
    id: int
    at: float
    by: str


@dataclass(frozen=True, slots=True)
class Pruned:
    """Finished jobs left memory, for the history or for good. Replay: drop them."""

    TAG: ClassVar[int] = 11
    ids: list[int]


@dataclass(frozen=True, slots=True)
class QueueSet:
    """A queue was paused, resumed or drained. Replay: remember its mode ("open", "paused", "draining")."""

    TAG: ClassVar[int] = 12
    queue: str
    mode: str


@dataclass(frozen=True, slots=True)
class IdsReserved:
    """Ids up to this one may have been given out without being durable. Replay: never give them again."""

    TAG: ClassVar[int] = 13
    upto: int


@dataclass(frozen=True, slots=True)
class Changed:
    """Somebody changed jobs that wait. Replay: take over what is given; other jobs were left out.

    ``state`` is what the new time makes of a job that is not blocked, None if the time stays; ``limited`` tells a
    ``timeout_s`` of None from none given.
    """

    TAG: ClassVar[int] = 14
    ids: list[int]
    at: float
    by: str
    priority: int | None = None
    queue: str | None = None
    state: str | None = None
    run_at: float = 0.0
    due_boot: float | None = None
    limited: bool = False
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class Restored:
    """A finished job came back from the history, to be put back. Replay: add it as it was.

    ``job`` is what ``job_to_wire`` of ``snapshot.py`` makes of it.
    """

    TAG: ClassVar[int] = 15
    job: list[Any]


Record = (
    Began
    | ZygoteStarted
    | ZygoteEnded
    | Submitted
    | Promoted
    | Started
    | Ended
    | CancelRequested
    | Cancelled
    | Requeued
    | Pruned
    | QueueSet
    | IdsReserved
    | Changed
    | Restored
)
RECORDS: tuple[type[Any], ...] = (
    Began,
    ZygoteStarted,
    ZygoteEnded,
    Submitted,
    Promoted,
    Started,
    Ended,
    CancelRequested,
    Cancelled,
    Requeued,
    Pruned,
    QueueSet,
    IdsReserved,
    Changed,
    Restored,
)
_BY_TAG: dict[int, type[Any]] = {cls.TAG: cls for cls in RECORDS}
_PARTS: tuple[type[Any], ...] = (NewJob, AttemptInfo, Policy, RetryPolicy, ErrorInfo, Usage)
_NAMES = {cls: tuple(f.name for f in dataclasses.fields(cls)) for cls in (*RECORDS, *_PARTS)}


def _holds_part(kind: Any) -> bool:
    args = typing.get_args(kind)
    return any(map(_holds_part, args)) if args else kind in _PARTS


def _places_of_parts(cls: type[Any]) -> tuple[int, ...]:
    hints = typing.get_type_hints(cls)
    return tuple(place for place, name in enumerate(_NAMES[cls]) if _holds_part(hints[name]))


_PLACES_OF_PARTS = {cls: _places_of_parts(cls) for cls in _NAMES}


class BadRecord(ValueError):
    """A record that this version cannot read."""


def to_wire(record: Record) -> list[Any]:
    """The record as a list of plain values, trailing defaults included."""
    return [record.TAG, *fields_to_wire(record)]


def from_wire(wire: Any) -> Record:
    """The record in ``wire``.

    Raises:
        BadRecord: an unknown kind or a wrong number of fields: written by another version.
    """
    try:
        cls = _BY_TAG[wire[0]]
        values = list(wire[1:])
        if cls is Submitted:
            values[0] = [new_job(item) for item in values[0]]
        elif cls is Ended:
            values[8], values[9] = _error(values[8]), _usage(values[9])
        record: Record = cls(*values)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise BadRecord(f"a journal record of an unknown kind or shape ({type(error).__name__}: {error})") from None
    return record


def new_job(values: list[Any]) -> NewJob:
    values = list(values)
    values[7] = policy_from_wire(values[7])
    return NewJob(*values)


def attempt_from_wire(values: list[Any]) -> AttemptInfo:
    values = list(values)
    values[7], values[8] = _error(values[7]), _usage(values[8])
    return AttemptInfo(*values)


def _error(values: list[Any] | None) -> ErrorInfo | None:
    return None if values is None else ErrorInfo(values[0], values[1], values[2], tuple(values[3]))


def _usage(values: list[Any] | None) -> Usage | None:
    return None if values is None else Usage(*values)


def policy_from_wire(values: list[Any]) -> Policy:
    retry = list(values[0])
    retry[1], retry[5], retry[6] = tuple(retry[1]), tuple(retry[5]), tuple(retry[6])
    return Policy(RetryPolicy(*retry), *values[1:])


def fields_to_wire(item: Any) -> list[Any]:
    """The values of a record, or of a part of one, in order."""
    cls = type(item)
    values = [getattr(item, name) for name in _NAMES[cls]]
    for place in _PLACES_OF_PARTS[cls]:
        values[place] = _plain(values[place])
    return values


def _plain(value: Any) -> Any:
    if type(value) in _NAMES:
        return fields_to_wire(value)
    if type(value) is list:
        return [_plain(item) for item in value]
    return value
