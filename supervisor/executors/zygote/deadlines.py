"""Deadlines by key: armed, moved, dropped, and handed out when they are due.

Owns their order. Knows no clock: moments are seconds on whichever one the caller goes by.
"""

from __future__ import annotations

import heapq

Key = tuple[str, int]  # what is due, and for which child


class Deadlines:
    """One moment for each key; a key that is set again moves."""

    __slots__ = ("_at", "_heap", "_order")

    def __init__(self) -> None:
        self._at: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._order = 0

    def set(self, key: Key, at: float) -> None:
        self._at[key] = at
        self._order += 1
        heapq.heappush(self._heap, (at, self._order, key))
        if len(self._heap) > 64 + 2 * len(self._at):  # keys that were moved or dropped leave their entries behind
            self._heap = [(due, index, key) for index, (key, due) in enumerate(self._at.items())]
            heapq.heapify(self._heap)

    def drop(self, key: Key) -> None:
        """Forget ``key``; nothing happens if it is not set."""
        self._at.pop(key, None)

    def get(self, key: Key) -> float | None:
        return self._at.get(key)

    def next_at(self) -> float | None:
        """When the next one is due."""
        while self._heap:
            at, _, key = self._heap[0]
            if self._at.get(key) == at:
                return at
            heapq.heappop(self._heap)
        return None

    def due(self, now: float) -> list[Key]:
        """Take the keys whose moment has come, in order."""
        found = []
        while (at := self.next_at()) is not None and at <= now:
            key = heapq.heappop(self._heap)[2]
            del self._at[key]
            found.append(key)
        return found

    def __len__(self) -> int:
        return len(self._at)
