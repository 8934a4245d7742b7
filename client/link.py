"""Connections to the supervisor for threads, for one request at a time or several, and a pool of them.

Owns waiting, and which thread has which connection. What the requests are for is none of its business. Imported with
the first request, not before.

A thread borrows a link for one request and gives it back, so that no request waits for another thread's. Nothing
happens while no request is under way: a connection that was lost meanwhile is made anew by the next request.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import zmq

from ..protocol.errors import JobyardError
from ..protocol.messages import Request
from .address import Target
from .connection import Connection, Place, Wire
from .session import Completion

IDLE_LINKS_MAX = 32  # more are closed when they are given back
_POLL_MS_MAX = 86_400_000


def milliseconds(until: float) -> int | None:
    """How long a poller is to wait for a point of the monotonic clock; None for ever."""
    left = until - time.monotonic()
    return None if left == math.inf else min(math.ceil(max(left, 0.0) * 1000), _POLL_MS_MAX)


class Link(Connection):
    """A connection that waits in the thread that uses it. Used by one thread at a time."""

    def __init__(self, links: Links) -> None:
        super().__init__(links)
        self._poller = zmq.Poller()
        self._done: dict[str, Any] = {}

    @property
    def context(self) -> zmq.Context[Any]:
        """Of all sockets of this process; it stays open while the link is borrowed."""
        return self.place.context

    def call(self, request: Request, timeout: float) -> Any:
        """Send a request and wait for its reply, at most ``timeout`` seconds (may be infinite).

        Raises:
            JobyardError: the supervisor's answer, or why there is none.
        """
        return self.result(self.start(request, timeout))

    def start(self, request: Request, timeout: float) -> str:
        """Send a request, waiting for nothing but a connection; its id."""
        request_id = self.send(request, timeout)
        if not self.session.online:
            self._turn_until(request_id, lambda: self.session.online)
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
        self.session.forget(request_id)

    def keep(self, completions: list[Completion]) -> None:
        self._done.update(completions)

    def wire_opened(self, wire: Wire) -> None:
        self._poller.register(wire.dealer, zmq.POLLIN)
        self._poller.register(wire.monitor, zmq.POLLIN)

    def wire_closing(self, wire: Wire) -> None:
        self._poller = zmq.Poller()

    def _turn_until(self, request_id: str, enough: Callable[[], bool]) -> None:
        try:
            while request_id not in self._done and not enough():
                self._turn()
        except BaseException:  # an interrupt, say: nobody will ask for the answer
            self.forget(request_id)
            raise

    def _turn(self) -> None:
        """Wait for one thing to happen and deal with it."""
        if self.wire is None:
            deadline = min(self.retry_at, self.session.next_deadline())
            time.sleep(max(deadline - time.monotonic(), 0.0))
            if time.monotonic() >= self.retry_at:
                self.open()
        else:
            wire = self.wire
            ready = [socket for socket, _ in self._poller.poll(milliseconds(self.session.next_deadline()))]
            if wire.dealer in ready:
                self.receive_one(wire)
            if wire.monitor in ready:
                self.follow(wire)
        self.expire()


class Links(Place):
    """The links of one process; any thread may borrow one. Of no use after a fork: the new process makes its own."""

    def __init__(self, target: Target, patience_s: float) -> None:
        super().__init__(target, patience_s)
        self._lock = threading.RLock()  # a handler of a signal may ask for something wherever its thread is
        self._free: list[Link] = []
        self._borrowed_count = 0
        self._closed = False

    def call(self, request: Request, timeout: float) -> Any:
        """As ``Link.call``, over a free link."""
        link, whole = self._take(), False
        try:
            reply = link.call(request, timeout)
            whole = True
            return reply
        except JobyardError:
            whole = True
            raise
        finally:
            self._give_back(link, whole)

    @contextmanager
    def borrow(self) -> Iterator[Link]:
        """A link for this thread alone, until the block ends."""
        link, whole = self._take(), False
        try:
            yield link
            whole = True
        except (JobyardError, GeneratorExit):
            whole = True
            raise
        finally:
            self._give_back(link, whole)

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

    def _give_back(self, link: Link, whole: bool) -> None:
        """``whole``: it was not interrupted in the middle of something, as by Ctrl-C, after which it knows nothing."""
        with self._lock:
            self._borrowed_count -= 1
            if whole:
                self._free.append(link)
            else:
                link.close()
            if self._closed or len(self._free) > IDLE_LINKS_MAX:
                self._discard(self._free if self._closed else self._free[IDLE_LINKS_MAX:])

    def _discard(self, links: list[Link]) -> None:
        for link in list(links):
            self._free.remove(link)
            link.close()
        if self._closed and not self._borrowed_count:
            self.context.term()
