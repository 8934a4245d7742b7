"""One connection in a loop: messages out without ever blocking, messages in one by one.

Owns sending, reading and noticing the end. What messages mean is its owner's business.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from ....protocol.errors import ProtocolError
from . import channel
from .channel import Kinds, Message
from .loop import READ, WRITE, Loop

_BATCH = 64  # messages read before others get their turn
_QUEUED_MAX = 10_000  # messages that a socket may hold: whoever sends more meanwhile is not waited for
_UNSENT_MAX = 100_000  # messages for somebody who does not read


class Outbox:
    """Packets for one socket that never block their sender; they leave in order.

    ``fds`` beside a waiting packet must stay open until it is gone. ``then`` is called when it has left.
    """

    __slots__ = ("_sock", "_waiting")

    def __init__(self, sock: channel.Socket) -> None:
        self._sock = sock
        self._waiting: deque[tuple[bytes, tuple[int, ...], Callable[[], None] | None]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, message: Message, fds: tuple[int, ...] = (), then: Callable[[], None] | None = None) -> bool:
        """Send, or keep until there is room; False if it is kept.

        Raises:
            OSError: the other side is gone.
        """
        data = channel.encode(message)
        if self._waiting or not channel.send(self._sock, data, fds):
            self._waiting.append((data, fds, then))
            return False
        if then is not None:
            then()
        return True

    def flush(self) -> None:
        """Send what there is room for.

        Raises:
            OSError: the other side is gone.
        """
        while self._waiting:
            data, fds, then = self._waiting[0]
            if not channel.send(self._sock, data, fds):
                return
            self._waiting.popleft()
            if then is not None:
                then()

    def clear(self) -> None:
        """Drop what waits."""
        self._waiting.clear()


class Wire:
    """Takes ``sock``, and closes it.

    Args:
        known: the messages that may arrive.
        on_message: called with a message and the descriptors beside it, which it owns.
        dispose: closes descriptors, and empties the list.
        on_end: called once if the other side goes or does not follow the protocol; not after ``close``.
    """

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        known: Kinds,
        on_message: Callable[[Any, list[int]], None],
        on_end: Callable[[], None],
        dispose: Callable[[list[int]], None] = channel.close_all,
    ) -> None:
        self.sock = sock
        self._loop = loop
        self._known = known
        self._on_message = on_message
        self._on_end = on_end
        self._dispose = dispose
        self._outbox = Outbox(sock)
        self._open = self._sending = True
        loop.watch(sock.fileno(), self._ready)

    def put(self, message: Message, fds: tuple[int, ...] = (), then: Callable[[], None] | None = None) -> None:
        """Send as soon as there is room; ``then`` is called once it was sent."""
        if not self._open or not self._sending:
            return
        try:
            if self._outbox.put(message, fds, then):
                return
        except OSError:
            self._hang_up()
            return
        kept = len(self._outbox)
        if kept > _UNSENT_MAX:
            self._hang_up()
        elif kept == 1:
            self._loop.change(self.sock.fileno(), READ | WRITE)

    def drain(self) -> None:
        """Handle what has arrived."""
        for _ in range(_QUEUED_MAX):
            if not self._open or not self._take():
                return

    def close(self) -> None:
        """Hang up; what was not sent is dropped."""
        if self._open:
            self._open = False
            self._loop.forget(self.sock.fileno())
            self._outbox.clear()
            self._dispose([self.sock.detach()])  # with what lies unread in it

    def _ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if events & ~WRITE:
            for _ in range(_BATCH):
                if not self._open or not self._take():
                    return

    def _flush(self) -> None:
        try:
            self._outbox.flush()
        except OSError:
            self._hang_up()
            return
        if self._open and not self._outbox:  # what was sent may have been the end of it
            self._loop.change(self.sock.fileno(), READ)

    def _take(self) -> bool:
        """Handle one message; False if there is none."""
        try:
            data, fds = channel.receive(self.sock, channel.DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            data, fds = b"", []
        if not data:
            self._end()
            return False
        try:
            message = channel.decode(data, self._known)
        except ProtocolError:
            self._dispose(fds)
            self._end()
            return False
        self._on_message(message, fds)
        return True

    def _hang_up(self) -> None:
        """Nothing can be sent any more. What the other side has sent before it went is read first, then this ends."""
        self._sending = False
        self._outbox.clear()
        self._loop.change(self.sock.fileno(), READ)
        self.sock.shutdown(socket.SHUT_RDWR)

    def _end(self) -> None:
        if self._open:
            self.close()
            self._on_end()
