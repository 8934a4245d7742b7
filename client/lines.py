"""From chunks of a job's output to lines. Pure; where the chunks come from is the caller's business.

A chunk ends anywhere: in a line, in a character. So each stream keeps the bytes of its unfinished line. Nothing is
lost: bytes that are not UTF-8 appear as escapes, a line that is too long comes in pieces, and a gap in the output is
told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..protocol.messages import LogChunk

LINE_BYTES_MAX = 64 * 1024
LOGGING, JOBYARD = "logging", "jobyard"
_LEVELLED = re.compile(r"([A-Z][A-Z_]*|Level \d+) (?=\S+: )")


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a job's output.

    Attributes:
        at: when its first byte was written, in seconds since the epoch.
        stream: "stdout", "stderr" or "logging"; "jobyard" for a remark about the output itself.
        level: of a line that came through ``logging``, such as "INFO"; else None.
        text: the line without its end, and without its level.
    """

    at: float
    stream: str
    level: str | None
    text: str


class _Stream:
    """An unfinished line: its bytes, when the first was written; and the level of the line before."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.held = b""
        self.at = 0.0
        self._level: str | None = None

    def feed(self, data: bytes, at: float) -> Iterator[LogLine]:
        *ended, rest = data.split(b"\n")
        for piece in ended:
            yield from self._take(piece, at, ended=True)
        yield from self._take(rest, at, ended=False)

    def end(self) -> Iterator[LogLine]:
        if self.held:
            yield from self._take(b"", self.at, ended=True)

    def _take(self, piece: bytes, at: float, *, ended: bool) -> Iterator[LogLine]:
        if not self.held:
            self.at = at
        self.held += piece
        while len(self.held) > LINE_BYTES_MAX:
            cut = _character_end(self.held, LINE_BYTES_MAX)
            yield self._line(self.held[:cut])
            self.held = self.held[cut:]
        if ended:
            yield self._line(self.held.removesuffix(b"\r"))
            self.held = b""

    def _line(self, data: bytes) -> LogLine:
        text = data.decode("utf-8", "backslashreplace")
        if self.name == LOGGING:
            found = _LEVELLED.match(text)
            if found:  # else the record goes on: a traceback, or a message of several lines
                self._level, text = found[1], text[found.end() :]
        return LogLine(self.at, self.name, self._level, text)


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
                yield LogLine(
                    chunk.at, JOBYARD, "WARNING", f"{chunk.offset - self._offset:,} bytes of output are missing here"
                )
            self._offset = chunk.offset + len(chunk.data)
            stream = self._streams.setdefault(chunk.stream, _Stream(chunk.stream))
            yield from stream.feed(chunk.data, chunk.at)

    def end(self) -> Iterator[LogLine]:
        """Lines that no newline has ended yet; for when no more output comes."""
        for stream in self._streams.values():
            yield from stream.end()


def _character_end(data: bytes, limit: int) -> int:
    """The end of the last whole UTF-8 character within ``limit``."""
    for cut in range(limit, limit - 4, -1):
        if data[cut] & 0xC0 != 0x80:
            return cut
    return limit
