"""A descriptor that one thread makes readable to wake the loop of another."""

from __future__ import annotations

import contextlib
import os
import sys


class Wakeup:
    """Set by any thread, drained by the one that waits. Setting it twice wakes once."""

    def __init__(self) -> None:
        if hasattr(os, "eventfd"):
            self._read = self._write = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        else:
            self._read, self._write = os.pipe()
            os.set_blocking(self._read, False)
            os.set_blocking(self._write, False)

    def fileno(self) -> int:
        return self._read

    def set(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full: it is set
            os.write(self._write, (1).to_bytes(8, sys.byteorder))

    def drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while len(os.read(self._read, 4096)) == 4096:
                pass

    def close(self) -> None:
        os.close(self._read)
        if self._write != self._read:
            os.close(self._write)
