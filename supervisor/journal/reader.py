"""Reading a journal back: the newest snapshot, then every group after it. Changes nothing on disk.

Owns what may be missing or half-written after a crash and what may not. Knows nothing of what records mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import segment
from .disk import Disk
from .errors import JournalDamaged
from .files import listing, segment_path
from .segment import SegmentReader
from .snapshot import Snapshot


class JournalReader:
    """What a journal holds.

    Attributes:
        covered: the last segment that the snapshot takes the place of; 0 without a snapshot.
        last_group: number of the last group read so far.
        notes: lines for people.
        gaps: how many times a repair declared something lost. Records after a gap may speak of jobs that are not known.
        sealed: sizes in bytes of the sealed segments read so far, by number.
        end: the open segment, once it was read.

    Raises:
        JournalDamaged: something that was stored is missing.
        JournalTooNew, OSError.
    """

    def __init__(self, directory: Path, disk: Disk) -> None:
        self.directory, self.disk = directory, disk
        self.files = listing(disk, directory)
        self.notes: list[str] = []
        self.gaps = 0
        self.sealed: dict[int, int] = {}
        self.end: SegmentReader | None = None
        self._unreadable: JournalDamaged | None = None
        self._snapshot = self._newest_snapshot()
        self.covered = self._snapshot.upto if self._snapshot else 0
        self.last_group = self._snapshot.last_group if self._snapshot else 0
        self.segments = self._needed_segments()

    @property
    def last(self) -> int:
        """Number of the open segment, or the one it would have."""
        return self.segments[-1] if self.segments else self.covered + 1

    @property
    def torn(self) -> bool:
        """After ``groups``: a crash left the last group half-written. It was never acknowledged as synced."""
        return self.end is not None and not self.end.complete

    @property
    def snapshot_size(self) -> int:
        return self._snapshot.size if self._snapshot else 0

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
                reader = self._segment(number)
                yield from self._groups_of(reader)
                reader.check_sealed()
                self.sealed[number] = reader.offset

    def _open_groups(self) -> Iterator[list[Any]]:
        reader = self._segment(self.last)
        yield from self._groups_of(reader)
        if not reader.complete:
            reader.check_torn()
        self.end = reader

    def _segment(self, number: int) -> SegmentReader:
        try:
            return SegmentReader.open(self.disk, self.directory, number, self.last_group + 1)
        except JournalDamaged as problem:
            raise self._unreadable or problem from None

    def _groups_of(self, reader: SegmentReader) -> Iterator[list[Any]]:
        gaps_before = self.gaps
        for frame in reader.groups():
            self.last_group, self.gaps = frame.number, gaps_before + reader.gaps
            yield segment.records(reader.path, frame)
        self.last_group, self.gaps = reader.group - 1, gaps_before + reader.gaps

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
        if self.files.snapshots and not self.files.segments:
            path = segment_path(self.directory, self.covered + 1)
            raise self._unreadable or JournalDamaged(path, 0, None, "the file is missing")
        return [number for number in self.files.segments if number > self.covered]
