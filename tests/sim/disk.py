"""A simulated disk at the grain of groups of records, and the journal on it.

A group is what is written and synced at once. What is written outlives the process; what is synced outlives the
machine; of the rest of the groups a power failure keeps any number from the first on. Bytes are another test's subject
(``tests/unit/journal/``). The journal has the interface of ``supervisor.journal.journal.Journal``.
"""

from __future__ import annotations

import errno
from collections import deque
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

    def put_snapshot(self, packed: list[bytes], covered: int) -> None:
        """Written beside the old one, synced, renamed: all or nothing."""
        self.snapshot, self.covered = packed, covered

    def holds(self, text: bytes) -> bool:
        """Whether this is anywhere on it."""
        groups = (group for segment in self.segments.values() for group in segment.groups)
        return any(text in one for one in self.snapshot) or any(text in record for group in groups for record in group)


@dataclass(slots=True)
class _Item:
    """What the thread is to do: write records, or else ``action``, which ``mends`` if it is for after a failure."""

    ticket: int
    records: Group
    action: Callable[[], None] | None = None
    mends: bool = False


class SimJournal:
    """One life of the journal.

    Args:
        scale: by how much sizes are told larger than they are, so that small worlds have long journals.
        decided: is told the records of each group that is handed over.
        durable: is told how many of those are durable now, beside those before.
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
        durable: Callable[[int], None],
        point: Callable[[str], None],
        changed: Callable[[], None],
    ) -> None:
        self.written = self.synced = 0
        self.failed: OSError | None = None
        self.mending = self.usable = False
        self.left_behind: OSError | None = None
        self.low_space = disk.full
        self.sealed = max((number for number in disk.segments if number < disk.open_segment), default=0)
        self.covered = disk.covered
        for number in [number for number in disk.segments if number <= disk.covered]:
            del disk.segments[number]
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
        self._queue: deque[_Item] = deque()
        self._unsynced: list[_Item] = []  # written; the sync is under way
        self._handed: deque[_Item] = deque()  # with records that are not durable
        self._kept: deque[_Item] | None = None  # as the real one's
        self._passed = 0
        self._sure = True
        self._busy = self._probing = False

    # -- the interface -------------------------------------------------------------------------------------------------

    def fileno(self) -> int:
        return self._fd

    def collect(self) -> None:
        self.woken = False

    def append(self, records: Iterable[bytes]) -> int:
        packed = list(records)
        if packed:
            self._ticket += 1
            item = _Item(self._ticket, packed)
            self._decided(packed)
            self._handed.append(item)
            self._put(item)
            self._point(f"{_kind(packed)} handed over, not written")
        return self._ticket

    def seal(self) -> int:
        return self._step(self._seal)

    def flush(self) -> None:
        while self._queue or self._unsynced:
            if not self._unsynced:
                self._turn()
            self._sync()

    def probe(self) -> None:
        if not self._probing:
            self._probing = True
            self._step(self._take_reserve)

    def try_disk(self) -> None:
        self._mend(self._try_disk)

    def restart(self, chunks: Iterable[Any]) -> None:
        packed = [msgpack.packb(chunk) for chunk in chunks]
        ticket = self._ticket
        self._mend(lambda: self._restart(packed, ticket))

    def compacted(self, upto: int) -> int:
        if not 0 < upto <= self.sealed:
            raise ValueError(f"segment {upto} is not sealed; the last sealed one is {self.sealed}")
        return self._step(lambda: self._remove(upto))

    @property
    def size(self) -> int:
        return self._scale * (self.bytes_since_snapshot // self._scale + sum(map(len, self._disk.snapshot)))

    @property
    def bytes_since_snapshot(self) -> int:
        later = [segment for number, segment in self._disk.segments.items() if number > self.covered]
        return self._scale * sum(len(record) for one in later for group in one.groups for record in group)

    @property
    def idle(self) -> bool:
        """Whether everything that was handed over has been dealt with."""
        return not self._queue and not self._unsynced and self.failed is None

    def close(self) -> None:
        self.flush()
        self.dead = True

    # -- the thread ----------------------------------------------------------------------------------------------------

    def _step(self, action: Callable[[], None]) -> int:
        self._ticket += 1
        self._put(_Item(self._ticket, [], action))
        return self._ticket

    def _mend(self, action: Callable[[], None]) -> None:
        if self.failed is None:
            raise RuntimeError("there was no failure")
        self.mending, self.usable = True, False
        self._put(_Item(self._ticket, [], action, mends=True))

    def _put(self, item: _Item) -> None:
        self._queue.append(item)
        self._begin()

    def _begin(self) -> None:
        if self._queue and not self._busy:
            self._busy = True
            self._scheduler.after(self._scheduler.delay(0.0005), self._go_on)

    def _go_on(self) -> None:
        if self.dead:
            return
        if self._queue and not self._unsynced:  # a flush may have come in between
            self._turn()
        if self._unsynced:
            ticket = self.written
            self._scheduler.after(self._scheduler.delay(0.002, "slow sync"), lambda: self._synced(ticket))
        else:
            self._busy = False
            self._begin()

    def _synced(self, ticket: int) -> None:
        if self.dead:
            return
        if self._unsynced and self.written == ticket:
            self._sync()
        self._busy = False
        self._begin()

    def _turn(self) -> None:
        """Deal with the next item, and those that go into the same group, up to the sync."""
        item = self._queue.popleft()
        if item.mends:
            self._try(item)
        elif self.failed is not None:
            self._pass_over([item])
        elif item.action is None:
            items = [item]
            while self._queue and self._queue[0].action is None:
                items.append(self._queue.popleft())
            self._guarded(items, lambda: self._write(items))
        else:
            action = item.action
            self._guarded([item], action)
            if self.failed is None:
                self._publish(item.ticket)

    def _guarded(self, items: list[_Item], action: Callable[[], None]) -> None:
        try:
            action()
        except OSError as error:
            self._probing = False
            self._kept = deque() if self._may_resume(error) else None
            self.failed = error
            self._wake()
            self._pass_over(items)

    def _write(self, items: list[_Item]) -> None:
        """One group."""
        if self._disk.full:
            self.low_space = True  # the reserve is taken for this
        if self._disk.refuses and self._scheduler.rng.random() < 0.5:
            raise OSError(errno.ENOSPC, "simulated")
        group = [record for item in items for record in item.records]
        self._disk.segments[self._disk.open_segment].groups.append(group)
        self._unsynced, self.written = items, items[-1].ticket
        self._point(f"{_kind(group)} written, not synced")

    def _sync(self) -> None:
        items, self._unsynced = self._unsynced, []
        if items:
            self._guarded(items, lambda: self._sync_group(items))

    def _sync_group(self, items: list[_Item]) -> None:
        if self._disk.refuses:
            self._sure = False
            raise OSError(errno.EIO, "simulated")
        segment = self._disk.segments[self._disk.open_segment]
        segment.synced = len(segment.groups)
        self._publish(items[-1].ticket)

    def _seal(self) -> None:
        self._refuse_or(errno.ENOSPC, errno.EIO)
        number = self._disk.open_segment
        if self._disk.segments[number].groups:
            self.sealed = number
            self._disk.segments[number + 1] = Segment()

    def _remove(self, upto: int) -> None:
        self.left_behind = None
        if self._disk.covered != upto:
            self.left_behind = OSError(errno.ENOENT, "there is no such snapshot")
            return
        self.covered = upto
        self._point("snapshot taken over, segments not removed")
        if self._disk.refuses:
            self.left_behind = OSError(errno.EROFS, "simulated")
            return
        for number in [number for number in self._disk.segments if number <= upto]:
            del self._disk.segments[number]

    def _take_reserve(self) -> None:
        self.low_space = self._disk.full
        self._probing = False

    # -- after a failure -----------------------------------------------------------------------------------------------

    def _pass_over(self, items: list[_Item]) -> None:
        self._passed = items[-1].ticket
        if self._kept is not None:
            self._kept.extend(items)

    def _try(self, item: _Item) -> None:
        assert item.action is not None
        try:
            item.action()
            self.usable = self.failed is not None
        except OSError as error:
            self.failed = error
        self.mending = False
        self._wake()

    def _try_disk(self) -> None:
        """If nothing is in doubt but what was never written, it is written now."""
        try:
            self._refuse_or(errno.ENOSPC, errno.EIO)
            while self._kept:
                self._do_kept(self._kept[0])
                self._kept.popleft()
        except OSError as error:
            if not self._may_resume(error):
                self._kept = None
            raise
        if self._kept is not None:
            self._kept = None
            self._recovered(self._passed)

    def _do_kept(self, item: _Item) -> None:
        if item.action is not None:
            item.action()
        else:
            self._write([item])
            self._unsynced = []
            self._sync_group([item])

    def _restart(self, packed: list[bytes], ticket: int) -> None:
        self._kept = None
        self._sure = False
        self._refuse_or(errno.ENOSPC, errno.EIO)
        number = self._disk.open_segment
        self._disk.put_snapshot(packed, number)
        self._disk.segments = {number + 1: Segment()}
        self.sealed = self.covered = number
        self._sure = True
        self._recovered(ticket)
        self._point("new start stored")

    def _recovered(self, ticket: int) -> None:
        self.failed = None
        self._publish(ticket)

    def _may_resume(self, error: OSError) -> bool:
        return self._sure and error.errno == errno.ENOSPC

    def _refuse_or(self, *codes: int) -> None:
        if self._disk.refuses:
            raise OSError(self._scheduler.rng.choice(codes), "simulated")

    def _publish(self, ticket: int) -> None:
        self.written = self.synced = ticket
        count = 0
        while self._handed and self._handed[0].ticket <= ticket:
            count += len(self._handed.popleft().records)
        self._wake()
        self._durable(count)

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
