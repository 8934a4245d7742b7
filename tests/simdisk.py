"""A disk in memory that fails, fills up, and loses what was not synced. All chance comes from one seed.

It stands where ``jobyard.supervisor.journal.disk.Disk`` does, so that the real journal runs on it. Every call but
``close`` counts as one call in ``calls``. A file's content and the entry in its directory are durable apart: the first
after ``sync``, the second after ``sync_directory``.
"""

from __future__ import annotations

import dataclasses
import errno
import io
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from jobyard.supervisor.journal.disk import Disk

SECTOR_BYTES = 512


class PowerLost(BaseException):
    """The machine went down in the middle of a call."""


@dataclass
class Inode:
    """``data`` is what a reader sees, ``durable`` what is certainly on disk, ``unsynced`` the writes in between: offset
    and bytes, or None for a truncation to offset."""

    data: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    unsynced: list[tuple[int, bytes | None]] = field(default_factory=list)
    allocated: int = 0


class SimDisk(Disk):
    """A disk with nothing on it.

    Args:
        capacity: bytes that fit, None for no limit.

    Attributes:
        calls: made so far. trace: their names.
        fail_at: call number -> errno, for that call alone.
        fail_from: (call number, errno): every call from then on, until set to None.
        short_writes: a write that is to fail stores half of its bytes first.
        lose_power_at: call number at which ``PowerLost`` is raised; of that call, nothing or a part takes effect.
    """

    def __init__(self, seed: int = 0, capacity: int | None = None) -> None:
        self.random = random.Random(seed)
        self.capacity = capacity
        self.calls = 0
        self.trace: list[str] = []
        self.fail_at: dict[int, int] = {}
        self.fail_from: tuple[int, int] | None = None
        self.short_writes = True
        self.lose_power_at: int | None = None
        self.names: dict[Path, Inode] = {}
        self.durable_names: dict[Path, Inode] = {}
        self._open: dict[int, Inode] = {}
        self._next_fd = 1000

    # -- what can go wrong ---------------------------------------------------------------------------------------------

    def power_loss(self) -> None:
        """The machine went down and is up again: every unsynced change was kept, lost or torn, as chance has it."""
        self._open.clear()
        self.lose_power_at = None
        names: dict[Path, Inode] = {}
        for path in sorted(self.names.keys() | self.durable_names.keys()):
            before, after = self.durable_names.get(path), self.names.get(path)
            inode = before if before is after or self.random.random() < 0.5 else after
            if inode is not None:
                names[path] = inode
        for inode in {id(inode): inode for inode in names.values()}.values():
            self._settle(inode)
        self.names, self.durable_names = names, dict(names)

    def after_power_loss(self, seed: int) -> SimDisk:
        """A disk on which the power was lost at this moment, with the chances of ``seed``; this one is as it was."""
        other = SimDisk(seed, self.capacity)
        inodes = {id(inode): inode for names in (self.names, self.durable_names) for inode in names.values()}
        copies = {key: dataclasses.replace(inode, data=bytearray()) for key, inode in inodes.items()}
        other.names = {path: copies[id(inode)] for path, inode in self.names.items()}
        other.durable_names = {path: copies[id(inode)] for path, inode in self.durable_names.items()}
        other.power_loss()
        return other

    def process_loss(self) -> None:
        """The process was killed: its descriptors are gone, all that it wrote is still seen."""
        self._open.clear()

    def _settle(self, inode: Inode) -> None:
        content = bytearray(inode.durable)
        for offset, data in inode.unsynced:
            self._maybe_apply(content, offset, data)
        inode.data, inode.durable, inode.unsynced = content, bytes(content), []

    def _maybe_apply(self, content: bytearray, offset: int, data: bytes | None) -> None:
        chance = self.random.choice(("kept", "kept", "dropped", "torn", "size", "garbage"))
        if chance == "dropped":
            return
        if data is None:
            del content[offset:]
        elif chance == "kept":
            _store(content, offset, data)
        elif chance == "size":
            _store(content, offset + len(data), b"")
        else:
            other = self.random.randbytes(len(data)) if chance == "garbage" else bytes(len(data))
            start = offset
            while start < offset + len(data):
                end = min((start // SECTOR_BYTES + 1) * SECTOR_BYTES, offset + len(data))
                source = data if self.random.random() < 0.5 else other
                _store(content, start, source[start - offset : end - offset])
                start = end

    def _call(self, name: str, fd: int | None = None, data: bytes | memoryview = b"", offset: int = 0) -> None:
        number = self.calls
        self.calls += 1
        self.trace.append(name)
        if number == self.lose_power_at:
            if fd is not None and data:
                self._write(fd, bytes(data[: self.random.randrange(len(data) + 1)]), offset)
            raise PowerLost
        code = self.fail_at.get(number)
        if self.fail_from is not None and number >= self.fail_from[0]:
            code = self.fail_from[1]
        if code is not None:
            if name == "write" and fd is not None and self.short_writes:
                self._write(fd, bytes(data[: len(data) // 2]), offset)
            if name == "sync" and fd is not None:
                self._forget(self._open[fd])
            raise OSError(code, os.strerror(code))

    def _forget(self, inode: Inode) -> None:
        """A failed sync: some of it is on disk, the rest never will be, and the next sync says nothing of it."""
        seen = bytes(inode.data)
        self._settle(inode)
        inode.data = bytearray(seen)

    def transact(self, commit: Callable[[], None]) -> None:
        """A call of something that stores by itself, all or nothing, such as a database: it is one call here.

        Raises:
            OSError, PowerLost: as any call; with the latter it is a matter of chance whether it took effect.
        """
        try:
            self._call("transact")
        except PowerLost:
            if self.random.random() < 0.5:
                commit()
            raise
        commit()

    # -- the calls -----------------------------------------------------------------------------------------------------

    def list(self, directory: Path) -> list[str]:
        self._call("list")
        return sorted({path.relative_to(directory).parts[0] for path in self.names if directory in path.parents})

    def make_directory(self, directory: Path) -> None:
        self._call("make_directory")

    def size(self, path: Path) -> int:
        self._call("size")
        inode = self._inode(path)
        return max(len(inode.data), inode.allocated)

    def open_read(self, path: Path) -> BinaryIO:
        self._call("open_read")
        return io.BytesIO(bytes(self._inode(path).data))

    def create(self, path: Path) -> int:
        self._call("create")
        if path in self.names:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        self.names[path] = Inode()
        self._next_fd += 1
        self._open[self._next_fd] = self.names[path]
        return self._next_fd

    def open_write(self, path: Path) -> int:
        self._call("open_write")
        self._next_fd += 1
        self._open[self._next_fd] = self._inode(path)
        return self._next_fd

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        self._call("write", fd, data, offset)
        return self._write(fd, bytes(data), offset)

    def sync(self, fd: int) -> None:
        self._call("sync", fd)
        inode = self._open[fd]
        for offset, data in inode.unsynced:
            durable = bytearray(inode.durable)
            _store(durable, offset, data)
            inode.durable = bytes(durable)
        inode.unsynced = []

    def forget(self, fd: int) -> None:
        self._call("forget")
        inode = self._open[fd]
        if not inode.unsynced:
            inode.data = bytearray(inode.durable)

    def truncate(self, fd: int, size: int) -> None:
        self._call("truncate")
        inode = self._open[fd]
        del inode.data[size:]
        inode.unsynced.append((size, None))

    def allocate(self, fd: int, size: int) -> None:
        self._call("allocate")
        if self._free() < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._open[fd].allocated = size

    def extend(self, fd: int, start: int, size: int) -> None:
        self._call("extend")
        inode = self._open[fd]
        if self._free() < start + size - max(len(inode.data), inode.allocated):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        _store(inode.data, start + size, b"")
        inode.unsynced.append((start + size, b""))

    def close(self, fd: int) -> None:
        self._open.pop(fd, None)

    def rename(self, old: Path, new: Path) -> None:
        self._call("rename")
        inode = self._inode(old)
        del self.names[old]
        self.names[new] = inode

    def sync_directory(self, directory: Path) -> None:
        self._call("sync_directory")
        kept = {path: inode for path, inode in self.durable_names.items() if path.parent != directory}
        self.durable_names = kept | {path: inode for path, inode in self.names.items() if path.parent == directory}

    def unlink(self, path: Path) -> None:
        self._call("unlink")
        self.names.pop(path, None)

    def salt(self) -> int:
        return self.random.getrandbits(64)

    def _inode(self, path: Path) -> Inode:
        if path not in self.names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return self.names[path]

    def _write(self, fd: int, data: bytes, offset: int) -> int:
        inode = self._open[fd]
        growth = max(0, offset + len(data) - max(len(inode.data), inode.allocated))
        room = self._free()
        if growth > room:
            data = data[: len(data) - growth + room]
            if not data:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        _store(inode.data, offset, data)
        inode.unsynced.append((offset, data))
        return len(data)

    def _free(self) -> int:
        if self.capacity is None:
            return 1 << 62
        return self.capacity - sum(max(len(inode.data), inode.allocated) for inode in self.names.values())


def _store(content: bytearray, offset: int, data: bytes | None) -> None:
    """Write ``data`` at ``offset``, with zeros before it where there is nothing; None truncates."""
    if data is None:
        del content[offset:]
        return
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data
