"""Events that wait for the loop: kept in order, with a descriptor that is readable while there are any."""

from __future__ import annotations

import os

from .base import ExecutorEvent
from .zygote.loop import Loop


class Mailbox:
    """Makes ``loop`` readable when something was put in from outside of it."""

    def __init__(self, loop: Loop) -> None:
        self._events: list[ExecutorEvent] = []
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        loop.watch(self._fd, self._woken)

    def put(self, event: ExecutorEvent) -> None:
        """Add an event that the loop itself brought about."""
        self._events.append(event)

    def post(self, event: ExecutorEvent) -> None:
        """Add an event from outside of the loop."""
        self._events.append(event)
        os.eventfd_write(self._fd, 1)

    def take(self) -> list[ExecutorEvent]:
        found, self._events = self._events, []
        return found

    def close(self) -> None:
        os.close(self._fd)

    def _woken(self, events: int) -> None:
        os.eventfd_read(self._fd)
