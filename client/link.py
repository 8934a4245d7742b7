"""Connections to the supervisor over ZeroMQ, for one request at a time or several, and a pool of them.

Owns sockets, waiting and reconnecting. What a reply means, and what is sent again, is decided by ``session.py``; what
the requests are for is none of its business. Imported with the first request, not before.

A thread borrows a link for one request and gives it back, so that no request waits for another thread's. Nothing
happens while no request is under way: a connection that was lost meanwhile is made anew by the next request.
"""

from __future__ import annotations

import errno
import math
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import zmq

from ..protocol.codec import MESSAGE_BYTES_MAX
from ..protocol.errors import JobyardError, SupervisorUnavailable
from ..protocol.messages import Request
from .address import Target
from .session import Completion, Session

RECONNECT_FIRST_S = 0.01
RECONNECT_MAX_S = 0.5
IDLE_LINKS_MAX = 32  # more are closed when they are given back
SOCKETS_MAX = 16_384  # two for each link; libzmq's own limit of 1,023 would be met at 500 threads
_POLL_MS_MAX = 86_400_000
_DONTWAIT = int(zmq.DONTWAIT)  # a number is ten times faster here than a member of an enumeration
LOST = (
    zmq.Event.DISCONNECTED
    | zmq.Event.CLOSED
    | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
)
_EVENTS = zmq.Event.HANDSHAKE_SUCCEEDED | LOST
_MONITOR_HEAD = struct.Struct("=Hi")  # number of the event, its value; zmq.utils.monitor would bring in asyncio


class _Wire:
    """One connection, from the attempt to make it to its loss; never connected twice."""

    def __init__(self, context: zmq.Context[Any], endpoint: str) -> None:
        with ExitStack() as opened:
            self.dealer = opened.enter_context(context.socket(zmq.DEALER))
            self.dealer.linger = 0
            # What is in flight is bounded by those who ask; so a frame that is not taken means that nobody is there.
            self.dealer.set_hwm(0)
            self.dealer.maxmsgsize = MESSAGE_BYTES_MAX
            # libzmq would go on connecting for ever, also while nobody waits for anything.
            self.dealer.reconnect_ivl = -1
            self.monitor = opened.enter_context(self.dealer.get_monitor_socket(_EVENTS))
            self.dealer.connect(endpoint)
            self._sockets = opened.pop_all()
        self._poller = zmq.Poller()
        self._poller.register(self.dealer, zmq.POLLIN)
        self._poller.register(self.monitor, zmq.POLLIN)

    def wait(self, until: float) -> list[Any]:
        """The sockets on which there is something to read, as soon as there is; none at ``until``."""
        return [socket for socket, _ in self._poller.poll(milliseconds(until))]

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

    def changes(self) -> Iterator[bool]:
        """True when the connection came up, False when it was lost."""
        while self.monitor.get(zmq.EVENTS) & zmq.POLLIN:
            number, _ = _MONITOR_HEAD.unpack(self.monitor.recv_multipart(zmq.DONTWAIT)[0])
            yield number == zmq.Event.HANDSHAKE_SUCCEEDED

    def close(self) -> None:
        self.dealer.disable_monitor()
        self._sockets.close()


def milliseconds(until: float) -> int | None:
    """How long a poller is to wait for a point of the monotonic clock; None for ever."""
    left = until - time.monotonic()
    return None if left == math.inf else min(math.ceil(max(left, 0.0) * 1000), _POLL_MS_MAX)


class Link:
    """A session and the wire that it has at the moment. Used by one thread at a time."""

    def __init__(self, links: Links) -> None:
        self._links = links
        self._session = Session(links.patience_s, links.target.unavailable)
        self._wire: _Wire | None = None
        self._retry_s = RECONNECT_FIRST_S
        self._retry_at = 0.0
        self._done: dict[str, Any] = {}

    @property
    def context(self) -> zmq.Context[Any]:
        """Of all sockets of this process; it stays open while the link is borrowed."""
        return self._links.context

    def call(self, request: Request, timeout: float) -> Any:
        """Send a request and wait for its reply, at most ``timeout`` seconds (may be infinite).

        Raises:
            JobyardError: the supervisor's answer, or why there is none.
        """
        return self.result(self.start(request, timeout))

    def start(self, request: Request, timeout: float) -> str:
        """Send a request, waiting for nothing but a connection; its id."""
        request_id, frame = self._session.request(request, time.monotonic(), timeout)
        if frame is not None and not self._put(frame):  # it was lost while nobody looked
            self._session.not_sent(request_id)
            self._lose_wire()
        if not self._session.online:
            self._turn_until(request_id, lambda: self._session.online)
        return request_id

    def result(self, request_id: str) -> Any:
        """The reply to a request that was started; raises as ``call``."""
        self._turn_until(request_id, lambda: False)
        outcome = self._done.pop(request_id)
        if isinstance(outcome, JobyardError):
            raise outcome
        return outcome

    def next(self) -> Completion:
        """The end of any request that was started."""
        while not self._done:
            self._turn()
        first = next(iter(self._done))
        return Completion(first, self._done.pop(first))

    def forget(self, request_id: str) -> None:
        """Drop a request that was started."""
        self._done.pop(request_id, None)
        self._session.forget(request_id)

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def _turn_until(self, request_id: str, enough: Callable[[], bool]) -> None:
        try:
            while request_id not in self._done and not enough():
                self._turn()
        except BaseException:  # an interrupt, say: nobody will ask for the answer
            self.forget(request_id)
            raise

    def _turn(self) -> None:
        """Wait for one thing to happen and deal with it."""
        if self._wire is None:
            deadline = min(self._retry_at, self._session.next_deadline())
            time.sleep(max(deadline - time.monotonic(), 0.0))
            if time.monotonic() >= self._retry_at:
                self._open()
        else:
            wire = self._wire
            ready = wire.wait(self._session.next_deadline())
            if wire.dealer in ready:
                self._receive_one(wire)
            if wire.monitor in ready:
                self._follow_wire()
        self._keep(self._session.expire(time.monotonic()))

    def _open(self) -> None:
        try:
            self._wire = _Wire(self._links.context, self._links.target.endpoint)
        except zmq.ZMQError as error:
            path = self._links.target.path
            hint = "raise the limit of open files (ulimit -n), or use fewer threads"
            if error.errno == errno.ENAMETOOLONG:
                hint = f"{len(path)} characters are too many for a socket: use a shorter directory"
            raise SupervisorUnavailable(f"cannot open a connection to {path}: {error}", hint=hint) from None

    def _receive_one(self, wire: _Wire) -> bool:
        """Whether there was a reply."""
        frame = wire.frame()
        if frame is not None:
            self._keep(self._session.receive(frame))
        return frame is not None

    def _follow_wire(self) -> None:
        wire = self._wire
        if wire is None:
            return
        for is_up in wire.changes():
            if is_up:
                self._links.was_up, self._retry_s = True, RECONNECT_FIRST_S
                self._send(self._session.connected())
            else:
                self._lose_wire()
            if self._wire is not wire:
                return

    def _send(self, frames: list[bytes]) -> None:
        if not all(map(self._put, frames)):
            self._lose_wire()

    def _put(self, frame: bytes) -> bool:
        """Whether the frame went out."""
        return self._wire is not None and self._wire.send(frame)

    def _lose_wire(self) -> None:
        while self._wire is not None and self._receive_one(self._wire):
            pass  # what was answered before the end counts
        self.close()
        now = time.monotonic()
        self._retry_at = now + self._retry_s
        self._retry_s = min(2 * self._retry_s, RECONNECT_MAX_S)
        self._keep(self._session.disconnected(now))
        if not self._links.was_up and self._links.target.is_absent():
            self._keep(self._session.expire(math.inf))

    def _keep(self, completions: list[Completion]) -> None:
        self._done.update(completions)


class Links:
    """The links of one process; any thread may borrow one. Of no use after a fork: the new process makes its own.

    Attributes:
        was_up: a supervisor was there once, so one that is away now is likely to come back.
    """

    def __init__(self, target: Target, patience_s: float) -> None:
        self.target = target
        self.patience_s = patience_s
        self.was_up = False
        self.context: zmq.Context[Any] = zmq.Context()
        self.context.set(zmq.MAX_SOCKETS, SOCKETS_MAX)
        self._lock = threading.Lock()
        self._free: list[Link] = []
        self._borrowed_count = 0
        self._closed = False

    def call(self, request: Request, timeout: float) -> Any:
        """As ``Link.call``, over a free link."""
        link = self._take()
        try:
            return link.call(request, timeout)
        finally:
            self._give_back(link)

    @contextmanager
    def borrow(self) -> Iterator[Link]:
        """A link for this thread alone, until the block ends."""
        link = self._take()
        try:
            yield link
        finally:
            self._give_back(link)

    def close(self) -> None:
        """Close the free links; the borrowed ones are closed when they are given back."""
        with self._lock:
            self._closed = True
            self._discard(self._free)

    def _take(self) -> Link:
        with self._lock:
            link = self._free.pop() if self._free else Link(self)
            self._borrowed_count += 1
            return link

    def _give_back(self, link: Link) -> None:
        with self._lock:
            self._borrowed_count -= 1
            self._free.append(link)
            if self._closed or len(self._free) > IDLE_LINKS_MAX:
                self._discard(self._free if self._closed else self._free[IDLE_LINKS_MAX:])

    def _discard(self, links: list[Link]) -> None:
        for link in list(links):
            link.close()
            self._free.remove(link)
        if self._closed and not self._borrowed_count:
            self.context.term()
