"""Descriptors and what to do when they are readable: a thin layer over epoll."""

from __future__ import annotations

import select
from collections.abc import Callable

READ, WRITE, ONCE = select.EPOLLIN, select.EPOLLOUT, select.EPOLLONESHOT
Handler = Callable[[int], None]
WAIT_MAX_S = 2_000_000.0  # about the most that epoll can be told; deadlines may be farther away


class Loop:
    """Calls the handler of each descriptor with the events it has."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}

    def fileno(self) -> int:
        return self._epoll.fileno()

    def watch(self, fd: int, handler: Handler, events: int = READ) -> None:
        self._handlers[fd] = handler
        self._epoll.register(fd, events)

    def change(self, fd: int, events: int) -> None:
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Stop watching; must come before the descriptor is closed."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def run_once(self, timeout_s: float | None) -> None:
        """Wait at most so long (None: for ever), or ``WAIT_MAX_S``, and call the handlers of what is ready."""
        for fd, events in self._epoll.poll(timeout_s if timeout_s is None else min(timeout_s, WAIT_MAX_S)):
            handler = self._handlers.get(fd)  # an earlier handler may have closed it
            if handler is not None:
                handler(events)

    def close(self) -> None:
        self._epoll.close()
