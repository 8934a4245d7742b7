"""Every call to the operating system that the journal makes, so that tests can put a disk that fails in its place.

Owns no format. Errors are OSError as they come; an interrupted call is repeated by Python itself.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
TEMPORARY = ".tmp"

_datasync = getattr(os, "fdatasync", os.fsync)  # not everywhere


class Disk:
    """The real disk."""

    def list(self, directory: Path) -> list[str]:
        """Names in a directory; none if there is no such directory."""
        try:
            return os.listdir(directory)
        except FileNotFoundError:
            return []

    def make_directory(self, directory: Path) -> None:
        """Make an owner-only directory unless it is there."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(directory, 0o700)

    def size(self, path: Path) -> int:
        return os.stat(path).st_size

    def open_read(self, path: Path) -> BinaryIO:
        return open(path, "rb", buffering=1 << 20)

    def create(self, path: Path) -> int:
        """A descriptor to write a new file with, readable by its owner alone."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def open_write(self, path: Path) -> int:
        """A descriptor to write a file with that is there."""
        return os.open(path, os.O_WRONLY | os.O_CLOEXEC)

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        """Bytes written; may be fewer than given."""
        return os.pwrite(fd, data, offset)

    def sync(self, fd: int) -> None:
        """Return when the file's content and size are on disk."""
        _datasync(fd)

    def forget(self, fd: int) -> None:
        """After a sync: let the next reader of the file see what is on disk, not what is in memory."""
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def allocate(self, fd: int, size: int) -> None:
        """Make the file occupy ``size`` bytes of disk."""
        try:
            os.posix_fallocate(fd, 0, size)
        except OSError as error:
            if error.errno in NO_SPACE:
                raise
            write_all(self, fd, bytes(size), 0)  # this file system cannot promise space

    def extend(self, fd: int, start: int, size: int) -> None:
        """Take disk space for ``size`` bytes from ``start`` on; the file grows by zeros."""
        os.posix_fallocate(fd, start, size)

    def close(self, fd: int) -> None:
        with contextlib.suppress(OSError):  # whatever matters was synced before
            os.close(fd)

    def rename(self, old: Path, new: Path) -> None:
        os.replace(old, new)

    def sync_directory(self, directory: Path) -> None:
        """Return when the names in the directory are on disk."""
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def unlink(self, path: Path) -> None:
        """Remove a file unless it is gone."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def salt(self) -> int:
        """64 random bits."""
        return int.from_bytes(os.urandom(8), "big")


def write_all(disk: Disk, fd: int, data: bytes, offset: int) -> None:
    """Write all of ``data`` at ``offset``."""
    rest = memoryview(data)
    while rest:
        done = disk.write(fd, rest, offset)
        rest, offset = rest[done:], offset + done


class NewFile:
    """A file that gets its name only when it is complete and on disk; without ``publish`` the context removes it again.

    Attributes:
        size: bytes written so far.
    """

    def __init__(self, disk: Disk, path: Path) -> None:
        self.size = 0
        self._disk, self._path = disk, path
        self._temporary = path.with_name(path.name + TEMPORARY)
        disk.unlink(self._temporary)
        self._fd: int | None = disk.create(self._temporary)

    def __enter__(self) -> NewFile:
        return self

    def write(self, data: bytes) -> None:
        assert self._fd is not None
        write_all(self._disk, self._fd, data, self.size)
        self.size += len(data)

    def publish(self) -> int:
        """Sync, rename, sync the directory. The descriptor, still open for writing, is the caller's from now on."""
        assert self._fd is not None
        self._disk.sync(self._fd)
        self._disk.rename(self._temporary, self._path)
        self._disk.sync_directory(self._path.parent)
        fd, self._fd = self._fd, None
        return fd

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd is not None:
            self._disk.close(self._fd)
            with contextlib.suppress(OSError):  # what is left is removed at the next start
                self._disk.unlink(self._temporary)


def write_file(disk: Disk, path: Path, *pieces: bytes) -> None:
    """Put a whole file in place, durably, or leave what was there."""
    with NewFile(disk, path) as file:
        for piece in pieces:
            file.write(piece)
        disk.close(file.publish())
