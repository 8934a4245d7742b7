"""A simulated network: connections of clients to the request socket, and the publisher of the status stream.

A connection keeps order and loses nothing while it is up; when it breaks, what is under way in both directions is lost
from some point on. A subscriber that does not read loses messages. Both sides speak the real protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from jobyard.supervisor.sockets import Peer
from scheduler import Scheduler

LATENCY_S = 0.0005
UID = 1000  # the supervisor's and all clients'


class Side(Protocol):
    """The client's end of a connection."""

    name: str

    def received(self, data: bytes) -> None: ...
    def cut_off(self) -> None: ...


class Connection:
    """One client with one supervisor."""

    def __init__(self, net: Net, side: Side, server: SimSocket, number: int) -> None:
        self.route = b"%d" % number
        self.open = True
        self._net = net
        self._side = side
        self._server = server
        self._peer = Peer(self.route, f"{side.name}:{UID}:{UID}:4711")
        self._sent_at = self._answered_at = 0.0

    def send(self, data: bytes) -> None:
        scheduler = self._net.scheduler
        self._sent_at = max(self._sent_at, scheduler.clock.t + scheduler.delay(LATENCY_S, "slow network")) + 1e-9
        scheduler.at(self._sent_at, lambda: self._arrived(data))

    def _arrived(self, data: bytes) -> None:
        if self.open and not self._server.dead:
            self._server.arrived(self._peer, data)

    def answer(self, data: bytes) -> None:
        scheduler = self._net.scheduler
        if scheduler.strikes("reply lost"):
            self.break_off()
            return
        self._answered_at = (
            max(self._answered_at, scheduler.clock.t + scheduler.delay(LATENCY_S, "slow network")) + 1e-9
        )
        scheduler.at(self._answered_at, lambda: self._side.received(data) if self.open else None)

    def break_off(self) -> None:
        """What arrives before the client notices is a matter of luck."""
        scheduler = self._net.scheduler
        self._net.forget(self)
        scheduler.after(scheduler.delay(2 * LATENCY_S), self.close)

    def close(self) -> None:
        if self.open:
            self.open = False
            self._net.forget(self)
            self._side.cut_off()


class SimSocket:
    """The supervisor's request socket."""

    def __init__(self, net: Net, changed: Callable[[], None], point: Callable[[str], None]) -> None:
        self.told = "requests"
        self.socket = object()  # what is polled
        self.dead = False
        self.dropped = 0
        self.inbox: list[tuple[Peer, bytes]] = []
        self._net = net
        self._changed = changed
        self._point = point

    def arrived(self, peer: Peer, data: bytes) -> None:
        self.inbox.append((peer, data))
        self._changed()

    def receive(self) -> list[tuple[Peer, bytes]]:
        count = self._net.scheduler.rng.randint(1, len(self.inbox)) if self.inbox else 0
        taken, self.inbox = self.inbox[:count], self.inbox[count:]
        return taken

    def send(self, peer: Peer, data: bytes) -> bool:
        self._point("synced, not replied")
        self._net.overheard(data)
        connection = self._net.connections.get(peer.route)
        if connection is None:
            self.dropped += 1
        else:
            connection.answer(data)
        return True

    def close(self) -> None:
        self.dead = True
        self._net.supervisor_died()


class Net:
    """All connections, and the sockets of the supervisor that is up. ``overheard`` is told all that this one sends."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.server: SimSocket | None = None
        self.publisher: SimPublisher | None = None
        self.overheard: Callable[[bytes], None] = lambda data: None
        self.connections: dict[bytes, Connection] = {}
        self._count = 0

    def connect(self, side: Side) -> Connection | None:
        """None if nobody listens."""
        if self.server is None or self.server.dead:
            return None
        self._count += 1
        connection = Connection(self, side, self.server, self._count)
        self.connections[connection.route] = connection
        return connection

    def forget(self, connection: Connection) -> None:
        self.connections.pop(connection.route, None)

    def supervisor_died(self) -> None:
        self.server = None
        for connection in list(self.connections.values()):
            connection.break_off()


class Subscription:
    """One subscriber's connection to the publisher: messages that wait to be read, at most so many."""

    def __init__(self, publisher: SimPublisher, topics: Sequence[bytes], changed: Callable[[], None]) -> None:
        self.topics = list(topics)
        self.waiting: list[list[bytes]] = []
        self.changed = changed
        self.publisher = publisher
        publisher.subscribe(self)

    @property
    def lost(self) -> bool:
        return self.publisher.dead

    def close(self) -> None:
        self.publisher.unsubscribe(self)


class SimPublisher:
    """As ``supervisor.publisher.Publisher``."""

    def __init__(self, net: Net, unsent_max: int, changed: Callable[[], None]) -> None:
        self.told = "notices"
        self.window = unsent_max // 2
        self.socket = object()
        self.dead = False
        self.news: list[tuple[bool, bytes]] = []
        self._net = net
        self._unsent_max = unsent_max
        self._changed = changed
        self._subscribers: list[Subscription] = []

    def subscribe(self, one: Subscription) -> None:
        self._subscribers.append(one)
        self.news += [(True, topic) for topic in one.topics if self._count(topic) == 1]
        self._changed()

    def unsubscribe(self, one: Subscription) -> None:
        if one in self._subscribers:
            self._subscribers.remove(one)
            self.news += [(False, topic) for topic in one.topics if self._count(topic) == 0]
            self._changed()

    def _count(self, topic: bytes) -> int:
        return sum(topic in one.topics for one in self._subscribers)

    def subscriptions(self) -> list[tuple[bool, bytes]]:
        taken, self.news = self.news, []
        return taken

    def mind_keys(self) -> bool:
        return True

    def send(self, topic: bytes, frames: Sequence[bytes]) -> None:
        self._net.overheard(b"".join(frames))
        for one in self._subscribers:
            if topic in one.topics and len(one.waiting) < self._unsent_max:
                one.waiting.append([topic, *frames])
                one.changed()

    def close(self) -> None:
        self.dead = True
        for one in self._subscribers:
            one.changed()
