"""What the status stream tells: notices, their kinds, and the request for those that somebody has missed.

Owns the words. How notices are published is in ``topics.py``; when there is one is the supervisor's business.
"""

from __future__ import annotations

from dataclasses import field
from typing import ClassVar

from . import states
from .job import Progress
from .plain import dataclass

SUBMITTED, STARTED, PROGRESS, ENDED = "submitted", "started", "progress", "ended"
RETRY_SCHEDULED, REQUEUED, CHANGED, PROMOTED = "retry_scheduled", "requeued", "changed", "promoted"
PRUNED, REFUSED = "pruned", "refused"
SUCCEEDED, FAILED, CANCELLED = states.SUCCEEDED, states.FAILED, states.CANCELLED
QUEUE_KINDS = {"paused": "queue_paused", "open": "queue_resumed", "draining": "queue_draining"}  # by the queue's mode
TRUNCATED = "events_truncated"  # in answers only: what came before cannot be told any more

KINDS = (
    SUBMITTED,
    STARTED,
    PROGRESS,
    ENDED,
    RETRY_SCHEDULED,
    SUCCEEDED,
    FAILED,
    CANCELLED,
    REQUEUED,
    CHANGED,
    PROMOTED,
    PRUNED,
    *QUEUE_KINDS.values(),
    REFUSED,
)


@dataclass(frozen=True)
class EventFilter:
    """Which notices: all conditions that are given must hold. ``kinds`` are of protocol/notices.py."""

    job_id: int | None = None
    queue: str | None = None
    kinds: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Events:
    """The notices after (``epoch``, ``seq``), as far as they are kept; answered at once, never parked.

    Attributes:
        epoch: None is the present one.
        seq: None is now: nothing but the position is told; or with ``oldest`` the first that is kept.
    """

    VERB: ClassVar[str] = "events"
    epoch: int | None = None
    seq: int | None = None
    oldest: bool = False
    filter: EventFilter = field(default_factory=EventFilter)


@dataclass(frozen=True)
class Notice:
    """Something that happened. (epoch, seq) orders notices: the epoch is new with each start, the seq goes up by one.

    Fields that a kind has no use for are None, 0 or empty. Progress has no seq of its own but that of the notice
    before it: it is told to whoever listens, and not kept.

    Attributes:
        at: when the supervisor took it in, in seconds since the epoch.
        kind: one of ``KINDS`` in protocol/notices.py, or ``events_truncated``: notices up to this one are lost.
        state: of the job, since then.
        run_at: when it may start, if it is scheduled.
        text: why, for people. May hold what a job or a client wrote.
        ids: the jobs that were pruned.
    """

    epoch: int
    seq: int
    at: float
    kind: str
    job_id: int | None = None
    ref: str | None = None
    name: str | None = None
    queue: str | None = None
    state: str | None = None
    attempt: int = 0
    outcome: str | None = None
    run_at: float | None = None
    text: str | None = None
    progress: Progress | None = None
    ids: list[int] = field(default_factory=list)

    @property
    def position(self) -> tuple[int, int]:
        """Where to go on after this notice, with ``client.events(since=notice.position)``."""
        return self.epoch, self.seq


@dataclass(frozen=True)
class EventsReply:
    """Notices in their order, and how far that is.

    Attributes:
        epoch, seq: with these notices nothing is missing up to here.
        more: ask again from here, there are others.
        ended: nothing will follow: the one job that was asked for is finished.
        socket: path of the socket where notices are published.
        window: ask again after so many published messages: fewer are never lost in a row without a trace.
    """

    epoch: int
    seq: int
    notices: list[Notice]
    socket: str
    window: int
    more: bool = False
    ended: bool = False
