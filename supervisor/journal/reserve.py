"""Disk space kept aside, so that the end of running jobs can be recorded when the disk is full."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from .disk import NO_SPACE, Disk

RESERVE_BYTES = 16 * 1024 * 1024

T = TypeVar("T")


class Reserve:
    """The file ``reserve``. Used by one thread at a time.

    Attributes:
        held: whether the space is there.
    """

    def __init__(self, disk: Disk, directory: Path, size: int = RESERVE_BYTES) -> None:
        self.held = False
        self._disk, self._path, self._size = disk, directory / "reserve", size

    def ensure(self) -> None:
        """Take the space, if it can be had."""
        if not self.held:
            try:
                self._take()
                self.held = True
            except OSError:
                self._remove()

    def release(self) -> None:
        """Give the space to whoever writes next."""
        self.held = False
        self._remove()

    def retrying(self, action: Callable[[], T]) -> T:
        """Do ``action``; when the disk is full, give up the reserve and do it once more."""
        try:
            return action()
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
        self.release()
        return action()

    def _take(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            if self._disk.size(self._path) == self._size:
                return
        self._disk.unlink(self._path)
        fd = self._disk.create(self._path)
        try:
            self._disk.allocate(fd, self._size)
        finally:
            self._disk.close(fd)

    def _remove(self) -> None:
        with contextlib.suppress(OSError):  # then there is nothing to give up
            self._disk.unlink(self._path)
