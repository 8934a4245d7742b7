"""From chunks of a job's output to lines. Pure; where the chunks come from is the caller's business.

A chunk ends anywhere: in a line, in a character. So each stream keeps the bytes of its unfinished line. Nothing is
lost: bytes that are not UTF-8 appear as escapes, a line that is too long comes in pieces, and a gap in the output is
told. What a carriage return writes over, as progress bars do, is a line as well, so that it can be seen while it lasts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ..protocol.messages import LogChunk
from ..protocol.plain import dataclass

LINE_BYTES_MAX = 64 * 1024
LOGGING, JOBYARD = "logging", "jobyard"
_END = re.compile(rb"\r*\n|\r+(?=[^\r\n])")
_LEVELLED = re.compile(r"([A-Z][A-Z_]*|Level \d+) (?=\S+: )")


@dataclass(frozen=True)
class LogLine:
    """One line of a job's output.

    Attributes:
        at: when its first byte was written, in seconds since the epoch.
        stream: "stdout", "stderr" or "logging"; "jobyard" for a remark about the output itself.
        level: of a line that came through ``logging``, such as "INFO"; else None.
        text: the line without its end, and without its level. One that ends in a carriage return was written over by
            the next of its stream.
    """

    at: float
    stream: str
    level: str | None
    text: str


class _Stream:
    """An unfinished line: its bytes, when the first was written; and the level of the line before."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._held = bytearray()
        self._returns = b""  # of the end of what is held: what comes next says what they mean
        self._at = 0.0
        self._level: str | None = None

    def feed(self, data: bytes, at: float) -> Iterator[LogLine]:
        if b"\r" not in data and not self._returns:
            yield from self._plain(data, at)
            return
        data, position = self._returns + data, 0
        for end in _END.finditer(data):
            yield from self._take(data[position : end.start()], at)
            if end[0].endswith(b"\n"):
                yield self._line(self._held)
            elif self._held:
                yield self._line(self._held + b"\r")
            self._held.clear()
            position = end.end()
        rest = data[position:].rstrip(b"\r")
        self._returns = b"\r" if position + len(rest) < len(data) else b""
        yield from self._take(rest, at)

    def _plain(self, data: bytes, at: float) -> Iterator[LogLine]:
        """As ``feed``, for the most usual data, without carriage returns."""
        *ended, rest = data.split(b"\n")
        for piece in ended:
            yield from self._take(piece, at)
            yield self._line(self._held)
            self._held.clear()
        yield from self._take(rest, at)

    def end(self) -> Iterator[LogLine]:
        if self._held:
            yield self._line(self._held)
            self._held.clear()

    def _take(self, piece: bytes, at: float) -> Iterator[LogLine]:
        if not self._held:
            self._at = at
        self._held += piece
        while len(self._held) > LINE_BYTES_MAX:
            cut = _character_end(self._held, LINE_BYTES_MAX)
            yield self._line(self._held[:cut])
            del self._held[:cut]

    def _line(self, data: bytearray) -> LogLine:
        text = data.decode("utf-8", "backslashreplace")
        if self._name == LOGGING:
            found = _LEVELLED.match(text)
            if found:  # else the record goes on: a traceback, or a message of several lines
                self._level, text = found[1], text[found.end() :]
        return LogLine(self._at, self._name, self._level, text)


class Lines:
    """The lines of one attempt."""

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}
        self._offset: int | None = None

    def feed(self, chunks: Iterable[LogChunk]) -> Iterator[LogLine]:
        """The lines that these chunks complete."""
        for chunk in chunks:
            if self._offset is not None and chunk.offset > self._offset:
                yield from self.end()
                self._streams.clear()
                yield LogLine(chunk.at, JOBYARD, "WARNING", missing(chunk.offset - self._offset))
            self._offset = chunk.offset + len(chunk.data)
            stream = self._streams.setdefault(chunk.stream, _Stream(chunk.stream))
            yield from stream.feed(chunk.data, chunk.at)

    def end(self) -> Iterator[LogLine]:
        """Lines that no newline has ended yet; for when no more output comes."""
        for stream in self._streams.values():
            yield from stream.end()


def missing(count: int) -> str:
    """What is said where bytes of the output are missing."""
    return f"{count:,} bytes of output are missing here"


def _character_end(data: bytearray, limit: int) -> int:
    """The end of the last whole UTF-8 character within ``limit``."""
    for cut in range(limit, limit - 4, -1):
        if data[cut] & 0xC0 != 0x80:
            return cut
    return limit
