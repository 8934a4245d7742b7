"""The status stream over ZeroMQ, for one thread: subscribes, waits, and asks for what was missed.

Owns the SUB socket, one for each connection, and what happens when it is lost. What is missing, and what is new, is
decided by ``events.py``; requests travel as all others do. Nothing here polls: it waits on the socket.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import zmq

from ..protocol import topics
from ..protocol.codec import MESSAGE_BYTES_MAX
from ..protocol.errors import SupervisorUnavailable
from ..protocol.notices import EventsReply, Notice
from .events import Follower
from .link import LOST, RECONNECT_FIRST_S, RECONNECT_MAX_S, Link, milliseconds

if TYPE_CHECKING:
    from .sync import Client

UNREAD_MAX = 1_000  # messages that wait for this process; those after them wait for it at the supervisor


class _Subscription:
    """One connection to the notice socket; never connected twice."""

    def __init__(self, context: zmq.Context[Any], path: str, topic: bytes) -> None:
        self._hello = topics.HELLO + secrets.token_hex(8).encode() + b"/" + topic
        with ExitStack() as opened:
            self._sub = opened.enter_context(context.socket(zmq.SUB))
            self._sub.linger = 0
            self._sub.set(zmq.RCVHWM, UNREAD_MAX)
            self._sub.maxmsgsize = MESSAGE_BYTES_MAX
            self._sub.reconnect_ivl = -1
            self._monitor = opened.enter_context(self._sub.get_monitor_socket(LOST))
            self._sub.connect(f"ipc://{path}")
            self._sub.subscribe(topic)
            self._sub.subscribe(self._hello)  # in this order: its answer says that both are in effect
            self._sockets = opened.pop_all()
        self._poller = zmq.Poller()
        self._poller.register(self._sub, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)

    def ready(self, until: float) -> bool:
        """Wait until the supervisor has taken the subscription; False if the connection is lost, or at ``until``.

        Raises:
            QueueFull: it has no room for one more topic.
        """
        for frames in self.messages(until):
            if frames[0] == self._hello:
                topics.unpack(frames).notices()
                return True
        return False

    def messages(self, until: float = math.inf) -> Iterator[list[bytes]]:
        """What is published, until the connection is lost, or nothing has come at ``until``."""
        connected = True
        while connected:
            ready = dict(self._poller.poll(milliseconds(until)))
            connected = bool(ready) and self._monitor not in ready
            while int(self._sub.get(zmq.EVENTS)) & zmq.POLLIN:  # also what came before the end
                yield self._sub.recv_multipart(zmq.DONTWAIT)

    def close(self) -> None:
        self._sub.disable_monitor()
        self._sockets.close()


class _Patience:
    """With a notice socket that cannot be reached while requests are answered."""

    def __init__(self, path: str, timeout: float) -> None:
        self._path = path
        self._until = time.monotonic() + timeout
        self._pause_s = RECONNECT_FIRST_S

    def wait(self) -> None:
        """
        Raises:
            SupervisorUnavailable: it is over.
        """
        if time.monotonic() >= self._until:
            raise SupervisorUnavailable(
                f"the supervisor answers, but its status stream at {self._path} cannot be reached",
                hint="jobctl down, then jobctl up: somebody has removed the socket",
            )
        time.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, RECONNECT_MAX_S)


def follow(client: Client, follower: Follower, first: EventsReply, timeout: float) -> Generator[Notice, None, None]:
    """The notices, as they come; connects when the first is asked for.

    Args:
        first: the reply to the follower's first request.
        timeout: seconds to wait for a supervisor that is away, and for each answer.
    """
    yield from follower.answered(first)
    reply, patience = first, None
    with client.borrow() as link:
        while not follower.ended:
            with closing(_open(link, reply.socket, topics.for_filter(follower.wanted))) as subscription:
                if subscription.ready(time.monotonic() + timeout):
                    patience = None
                    follower.lost()  # what was published before the subscription
                    if (yield from _listen(link, subscription, follower, timeout)):
                        return
                else:
                    patience = patience or _Patience(reply.socket, timeout)
                    patience.wait()
            follower.lost()
            reply = link.call(follower.request(), timeout)
            yield from follower.answered(reply)


def _listen(
    link: Link, subscription: _Subscription, follower: Follower, timeout: float
) -> Generator[Notice, None, bool]:
    """Until the follower is done (True), or the connection is lost."""
    messages = subscription.messages()
    yield from _catch_up(link, follower, timeout)
    while not follower.ended:
        frames = next(messages, None)
        if frames is None:
            return False
        yield from follower.published(frames)
        yield from _catch_up(link, follower, timeout)
    return True


def _catch_up(link: Link, follower: Follower, timeout: float) -> Generator[Notice, None, None]:
    while follower.behind:
        reply: EventsReply = link.call(follower.request(), timeout)
        yield from follower.answered(reply)


def _open(link: Link, path: str, topic: bytes) -> _Subscription:
    try:
        return _Subscription(link.context, path, topic)
    except zmq.ZMQError as error:
        raise SupervisorUnavailable(
            f"cannot open a connection to {path}: {error}", hint="raise the limit of open files (ulimit -n)"
        ) from None
