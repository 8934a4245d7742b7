"""Reading the files of an attempt's output, while they are written and after.

Owns the reading half of ``logfile.py``, for the supervisor and for clients that may read the files themselves. Whatever
the length of an output, a look at it takes a bounded number of small reads: where to begin is found by bisection of the
indexes. A file that is missing is empty output; a damaged index is read as far as it makes sense. Positions count all
bytes that were printed, also those that were not kept.

The writer empties a tail before it uses it again, its index first. So what was read of a tail is good if the first
record of its index is still the same afterwards.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import NamedTuple

from . import logfile
from .messages import LOG_CHUNKS_MAX, LogChunk
from .plain import dataclass

SAME_TIME_S = 0.001  # pieces of a stream that came so close together are given as one chunk
_TRIES = 5  # of a read during which the writer begins a tail anew
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_AT_MAX = 1 << 62
_TIME_MAX = 1e11


@dataclass(frozen=True)
class Reading:
    """What was read.

    Attributes:
        reached: the position after it.
        dropped_bytes: so many before ``reached`` were over the cap. What the disk refused is in neither.
    """

    chunks: list[LogChunk]
    reached: int
    dropped_bytes: int = 0


def size(base: str, settled: bool) -> int:
    """Bytes printed so far, those that were not kept included.

    Args:
        base: path of the output's files, without suffix.
        settled: nobody writes any more, so what no index tells of counts as well.
    """
    with _opened(base) as parts:
        return max((part.whole if settled or not part.indexed else part.end for part in parts), default=0)


def read(base: str, offset: int, upto: int, limit: int) -> Reading:
    """Output from position ``offset`` on, not beyond ``upto``, at most ``limit`` bytes and LOG_CHUNKS_MAX chunks of it.

    What no index tells of, below ``upto``, is taken for stdout of the time of the file's last change.
    """
    for _ in range(_TRIES):
        with suppress(_BegunAnew), _opened(base) as parts:
            return _read(parts, offset, upto, limit)
    return Reading([], offset)


def refused(base: str) -> tuple[int, int]:
    """How many bytes the disk has refused, as far as it has taken word of that, and the last errno."""
    for _ in range(_TRIES):
        with suppress(_BegunAnew), _opened(base) as parts:
            found = [(part.refused_bytes, part) for part in parts if part.refused_bytes > 0]
            return sum(count for count, _ in found), found[-1][1].refused_errno() if found else 0
    return 0, 0


def inode(base: str) -> int:
    """What tells the beginning of this output from any other file of that name; 0 if there is none."""
    try:
        return os.stat(logfile.data_file(base, logfile.HEAD), follow_symlinks=False).st_ino
    except OSError:
        return 0


class _BegunAnew(Exception):
    """The writer has begun this file anew while it was read."""


def _read(parts: list[_Part], offset: int, upto: int, limit: int) -> Reading:
    """Raises _BegunAnew."""
    chunks: list[LogChunk] = []
    position, dropped, count_left = offset, 0, LOG_CHUNKS_MAX
    for part in parts:
        pieces = list(part.pieces(position, upto, limit, count_left))
        data = part.bytes_of(pieces)
        part.require_the_same()
        chunks += _chunks(pieces, data)
        for piece in pieces:
            dropped += piece.at - position
            position = piece.end
        limit -= len(data)
        count_left -= len(pieces)
        if position < min(part.whole, upto) or limit <= 0 or count_left <= 0:
            break
    return Reading(chunks, position, dropped)


def _chunks(pieces: list[_Record], data: memoryview) -> list[LogChunk]:
    """The pieces of one file, whose bytes follow each other in ``data``, those of a stream and a time together."""
    found: list[tuple[_Record, int]] = []
    for piece in pieces:
        if piece.refused:
            continue
        if found:
            last, length = found[-1]
            close = abs(piece.written_at - last.written_at) < SAME_TIME_S
            if last.stream == piece.stream and last.at + length == piece.at and close:
                found[-1] = last, length + piece.length
                continue
        found.append((piece, piece.length))
    chunks, start = [], 0
    for first, length in found:
        at = first.written_at if 0 <= first.written_at < _TIME_MAX else 0.0
        chunks.append(LogChunk(first.at, logfile.STREAMS[first.stream], at, bytes(data[start : start + length])))
        start += length
    return chunks


@contextmanager
def _opened(base: str) -> Iterator[list[_Part]]:
    """The files that are there, in the order of what they hold."""
    with ExitStack() as opened:
        parts = []
        for name in (logfile.HEAD, *logfile.TAILS):
            try:
                part = _Part(base, name, opened)
            except OSError:
                continue
            if name == logfile.HEAD or part.known():
                parts.append(part)
        yield sorted(parts, key=lambda part: part.start)


class _Record(NamedTuple):
    at: int
    file_at: int
    length: int
    stream: int
    refused: int
    written_at: float

    @property
    def end(self) -> int:
        return self.at + self.length

    @property
    def file_end(self) -> int:
        return self.file_at + (0 if self.refused else self.length)


class _Part:
    """One file and its index, as they were when this was made.

    Attributes:
        indexed: there is an index; without one, all that is in the file was printed by the job itself.
        start, end: positions in the output of what the index tells of.
        whole: position after all that is in the file.
    """

    def __init__(self, base: str, name: str, opened: ExitStack) -> None:
        self._data = os.open(logfile.data_file(base, name), _FLAGS)
        opened.callback(os.close, self._data)
        self._index = self._open_index(base, name, opened)
        self.indexed = self._index >= 0
        if not self.indexed and os.fstat(self._data).st_nlink == 0:
            raise FileNotFoundError(base)  # both are being removed, the data first
        self._count = os.fstat(self._index).st_size // logfile.RECORD.size if self.indexed else 0
        status = os.fstat(self._data)  # after the index, which is written after the data
        self._bytes, self._changed_at = status.st_size, status.st_mtime
        first, last = self._ends()
        self.start, self.end = first.at, last.end
        self._noted = last.file_end
        self.whole = self.end + self._bytes - self._noted

    @staticmethod
    def _open_index(base: str, name: str, opened: ExitStack) -> int:
        try:
            index = os.open(logfile.index_file(base, name), _FLAGS)
        except OSError:
            return -1
        opened.callback(os.close, index)
        return index

    @property
    def refused_bytes(self) -> int:
        return self.end - self.start - self._noted

    def refused_errno(self) -> int:
        """Of the last piece that was refused: the first up to which as much is missing as in all."""

        def missing(number: int) -> int:
            record = self._record(number)
            return record.end - self.start - record.file_end

        return self._record(min(self._bisect(self.refused_bytes, missing), self._count - 1)).refused

    def known(self) -> bool:
        """Whether it is known where in the output this file belongs."""
        return self._count > 0

    def require_the_same(self) -> None:
        """Raises _BegunAnew if it is not what it was when this was made."""
        if self._count and self._record(0).at != self.start:
            raise _BegunAnew

    def pieces(self, position: int, upto: int, bytes_max: int, count_max: int) -> Iterator[_Record]:
        """What is here between two positions, as records that are cut to these."""
        end, file_end = max(position, self.start), None
        for record in self._records(position, count_max):
            misplaced = file_end not in (None, record.file_at) or record.file_end > self._bytes
            if misplaced or record.at >= upto or bytes_max <= 0:
                return
            skipped = max(0, end - record.at)
            length = min(record.length, upto - record.at) - skipped
            if not record.refused:
                length = min(length, bytes_max)
            if length <= 0:
                continue
            piece = record._replace(
                at=record.at + skipped, file_at=record.file_at + (0 if record.refused else skipped), length=length
            )
            yield piece
            end, file_end = piece.end, piece.file_end
            bytes_max -= piece.file_end - piece.file_at

    def bytes_of(self, pieces: list[_Record]) -> memoryview:
        """The bytes of these pieces, which follow each other in the file. Raises _BegunAnew."""
        if not pieces:
            return memoryview(b"")
        first, last = pieces[0].file_at, pieces[-1].file_end
        data = os.pread(self._data, last - first, first)
        if len(data) < last - first:
            raise _BegunAnew
        return memoryview(data)

    def _records(self, position: int, count_max: int) -> Iterator[_Record]:
        """The records from the one that ends after ``position``, and last one for what the index does not tell of."""
        first = self._bisect(position + 1, lambda number: self._record(number).end)
        wanted = min(self._count - first, count_max)
        size = logfile.RECORD.size
        raw = os.pread(self._index, wanted * size, first * size) if wanted > 0 else b""
        before = self.start
        for fields in logfile.RECORD.iter_unpack(raw[: len(raw) - len(raw) % size]):
            record = _Record(*fields)
            if record.at < before or record.stream >= len(logfile.STREAMS):
                return  # damaged
            before = record.end
            yield record
        if len(raw) == wanted * size and wanted < count_max and self.whole > self.end:
            yield _Record(self.end, self._noted, self.whole - self.end, 0, 0, self._changed_at)

    def _ends(self) -> tuple[_Record, _Record]:
        """The first and the last record; of an index that makes no sense nothing is taken."""
        none = _Record(0, 0, 0, 0, 0, 0.0)
        if self._count:
            try:
                first, last = self._record(0), self._record(self._count - 1)
            except _BegunAnew:  # at this moment
                first, last = none._replace(at=1), none
            if first.at <= last.at < _AT_MAX and last.file_end <= min(self._bytes, last.end - first.at):
                return first, last
        self._count = 0
        return none, none

    def _record(self, number: int) -> _Record:
        """Raises _BegunAnew."""
        size = logfile.RECORD.size
        data = os.pread(self._index, size, number * size)
        if len(data) < size:
            raise _BegunAnew
        return _Record(*logfile.RECORD.unpack(data))

    def _bisect(self, wanted: int, key: Callable[[int], int]) -> int:
        return bisect_left(range(self._count), wanted, key=key)
