"""Every request, reply and notice, one dataclass each.

A request frame is ``{"v": version, "id": text, "verb": text, "body": map}``; a reply is ``{"v", "id", "ok": map}`` or
``{"v", "id", "error": {code, message, hint, details}}``. README.md beside this file is the normative description.
"""

from __future__ import annotations

import typing
from dataclasses import field
from typing import Any, ClassVar

from . import codec, errors, schema
from .counters import Counted
from .errors import JobyardError, ProtocolError, VersionMismatch
from .history import Stats as Stats
from .history import StatsReply as StatsReply
from .job import JobInfo
from .lists import Filter as Filter
from .lists import List as List
from .notices import Events, EventsReply
from .plain import dataclass
from .status import PoolStatus as PoolStatus
from .status import QueueStatus as QueueStatus
from .status import SupervisorStatus as SupervisorStatus
from .upkeep import CHANGE_JOBS_MAX as CHANGE_JOBS_MAX
from .upkeep import Changed as Changed
from .upkeep import Compact as Compact
from .upkeep import Compacted as Compacted
from .upkeep import Explanation as Explanation
from .upkeep import Prune as Prune
from .upkeep import Pruned as Pruned
from .upkeep import Reason as Reason
from .upkeep import Remove as Remove
from .upkeep import Removed as Removed
from .upkeep import SetJob as SetJob
from .upkeep import Why as Why

PROTOCOL_VERSION = 1
SUBMIT_JOBS_MAX = 10_000
LIST_JOBS_MAX = 1_000
CANCEL_JOBS_MAX = 1_000
CANCEL_REASON_CHARS_MAX = 1_000
LOG_BYTES_MAX = 256 * 1024
EVENT_NOTICES_MAX = 500
LOG_CHUNKS_MAX = 512
REQUEST_ID_CHARS_MAX = 128

# -- requests ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Submission:
    """One job as the client asks for it. ``options`` holds what was given, in the terms of ``protocol/options.py``.

    ``arg_count`` and ``kwarg_names`` describe ``payload``, which the supervisor does not open, so that it can check
    them against the function's signature. ``resent`` says that an earlier send of the same uid got no answer.
    """

    uid: str
    ref: str
    payload: bytes
    arg_count: int = 0
    kwarg_names: list[str] = field(default_factory=list)
    method: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    parent: int | None = None
    resent: bool = False


@dataclass(frozen=True)
class Ping:
    """Answered at once; says who answers."""

    VERB: ClassVar[str] = "ping"


@dataclass(frozen=True)
class Submit:
    """Store jobs; all or none. Answered with ``Submitted`` once they are as durable as asked."""

    VERB: ClassVar[str] = "submit"
    jobs: list[Submission]


@dataclass(frozen=True)
class Get:
    """The jobs with these ids."""

    VERB: ClassVar[str] = "get"
    ids: list[int]


@dataclass(frozen=True)
class Wait:
    """Parked until one (``any``) or all of the jobs are finished; answered with those that are."""

    VERB: ClassVar[str] = "wait"
    ids: list[int]
    any: bool = False


@dataclass(frozen=True)
class Cancel:
    """Cancel these jobs, or all unfinished ones that match the filter.

    ``durable`` means the wish is stored; that the job is gone is seen by waiting for it.
    """

    VERB: ClassVar[str] = "cancel"
    ids: list[int] | None = None
    filter: Filter | None = None
    grace_s: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class RetryJob:
    """Put a finished job back into its queue."""

    VERB: ClassVar[str] = "retry"
    id: int
    uid: str | None = None


@dataclass(frozen=True)
class SetQueue:
    """Pause, resume or drain a queue (None: all). mode is "open", "paused" or "draining"."""

    VERB: ClassVar[str] = "set_queue"
    mode: str
    queue: str | None = None


@dataclass(frozen=True)
class Status:
    """What runs, what waits, and what is wrong."""

    VERB: ClassVar[str] = "status"


@dataclass(frozen=True)
class Catalog:
    """Everything that may be submitted."""

    VERB: ClassVar[str] = "catalog"


@dataclass(frozen=True)
class Logs:
    """Output of one attempt (None: the last) from ``offset``, at most ``limit`` bytes. With ``follow`` parked while
    nothing is new. With limit 0 the reply says how much there is, for who reads the files itself."""

    VERB: ClassVar[str] = "logs"
    id: int
    attempt: int | None = None
    offset: int = 0
    follow: bool = False
    limit: int = LOG_BYTES_MAX


@dataclass(frozen=True)
class Reload:
    """Read the config again and start fresh zygotes; the running jobs stay."""

    VERB: ClassVar[str] = "reload"


@dataclass(frozen=True)
class Stop:
    """Stop the supervisor. mode: "wait" for running jobs, stop them "now" and requeue them, or "keep" them running for
    the next supervisor."""

    VERB: ClassVar[str] = "stop"
    mode: str = "wait"


@dataclass(frozen=True)
class RecyclePool:
    """Start a fresh zygote for one pool; the older one ends with its last job. The config and the catalogue stay."""

    VERB: ClassVar[str] = "recycle"
    pool: str


@dataclass(frozen=True)
class Counters:
    """What happened to jobs since this supervisor was started."""

    VERB: ClassVar[str] = "counters"


@dataclass(frozen=True)
class LogFormat:
    """Write the supervisor's own log in this format, one of ``options.LOG_FORMATS``, until the next reload or restart.

    None changes nothing; the answer says which is in force.
    """

    VERB: ClassVar[str] = "log_format"
    format: str | None = None


Request = (
    Ping
    | Submit
    | Get
    | List
    | Wait
    | Cancel
    | RetryJob
    | SetQueue
    | Status
    | Catalog
    | Logs
    | Events
    | Reload
    | Stop
    | RecyclePool
    | Counters
    | LogFormat
    | SetJob
    | Remove
    | Prune
    | Why
    | Compact
    | Stats
)
REQUESTS: dict[str, type[Any]] = {cls.VERB: cls for cls in typing.get_args(Request)}
# Those that change nothing: without an answer, nothing is left in doubt.
READS = (Ping, Get, List, Wait, Status, Catalog, Logs, Events, Counters, Why, Stats)

# -- replies -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pong:
    pid: int
    version: str
    ready: bool
    generation: int


@dataclass(frozen=True)
class Accepted:
    """One submitted job: its id, and whether it existed before (a resend, or the same key)."""

    id: int
    uid: str
    existing: bool = False


@dataclass(frozen=True)
class Submitted:
    jobs: list[Accepted]


@dataclass(frozen=True)
class Jobs:
    """Answer to get, list and wait.

    Attributes:
        more: a list was cut at its limit.
        incomplete: why jobs that have left memory are not in the list; None if nothing is missing.
    """

    jobs: list[JobInfo]
    more: bool = False
    incomplete: str | None = None


@dataclass(frozen=True)
class Cancelled:
    """Ids that are or will be cancelled; those that had finished before. ``more``: ask again, a request takes a bounded
    number of jobs."""

    cancelled: list[int]
    finished: list[int] = field(default_factory=list)
    more: bool = False


@dataclass(frozen=True)
class Requeued:
    id: int


@dataclass(frozen=True)
class QueuesSet:
    queues: list[str]


@dataclass(frozen=True)
class Parameter:
    """kind: "positional", "either", "named", "args" (``*args``) or "kwargs" (``**kwargs``)."""

    name: str
    kind: str
    required: bool
    annotation: str | None = None
    default: str | None = None


@dataclass(frozen=True)
class CatalogEntry:
    """One callable that may be submitted."""

    ref: str
    pool: str
    parameters: list[Parameter]
    aliases: list[str] = field(default_factory=list)
    doc: str = ""
    file: str | None = None
    line: int | None = None
    is_async: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    module_file: str | None = None


@dataclass(frozen=True)
class CatalogProblem:
    """Something allowed that cannot be used: ``what`` is the pattern or target, ``why`` says it in full."""

    what: str
    why: str
    pool: str


@dataclass(frozen=True)
class CatalogReply:
    entries: list[CatalogEntry]
    problems: list[CatalogProblem] = field(default_factory=list)


@dataclass(frozen=True)
class LogChunk:
    """Consecutive bytes of one stream ("stdout", "stderr", "logging") written at about ``at``."""

    offset: int
    stream: str
    at: float
    data: bytes


@dataclass(frozen=True)
class LogReply:
    """Output from where it was asked for up to ``next_offset``.

    Attributes:
        ended: nothing will follow.
        path: the file with the beginning of the output.
        inode: of that file, so that a client can tell whether it sees the same one; 0 if there is none.
        size: position after all that was printed so far.
        dropped_bytes: so many in that range were over the cap.
        unwritten_bytes: so many of the whole attempt the disk refused so far; told in a reply without chunks.
        unwritten_why: why; None if it refused nothing. With 0 bytes their number is not known.
    """

    attempt: int
    chunks: list[LogChunk]
    next_offset: int
    ended: bool
    dropped_bytes: int = 0
    path: str | None = None
    unwritten_bytes: int = 0
    unwritten_why: str | None = None
    inode: int = 0
    size: int = 0


@dataclass(frozen=True)
class Reloaded:
    changed: bool
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Stopping:
    """``running``: jobs that run at this moment; with "keep" those that will go on."""

    running: int


@dataclass(frozen=True)
class Recycled:
    """The fresh zygote is being started; status says when it is up."""

    pool: str


@dataclass(frozen=True)
class LogFormatSet:
    """The format that is in force."""

    format: str


REPLIES: dict[str, type[Any]] = {
    "ping": Pong,
    "submit": Submitted,
    "get": Jobs,
    "list": Jobs,
    "wait": Jobs,
    "cancel": Cancelled,
    "retry": Requeued,
    "set_queue": QueuesSet,
    "status": SupervisorStatus,
    "catalog": CatalogReply,
    "logs": LogReply,
    "events": EventsReply,
    "reload": Reloaded,
    "stop": Stopping,
    "recycle": Recycled,
    "counters": Counted,
    "log_format": LogFormatSet,
    "set": Changed,
    "remove": Removed,
    "prune": Pruned,
    "why": Explanation,
    "compact": Compacted,
    "stats": StatsReply,
}

# -- frames ------------------------------------------------------------------------------------------------------------


def pack_request(request_id: str, request: Any) -> bytes:
    return codec.pack({"v": PROTOCOL_VERSION, "id": request_id, "verb": request.VERB, "body": schema.to_wire(request)})


def unpack_request(data: bytes) -> tuple[str, Any]:
    """Request id and request.

    Raises:
        ProtocolError: not a request; its ``details["id"]`` is the request id where that could be read.
        VersionMismatch: another version; ``details["id"]`` as above.
    """
    try:
        frame = codec.unpack(data)
    except MemoryError:  # what some client sends is not to end a supervisor
        raise ProtocolError("there is no memory to read this request") from None
    if not isinstance(frame, dict) or not isinstance(frame.get("id"), str) or len(frame["id"]) > REQUEST_ID_CHARS_MAX:
        raise ProtocolError(f"a request is a map with a text id of at most {REQUEST_ID_CHARS_MAX} characters")
    request_id = frame["id"]
    try:
        if frame.get("v") != PROTOCOL_VERSION:
            raise VersionMismatch(
                f"the client speaks protocol version {frame.get('v')!r}, this supervisor {PROTOCOL_VERSION}",
                hint="install the same version of jobyard on both sides",
            )
        cls = REQUESTS.get(str(frame.get("verb")))
        if cls is None:
            raise ProtocolError(f"there is no verb {frame.get('verb')!r}")
        return request_id, schema.from_wire(cls, frame.get("body"))
    except JobyardError as error:
        error.details["id"] = request_id
        raise


def pack_reply(request_id: str, reply: Any) -> bytes:
    """``reply`` is a reply dataclass or an error."""
    if isinstance(reply, JobyardError):
        return codec.pack({"v": PROTOCOL_VERSION, "id": request_id, "error": reply.to_wire()})
    return codec.pack({"v": PROTOCOL_VERSION, "id": request_id, "ok": schema.to_wire(reply)})


def unpack_reply(data: bytes) -> tuple[str, dict[str, Any]]:
    """Request id and the frame; ``read_reply`` makes the reply of it."""
    frame = codec.unpack(data)
    if not isinstance(frame, dict) or not isinstance(frame.get("id"), str):
        raise ProtocolError("a reply is a map with a text id")
    return frame["id"], frame


def read_reply(verb: str, frame: dict[str, Any]) -> Any:
    """The reply in ``frame``.

    Raises:
        JobyardError: the error that the supervisor answered with, or ProtocolError.
    """
    error = frame.get("error")
    if isinstance(error, dict):
        raise errors.from_wire(error)
    if frame.get("v") != PROTOCOL_VERSION:
        raise VersionMismatch(
            f"the supervisor answers in protocol version {frame.get('v')!r}, this client speaks {PROTOCOL_VERSION}",
            hint="install the same version of jobyard on both sides",
        )
    return schema.from_wire(REPLIES[verb], frame.get("ok"))
