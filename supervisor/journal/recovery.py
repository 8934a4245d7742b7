"""Reading a journal back at start: the newest snapshot, then every group after it, then ready for more.

Owns what may be missing or half-written after a crash and what may not. Knows nothing of what records mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...conf.settings import JournalSettings
from . import frames, segment
from .disk import Disk, NewFile, write_file
from .errors import JournalDamaged
from .files import TORN_KEPT, listing, remove_covered, segment_path, torn_path
from .reserve import Reserve
from .segment import SegmentReader
from .snapshot import Snapshot
from .writer import Tip, Writer

if TYPE_CHECKING:
    from .journal import Journal


class Recovery:
    """What a journal holds. Reading changes nothing on disk; ``begin`` does.

    Attributes:
        notes: lines for the supervisor's log.
        gaps: how many times a repair declared something lost. Records after a gap may speak of jobs that are not known.
        torn: file name, offset and bytes of the torn tail that was found, if one was.
    """

    def __init__(
        self, directory: Path, settings: JournalSettings, disk: Disk, start: Callable[[Writer], Journal]
    ) -> None:
        self.notes: list[str] = []
        self.gaps = 0
        self.torn: tuple[str, int, bytes] | None = None
        self._directory, self._settings, self._disk, self._start = directory, settings, disk, start
        self._files = listing(disk, directory)
        self._unreadable: JournalDamaged | None = None
        self._snapshot = self._newest_snapshot()
        self._numbers = self._needed_segments()
        self._sealed: dict[int, int] = {}
        self._last: SegmentReader | None = None
        self._exhausted = False

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
        expected = self._snapshot.last_group + 1 if self._snapshot else 1
        for number in self._numbers:
            reader = SegmentReader.open(self._disk, self._directory, number, expected)
            for frame in reader.groups():
                yield _records(reader, frame)
            self.gaps += reader.gaps
            if number == self._numbers[-1]:
                self._found_end(reader)
            else:
                reader.check_sealed()
                self._sealed[number] = reader.offset
            expected = reader.group
        self._exhausted = True

    def begin(self) -> Journal:
        """Make what was read durable in a new file, keep a torn tail aside, and open the journal for more.

        Raises:
            OSError: the disk refuses. Nothing is lost; the next start tries again.
        """
        if not self._exhausted:
            raise RuntimeError("groups() was not read to its end")
        disk, found = self._disk, self._files
        disk.make_directory(self._directory)
        for name in found.temporary:
            disk.unlink(self._directory / name)
        reserve = Reserve(disk, self._directory)
        reserve.retrying(self._keep_torn)
        tip = reserve.retrying(self._open_tip)
        covered = self._snapshot.upto if self._snapshot else 0
        remove_covered(disk, self._directory, covered, found.segments, found.snapshots)
        reserve.ensure()
        snapshots = {covered: self._snapshot.size} if self._snapshot else {}
        return self._start(
            Writer(disk, self._directory, self._settings.segment_bytes, reserve, tip, self._sealed, snapshots)
        )

    # -- choosing files ------------------------------------------------------------------------------------------------

    def _newest_snapshot(self) -> Snapshot | None:
        for number in reversed(self._files.snapshots):
            try:
                found = Snapshot.open(self._disk, self._directory, number)
            except JournalDamaged as problem:
                self._unreadable = self._unreadable or problem
                self.notes.append(f"{problem.message}; trying without this snapshot")
                continue
            self.gaps += found.gaps
            return found
        return None

    def _needed_segments(self) -> list[int]:
        """Those after the snapshot. None at all is right in an empty directory, and after a crash between a new start's
        snapshot and its segment; what that snapshot covers is still there then."""
        covered = self._snapshot.upto if self._snapshot else 0
        needed = [number for number in self._files.segments if number > covered]
        if not needed and not self._files.segments and self._files.snapshots:
            raise self._missing(covered + 1)
        for wanted, number in enumerate(needed, covered + 1):
            if wanted != number:
                raise self._missing(wanted)
        return needed

    def _missing(self, number: int) -> JournalDamaged:
        return self._unreadable or JournalDamaged(segment_path(self._directory, number), 0, None, "the file is missing")

    # -- the end of the journal ----------------------------------------------------------------------------------------

    def _found_end(self, reader: SegmentReader) -> None:
        self._last = reader
        if not reader.complete:
            reader.check_torn()
            self.torn = (reader.path.name, reader.offset, reader.tail())

    def _keep_torn(self) -> None:
        if not self._last or not self.torn:
            return
        name, offset, tail = self.torn
        path = torn_path(self._directory, self._numbers[-1], self._last.group)
        write_file(self._disk, path, tail)
        self.notes.append(
            f"{name}: a crash left group {self._last.group} half-written; "
            f"its {len(tail)} bytes from byte {offset} on are kept in {path.name}"
        )
        for old in self._files.torn[: -TORN_KEPT + 1]:
            self._disk.unlink(self._directory / old)

    def _open_tip(self) -> Tip:
        """The open segment in a new file: what was read from it may have been in memory only."""
        reader = self._last
        if reader is None:
            number, group = (self._snapshot.upto + 1, self._snapshot.last_group + 1) if self._snapshot else (1, 1)
            fd, salt, size = segment.create(self._disk, self._directory, number, group)
            return Tip(number, fd, salt, size, group)
        with NewFile(self._disk, reader.path) as file:
            file.write(reader.intact())
            return Tip(self._numbers[-1], file.publish(), reader.salt, file.size, reader.group)


def _records(reader: SegmentReader, frame: frames.Frame) -> list[Any]:
    try:
        records = frames.unpack(frame.payload)
    except ValueError as error:
        raise JournalDamaged(
            reader.path, frame.start, frame.number, f"group {frame.number} holds no records: {error}"
        ) from None
    if not isinstance(records, list):
        raise JournalDamaged(reader.path, frame.start, frame.number, f"group {frame.number} is no list of records")
    return records
