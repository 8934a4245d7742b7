"""Reading the output of one attempt, without any waiting of its own: what to ask, and what the answer gives.

Owns the choice between two ways. Where this process may read the files, the supervisor is only asked how much there is,
and the bytes never pass through it; otherwise it sends them. Either way the caller sees the same replies, so that
both clients are shells around this.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Iterable, Iterator

from ..protocol import logfile, outputs
from ..protocol.messages import LOG_BYTES_MAX, LogChunk, LogReply, Logs

FOLLOW_PAUSE_S = 0.02  # between two questions of a follower, so that a chatty job does not keep the supervisor busy
TAIL_STEP_BYTES = 64 * 1024  # doubled with each step back
_NEWLINE = re.compile(b"\n")


class OutputReader:
    """One attempt, from its beginning or ``offset`` to its end or, without ``follow``, to what is there.

    Ask ``request`` until it is None, and give each answer to ``take``, which is to be exhausted.
    """

    def __init__(self, job_id: int, attempt: int | None = None, offset: int = 0, follow: bool = False) -> None:
        self._next: Logs | None = Logs(job_id, attempt, offset, follow)
        self._asked_at: float | None = None

    @property
    def request(self) -> Logs | None:
        """What to ask next; None if the end is reached."""
        return self._next

    def pause_s(self, now: float) -> float:
        """How long to wait before the next question, which is then asked; ``now`` is monotonic time."""
        asked_at = self._asked_at
        pause_s = 0.0
        if asked_at is not None and self._next is not None and self._next.follow:
            pause_s = max(0.0, asked_at + FOLLOW_PAUSE_S - now)
        self._asked_at = now + pause_s
        return pause_s

    def take(self, reply: LogReply) -> Iterator[LogReply]:
        """The answer, and after it what it has let this process read by itself, in replies of the same form."""
        asked = self._next
        assert asked is not None, "the end was reached"
        offset, lost = reply.next_offset, False
        yield reply
        base = _readable(reply)
        if base is not None:
            for piece in self._pieces(base, reply):
                offset = piece.next_offset
                yield piece
            lost = offset < reply.size  # the files are not what they were; the supervisor says what there is
        more = asked.follow or reply.chunks or offset > asked.offset or (lost and not asked.limit)
        limit = 0 if base is not None and not lost else LOG_BYTES_MAX
        self._next = Logs(asked.id, reply.attempt, offset, asked.follow, limit) if more and not reply.ended else None

    @staticmethod
    def _pieces(base: str, reply: LogReply) -> Iterator[LogReply]:
        offset = reply.next_offset
        while offset < reply.size:
            reading = outputs.read(base, offset, reply.size, LOG_BYTES_MAX)
            if reading.reached == offset:
                return
            offset = reading.reached
            yield dataclasses.replace(
                reply, chunks=reading.chunks, next_offset=offset, dropped_bytes=reading.dropped_bytes, ended=False
            )


def _readable(reply: LogReply) -> str | None:
    """The files' path without suffix if this process sees the very same ones and may read them."""
    if not (reply.path and reply.inode):
        return None
    base = reply.path.removesuffix(logfile.data_file("", logfile.HEAD))
    return base if os.access(reply.path, os.R_OK) and outputs.inode(base) == reply.inode else None


def chunks_between(
    ask: Callable[[Logs], LogReply], job_id: int, attempt: int, low: int, high: int
) -> Iterator[LogChunk]:
    """Output from position ``low`` to ``high``."""
    reader = OutputReader(job_id, attempt, low)
    while (request := reader.request) is not None:
        for piece in reader.take(ask(request)):
            for chunk in piece.chunks:
                if chunk.offset >= high:
                    return
                yield dataclasses.replace(chunk, data=chunk.data[: high - chunk.offset])


def tail_start(between: Callable[[int, int], Iterable[LogChunk]], size: int, count: int) -> int:
    """The position at which the last ``count`` lines of an output begin, found from its end.

    Args:
        between: gives the chunks that matter between two positions.
        size: of the output.
    """
    if count == 0:
        return size
    found, high, step = 0, size, TAIL_STEP_BYTES
    while high > 0:
        low = max(0, high - step)
        chunks = list(between(low, high))
        if high == size and chunks and not chunks[-1].data.endswith(b"\n"):
            found = 1  # a line without an end is one all the same
        ends = [chunk.offset + match.start() for chunk in chunks for match in _NEWLINE.finditer(chunk.data)]
        if found + len(ends) > count:
            return ends[found - count - 1] + 1
        found, high, step = found + len(ends), low, 2 * step
    return 0
