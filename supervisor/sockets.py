"""The request socket: a ROUTER on an owner-only IPC address. Owns binding, peers and sending; knows no verbs.

The caller holds the directory lock, so a socket file that lies there is a dead supervisor's. libzmq would silently
unlink whatever is at the path, hence the look before.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from dataclasses import dataclass

import zmq

from ..protocol.codec import MESSAGE_BYTES_MAX
from ..protocol.errors import InvalidConfig

BATCH_MAX = 256
BATCH_BYTES_MAX = MESSAGE_BYTES_MAX
LINGER_MS = 200  # for the last answers of a supervisor that stops
LAST_WORD_S = 0.05  # between them and the end: a client whose libzmq learns of both at once drops the answer
HWM = 10_000
HANDSHAKE_MS = 5_000
# Numbers are ten times faster here than members of an enumeration.
_DONTWAIT, _SNDMORE, _POLLIN = int(zmq.DONTWAIT), int(zmq.SNDMORE), int(zmq.POLLIN)


@dataclass(frozen=True, slots=True)
class Peer:
    """Who sent a request: the route back, and a frame of it, with which libzmq keeps the sender's credentials."""

    route: bytes
    frame: zmq.Frame

    @property
    def who(self) -> str:
        """ "uid 1000 pid 4711", as the kernel told it."""
        try:
            parts = str(self.frame.get("Peer-Address")).split(":")  # name:uid:gid:pid
            return f"uid {parts[-3]} pid {parts[-1]}"
        except (zmq.ZMQError, IndexError):
            return "unknown"


class RequestSocket:
    """Receives request frames and sends replies; never blocks, never raises for a peer that is gone."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.dropped = 0
        self._context = zmq.Context(io_threads=1)
        self._context.set(zmq.MAX_SOCKETS, 64)
        self.socket = self._context.socket(zmq.ROUTER)
        self.socket.set(zmq.LINGER, 0)
        self.socket.set(zmq.ROUTER_MANDATORY, 1)
        self.socket.set(zmq.MAXMSGSIZE, MESSAGE_BYTES_MAX)
        self.socket.set(zmq.SNDHWM, HWM)
        self.socket.set(zmq.RCVHWM, HWM)
        self.socket.set(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
        bind(self.socket, path)

    def receive(self) -> list[tuple[Peer, bytes]]:
        """Requests that have arrived, a bounded number; call again until the list is empty."""
        requests: list[tuple[Peer, bytes]] = []
        size = 0
        while len(requests) < BATCH_MAX and size < BATCH_BYTES_MAX:
            try:
                route = self.socket.recv(_DONTWAIT)
            except zmq.Again:
                break
            frame = self.socket.recv(_DONTWAIT, copy=False)
            data = b"" if frame.more else frame.bytes  # what has another shape is refused as malformed
            requests.append((Peer(route, frame), data))
            size += len(data)
            while frame.more:
                frame = self.socket.recv(_DONTWAIT, copy=False)
            if not int(self.socket.get(zmq.EVENTS)) & _POLLIN:
                break
        return requests

    def send(self, peer: Peer, data: bytes) -> None:
        try:
            self.socket.send(peer.route, _DONTWAIT | _SNDMORE)
            self.socket.send(data, _DONTWAIT)
        except zmq.ZMQError:
            self.dropped += 1  # gone, or not reading: it asks again when it is back

    def close(self) -> None:
        time.sleep(LAST_WORD_S)
        self.socket.close(LINGER_MS)
        self._context.term()
        unlink(self.path)


def bind(socket: zmq.Socket[bytes], path: str) -> None:
    """Listen on an IPC address, for this user alone.

    Raises:
        InvalidConfig: something else is in the way, or the system refuses.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        pass
    else:
        if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.geteuid():
            raise InvalidConfig(
                f"{path} is in the way: it is not a socket of this user",
                hint=f"look at it with: ls -l {path}",
            )
    socket.set(zmq.IPC_FILTER_UID, os.geteuid())
    before = os.umask(0o077)
    try:
        socket.bind(f"ipc://{path}")
    except zmq.ZMQError as error:
        raise InvalidConfig(f"cannot listen on {path}: {error}") from None
    finally:
        os.umask(before)


def unlink(path: str) -> None:
    """Remove a socket that nobody listens on any more."""
    with contextlib.suppress(OSError):
        os.unlink(path)
