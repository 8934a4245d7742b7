"""The zygote's one connection to a supervisor: who may connect, and who may not.

Owns the handshake. A supervisor says ``Hello`` with its generation; a lower one is refused, a higher one replaces the
connection that is there. What is said after that is the zygote's business.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from typing import Any

from . import channel
from .channel import Hello, Message
from .loop import Loop
from .wire import Wire


class Link:
    """Accepts connections on ``listener``.

    Args:
        greet: called when a supervisor was accepted.
        on_message: called with each of its messages.
        on_lost: called when it is gone.
    """

    def __init__(
        self,
        loop: Loop,
        listener: socket.socket,
        greet: Callable[[], None],
        on_message: Callable[[Any], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._greet = greet
        self._on_message = on_message
        self._on_lost = on_lost
        self._wire: Wire | None = None
        self._generation = 0
        self._salt: str | None = None
        listener.setblocking(False)
        loop.watch(listener.fileno(), self._accept)

    @property
    def connected(self) -> bool:
        return self._wire is not None

    def put(self, message: Message, fds: tuple[int, ...] = ()) -> None:
        """Tell the supervisor; without one nothing happens, since the next one is told everything."""
        if self._wire is not None:
            self._wire.put(message, fds)

    def drain(self) -> None:
        """Handle all that the supervisor has sent."""
        if self._wire is not None:
            self._wire.drain()

    def _accept(self, events: int) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:  # it has gone again, or there is no descriptor left for it
            return
        if peer_uid(sock) not in (0, os.geteuid()):
            sock.close()
            return
        wires: list[Wire] = []
        wire = Wire(
            self._loop,
            sock,
            channel.TO_ZYGOTE,
            lambda message, fds: self._message(wires[0], message, fds),
            lambda: self._ended(wires[0]),
        )
        wires.append(wire)

    def _message(self, wire: Wire, message: Any, fds: list[int]) -> None:
        channel.close_all(fds)
        if wire is self._wire:
            self._on_message(message)
        elif isinstance(message, Hello) and isinstance(message.generation, int):  # anybody of this user may connect
            self._hello(wire, message)
        else:
            wire.close()

    def _hello(self, wire: Wire, hello: Hello) -> None:
        why = self._objection(hello)
        if why is not None:
            wire.put(channel.Refused(why))
            wire.close()
            return
        if self._wire is not None:
            self._wire.drain()  # what the former one has said before it went holds
        if self._wire is not None:
            self._wire.close()
        self._wire, self._generation, self._salt = wire, hello.generation, hello.salt
        self._greet()

    def _objection(self, hello: Hello) -> str | None:
        if hello.version not in channel.ADOPTION_VERSIONS:
            spoken = ", ".join(map(str, channel.ADOPTION_VERSIONS))
            return f"this zygote speaks adoption version {spoken}, not {hello.version}"
        if self._salt is not None and hello.salt != self._salt:
            return "this zygote belongs to another journal"
        if hello.generation < self._generation or (hello.generation == self._generation and self.connected):
            return f"a supervisor of generation {self._generation} has this zygote; {hello.generation} is not newer"
        return None

    def _ended(self, wire: Wire) -> None:
        if wire is self._wire:
            self._wire = None
            self._on_lost()


def peer_uid(sock: socket.socket) -> int:
    """The user at the other end of a unix socket."""
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", raw)[1])
