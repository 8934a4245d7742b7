"""The request socket: a ROUTER. Owns receiving, the names of peers, and sending; knows no verbs."""

from __future__ import annotations

import time
from typing import NamedTuple

import zmq

from ..protocol.codec import MESSAGE_BYTES_MAX
from .entrance import Entrance
from .gate import Gate
from .unread import COUNTED_BYTES_MIN, Unread

BATCH_MAX = 256
BATCH_BYTES_MAX = MESSAGE_BYTES_MAX
LINGER_MS = 200  # for the last answers of a supervisor that stops
# Replies to one peer: all that it waits for may be answered at the same moment. Requests of one peer over this number
# wait there until some were read.
SEND_HWM, RECEIVE_HWM = 10_000, 1_000
LAST_WORD_S = 0.05  # between them and the end: a client whose libzmq learns of both at once drops the answer
HANDSHAKE_MS = 5_000
UNKNOWN = "unknown"
# Numbers are ten times faster here than members of an enumeration.
_DONTWAIT, _SNDMORE, _POLLIN = int(zmq.DONTWAIT), int(zmq.SNDMORE), int(zmq.POLLIN)


class Peer(NamedTuple):
    """Who sent a request.

    Attributes:
        route: the way back, one for each connection.
        client: who is at the other end, as the entrance vouches for it: "name:uid:gid:pid" over IPC, "name:key" over
            TCP. The same for all connections of a process, or of a key.
    """

    route: bytes
    client: str

    @property
    def who(self) -> str:
        """ "uid 1000 pid 4711", as the kernel told it, or "key web"."""
        match self.client.split(":"):
            case [_, uid, _, pid]:
                return f"uid {uid} pid {pid}"
            case [name, _]:
                return f"key {name}"
        return UNKNOWN


class RequestSocket:
    """Receives request frames and sends replies; never blocks, never raises for a peer that is gone."""

    def __init__(self, entrance: Entrance, connections_max: int) -> None:
        self.told = entrance.told
        self.dropped = 0
        self._credential = entrance.credential
        self._context = zmq.Context(io_threads=1)
        self._context.set(zmq.MAX_SOCKETS, 64)
        self.socket = self._context.socket(zmq.ROUTER)
        self.socket.copy_threshold = COUNTED_BYTES_MIN
        self._unread = Unread()
        self.socket.set(zmq.LINGER, 0)
        self.socket.set(zmq.ROUTER_MANDATORY, 1)
        self.socket.set(zmq.MAXMSGSIZE, MESSAGE_BYTES_MAX)
        self.socket.set(zmq.SNDHWM, SEND_HWM)
        self.socket.set(zmq.RCVHWM, RECEIVE_HWM)
        self.socket.set(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
        self.gate = Gate("requests", self._context, self.socket, entrance, connections_max)

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
            requests.append((Peer(route, self._client(frame)), data))
            size += len(data)
            while frame.more:
                frame = self.socket.recv(_DONTWAIT, copy=False)
            if not int(self.socket.get(zmq.EVENTS)) & _POLLIN:
                break
        return requests

    def send(self, peer: Peer, data: bytes) -> bool:
        """False if it was not sent, because too much waits for this client to read it."""
        large = len(data) >= COUNTED_BYTES_MIN
        if large and not self._unread.has_room(peer.client, peer.route, len(data)):
            return False
        try:
            self.socket.send(peer.route, _DONTWAIT | _SNDMORE)
            if large:
                tracker = self.socket.send(data, _DONTWAIT, copy=False, track=True)
                self._unread.add(tracker, peer.client, peer.route, len(data))
            else:
                self.socket.send(data, _DONTWAIT)
        except zmq.ZMQError:
            self.dropped += 1  # gone, or not reading: it asks again when it is back
        return True

    def close(self) -> None:
        time.sleep(LAST_WORD_S)
        self.gate.close(LINGER_MS)

    def _client(self, frame: zmq.Frame) -> str:
        try:
            return str(frame.get(self._credential))
        except zmq.ZMQError:
            return UNKNOWN
