"""A descriptor that one thread makes readable to wake the loop of another."""

from __future__ import annotations

import os
import sys

_ONE = (1).to_bytes(8, sys.byteorder)
_READ_BYTES = 4096  # an eventfd gives eight, a pipe whatever is in it


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
        try:
            os.write(self._write, _ONE)
        except BlockingIOError:  # full: it is set
            pass

    def drain(self) -> None:
        try:
            while len(os.read(self._read, _READ_BYTES)) == _READ_BYTES:
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        os.close(self._read)
        if self._write != self._read:
            os.close(self._write)
