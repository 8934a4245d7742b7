"""A simulated disk at the grain of groups of records, and the journal on it.

A group is what is written and synced at once. What is written outlives the process; what is synced outlives the
machine; of the rest of the groups a power failure keeps any number from the first on. Bytes are another test's subject
(``tests/unit/journal/``). The journal has the interface of ``supervisor.journal.journal.Journal``.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgpack
from jobyard.supervisor.core import records as r
from jobyard.supervisor.core.state import State
from scheduler import Scheduler

Group = list[bytes]


@dataclass(slots=True)
class Segment:
    groups: list[Group] = field(default_factory=list)
    synced: int = 0  # so many of them


class SimDisk:
    """What outlives processes: segments by number, and a snapshot that stands for all up to ``covered``."""

    def __init__(self) -> None:
        self.segments: dict[int, Segment] = {1: Segment()}
        self.snapshot: list[bytes] = []
        self.covered = 0
        self.refuses = False
        self.full = False

    @property
    def open_segment(self) -> int:
        return max(self.segments)

    def lose_power(self, scheduler: Scheduler) -> None:
        """Forget what was not synced, or a part of it."""
        for segment in self.segments.values():
            keep = scheduler.rng.randint(segment.synced, len(segment.groups))
            del segment.groups[keep:]

    def settle(self) -> int:
        """Opening the journal syncs what is there: so many records beside those that were synced before."""
        count = sum(len(group) for segment in self.segments.values() for group in segment.groups[segment.synced :])
        for segment in self.segments.values():
            segment.synced = len(segment.groups)
        return count

    def replay(self, kept_attempts: int, upto: int | None = None) -> State:
        """The state by the snapshot and the segments behind it."""
        state = State(kept_attempts)
        for chunk in self.snapshot:
            state.load(msgpack.unpackb(chunk))
        for number, segment in sorted(self.segments.items()):
            if number > self.covered and (upto is None or number <= upto):
                for group in segment.groups:
                    for record in group:
                        state.apply(r.from_wire(msgpack.unpackb(record)))
        return state

    def put_snapshot(self, chunks: Iterable[Any], covered: int) -> None:
        """Written beside the old one, synced, renamed: all or nothing."""
        self.snapshot = [msgpack.packb(chunk) for chunk in chunks]
        self.covered = covered


@dataclass(slots=True)
class _Item:
    """One ``append`` (or ``seal``, which has no records)."""

    ticket: int
    records: Group | None


class SimJournal:
    """One life of the journal.

    Args:
        scale: by how much sizes are told larger than they are, so that small worlds have long journals.
        decided: is told the records of each group that is handed over.
        durable: is told how many of those are durable now, beside those before; None for all of them.
        point: is told where the process may die.
        changed: is called when ``fileno`` becomes readable.
    """

    def __init__(
        self,
        disk: SimDisk,
        scheduler: Scheduler,
        fd: int,
        scale: int,
        decided: Callable[[Group], None],
        durable: Callable[[int | None], None],
        point: Callable[[str], None],
        changed: Callable[[], None],
    ) -> None:
        self.written = self.synced = 0
        self.failed: OSError | None = None
        self.low_space = disk.full
        self.sealed = max((number for number in disk.segments if number < disk.open_segment), default=0)
        self.dead = False
        self.woken = False
        self.pending_s = 0.0
        self._disk = disk
        self._scheduler = scheduler
        self._fd = fd
        self._scale = scale
        self._decided = decided
        self._durable = durable
        self._point = point
        self._changed = changed
        self._ticket = 0
        self._queue: list[_Item] = []
        self._unsynced: list[_Item] = []  # written; the sync is under way
        self._busy = False

    # -- the interface -------------------------------------------------------------------------------------------------

    def fileno(self) -> int:
        return self._fd

    def collect(self) -> None:
        self.woken = False

    def append(self, records: Iterable[bytes]) -> int:
        self._ticket += 1
        item = _Item(self._ticket, list(records))
        self._decided(item.records or [])
        self._put(item)
        self._point(f"{_kind(item.records)} handed over, not written")
        return self._ticket

    def seal(self) -> int:
        self._ticket += 1
        self._put(_Item(self._ticket, None))
        return self._ticket

    def flush(self) -> None:
        while (self._queue or self._unsynced) and self.failed is None:
            if not self._unsynced:
                self._write()
            self._sync()

    def probe(self) -> None:
        self.low_space = self._disk.full

    def restart(self, chunks: Iterable[Any]) -> None:
        self._queue.clear()
        self._unsynced.clear()
        if self._disk.refuses:
            raise OSError(errno.EIO, "simulated")
        number = self._disk.open_segment
        self._disk.put_snapshot(chunks, number)
        self._disk.segments = {number + 1: Segment()}
        self.sealed, self.failed, self._busy = number, None, False
        self.written = self.synced = self._ticket
        self._durable(None)

    def compacted(self, upto: int) -> None:
        if self._disk.covered < upto:
            raise OSError(errno.ENOENT, "there is no such snapshot")
        for number in [number for number in self._disk.segments if number <= upto]:
            del self._disk.segments[number]

    @property
    def size(self) -> int:
        return self._scale * (self.bytes_since_snapshot // self._scale + sum(map(len, self._disk.snapshot)))

    @property
    def bytes_since_snapshot(self) -> int:
        disk = self._disk
        later = [segment for number, segment in disk.segments.items() if number > disk.covered]
        return self._scale * sum(len(record) for one in later for group in one.groups for record in group)

    def close(self) -> None:
        self.flush()
        self.dead = True

    # -- the thread ----------------------------------------------------------------------------------------------------

    def _put(self, item: _Item) -> None:
        if self.failed is None:
            self._queue.append(item)
            self._begin()

    def _begin(self) -> None:
        if self._queue and not self._busy:
            self._busy = True
            self._scheduler.after(self._scheduler.delay(0.0005), self._go_on)

    def _go_on(self) -> None:
        if self.dead or not self._busy or not self._queue or self.failed is not None:
            self._busy = False
            return
        self._write()
        ticket = self.written
        self._scheduler.after(self._scheduler.delay(0.002, "slow sync"), lambda: self._synced(ticket))

    def _synced(self, ticket: int) -> None:
        if not self.dead and self.failed is None and self._unsynced and self.written == ticket:
            self._sync()
            self._busy = False
            self._begin()

    def _write(self) -> None:
        """As much as goes into one group."""
        if self._disk.full:
            self.low_space = True  # the reserve is taken for this
        count = 1
        while (
            self._queue[0].records is not None and count < len(self._queue) and self._queue[count].records is not None
        ):
            count += 1
        items, self._queue = self._queue[:count], self._queue[count:]
        if self._disk.refuses and self._scheduler.rng.random() < 0.5:
            self._fail(errno.ENOSPC)
            return
        group = [record for item in items for record in item.records or ()]
        if group:
            self._disk.segments[self._disk.open_segment].groups.append(group)
        self._unsynced, self.written = items, items[-1].ticket
        self._point(f"{_kind(group)} written, not synced")

    def _sync(self) -> None:
        items, self._unsynced = self._unsynced, []
        if not items:
            return
        if self._disk.refuses:
            self._fail(errno.EIO)
            return
        number = self._disk.open_segment
        segment = self._disk.segments[number]
        segment.synced = len(segment.groups)
        if items[-1].records is None:
            self.sealed = number
            self._disk.segments[number + 1] = Segment()
        self.synced = items[-1].ticket
        self._wake()
        self._durable(sum(len(item.records or ()) for item in items))

    def _fail(self, code: int) -> None:
        self.failed = OSError(code, "simulated")
        self._busy = False
        self._wake()

    def _wake(self) -> None:
        self.woken = True
        self._changed()


def _kind(group: Group | None) -> str:
    """What a group is about, for the table of crash points."""
    tags = {record[1] for record in group or ()}  # the first byte is that of a list
    for cls, name in ((r.Ended, "end"), (r.Started, "start"), (r.Submitted, "submit"), (r.CancelRequested, "cancel")):
        if cls.TAG in tags:
            return name
    return "other record"
