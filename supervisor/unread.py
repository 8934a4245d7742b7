"""Large replies that were sent and not yet taken by those who asked for them: how many bytes, and of which client.

libzmq bounds how many messages wait for a peer that does not read, not how long they are. Small ones are not counted.
"""

from __future__ import annotations

import zmq

COUNTED_BYTES_MIN = 8 * 1024
CLIENT_BYTES_MAX = 256 << 20
ALL_BYTES_MAX = 512 << 20


class Unread:
    """One per socket."""

    def __init__(self) -> None:
        self._sent: list[tuple[zmq.MessageTracker, str, int]] = []

    def has_room(self, client: str, size: int) -> bool:
        """Whether so many bytes more may wait for this client. One that has read everything may ask for anything."""
        self._sent = [one for one in self._sent if not one[0].done]
        its = sum(held for _, owner, held in self._sent if owner == client)
        return not its or (its + size <= CLIENT_BYTES_MAX and size + sum(one[2] for one in self._sent) <= ALL_BYTES_MAX)

    def add(self, tracker: zmq.MessageTracker, client: str, size: int) -> None:
        """It was sent."""
        self._sent.append((tracker, client, size))
