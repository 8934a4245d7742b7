"""A heap of deadlines on the boot-time clock. Owns when, not what: an item is (deadline, kind, job id), and whether it
still matters is decided by who takes it."""

from __future__ import annotations

import heapq

PROMOTE, EXPIRE, HOLD, MORE = "promote", "expire", "hold", "more"


class Timers:
    """``HOLD`` deadlines belong to pools and carry the pool's name in place of an id; ``MORE`` says
    that a step left something for the next one, and belongs to no job."""

    __slots__ = ("_items",)

    def __init__(self) -> None:
        self._items: list[tuple[float, str, int | str]] = []

    def add(self, deadline: float, kind: str, subject: int | str) -> None:
        heapq.heappush(self._items, (deadline, kind, subject))

    def due(self, now: float) -> list[tuple[str, int | str]]:
        """Take all deadlines that have come, earliest first."""
        taken = []
        while self._items and self._items[0][0] <= now:
            _, kind, subject = heapq.heappop(self._items)
            taken.append((kind, subject))
        return taken

    def next(self) -> float | None:
        """The earliest deadline, or None."""
        return self._items[0][0] if self._items else None

    def clear(self) -> None:
        self._items.clear()

    def __len__(self) -> int:
        return len(self._items)
