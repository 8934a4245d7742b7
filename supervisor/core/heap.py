"""A priority heap of job ids: higher priority first, then lower id, which is submission order.

Owns order only. It is told when an id joins; whether an entry still stands is asked of the caller when it reaches the
top, so leaving the heap early (a cancel) costs nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable


class PriorityHeap:
    """Entries are (-priority, id)."""

    __slots__ = ("_items", "_stands")

    def __init__(self, stands: Callable[[int, int], bool]) -> None:
        """``stands(id, priority)`` tells whether an entry is still wanted at that priority."""
        self._items: list[tuple[int, int]] = []
        self._stands = stands

    def push(self, job_id: int, priority: int) -> None:
        heapq.heappush(self._items, (-priority, job_id))

    def top(self) -> tuple[int, int] | None:
        """The first entry that stands, as (-priority, id); entries that do not are dropped on the way."""
        items = self._items
        while items:
            negated, job_id = items[0]
            if self._stands(job_id, -negated):
                return items[0]
            heapq.heappop(items)
        return None

    def count_before(self, priority: int, job_id: int, limit: int) -> int:
        """How many that stand come before this one, counted up to ``limit``."""
        place = (-priority, job_id)
        found: set[tuple[int, int]] = set()
        for entry in self._items:
            if entry < place and self._stands(entry[1], -entry[0]):
                found.add(entry)
                if len(found) >= limit:
                    break
        return len(found)

    def tidy(self) -> None:
        """Drop what no longer stands, wherever it is: behind a first entry that stays, it would pile up."""
        self._items = list({entry for entry in self._items if self._stands(entry[1], -entry[0])})
        heapq.heapify(self._items)

    def __len__(self) -> int:
        return len(self._items)
