"""The start of a journal: what was read is made durable, a torn tail is put aside, and appending may begin."""

from __future__ import annotations

import errno
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
        tip = self._open_tip(reserve)
        remove_covered(self.disk, self.directory, self.covered, self.files.segments, self.files.snapshots)
        reserve.ensure()
        snapshots = {self.covered: self.snapshot_size} if self.covered else {}
        return Writer(self.disk, self.directory, self._segment_bytes, reserve, tip, self.sealed, snapshots)

    def _keep_torn(self, reserve: Reserve, end: SegmentReader) -> None:
        tail = end.tail()
        path = torn_path(self.directory, self.last, end.group)
        kept = f"kept in {path.name}"
        try:
            reserve.retrying(lambda: write_file(self.disk, path, tail))
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
            kept = "dropped, for want of space"
        self.notes.append(
            f"{end.path.name}: a crash left group {end.group} half-written; "
            f"its {len(tail)} bytes from byte {end.offset} on are {kept}"
        )
        for old in self.files.torn[: -TORN_KEPT + 1]:
            self.disk.unlink(self.directory / old)

    def _open_tip(self, reserve: Reserve) -> Tip:
        end, group = self.end, self.last_group + 1
        if end is None:
            fd, salt, size = reserve.retrying(lambda: segment.create(self.disk, self.directory, self.last, group))
            return Tip(self.last, fd, salt, size, group)
        try:
            fd = reserve.retrying(lambda: self._copied(end))
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
            fd = self._seen_on_disk(end)
        return Tip(self.last, fd, end.salt, end.offset, group)

    def _copied(self, end: SegmentReader) -> int:
        """The open segment in a new file: what was read from it may have been in memory only."""
        with NewFile(self.disk, end.path) as file:
            file.write(end.intact())
            return file.publish()

    def _seen_on_disk(self, end: SegmentReader) -> int:
        """For want of space the same file, once the disk was seen to have all of it."""
        fd = self.disk.open_write(end.path)
        try:
            self.disk.truncate(fd, end.offset)
            self.disk.sync(fd)
            self.disk.forget(fd)
            with self.disk.open_read(end.path) as file:
                if file.read() != end.intact():
                    raise OSError(errno.EIO, f"{end.path.name} is not on disk as it was read, and a copy has no room")
        except BaseException:
            self.disk.close(fd)
            raise
        return fd
