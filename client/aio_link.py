"""Connections to the supervisor for event loops: one to a loop, on which the requests of all its tasks are under way.

Owns waking up (the loop watches the descriptors of the sockets, and one timer), and which loop has which connection.
Nothing happens while no request is under way. Only ``aio.py`` imports it, and not before the first request.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from typing import Any, Protocol

from ..protocol.errors import JobyardError
from ..protocol.messages import Request
from .address import Target
from .aio_watch import Watch
from .connection import Connection, Place, Wire
from .session import Completion, is_parked

IN_FLIGHT_MAX = 256  # requests that are to be answered at once; more wait their turn, and their time begins with it
RECEIVED_AT_ONCE = 100  # replies, before other tasks have their turn


class Listener(Protocol):
    """One who follows the status stream."""

    def close(self) -> None: ...


class AsyncLink(Connection):
    """The connection of one client in one event loop. Every method is to be called in that loop."""

    def __init__(self, links: AsyncLinks, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(links)
        self._links = links
        self.loop = loop
        self.watch = Watch(self)
        self._turns = asyncio.Semaphore(IN_FLIGHT_MAX)
        self._futures: dict[str, asyncio.Future[Any]] = {}
        self._listeners: set[Listener] = set()
        self._watched: list[int] = []
        self._turn_is_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._retired = False

    async def call(self, request: Request, timeout: float) -> Any:
        """Send a request; its reply, within ``timeout`` seconds (may be infinite). When cancelled, it is given up.

        Raises:
            JobyardError: the supervisor's answer, or why there is none.
        """
        if is_parked(request):
            return await self._call(request, timeout)
        async with self._turns:
            return await self._call(request, timeout)

    def start(self, request: Request, timeout: float) -> tuple[str, asyncio.Future[Any]]:
        """Send a request; its id, and what will be its reply or error."""
        future: asyncio.Future[Any] = self.loop.create_future()
        request_id = self.send(request, timeout)
        self._futures[request_id] = future
        self._soon()
        return request_id, future

    def forget(self, request_id: str) -> None:
        """Drop a request that was started."""
        self._futures.pop(request_id, None)
        self.session.forget(request_id)
        self._settle()

    def join(self, listener: Listener) -> None:
        """Stay open until it leaves."""
        self._listeners.add(listener)

    def leave(self, listener: Listener) -> None:
        if listener in self._listeners:
            self._listeners.remove(listener)
            self._settle()

    def abandon(self) -> None:
        """Close at once: the loop has ended, and nobody waits there any more."""
        listeners, self._listeners = self._listeners, set()
        for listener in listeners:
            listener.close()
        self.close()
        self._links.closed(self)

    def retire(self) -> None:
        """Close as soon as no request is under way, and nobody listens."""
        self._retired = True
        self._settle()

    def keep(self, completions: list[Completion]) -> None:
        for request_id, outcome in completions:
            future = self._futures.pop(request_id, None)
            if future is not None and not future.done():
                future.set_result(outcome)

    def wire_opened(self, wire: Wire) -> None:
        self._watched = [wire.dealer.fileno(), wire.monitor.fileno()]
        for fd in self._watched:
            self.loop.add_reader(fd, self._turn)

    def wire_closing(self, wire: Wire) -> None:
        if not self.loop.is_closed():
            for fd in self._watched:
                self.loop.remove_reader(fd)

    async def _call(self, request: Request, timeout: float) -> Any:
        request_id, future = self.start(request, timeout)
        try:
            outcome = await future
        finally:
            self.forget(request_id)
        if isinstance(outcome, JobyardError):
            raise outcome
        return outcome

    def _soon(self) -> None:
        """Take a turn when the loop comes round: sending may have used up the sockets' wake-up."""
        if not self._turn_is_due:
            self._turn_is_due = True
            self.loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Deal with all that has happened. The descriptors tell of news once, so nothing may be left unread."""
        self._turn_is_due = False
        if self.wire is None and self._futures and time.monotonic() >= self.retry_at:
            self._connect()
        if self.wire is not None:
            self.follow(self.wire)  # before the replies are read, since it sends what has waited for a connection
        if self.wire is not None:
            self._receive(self.wire)
        self.expire()
        self._settle()

    def _receive(self, wire: Wire) -> None:
        for _ in range(RECEIVED_AT_ONCE):
            if not self.receive_one(wire):
                return
        self._soon()

    def _connect(self) -> None:
        try:
            self.open()
        except JobyardError as error:
            for request_id in list(self._futures):
                self.session.forget(request_id)
                self.keep([Completion(request_id, error)])

    def _settle(self) -> None:
        """Set the timer for what comes next, or close where nothing comes any more."""
        at = self.session.next_deadline()
        if self.wire is None and self._futures:
            at = min(at, self.retry_at)
        if at != self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = at
            left = max(0.0, at - time.monotonic())
            self._timer = None if at == math.inf else self.loop.call_later(left, self._timer_fired)
        if self._retired and not self._futures and not self._listeners:
            self.close()
            self._links.closed(self)

    def _timer_fired(self) -> None:
        self._timer, self._timer_at = None, math.inf
        self._turn()


class AsyncLinks(Place):
    """The links of one process, one for each event loop. Of no use after a fork: the new process makes its own."""

    def __init__(self, target: Target, patience_s: float) -> None:
        super().__init__(target, patience_s)
        self._lock = threading.Lock()
        self._by_loop: dict[asyncio.AbstractEventLoop, AsyncLink] = {}
        self._retired = False

    def here(self) -> AsyncLink:
        """The link of the loop that is running."""
        loop = asyncio.get_running_loop()
        link = self._by_loop.get(loop)
        if link is None:
            for ended in [one for one in list(self._by_loop.values()) if one.loop.is_closed()]:
                ended.abandon()
            with self._lock:
                link = self._by_loop[loop] = AsyncLink(self, loop)
        return link

    def retire(self) -> None:
        """Close every link as soon as no request is under way on it. May be called from any thread."""
        self._retired = True
        for link in list(self._by_loop.values()):
            try:
                if not link.loop.is_running():
                    link.abandon()
                elif link.loop is _running_loop():
                    link.retire()
                else:
                    link.loop.call_soon_threadsafe(link.retire)
            except RuntimeError:  # the loop was closed meanwhile
                link.abandon()
        self._end()

    def closed(self, link: AsyncLink) -> None:
        """Called when a link has closed for good."""
        with self._lock:
            self._by_loop.pop(link.loop, None)
        self._end()

    def _end(self) -> None:
        if self._retired and not self._by_loop:
            self.context.term()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
