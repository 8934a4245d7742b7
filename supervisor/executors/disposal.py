"""Closing descriptors that processes of a pool have sent. For another user's pool that is the business of a thread.

The user decides how long a close takes: it may be a socket that lingers, or a file of a file system that answers when
it likes. Owns one thread for each such user, and the judgement that it will not catch up any more.
"""

from __future__ import annotations

import contextlib
import os
import queue
import resource
import threading
import time
from collections.abc import Iterable

from ...protocol.errors import ProtocolError
from .zygote import channel

STUCK_S = 1.0
PART_MAX = 0.125  # of the descriptors that this process may have


class _Closer:
    """``begun_at``: monotonic time since which it is at one descriptor, None if it waits for the next."""

    def __init__(self) -> None:
        self.begun_at: float | None = None
        self._waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._runs = False

    def put(self, fds: Iterable[int]) -> None:
        for fd in fds:
            self._waiting.put(fd)
        if not self._runs:
            with contextlib.suppress(RuntimeError):  # no room for a thread: they wait for the next ones
                threading.Thread(target=self._run, daemon=True).start()
                self._runs = True

    def is_stuck(self) -> bool:
        begun_at = self.begun_at
        if self._runs and (begun_at is None or time.monotonic() - begun_at < STUCK_S):
            return False
        return self._waiting.qsize() > resource.getrlimit(resource.RLIMIT_NOFILE)[0] * PART_MAX

    def _run(self) -> None:
        while True:
            fd = self._waiting.get()
            self.begun_at = time.monotonic()
            with contextlib.suppress(OSError):  # word of what could not be written; it is closed all the same
                os.close(fd)
            self.begun_at = None


_closers: dict[int, _Closer] = {}  # by user


def dispose(owner: tuple[int, int] | None, fds: list[int]) -> None:
    """Close ``fds``, and empty the list. ``owner``: user and group of whoever has sent them, None if this one."""
    if owner is None:
        channel.close_all(fds)
    elif fds:
        closer = _closers.get(owner[0])
        if closer is None:
            closer = _closers[owner[0]] = _Closer()
        closer.put(fds)
    fds.clear()


def require_room(owner: tuple[int, int] | None) -> None:
    """
    Raises:
        ProtocolError: descriptors of this user cannot be closed any more, and there are too many of them.
    """
    closer = None if owner is None else _closers.get(owner[0])
    if closer is not None and closer.is_stuck():
        raise ProtocolError("the descriptors that its processes have sent cannot be closed")
