"""Reading a journal back: the newest snapshot, then every group after it. Changes nothing on disk.

Owns what may be missing or half-written after a crash and what may not. Knows nothing of what records mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import frames
from .disk import Disk
from .errors import JournalDamaged
from .files import listing, segment_path
from .segment import SegmentReader
from .snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class TornTail:
    """What a crash left half-written: the bytes of ``file`` from ``offset`` on, where ``group`` should be."""

    file: Path
    offset: int
    group: int
    data: bytes


class JournalReader:
    """What a journal holds.

    Attributes:
        covered: the last segment that the snapshot takes the place of; 0 without a snapshot.
        last_group: number of the last group read so far.
        notes: lines for people.
        gaps: how many times a repair declared something lost. Records after a gap may speak of jobs that are not known.
        torn: the torn tail, once ``groups`` has come upon one.

    Raises:
        JournalDamaged: something that was stored is missing.
        JournalTooNew, OSError.
    """

    def __init__(self, directory: Path, disk: Disk) -> None:
        self.directory, self.disk = directory, disk
        self.files = listing(disk, directory)
        self.notes: list[str] = []
        self.gaps = 0
        self.torn: TornTail | None = None
        self._unreadable: JournalDamaged | None = None
        self._snapshot = self._newest_snapshot()
        self.covered = self._snapshot.upto if self._snapshot else 0
        self.last_group = self._snapshot.last_group if self._snapshot else 0
        self.segments = self._needed_segments()

    @property
    def last(self) -> int:
        """Number of the open segment, or the one it would have."""
        return self.segments[-1] if self.segments else self.covered + 1

    def snapshot(self) -> Iterator[Any] | None:
        """The chunks of the newest complete snapshot, or None.

        Raises (the iterator, too):
            JournalDamaged, JournalTooNew, OSError.
        """
        return self._snapshot.chunks() if self._snapshot else None

    def groups(self) -> Iterator[list[Any]]:
        """The records of every group after the snapshot, in order.

        Raises:
            JournalDamaged: something that was stored cannot be read.
            JournalTooNew, OSError.
        """
        if self.segments:
            yield from self.sealed_groups(self.last - 1)
            yield from self._open_groups()

    def sealed_groups(self, upto: int) -> Iterator[list[Any]]:
        """The same, only of the segments up to ``upto``, which are sealed."""
        for number in self.segments:
            if number <= upto:
                reader = SegmentReader.open(self.disk, self.directory, number, self.last_group + 1)
                yield from self._groups_of(reader)
                reader.check_sealed()
                self._passed(reader)

    def _open_groups(self) -> Iterator[list[Any]]:
        reader = SegmentReader.open(self.disk, self.directory, self.last, self.last_group + 1)
        yield from self._groups_of(reader)
        if not reader.complete:
            reader.check_torn()
            self.torn = TornTail(reader.path, reader.offset, reader.group, reader.tail())
        self._reached_end(reader)

    def _groups_of(self, reader: SegmentReader) -> Iterator[list[Any]]:
        for frame in reader.groups():
            self.last_group = frame.number
            yield _records(reader.path, frame)
        self.last_group = reader.group - 1
        self.gaps += reader.gaps

    def _passed(self, reader: SegmentReader) -> None:
        """A sealed segment was read."""

    def _reached_end(self, reader: SegmentReader) -> None:
        """The open segment was read."""

    def _newest_snapshot(self) -> Snapshot | None:
        for number in reversed(self.files.snapshots):
            try:
                found = Snapshot.open(self.disk, self.directory, number)
            except JournalDamaged as problem:
                self._unreadable = self._unreadable or problem
                self.notes.append(f"{problem.message}; trying without this snapshot")
                continue
            self.gaps += found.gaps
            return found
        return None

    def _needed_segments(self) -> list[int]:
        """Those after the snapshot. None at all is right in an empty directory, and after a crash between the snapshot
        and the segment of a new start; segments that the snapshot covers are still there then."""
        needed = [number for number in self.files.segments if number > self.covered]
        if self.files.snapshots and not self.files.segments:
            raise self._missing(self.covered + 1)
        for wanted, number in enumerate(needed, self.covered + 1):
            if wanted != number:
                raise self._missing(wanted)
        return needed

    def _missing(self, number: int) -> JournalDamaged:
        path = segment_path(self.directory, number)
        return self._unreadable or JournalDamaged(path, 0, None, "the file is missing")


def _records(path: Path, frame: frames.Frame) -> list[Any]:
    try:
        records = frames.unpack(frame.payload)
    except ValueError as error:
        problem = f"group {frame.number} holds no records: {error}"
        raise JournalDamaged(path, frame.start, frame.number, problem) from None
    if not isinstance(records, list):
        raise JournalDamaged(path, frame.start, frame.number, f"group {frame.number} is no list of records")
    return records
