"""Reading what attempts have printed, while they run and after.

Owns the reading half of the files that the log writer makes (their layout is ``executors/zygote/logfile.py``). A file
that is missing is empty output; an index that was cut off in the middle of a record, or is behind its file, is read as
far as it goes. Positions count all bytes that were printed, also those that were not kept.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from ..protocol.messages import LogChunk
from .executors.zygote import logfile

UNINDEXED_S = 1.0  # after that long, the writer that should have written the record is dead
Directory = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class _Piece:
    """Consecutive bytes of one stream: where they are in the output, and where in which file.

    ``refused`` is the errno with which the disk refused them, so that they are nowhere; 0 for bytes that are there.
    """

    at: int
    length: int
    stream: int
    written_at: float
    file: str
    file_at: int
    refused: int = 0


def path(output_dir: Directory, job_id: int, attempt: int) -> Path:
    """The file with the output, or with its beginning if it is long; it exists only if something was printed."""
    return Path(logfile.data_file(base(output_dir, job_id, attempt), logfile.HEAD))


def size(output_dir: Directory, job_id: int, attempt: int) -> int:
    """Bytes printed so far, those that were not kept included."""
    return max((piece.at + piece.length for piece in _pieces(base(output_dir, job_id, attempt))), default=0)


def read(output_dir: Directory, job_id: int, attempt: int, offset: int, limit: int) -> tuple[list[LogChunk], int, int]:
    """Output from position ``offset`` on, at most ``limit`` bytes of it.

    Returns:
        The chunks, the position after the last of them, and how many bytes between ``offset`` and there were over the
        cap. What the disk refused is in neither.
    """
    chunks: list[LogChunk] = []
    position, dropped = offset, 0
    for piece in _pieces(base(output_dir, job_id, attempt)):
        if limit <= 0:
            break
        begin = max(position, piece.at)
        if piece.refused:
            dropped += begin - position
            position = max(begin, piece.at + piece.length)
            continue
        wanted = min(piece.at + piece.length - begin, limit)
        if wanted < 0 or (wanted == 0 and piece.length > 0):
            continue
        data = _bytes(piece.file, piece.file_at + begin - piece.at, wanted)
        if len(data) < wanted:
            break  # a tail that was begun anew at this moment
        dropped += begin - position
        position = begin + wanted
        limit -= wanted
        if data:
            chunks.append(LogChunk(begin, logfile.STREAMS[piece.stream], piece.written_at, data))
    return chunks, position, dropped


def refused(output_dir: Directory, job_id: int, attempt: int) -> tuple[int, int]:
    """How many bytes the disk has refused, as far as it has taken word of that, and the last errno."""
    found = [piece for piece in _pieces(base(output_dir, job_id, attempt)) if piece.refused]
    return sum(piece.length for piece in found), found[-1].refused if found else 0


def base(output_dir: Directory, job_id: int, attempt: int) -> str:
    """The path of an output's files, without suffix."""
    return os.path.join(output_dir, logfile.name(job_id, attempt))


def _pieces(base: str) -> list[_Piece]:
    """All pieces of an output in order."""
    found: list[_Piece] = []
    for part in (logfile.HEAD, *logfile.TAILS):
        found += _indexed(base, part)
    return sorted(found, key=lambda piece: (piece.at, piece.length))


def _indexed(base: str, part: str) -> list[_Piece]:
    """The pieces of one file. What is not in its index is taken for stdout of the time of its last change."""
    data_file = logfile.data_file(base, part)
    try:
        known = os.stat(data_file)  # before the index, which is written after the data
    except OSError:
        return []
    found, at, file_at = [], 0, 0
    index = _records(logfile.index_file(base, part))
    for at, length, stream, refused, written_at in logfile.RECORD.iter_unpack(index or b""):
        if stream < len(logfile.STREAMS):
            found.append(_Piece(at, length, stream, written_at, data_file, file_at, refused))
        at, file_at = at + length, file_at + (0 if refused else length)
    if known.st_size > file_at and (found or part == logfile.HEAD) and _will_stay(known.st_mtime, index):
        found.append(_Piece(at, known.st_size - file_at, 0, known.st_mtime, data_file, file_at))
    return found


def _will_stay(changed_at: float, index: bytes | None) -> bool:
    """Whether bytes without a record will never have one: there is no index, or nobody is about to write to it."""
    return index is None or time.time() - changed_at > UNINDEXED_S


def _records(index_file: str) -> bytes | None:
    """The whole records of an index; None if there is none."""
    try:
        with open(index_file, "rb") as file:
            data = file.read()
    except OSError:
        return None
    return data[: len(data) - len(data) % logfile.RECORD.size]


def _bytes(file: str, at: int, count: int) -> bytes:
    try:
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.pread(fd, count, at)
    finally:
        os.close(fd)
