"""One bound socket: lets libzmq listen, counts connections, and closes them all when there are too many.

libzmq ends the process when it finds no descriptor for a connection that it is to accept. The kernel gives the lowest
that is free, so the number of the last one tells how near that is. Where it comes near, or where somebody opens more
connections than may be, listening ends, and with it every connection: whoever still wants something connects again, as
after a restart of the supervisor, and those that were only left open are gone.
"""

from __future__ import annotations

import logging
import os
import resource
import struct
import sys
from typing import Any

import zmq

from ..protocol.errors import InvalidConfig
from . import clock
from .entrance import Entrance, Source

log = logging.getLogger("jobyard")
PAUSE_S = 1.0  # without listening; who comes meanwhile waits in the kernel's queue
DESCRIPTORS_PART = 0.8  # that may be taken before listening ends
DESCRIPTORS_FREE = 64  # that a start needs for sockets, disk and pools
EVENTS_AT_ONCE = 512
_HEAD = struct.Struct("=Hi")  # number of the event, its value; zmq.utils.monitor would bring in asyncio
_POLLIN, _DONTWAIT = int(zmq.POLLIN), int(zmq.DONTWAIT)


def descriptors_max() -> int:
    """The lowest number of a descriptor that is too high."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if soft == resource.RLIM_INFINITY else int(soft * DESCRIPTORS_PART)


def require_descriptors() -> None:
    """See that there is room for all that a start opens, before libzmq ends the process for want of it.

    Raises:
        InvalidConfig: the limit of open files is too low.
    """
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    used = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)  # those below it are in use
    os.close(used)
    if most != resource.RLIM_INFINITY and used + DESCRIPTORS_FREE > most:
        raise InvalidConfig(
            f"the supervisor may open {most:,} files, which is too few: {used:,} are open already, "
            f"one of them for each running job, and it needs {DESCRIPTORS_FREE} more",
            hint="raise the limit: ulimit -n 4096, or LimitNOFILE= in the unit; running jobs go on meanwhile",
        )


class Gate:
    """
    Attributes:
        cuts: how many times all connections were closed. cut_at: boot time of the last; cut_why: what it was for.
        sources: what the loop has to watch.
    """

    def __init__(
        self, name: str, context: zmq.Context[Any], socket: zmq.Socket[bytes], entrance: Entrance, connections_max: int
    ) -> None:
        self.name = name
        self._context = context
        self.cuts = 0
        self.cut_at: float | None = None
        self.cut_why = ""
        self._socket = socket
        self._entrance = entrance
        self._connections: set[int] = set()  # by descriptor
        self._connections_max = connections_max
        self._descriptors_max = descriptors_max()
        self._reopen_at: float | None = None
        self._monitor = socket.get_monitor_socket(zmq.Event.ACCEPTED | zmq.Event.DISCONNECTED)
        self.sources: list[Source] = [(self._monitor, self._follow), *entrance.prepare(context, socket)]
        self._open()

    def cut(self, why: str) -> None:
        """Close every connection, and listen again in a while."""
        if self._reopen_at is not None:
            return
        self._socket.unbind(self._entrance.endpoint)
        self._connections.clear()
        now = clock.now().boot
        self.cuts += 1
        self.cut_at, self.cut_why = now, why
        self._reopen_at = now + PAUSE_S
        log.warning("%s: %s; all its connections were closed, and may be made again", self.name, why)

    def mind(self, now: float) -> None:
        """Listen again when it is time to."""
        if self._reopen_at is None or now < self._reopen_at:
            return
        try:
            self._open()
        except (OSError, zmq.ZMQError) as error:  # others have taken the descriptors meanwhile
            self._reopen_at = now + PAUSE_S
            log.error("%s: connections cannot be taken: %s", self.name, error)
        else:
            self._reopen_at = None
            log.warning("%s: connections are taken again", self.name)

    def wake_at(self) -> float | None:
        """Boot time at which ``mind`` has something to do."""
        return self._reopen_at

    def close(self, linger_ms: int) -> None:
        """Close the socket and its context, for good."""
        self._socket.disable_monitor()
        self._socket.close(linger_ms)
        for source, _ in self.sources:
            source.close()
        self._context.term()
        self._entrance.close()

    def _open(self) -> None:
        descriptor = self._entrance.lend()
        self._socket.set(zmq.USE_FD, descriptor)
        try:
            self._socket.bind(self._entrance.endpoint)
        except zmq.ZMQError:
            os.close(descriptor)
            raise
        finally:
            self._socket.set(zmq.USE_FD, -1)

    def _follow(self) -> None:
        """Take note of connections that came and went."""
        monitor = self._monitor
        for _ in range(EVENTS_AT_ONCE):
            if not int(monitor.get(zmq.EVENTS)) & _POLLIN:
                return
            number, descriptor = _HEAD.unpack(monitor.recv_multipart(_DONTWAIT)[0])
            if number != zmq.Event.ACCEPTED:
                self._connections.discard(descriptor)
            elif self._reopen_at is None:
                self._connections.add(descriptor)
                self._judge(descriptor)

    def _judge(self, descriptor: int) -> None:
        if descriptor >= self._descriptors_max:
            self.cut(f"{descriptor:,} descriptors are in use, and {self._descriptors_max:,} is the most that may be")
        elif len(self._connections) > self._connections_max:
            self.cut(f"there are more than {self._connections_max:,} connections ([limits] connections)")
