"""The notice socket: an XPUB. Owns subscriptions and sending; knows no notices.

It has an I/O thread of its own, so that writing to a hundred subscribers does not hold up the replies to requests. A
subscriber that does not read has a bounded number of messages waiting, and loses those after them. libzmq keeps every
subscription, whatever it is for; when there are too many, it is made to forget them all, and subscribers come again.
"""

from __future__ import annotations

from collections.abc import Sequence

import zmq

from ..conf.settings import LimitSettings
from ..protocol.topics import TOPIC_BYTES_MAX
from .entrance import Entrance
from .gate import Gate
from .sockets import HANDSHAKE_MS, LINGER_MS

BATCH_MAX = 256
SUBSCRIBING_HWM = 1_000  # subscriptions of one subscriber that nobody has read yet
_DONTWAIT, _POLLIN = int(zmq.DONTWAIT), int(zmq.POLLIN)


class Publisher:
    """Never blocks.

    Args:
        limits: ``unsent_notices`` wait for one subscriber; ``subscriptions`` may be in force.
    """

    def __init__(self, entrance: Entrance, limits: LimitSettings) -> None:
        self.told = entrance.told
        self._entrance = entrance
        self.window = limits.unsent_notices // 2
        self._subscribed = 0
        self._subscribed_max = limits.subscriptions
        self._context = zmq.Context(io_threads=1)
        self.socket = self._context.socket(zmq.XPUB)
        self.socket.set(zmq.LINGER, 0)
        self.socket.set(zmq.MAXMSGSIZE, TOPIC_BYTES_MAX)
        self.socket.set(zmq.SNDHWM, limits.unsent_notices)
        self.socket.set(zmq.RCVHWM, SUBSCRIBING_HWM)
        self.socket.set(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
        self.gate = Gate("status stream", self._context, self.socket, entrance, limits.connections)

    def subscriptions(self) -> list[tuple[bool, bytes]]:
        """Topics that got their first subscriber (True) or lost the last; a bounded number, the loop comes again.

        libzmq passes on when a peer cancels what it never subscribed to, even if others have. So only the word of
        libzmq itself counts, which comes from nobody, when the last connection with a subscription is gone.
        """
        found: list[tuple[bool, bytes]] = []
        while len(found) < BATCH_MAX and int(self.socket.get(zmq.EVENTS)) & _POLLIN:
            frame = self.socket.recv(_DONTWAIT, copy=False)
            message = frame.bytes
            while frame.more:
                frame = self.socket.recv(_DONTWAIT, copy=False)
            begun = message[:1] == b"\1"
            if not begun and (message[:1] != b"\0" or _has_sender(frame)):
                continue
            self._subscribed += 1 if begun else -1
            found.append((begun, message[1:]))
        if self._subscribed > self._subscribed_max:
            self.gate.cut(f"there are more than {self._subscribed_max:,} subscriptions ([limits] subscriptions)")
        return found

    def mind_keys(self) -> bool:
        """Whether whoever listens still may; else all are sent away, since libzmq cannot close one connection."""
        valid = self._entrance.all_valid()
        if not valid:
            self.gate.cut("a key of a subscriber was revoked")
        return valid

    def send(self, topic: bytes, frames: Sequence[bytes]) -> None:
        """To all subscribers of the topic that have room."""
        # Take in first who has made room: libzmq looks for that now and then only. So whoever loses this message has
        # at least half of ``unsent_max`` still to read, which is what ``window`` rests on.
        self.socket.get(zmq.EVENTS)
        self.socket.send_multipart([topic, *frames], _DONTWAIT)

    def close(self) -> None:
        self.gate.close(LINGER_MS)


def _has_sender(frame: zmq.Frame) -> bool:
    try:
        return bool(frame.get("Peer-Address"))
    except zmq.ZMQError:
        return False
