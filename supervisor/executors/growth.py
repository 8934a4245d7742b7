"""Word of files that grow, from the kernel (inotify), for output that is written without a log writer."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable

from .zygote.loop import Loop

_IN_MODIFY = 0x2
_FLAGS = 0o2000000 | 0o4000  # IN_CLOEXEC | IN_NONBLOCK
_EVENTS_BYTES = 64 * 1024


class Growth:
    """Calls ``changed`` when some file in a watched directory was written to."""

    def __init__(self, loop: Loop, changed: Callable[[], None]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._changed = changed
        self._fd = self._libc.inotify_init1(_FLAGS)
        if self._fd < 0:
            raise _error()
        loop.watch(self._fd, self._readable)

    def watch(self, directory: str) -> None:
        """Watch a directory, which is made if need be; one that is watched already stays so.

        Raises:
            OSError: it cannot be made or watched.
        """
        os.makedirs(directory, 0o700, exist_ok=True)
        if self._libc.inotify_add_watch(self._fd, os.fsencode(directory), _IN_MODIFY) < 0:
            raise _error()

    def close(self) -> None:
        os.close(self._fd)

    def _readable(self, events: int) -> None:
        try:
            os.read(self._fd, _EVENTS_BYTES)
        except BlockingIOError:
            return
        self._changed()


def _error() -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code))
