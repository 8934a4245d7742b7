"""Following the status stream, without any I/O: where a follower is, what it has missed, and when it is done.

Owns gap detection, and what happens when the stream is lost. Published messages and answers come in, notices and the
next request go out; what connects, waits and sends is ``stream.py`` for a thread and ``aio_stream.py`` for an event
loop. A notice is given once, and in order.

``behind`` says when to ask: at the beginning, after a gap, and after so many published messages that some may have been
lost behind the last. Nothing is asked while nothing happens.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Generator, Sequence
from typing import Any, Literal

from ..protocol import notices as n
from ..protocol import topics
from ..protocol.errors import BadArguments, SupervisorUnavailable
from ..protocol.notices import EventFilter, Events, EventsReply, Notice
from ..protocol.plain import dataclass
from ..protocol.text import shown
from .session import RECONNECT_FIRST_S, RECONNECT_MAX_S
from .steps import Pause

Since = int | tuple[int, int] | Literal["oldest"] | None
_SINCE_HINT = 'give notice.position, the number of an event, "oldest", or nothing for what comes from now on'


class Follower:
    """One who follows the stream.

    Args:
        since: a position ``(epoch, seq)``, a seq of the present epoch, "oldest", or None for now.

    Attributes:
        behind: ``request()`` is to be sent, and its reply given to ``answered``.
        ended: the one job that is followed is finished; nothing will come.

    Raises:
        BadArguments: ``since`` is none of these.
    """

    def __init__(self, since: Since, wanted: EventFilter) -> None:
        self.behind = True
        self.ended = False
        self.wanted = wanted
        self._wants_all = topics.is_exact(wanted)  # of what is published under its topic
        self._oldest = since == "oldest"
        self._epoch, self._seq = _position(since)
        self._finished = False
        self._window = 0
        self._unasked = 0  # messages that came since the last request

    def request(self) -> Events:
        """What to ask now."""
        self._unasked = 0
        return Events(self._epoch, self._seq, self._oldest, self.wanted)

    def answered(self, reply: EventsReply) -> list[Notice]:
        """Take in the reply to ``request()``; the notices that are new."""
        for notice in reply.notices:
            self._note(notice)
        self._epoch, self._seq, self._oldest = reply.epoch, reply.seq, False
        self._window = reply.window
        self.behind, self.ended = reply.more, reply.ended
        return reply.notices

    def published(self, frames: Sequence[bytes]) -> list[Notice]:
        """Take in a published message; the notices that are new. With a gap before it there are none.

        Raises:
            ProtocolError, VersionMismatch: no such message.
        """
        message = topics.unpack(frames)
        self._unasked += 1
        if self._seq is None or message.epoch != self._epoch or message.before > self._seq:
            self.behind = True
            return []
        new = message.notices()
        if new and new[0].seq <= self._seq:  # an answer has overtaken some of them, of which the first is the oldest
            new = [one for one in new if one.seq > self._seq or (one.kind == n.PROGRESS and one.seq == self._seq)]
        if new:
            self._seq = max(self._seq, new[-1].seq)
        if self.wanted.job_id is not None:
            for notice in new:
                self._note(notice)
        if not self._wants_all:
            new = [one for one in new if topics.matches(self.wanted, one.kind, one.job_id, one.queue)]
        self.behind = self._unasked >= self._window
        self.ended = self._finished
        return new

    def lost(self) -> None:
        """Something may have been missed: the subscription is new, or gone."""
        self.behind = True

    def _note(self, notice: Notice) -> None:
        if self.wanted.job_id is not None and notice.job_id == self.wanted.job_id:
            self._finished = notice.kind in (n.SUCCEEDED, n.FAILED, n.CANCELLED)


@dataclass(frozen=True)
class Subscribe:
    """Connect to the notice socket at ``path``, anew, and subscribe to ``topics`` in this order."""

    path: str
    topics: list[bytes]


@dataclass(frozen=True)
class Receive:
    """The reply is the next published message, or None: the connection is lost, or nothing has come at ``until``."""

    until: float = math.inf


Step = Events | Pause | Subscribe | Receive
Following = Generator[Step | list[Notice], Any, None]


def follow(follower: Follower, first: EventsReply, timeout: float, clock: Callable[[], float]) -> Following:
    """The notices, as they come, until the follower's job is finished.

    Args:
        first: the reply to the follower's first request.
        timeout: seconds for a supervisor that is away to come back.
        clock: monotonic time.

    Raises:
        SupervisorUnavailable: requests are answered, but the notice socket cannot be reached.
        QueueFull: the supervisor has no room for one more topic.
    """
    yield follower.answered(first)
    reply, patience = first, None
    while not follower.ended:
        topic = topics.for_filter(follower.wanted)
        hello = topics.HELLO + os.urandom(8).hex().encode() + b"/" + topic
        yield Subscribe(reply.socket, [topic, hello])  # in this order: the answer to hello says both are in effect
        if (yield from _greeted(hello, clock() + timeout)):
            patience = None
            follower.lost()  # what was published before the subscription
            if (yield from _listen(follower)):
                return
        else:
            patience = patience or _Patience(reply.socket, clock() + timeout)
            yield Pause(patience.pause_s(clock()))
        follower.lost()
        reply = yield follower.request()
        yield follower.answered(reply)


def _greeted(hello: bytes, until: float) -> Generator[Receive, list[bytes] | None, bool]:
    """Whether the supervisor has taken the subscription; False if the connection is lost, or at ``until``."""
    while (frames := (yield Receive(until))) is not None:
        if frames[0] == hello:
            topics.unpack(frames).notices()
            return True
    return False


def _listen(follower: Follower) -> Generator[Step | list[Notice], Any, bool]:
    """Until the follower is done (True), or the connection is lost."""
    yield from _catch_up(follower)
    while not follower.ended:
        frames = yield Receive()
        if frames is None:
            return False
        yield follower.published(frames)
        yield from _catch_up(follower)
    return True


def _catch_up(follower: Follower) -> Following:
    while follower.behind:
        yield follower.answered((yield follower.request()))


class _Patience:
    """With a notice socket that cannot be reached while requests are answered."""

    def __init__(self, path: str, until: float) -> None:
        self._path = path
        self._until = until
        self._pause_s = RECONNECT_FIRST_S

    def pause_s(self, now: float) -> float:
        """How long to wait before the next attempt; raises SupervisorUnavailable if there is to be none."""
        if now >= self._until:
            raise SupervisorUnavailable(
                f"the supervisor answers, but its status stream at {self._path} cannot be reached",
                hint="jobctl restart, or jobctl down --keep and jobctl up: somebody has removed the socket",
            )
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, RECONNECT_MAX_S)
        return pause_s


def _position(since: Since) -> tuple[int | None, int | None]:
    if since is None or since == "oldest":
        return None, None
    epoch, seq = since if isinstance(since, tuple) and len(since) == 2 else (None, since)
    for number in (epoch, seq):
        if number is not None and (isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 2**63):
            raise BadArguments(f"since={shown(since)} is not a position in the stream of events", hint=_SINCE_HINT)
    if not isinstance(seq, int):
        raise BadArguments(f"since={shown(since)} is not a position in the stream of events", hint=_SINCE_HINT)
    return epoch, seq
