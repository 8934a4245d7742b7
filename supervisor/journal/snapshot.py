"""Snapshots: the whole state as a row of chunks, valid only when it is complete. Knows nothing of what a chunk says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgpack

from . import frames
from .disk import Disk, NewFile
from .errors import JournalDamaged
from .files import snapshot_path

_WRITE_BYTES = 1 << 20


def write(disk: Disk, directory: Path, upto: int, last_group: int, chunks: Iterable[Any]) -> int:
    """Put a snapshot in place, durably. It covers the segments up to ``upto`` and the groups up to ``last_group``.

    Returns:
        Its size in bytes.
    """
    return write_packed(disk, directory, upto, last_group, map(msgpack.packb, chunks))


def write_packed(disk: Disk, directory: Path, upto: int, last_group: int, chunks: Iterable[bytes]) -> int:
    """The same, of chunks that are packed."""
    salt = disk.salt()
    with NewFile(disk, snapshot_path(directory, upto)) as file:
        buffer = bytearray(frames.encode(frames.SNAPSHOT, upto, salt, frames.pack_number(last_group)))
        count = 0
        for count, chunk in enumerate(chunks, 1):
            buffer += frames.encode(frames.CHUNK, count, salt, chunk)
            if len(buffer) >= _WRITE_BYTES:
                file.write(bytes(buffer))
                buffer.clear()
        buffer += frames.encode(frames.END, count, salt)
        file.write(bytes(buffer))
        disk.close(file.publish())
    return file.size


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot that was read to its end once and found complete."""

    path: Path
    upto: int
    last_group: int
    size: int
    gaps: int
    _disk: Disk

    @classmethod
    def open(cls, disk: Disk, directory: Path, upto: int) -> Snapshot:
        """Raises: JournalDamaged: it is not complete, or not intact. JournalTooNew."""
        path = snapshot_path(directory, upto)
        with disk.open_read(path) as file:
            reader = _Reader(path, file, disk.size(path))
            last_group = reader.start(upto)
            for _ in reader.payloads():
                pass
            return cls(path, upto, last_group, reader.offset, reader.gaps, disk)

    def chunks(self) -> Iterator[Any]:
        """Raises: JournalDamaged: it is no longer as it was."""
        with self._disk.open_read(self.path) as file:
            reader = _Reader(self.path, file, self.size)
            reader.start(self.upto)
            for payload in reader.payloads():
                try:
                    yield frames.unpack(payload)
                except ValueError as error:
                    raise reader.damaged(f"chunk {reader.chunk} is not a value: {error}") from None


class _Reader:
    """Reads frame by frame, so that a large snapshot is never in memory as bytes and as values at once."""

    def __init__(self, path: Path, file: BinaryIO, size: int) -> None:
        self.offset = self.chunk = self.gaps = self.salt = 0
        self._path, self._file, self._size = path, file, size

    def start(self, upto: int) -> int:
        frame = self._frame()
        last_group = frames.unpack_number(frame.payload)
        if frame.kind != frames.SNAPSHOT or frame.number != upto or last_group is None:
            raise self.damaged("the header of the file is not that of this snapshot")
        self.salt = frame.salt
        return last_group

    def payloads(self) -> Iterator[memoryview]:
        while True:
            frame = self._frame()
            if frame.salt != self.salt:
                raise self.damaged("a part of another file stands here")
            if frame.kind == frames.CHUNK and frame.number == self.chunk + 1:
                self.chunk += 1
                yield frame.payload
            elif frame.kind == frames.GAP and frame.number > self.chunk:
                self.chunk = frame.number
                self.gaps += 1
            elif frame.kind == frames.END and frame.number == self.chunk:
                if self._file.read(1):
                    raise self.damaged("the snapshot goes on after its end")
                return
            else:
                raise self.damaged(f"chunk {self.chunk + 1} is missing")

    def damaged(self, problem: str) -> JournalDamaged:
        return JournalDamaged(self._path, self.offset, None, problem)

    def _frame(self) -> frames.Frame:
        head = self._file.read(frames.HEADER_BYTES)
        length = frames.payload_bytes(head) if len(head) == frames.HEADER_BYTES else 0
        fits = self.offset + len(head) + length <= self._size
        frame = frames.decode(memoryview(head + self._file.read(length)), 0) if fits else None
        if frame is None:
            raise self.damaged(f"chunk {self.chunk + 1} cannot be read")
        frame.refuse_newer(self._path)
        self.offset += frame.end
        return frame
