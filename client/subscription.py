"""A connection to the status stream over ZeroMQ that never waits: for a thread and for an event loop.

Owns the SUB socket. What its messages mean is decided by ``events.py``; how to wait for them is the business of
``stream.py`` (a thread) and ``aio_stream.py`` (an event loop).
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import zmq

from ..protocol.codec import MESSAGE_BYTES_MAX
from ..protocol.errors import SupervisorUnavailable
from .address import Target
from .connection import LOST, use_key
from .events import Subscribe

UNREAD_MAX = 1_000  # messages that wait for this process; those after them wait for it at the supervisor
# Numbers are faster here than members of an enumeration.
_DONTWAIT, _EVENTS, _POLLIN = int(zmq.DONTWAIT), int(zmq.EVENTS), int(zmq.POLLIN)


class Subscription:
    """One connection to the notice socket; never connected twice.

    Raises:
        SupervisorUnavailable: it cannot even be tried.
    """

    def __init__(self, context: zmq.Context[Any], target: Target, wanted: Subscribe) -> None:
        try:
            door = target.door().beside(wanted.path)
        except FileNotFoundError:
            raise target.unavailable() from None
        try:
            with ExitStack() as opened:
                self.sub = opened.enter_context(context.socket(zmq.SUB))
                self.sub.linger = 0
                self.sub.set(zmq.RCVHWM, UNREAD_MAX)
                self.sub.maxmsgsize = MESSAGE_BYTES_MAX
                self.sub.reconnect_ivl = -1
                use_key(self.sub, door)
                self.monitor = opened.enter_context(self.sub.get_monitor_socket(LOST))
                self.sub.connect(door.endpoint)
                for topic in wanted.topics:
                    self.sub.subscribe(topic)
                self._sockets = opened.pop_all()
        except zmq.ZMQError as error:
            raise SupervisorUnavailable(
                f"cannot open a connection to {wanted.path}: {error}", hint="raise the limit of open files (ulimit -n)"
            ) from None

    def take(self) -> list[bytes] | None:
        """The next message that is here, if any; also what came before the connection was lost."""
        return self.sub.recv_multipart(_DONTWAIT) if int(self.sub.get(_EVENTS)) & _POLLIN else None

    def is_lost(self) -> bool:
        """Whether the connection is gone."""
        return bool(int(self.monitor.get(zmq.EVENTS)) & zmq.POLLIN)

    def close(self) -> None:
        self.sub.disable_monitor()
        self._sockets.close()
