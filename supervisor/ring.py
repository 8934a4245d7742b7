"""The notices that are kept, for those who missed some: a bounded number of them, in memory, newest last.

Owns numbers and bounds. What an entry is made into, and who gets it, is not its business.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from .core.effects import Notify

_ENTRY_BYTES = 512  # what an entry takes beside its text and ids, generously
_ID_BYTES = 40


class Entry(NamedTuple):
    """A notice before it is one: ``fact`` as ``kind``, which is another than the fact's own for what follows an end."""

    kind: str
    fact: Notify
    text: str | None

    @property
    def job_id(self) -> int | None:
        return self.fact.job_id or None

    @property
    def held_bytes(self) -> int:
        return _ENTRY_BYTES + len(self.text or "") + _ID_BYTES * len(self.fact.ids)


class Ring:
    """Entries with consecutive numbers, from 1; the oldest go when there are more than ``count_max`` or ``bytes_max``.

    Attributes:
        epoch: of all the numbers here.
        head: the number of the newest entry that was ever added; 0 before the first.
    """

    def __init__(self, epoch: int, count_max: int, bytes_max: int) -> None:
        self.epoch = epoch
        self.head = 0
        self._count_max = count_max
        self._bytes_max = bytes_max
        self._entries: deque[Entry] = deque()
        self._bytes = 0

    @property
    def tail(self) -> int:
        """The number before the oldest that is kept: from there on nothing is missing."""
        return self.head - len(self._entries)

    def add(self, entry: Entry) -> int:
        """Keep an entry; its number."""
        entries = self._entries
        entries.append(entry)
        self.head += 1
        self._bytes += entry.held_bytes
        while len(entries) > self._count_max or (self._bytes > self._bytes_max and len(entries) > 1):
            self._bytes -= entries.popleft().held_bytes
        return self.head

    def after(self, seq: int) -> Iterator[tuple[int, Entry]]:
        """The entries with higher numbers, which are not to change meanwhile."""
        start = max(seq - self.tail, 0)
        return zip(itertools.count(self.tail + start + 1), itertools.islice(self._entries, start, None), strict=False)
