"""The start of a journal: what was read is made durable, a torn tail is put aside, and appending may begin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...protocol.errors import StorageUnavailable
from . import segment
from .disk import NO_SPACE, Disk, NewFile, write_file
from .files import TORN_KEPT, remove_covered, torn_path
from .reader import JournalReader
from .reserve import Reserve
from .segment import SegmentReader
from .writer import Tip, Writer

if TYPE_CHECKING:
    from .journal import Journal


class Recovery(JournalReader):
    """A journal that is being opened. Read ``snapshot`` and ``groups`` to their ends, then ``begin``."""

    def __init__(self, directory: Path, disk: Disk, segment_bytes: int, start: Callable[[Writer], Journal]) -> None:
        super().__init__(directory, disk)
        self._segment_bytes, self._start = segment_bytes, start
        self._exhausted = False

    def groups(self) -> Iterator[list[Any]]:
        yield from super().groups()
        self._exhausted = True

    def begin(self) -> Journal:
        """Make what was read durable in a new file, keep a torn tail aside, and open the journal for more.

        Raises:
            StorageUnavailable: the disk refuses. Nothing is lost; the next start tries again.
        """
        if not self._exhausted:
            raise RuntimeError("groups() was not read to its end")
        try:
            return self._start(self._make_durable())
        except OSError as error:
            raise StorageUnavailable(
                f"the journal in {self.directory} cannot be written: {error.strerror or error}",
                hint="free some space on that disk" if error.errno in NO_SPACE else "",
            ) from None

    def _make_durable(self) -> Writer:
        self.disk.make_directory(self.directory)
        self.disk.sync_directory(self.directory.parent)
        for name in self.files.temporary:
            self.disk.unlink(self.directory / name)
        reserve = Reserve(self.disk, self.directory)
        if self.end and self.torn:
            self._keep_torn(reserve, self.end)
        tip = reserve.retrying(self._open_tip)
        remove_covered(self.disk, self.directory, self.covered, self.files.segments, self.files.snapshots)
        reserve.ensure()
        snapshots = {self.covered: self.snapshot_size} if self.covered else {}
        return Writer(self.disk, self.directory, self._segment_bytes, reserve, tip, self.sealed, snapshots)

    def _keep_torn(self, reserve: Reserve, end: SegmentReader) -> None:
        tail = end.tail()
        path = torn_path(self.directory, self.last, end.group)
        reserve.retrying(lambda: write_file(self.disk, path, tail))
        self.notes.append(
            f"{end.path.name}: a crash left group {end.group} half-written; "
            f"its {len(tail)} bytes from byte {end.offset} on are kept in {path.name}"
        )
        for old in self.files.torn[: -TORN_KEPT + 1]:
            self.disk.unlink(self.directory / old)

    def _open_tip(self) -> Tip:
        """The open segment in a new file: what was read from it may have been in memory only."""
        group = self.last_group + 1
        if self.end is None:
            fd, salt, size = segment.create(self.disk, self.directory, self.last, group)
            return Tip(self.last, fd, salt, size, group)
        with NewFile(self.disk, self.end.path) as file:
            file.write(self.end.intact())
            return Tip(self.last, file.publish(), self.end.salt, file.size, group)
