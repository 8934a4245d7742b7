"""The notice socket: an XPUB on an owner-only IPC address. Owns binding, subscriptions and sending; knows no notices.

It has an I/O thread of its own, so that writing to a hundred subscribers does not hold up the replies to requests. A
subscriber that does not read has a bounded number of messages waiting, and loses those after them.
"""

from __future__ import annotations

from collections.abc import Sequence

import zmq

from ..protocol.topics import TOPIC_BYTES_MAX
from .sockets import HANDSHAKE_MS, LINGER_MS, bind, unlink

BATCH_MAX = 256
_DONTWAIT, _POLLIN = int(zmq.DONTWAIT), int(zmq.POLLIN)


class Publisher:
    """Never blocks.

    Args:
        unsent_max: messages that wait for one subscriber.
    """

    def __init__(self, path: str, unsent_max: int) -> None:
        self.path = path
        self.window = unsent_max // 2
        self._context = zmq.Context(io_threads=1)
        self.socket = self._context.socket(zmq.XPUB)
        self.socket.set(zmq.LINGER, 0)
        self.socket.set(zmq.MAXMSGSIZE, TOPIC_BYTES_MAX)
        self.socket.set(zmq.SNDHWM, unsent_max)
        self.socket.set(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
        bind(self.socket, path)

    def subscriptions(self) -> list[tuple[bool, bytes]]:
        """Topics that got their first subscriber (True) or lost the last; a bounded number, the loop comes again."""
        found: list[tuple[bool, bytes]] = []
        while len(found) < BATCH_MAX and int(self.socket.get(zmq.EVENTS)) & _POLLIN:
            message = self.socket.recv(_DONTWAIT)
            found.append((message[:1] == b"\1", message[1:]))
        return found

    def send(self, topic: bytes, frames: Sequence[bytes]) -> None:
        """To all subscribers of the topic that have room."""
        # Take in first who has made room: libzmq looks for that now and then only. So whoever loses this message has
        # at least half of ``unsent_max`` still to read, which is what ``window`` rests on.
        self.socket.get(zmq.EVENTS)
        self.socket.send_multipart([topic, *frames], _DONTWAIT)

    def close(self) -> None:
        self.socket.close(LINGER_MS)
        self._context.term()
        unlink(self.path)
