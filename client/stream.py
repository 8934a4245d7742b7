"""Following the status stream in a thread: waits for what ``events.py`` wants to have next. Nothing here polls."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import zmq

from ..protocol.notices import EventsReply, Notice
from . import events
from .link import Link, milliseconds
from .steps import Pause, drive
from .subscription import Subscription

if TYPE_CHECKING:
    from .sync import Client


class _Listener:
    """Does the steps of one who follows, over a link and one subscription after another."""

    def __init__(self, link: Link, timeout: float) -> None:
        self._link = link
        self._timeout = timeout
        self._subscription: Subscription | None = None
        self._poller = zmq.Poller()

    def do(self, step: events.Step) -> Any:
        match step:
            case events.Receive():
                return self._receive(step.until)
            case events.Subscribe():
                return self._open(step)
            case Pause():
                return time.sleep(step.seconds)
            case _:
                return self._link.call(step, self._timeout)

    def close(self) -> None:
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None

    def _open(self, wanted: events.Subscribe) -> None:
        self.close()
        self._subscription = Subscription(self._link.context, self._link.place.target, wanted)
        self._poller = zmq.Poller()
        self._poller.register(self._subscription.sub, zmq.POLLIN)
        self._poller.register(self._subscription.monitor, zmq.POLLIN)

    def _receive(self, until: float) -> list[bytes] | None:
        subscription = self._subscription
        assert subscription is not None
        lost = False
        while (frames := subscription.take()) is None and not lost:
            ready = self._poller.poll(milliseconds(until))
            if not ready:
                return None
            lost = any(socket is subscription.monitor for socket, _ in ready)
        return frames


def follow(
    client: Client, follower: events.Follower, first: EventsReply, timeout: float
) -> Generator[Notice, None, None]:
    """The notices, as they come; connects when the first is asked for.

    Args:
        first: the reply to the follower's first request.
        timeout: seconds to wait for a supervisor that is away, and for each answer.
    """
    with client.borrow() as link, closing(_Listener(link, timeout)) as listener:
        yield from drive(events.follow(follower, first, timeout, time.monotonic), listener.do)
