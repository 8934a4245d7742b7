"""A connection to the supervisor over ZeroMQ that never waits: what is shared by those that wait in their own way.

Owns sockets, what is read from and written to them, and when a connection is made anew. What a reply means, and what
is sent again, is decided by ``session.py``; how to wait for the sockets is the business of ``link.py`` (a thread) and
``aio_link.py`` (an event loop).
"""

from __future__ import annotations

import errno
import math
import struct
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import zmq

from ..protocol.codec import MESSAGE_BYTES_MAX
from ..protocol.errors import SupervisorUnavailable
from ..protocol.messages import Request
from .address import Door, Target
from .session import RECONNECT_FIRST_S, RECONNECT_MAX_S, Completion, Session

HANDSHAKE_MS = 5_000  # over TCP somebody else may listen there, who says nothing
SOCKETS_MAX = 16_384  # two for each connection; libzmq's own limit of 1,023 would be met at 500 threads
_DONTWAIT = int(zmq.DONTWAIT)  # a number is ten times faster here than a member of an enumeration
LOST = (
    zmq.Event.DISCONNECTED
    | zmq.Event.CLOSED
    | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
    | zmq.Event.HANDSHAKE_FAILED_AUTH
)
_EVENTS = zmq.Event.HANDSHAKE_SUCCEEDED | LOST
_MONITOR_HEAD = struct.Struct("=Hi")  # number of the event, its value; zmq.utils.monitor would bring in asyncio


class Place:
    """What the connections of one client in one process share. Of no use after a fork.

    Attributes:
        was_up: a supervisor was there once, so one that is away now is likely to come back.
    """

    def __init__(self, target: Target, patience_s: float) -> None:
        self.target = target
        self.patience_s = patience_s
        self.was_up = False
        self.context: zmq.Context[Any] = zmq.Context()
        self.context.set(zmq.MAX_SOCKETS, SOCKETS_MAX)


class Wire:
    """One connection, from the attempt to make it to its loss; never connected twice."""

    def __init__(self, context: zmq.Context[Any], door: Door) -> None:
        with ExitStack() as opened:
            self.dealer = opened.enter_context(context.socket(zmq.DEALER))
            self.dealer.linger = 0
            # What is in flight is bounded by those who ask; so a frame that is not taken means that nobody is there.
            self.dealer.set_hwm(0)
            self.dealer.maxmsgsize = MESSAGE_BYTES_MAX
            # libzmq would go on connecting for ever, also while nobody waits for anything.
            self.dealer.reconnect_ivl = -1
            use_key(self.dealer, door)
            self.monitor = opened.enter_context(self.dealer.get_monitor_socket(_EVENTS))
            self.dealer.connect(door.endpoint)
            self._sockets = opened.pop_all()

    def send(self, frame: bytes) -> bool:
        """Whether the frame was taken."""
        try:
            self.dealer.send(frame, _DONTWAIT)
        except zmq.Again:
            return False
        return True

    def frame(self) -> bytes | None:
        """The next reply that is here, if any."""
        try:
            frame = self.dealer.recv(_DONTWAIT, copy=False)
            parts = [frame.bytes]
            while frame.more:
                frame = self.dealer.recv(_DONTWAIT, copy=False)
                parts.append(frame.bytes)
        except zmq.Again:
            return None
        return b"".join(parts)

    def changes(self) -> Iterator[zmq.Event]:
        """HANDSHAKE_SUCCEEDED when the connection came up, one of LOST when it was lost."""
        while self.monitor.get(zmq.EVENTS) & zmq.POLLIN:
            number, _ = _MONITOR_HEAD.unpack(self.monitor.recv_multipart(zmq.DONTWAIT)[0])
            yield zmq.Event(number)

    def close(self) -> None:
        self.dealer.disable_monitor()
        self._sockets.close()


def use_key(socket: zmq.Socket[bytes], door: Door) -> None:
    """Let a socket prove who it is, and accept one supervisor only, where the door asks for that."""
    if door.key is not None:
        socket.set(zmq.CURVE_SERVERKEY, door.key.server_key.encode())
        socket.set(zmq.CURVE_PUBLICKEY, door.key.public_key.encode())
        socket.set(zmq.CURVE_SECRETKEY, door.key.secret_key.encode())
        socket.set(zmq.IPV6, "[" in door.endpoint)
        socket.set(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)


class Connection(ABC):
    """A session and the wire that it has at the moment. Used by one thread at a time."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.session = Session(place.patience_s, place.target.unavailable)
        self.wire: Wire | None = None
        self.retry_at = 0.0
        self._retry_s = RECONNECT_FIRST_S

    @abstractmethod
    def keep(self, completions: list[Completion]) -> None:
        """Called with the requests that have ended."""

    @abstractmethod
    def wire_opened(self, wire: Wire) -> None:
        """Called when there is a wire to watch."""

    @abstractmethod
    def wire_closing(self, wire: Wire) -> None:
        """Called just before a wire is closed."""

    def send(self, request: Request, timeout: float) -> str:
        """Begin a request, which goes out now or once there is a connection; its id."""
        request_id, frame = self.session.request(request, time.monotonic(), timeout)
        if frame is not None and not self._put(frame):  # it was lost while nobody looked
            self.session.not_sent(request_id)
            self._lose_wire()
        return request_id

    def open(self) -> None:
        """Begin to connect.

        Raises:
            SupervisorUnavailable: that cannot even be tried.
            InvalidConfig: the key file is of no use.
        """
        target = self.place.target
        try:
            self.wire = Wire(self.place.context, target.door())
        except FileNotFoundError:  # no key file: as if nobody listened
            self._lose_wire()
            return
        except zmq.ZMQError as error:
            hint = "raise the limit of open files (ulimit -n), or use fewer threads"
            if target.is_tcp and error.errno == errno.EINVAL:
                hint = f"look at the address and the keys in {target.path}; jobctl key new NAME makes another"
            if error.errno == errno.ENAMETOOLONG:
                hint = f"{len(target.path)} characters are too many for a socket: use a shorter directory"
            raise SupervisorUnavailable(f"cannot open a connection to {target.path}: {error}", hint=hint) from None
        self.wire_opened(self.wire)

    def receive_one(self, wire: Wire) -> bool:
        """Whether there was a reply."""
        frame = wire.frame()
        if frame is not None:
            self.keep(self.session.receive(frame))
        return frame is not None

    def follow(self, wire: Wire) -> None:
        """Take note of what became of the connection."""
        for change in wire.changes():
            if change == zmq.Event.HANDSHAKE_SUCCEEDED:
                self.place.was_up, self._retry_s = True, RECONNECT_FIRST_S
                if not all(map(self._put, self.session.connected())):
                    self._lose_wire()
            else:
                if change == zmq.Event.HANDSHAKE_FAILED_AUTH:
                    self.keep(self.session.refuse(self.place.target.unauthorised))
                self._lose_wire()
            if self.wire is not wire:
                return

    def expire(self) -> None:
        """End the requests whose time is over."""
        self.keep(self.session.expire(time.monotonic()))

    def close(self) -> None:
        if self.wire is not None:
            self.wire_closing(self.wire)
            self.wire.close()
            self.wire = None

    def _put(self, frame: bytes) -> bool:
        """Whether the frame went out."""
        return self.wire is not None and self.wire.send(frame)

    def _lose_wire(self) -> None:
        while self.wire is not None and self.receive_one(self.wire):
            pass  # what was answered before the end counts
        self.close()
        now = time.monotonic()
        self.retry_at = now + self._retry_s
        self._retry_s = min(2 * self._retry_s, RECONNECT_MAX_S)
        self.keep(self.session.disconnected(now))
        if not self.place.was_up and self.place.target.is_absent():
            self.keep(self.session.expire(math.inf))
