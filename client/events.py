"""Following the status stream, without any I/O: where a follower is, what it has missed, and when it is done.

Owns gap detection. Published messages and answers come in, notices and the next request go out; what connects, waits
and sends is ``stream.py`` beside it, or whatever else an event loop needs. A notice is given once, and in order.

``behind`` says when to ask: at the beginning, after a gap, and after so many published messages that some may have been
lost behind the last. Nothing is asked while nothing happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..protocol import notices as n
from ..protocol import topics
from ..protocol.errors import BadArguments
from ..protocol.notices import EventFilter, Events, EventsReply, Notice

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
        new = []
        for notice in message.notices():
            fresh = notice.seq >= self._seq if notice.kind == n.PROGRESS else notice.seq > self._seq
            if fresh:
                self._note(notice)
                self._seq = notice.seq
                if topics.matches(self.wanted, notice.kind, notice.job_id, notice.queue):
                    new.append(notice)
        self.behind = self._unasked >= self._window
        self.ended = self._finished
        return new

    def lost(self) -> None:
        """Something may have been missed: the subscription is new, or gone."""
        self.behind = True

    def _note(self, notice: Notice) -> None:
        if self.wanted.job_id is not None and notice.job_id == self.wanted.job_id:
            self._finished = notice.kind in (n.SUCCEEDED, n.FAILED, n.CANCELLED)


def _position(since: Since) -> tuple[int | None, int | None]:
    if since is None or since == "oldest":
        return None, None
    epoch, seq = since if isinstance(since, tuple) and len(since) == 2 else (None, since)
    for number in (epoch, seq):
        if number is not None and (isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 2**63):
            raise BadArguments(f"since={since!r} is not a position in the stream of events", hint=_SINCE_HINT)
    if not isinstance(seq, int):
        raise BadArguments(f"since={since!r} is not a position in the stream of events", hint=_SINCE_HINT)
    return epoch, seq
