"""Large replies that were sent and not yet taken by those who asked for them: how many bytes, and of which client.

libzmq bounds how many messages wait for a peer that does not read, not how long they are. Small ones are not counted.

A connection takes its replies in the order in which they were sent, so it is enough to look at the first of each. What
was taken meanwhile is found out only where it matters: the sums are never too small, and exact before room is refused.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import zmq

COUNTED_BYTES_MIN = 8 * 1024
CLIENT_BYTES_MAX = 256 << 20
ALL_BYTES_MAX = 512 << 20

_Sent = deque[tuple[zmq.MessageTracker, int]]


class Unread:
    """One per socket. A connection goes by its route; a client may have several."""

    def __init__(self) -> None:
        self._sent: dict[str, dict[bytes, _Sent]] = {}
        self._held: dict[str, int] = {}
        self._all = 0

    def has_room(self, client: str, route: bytes, size: int) -> bool:
        """Whether so many bytes more may wait for this client. One that has read everything may ask for anything."""
        self._settle(client, [route])
        if self._fits(client, size):
            return True
        self._settle(client, self._sent.get(client, ()))
        if self._held.get(client, 0) + size <= CLIENT_BYTES_MAX:  # then it is the others who are in its way
            for other in list(self._sent):
                self._settle(other, self._sent[other])
        return self._fits(client, size)

    def add(self, tracker: zmq.MessageTracker, client: str, route: bytes, size: int) -> None:
        """It was sent."""
        self._sent.setdefault(client, {}).setdefault(route, deque()).append((tracker, size))
        self._held[client] = self._held.get(client, 0) + size
        self._all += size

    def _fits(self, client: str, size: int) -> bool:
        held = self._held.get(client, 0)
        return not held or (held + size <= CLIENT_BYTES_MAX and self._all + size <= ALL_BYTES_MAX)

    def _settle(self, client: str, routes: Iterable[bytes]) -> None:
        """Forget what these connections of the client have taken."""
        by_route = self._sent.get(client, {})
        for route in list(routes):
            sent = by_route.get(route, deque())
            while sent and sent[0][0].done:
                size = sent.popleft()[1]
                self._held[client] -= size
                self._all -= size
            if not sent:
                by_route.pop(route, None)
        if not by_route and client in self._sent:
            del self._sent[client], self._held[client]
