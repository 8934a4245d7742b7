"""The open segment and all that is done to it: groups, syncs, rotation, and the new start after a failure.

Used by one thread at a time. Keeps the order on disk: a group is on disk before the next is written, a sealed segment
before its successor exists, a new file before what it replaces is removed. Whatever raises here leaves a descriptor
that must not be written again; ``restart`` is the only way on.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from . import frames, segment, snapshot
from .disk import TEMPORARY, Disk, write_all
from .files import listing, remove_covered, segment_path, snapshot_path
from .reserve import Reserve

ROOM_BYTES = 1024 * 1024
BLOCK_BYTES = 4096  # enough to see that the disk takes something


@dataclass
class Tip:
    """Where the journal ends: the open segment.

    Attributes:
        number, fd, salt, size: of the open segment.
        group: number of the next group.
        room_end: up to where space was asked for. It is zeros that no reader minds and that ``size`` does not count.
        stored: number of the last group that was written whole.
    """

    number: int
    fd: int
    salt: int
    size: int
    group: int
    room_end: int = 0
    stored: int = field(init=False)

    def __post_init__(self) -> None:
        self.stored = self.group - 1


class Writer:
    """Writes at the tip.

    Args:
        sealed: sizes of the sealed segments by number. snapshots: the same of the snapshots.

    Attributes:
        sure: no sync has failed since the last new start, so that what was synced is on disk.
    """

    def __init__(
        self,
        disk: Disk,
        directory: Path,
        segment_bytes: int,
        reserve: Reserve,
        tip: Tip,
        sealed: dict[int, int],
        snapshots: dict[int, int],
    ) -> None:
        self.reserve = reserve
        self.sure = True
        self._disk, self._directory, self._segment_bytes = disk, directory, segment_bytes
        self._tip = tip
        self._tried = tip.number  # highest number of a segment that may exist by now
        self._sizes = Lock()  # of the two below, which the loop sums up
        self._sealed, self._snapshots = sealed, snapshots

    # -- groups --------------------------------------------------------------------------------------------------------

    def write(self, count: int, packed: list[bytes]) -> None:
        """Write ``count`` packed records as one group, in a new segment if this one is full; ``sync`` must follow.

        Raises:
            OSError: the disk refuses, also after the reserve was given up.
        """
        tip = self._tip
        if tip.size >= self._segment_bytes:
            self.rotate()
        frame = frames.encode(frames.GROUP, tip.group, tip.salt, frames.pack_group(count, packed))
        tip.group += 1  # even if it fails: nobody can know how much of it is on disk
        if tip.size + len(frame) > tip.room_end:
            self._make_room()
        self.reserve.retrying(lambda: self._put(frame))
        tip.size += len(frame)
        tip.stored = tip.group - 1

    def _put(self, frame: bytes) -> None:
        try:
            write_all(self._disk, self._tip.fd, frame, self._tip.size)
        except OSError:
            with contextlib.suppress(OSError):  # what stays is overwritten, or found as a torn tail
                self._disk.truncate(self._tip.fd, self._tip.size)
            raise

    def _make_room(self) -> None:
        """Ask for space ahead of time: a sync is faster by a third when the file need not grow for every group."""
        tip = self._tip
        tip.room_end = tip.size + ROOM_BYTES
        end = min(tip.room_end, self._segment_bytes)
        if end > tip.size:
            with contextlib.suppress(OSError):  # no space, or no such call here: the write will tell
                self._disk.extend(tip.fd, tip.size, end - tip.size)

    def sync(self) -> None:
        """Raises: OSError: it is not known what of the last group is on disk."""
        self._sync(self._tip.fd)

    def _sync(self, fd: int) -> None:
        sure, self.sure = self.sure, False
        self._disk.sync(fd)
        self.sure = sure

    # -- segments ------------------------------------------------------------------------------------------------------

    @property
    def sealed(self) -> int:
        """Number of the last sealed segment; 0 while there is none."""
        return self._tip.number - 1

    def seal(self) -> None:
        """Rotate unless the open segment is empty. Everything written was synced.

        Raises:
            OSError: as ``rotate``.
        """
        if self._tip.size > len(segment.header(0, 0, 0)):
            self.rotate()

    def rotate(self) -> None:
        """Open the next segment; the present one is sealed by that. Everything written was synced.

        Raises:
            OSError: the next segment may or may not exist.
        """
        tip = self._tip
        self._disk.truncate(tip.fd, tip.size)  # a sealed segment holds nothing but its groups
        self._sync(tip.fd)
        self._tried = tip.number + 1
        fd, salt, size = self.reserve.retrying(
            lambda: segment.create(self._disk, self._directory, tip.number + 1, tip.group),
        )
        self._disk.close(tip.fd)
        with self._sizes:
            self._sealed[tip.number] = tip.size
            tip.number, tip.fd, tip.salt, tip.size, tip.room_end = tip.number + 1, fd, salt, size, 0

    def compacted(self, upto: int) -> None:
        """Snapshot ``upto`` is durable: remove what it covers.

        Raises:
            OSError: there is no such snapshot, or something could not be removed. A later call removes it.
        """
        size = self._disk.size(snapshot_path(self._directory, upto))
        with self._sizes:
            self._snapshots[upto] = size
            segments, snapshots = list(self._sealed), list(self._snapshots)
        remove_covered(self._disk, self._directory, upto, segments, snapshots)
        with self._sizes:
            self._sealed = {number: size for number, size in self._sealed.items() if number > upto}
            self._snapshots = {number: size for number, size in self._snapshots.items() if number >= upto}

    # -- after a failure -----------------------------------------------------------------------------------------------

    def resume(self) -> None:
        """After a write for which there was no space, while ``sure``: go on behind the last whole group, which is on
        disk as all before it, with a new descriptor. The group that could not be written comes again under its number.

        Raises:
            OSError: the disk still refuses.
        """
        tip, path = self._tip, segment_path(self._directory, self._tip.number)
        if self._tried > tip.number:  # the segment that was to follow may be there
            self._disk.unlink(segment_path(self._directory, self._tried))
            self._disk.sync_directory(self._directory)
            self._tried = tip.number
        fd = self._disk.open_write(path)
        try:
            self._disk.truncate(fd, tip.size)
            self._sync(fd)
        except BaseException:
            self._disk.close(fd)
            raise
        self._disk.close(tip.fd)
        tip.fd, tip.group, tip.room_end = fd, tip.stored + 1, 0

    def trial(self, size: int) -> None:
        """Do to the disk what ``restart`` will do, with ``size`` bytes, and leave nothing behind.

        Raises:
            OSError: the disk still refuses, also after the reserve was given up.
        """
        path = self._directory / f"trial{TEMPORARY}"

        def write() -> None:
            self._disk.unlink(path)
            fd = self._disk.create(path)
            try:
                self._disk.allocate(fd, size)
                write_all(self._disk, fd, bytes(BLOCK_BYTES), 0)
                self._disk.sync(fd)
                self._disk.sync_directory(self._directory)
            finally:
                self._disk.close(fd)
                with contextlib.suppress(OSError):  # what is left is removed at the next start
                    self._disk.unlink(path)

        self.reserve.retrying(write)

    def restart(self, packed: list[bytes]) -> None:
        """Put the whole state, as packed chunks, in a new snapshot and go on in a new segment; then remove everything
        older.

        The snapshot takes a group number of its own. So nothing before it can ever be read on into what follows it.

        Raises:
            OSError: the disk still refuses; what was there is there still.
        """
        self.sure = False  # until it is done
        tip, upto = self._tip, self._tried
        covered = tip.group
        tip.group += 1
        self._tried += 1

        disk, directory, retrying = self._disk, self._directory, self.reserve.retrying
        size = retrying(lambda: snapshot.write_packed(disk, directory, upto, covered, packed))
        fd, salt, header_size = retrying(lambda: segment.create(disk, directory, upto + 1, tip.group))
        self._disk.close(tip.fd)
        with self._sizes:
            self._tip = Tip(upto + 1, fd, salt, header_size, tip.group)
            self._sealed, self._snapshots = {}, {upto: size}
        self.sure = True
        with contextlib.suppress(OSError):  # what cannot be removed now is covered, and removed at the next start
            found = listing(self._disk, self._directory)
            remove_covered(self._disk, self._directory, upto, found.segments, found.snapshots)

    # -- facts ---------------------------------------------------------------------------------------------------------

    @property
    def covered(self) -> int:
        """Number of the last segment that a snapshot takes the place of."""
        with self._sizes:
            return max(self._snapshots, default=0)

    @property
    def bytes_since_snapshot(self) -> int:
        with self._sizes:
            covered = max(self._snapshots, default=0)
            return self._tip.size + sum(size for number, size in self._sealed.items() if number > covered)

    @property
    def size(self) -> int:
        with self._sizes:
            return self._tip.size + sum(self._sealed.values()) + sum(self._snapshots.values())

    def close(self) -> None:
        if self.sure:
            with contextlib.suppress(OSError):  # tidy only: a reader stops at the zeros
                self._disk.truncate(self._tip.fd, self._tip.size)
        self._disk.close(self._tip.fd)
