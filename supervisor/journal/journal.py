"""The journal as the driver sees it: hand over records, learn when they are on disk.

Owns the tickets and the thread that writes and syncs. The thread alone touches the disk, so that the loop never waits
for it, however slow it is. Everything that the driver reads is one attribute that one thread assigns.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

import msgpack

from ...conf.settings import JournalSettings
from ...protocol.errors import TooLarge
from .disk import NO_SPACE, Disk
from .frames import PAYLOAD_BYTES_MAX
from .recovery import Recovery
from .wakeup import Wakeup
from .writer import Writer

_LIST_HEAD_BYTES = 5
KEPT_BYTES = 32 * 1024 * 1024  # of records that wait for space on a full disk
TRIAL_BYTES = 1024 * 1024  # that the disk must take before a new start is tried at all


@dataclass(frozen=True, slots=True)
class _Batch:
    """What one ``append`` handed over."""

    ticket: int
    count: int
    packed: bytes


@dataclass(frozen=True, slots=True)
class _Step:
    """Something else than records. An OSError of it is a failure. What a new start after one takes the place of is not
    done any more."""

    ticket: int
    action: Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Mend:
    """Done after a failure. An OSError of it leaves the journal failed."""

    action: Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Barrier:
    """Everything before it is dealt with once ``reached`` is set. ``last`` ends the thread."""

    reached: Event
    last: bool = False


_Item = _Batch | _Step | _Mend | _Barrier


class Journal:
    """Made by ``Journal.open(...).begin()``.

    Attributes:
        written: highest ticket handed to the operating system: it outlives this process.
        synced: highest ticket on disk: it outlives a power failure.
        failed: set once a write or a sync failed. Tickets above ``synced`` are in doubt and later ones are not written,
            until ``restart`` succeeds.
        mending: ``try_disk`` or ``restart`` is under way. usable: after ``try_disk`` a ``restart`` may succeed.
        left_behind: why the last ``compacted`` could not remove everything; None if it could.
    """

    def __init__(self, writer: Writer, settings: JournalSettings, threaded: bool) -> None:
        self.written = self.synced = 0
        self.failed: OSError | None = None
        self.mending = self.usable = False
        self.left_behind: OSError | None = None
        self._writer = writer
        self._trial_bytes = TRIAL_BYTES
        self._probing = False
        self._kept: deque[_Batch | _Step] | None = None  # not done for want of space; None: too many, or in doubt
        self._kept_bytes = 0
        self._passed = 0  # the last ticket that was not dealt with because of a failure
        self._group_bytes = min(settings.group_bytes_max, PAYLOAD_BYTES_MAX)
        self._ticket = 0
        self._busy_since: float | None = None
        self._wakeup = Wakeup()
        self._queue: SimpleQueue[_Item] = SimpleQueue()
        self._held_back: _Item | None = None  # taken from the queue, but not part of the group that was being made up
        self._thread = Thread(target=self._run, name="journal", daemon=True) if threaded else None
        if self._thread:
            self._thread.start()

    @staticmethod
    def open(
        directory: Path, settings: JournalSettings, *, disk: Disk | None = None, threaded: bool = True
    ) -> Recovery:
        """Begin to read what is there. The caller holds the directory's lock.

        Args:
            threaded: False for a simulation: nothing is written but by ``flush``.

        Raises:
            JournalDamaged, JournalTooNew, OSError.
        """
        return Recovery(
            directory, disk or Disk(), settings.segment_bytes, lambda writer: Journal(writer, settings, threaded)
        )

    # -- handing over --------------------------------------------------------------------------------------------------

    def append(self, records: Iterable[bytes]) -> int:
        """Hand over packed records, to be stored all or not at all. Returns at once, whatever the disk does.

        Returns:
            The ticket to wait for in ``synced``.

        Raises:
            TooLarge: more than any group may hold.
        """
        packed = list(records)
        data = b"".join(packed)
        if len(data) > PAYLOAD_BYTES_MAX - _LIST_HEAD_BYTES:
            raise TooLarge(f"{len(data):,} bytes of records in one step are over the limit of {PAYLOAD_BYTES_MAX:,}")
        if packed:
            self._ticket += 1
            self._queue.put(_Batch(self._ticket, len(packed), data))
        return self._ticket

    def seal(self) -> int:
        """Close the open segment after all that was handed over, so that it can be compacted.

        Returns:
            A ticket; once it is synced, ``sealed`` is the number of the last sealed segment.
        """
        return self._step(self._writer.seal)

    def flush(self) -> None:
        """Return when everything handed over is synced, or the disk failed."""
        reached = Event()
        self._queue.put(_Barrier(reached))
        if self._thread is None:
            while not reached.is_set():
                self._turn()
        reached.wait()

    # -- learning what became of it ------------------------------------------------------------------------------------

    def fileno(self) -> int:
        """A descriptor that is readable when ``synced`` or ``failed`` changed."""
        return self._wakeup.fileno()

    def collect(self) -> None:
        """Make ``fileno`` wait for the next change."""
        self._wakeup.drain()

    @property
    def pending_s(self) -> float:
        """Seconds for which the disk has been busy with the present group; 0.0 when it is idle."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def low_space(self) -> bool:
        """The disk is so full that the reserve is used up: take on nothing new."""
        return not self._writer.reserve.held

    @property
    def sealed(self) -> int:
        """Number of the last sealed segment; 0 while there is none."""
        return self._writer.sealed

    @property
    def size(self) -> int:
        """Bytes on disk, without the reserve."""
        return self._writer.size

    @property
    def bytes_since_snapshot(self) -> int:
        """Bytes that a start would have to replay."""
        return self._writer.bytes_since_snapshot

    @property
    def covered(self) -> int:
        """Number of the last segment that a snapshot takes the place of; 0 while there is none."""
        return self._writer.covered

    # -- upkeep --------------------------------------------------------------------------------------------------------

    def probe(self) -> None:
        """Try to get the reserve back; to be called now and then while ``low_space``."""
        if not self._probing:
            self._probing = True
            self._step(self._take_reserve)

    def compacted(self, upto: int) -> int:
        """A snapshot that covers the segments up to this one is durable: remove them, and older snapshots.

        Returns:
            A ticket; once it is synced, ``left_behind`` tells how that went. What is left, a later call removes.

        Raises:
            ValueError: that segment is not sealed.
        """
        if not 0 < upto <= self.sealed:
            raise ValueError(f"segment {upto} is not sealed; the last sealed one is {self.sealed}")
        return self._step(lambda: self._remove(upto))

    def try_disk(self) -> None:
        """After a failure: find out whether the disk takes anything again.

        If there was no space, and is now, the journal goes on. When ``mending`` ends, see ``failed`` and ``usable``.
        """
        self._mend(self._try_disk)

    def restart(self, chunks: Iterable[Any]) -> None:
        """After a failure: store the whole state in a new file and go on from there. Then nothing is in doubt any more.

        When ``mending`` ends, ``failed`` is None, or else says why the disk still refuses.

        Args:
            chunks: the state with everything that was handed over, also what was not written since the failure.
        """
        packed = [msgpack.packb(chunk) for chunk in chunks]
        self._trial_bytes = TRIAL_BYTES + sum(map(len, packed))
        ticket = self._ticket

        def action() -> None:
            self._kept = None
            self._writer.restart(packed)
            self._recovered(ticket)

        self._mend(action)

    def close(self) -> None:
        """Write and sync what is pending and end the thread. ``failed`` tells whether that worked."""
        if self._thread:
            self._queue.put(_Barrier(Event(), last=True))
            self._thread.join()
        else:
            self.flush()
        self._writer.close()
        self._wakeup.close()

    # -- the thread ----------------------------------------------------------------------------------------------------

    def _step(self, action: Callable[[], None]) -> int:
        self._ticket += 1
        self._queue.put(_Step(self._ticket, action))
        return self._ticket

    def _mend(self, action: Callable[[], None]) -> None:
        if self.failed is None:
            raise RuntimeError("there was no failure")
        self.mending, self.usable = True, False
        self._queue.put(_Mend(action))

    def _run(self) -> None:
        """What this thread cannot deal with, no memory say, ends the process: nothing would be stored any more."""
        try:
            while self._turn():
                pass
        except BaseException:
            try:
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(os.EX_SOFTWARE)

    def _turn(self) -> bool:
        """Deal with the next item, together with those that can go into the same group. False after the last one."""
        item = self._held_back or self._queue.get()
        self._held_back = None
        if isinstance(item, _Barrier):
            item.reached.set()
            return not item.last
        if isinstance(item, _Mend):
            self._try(item)
        elif self.failed is None:
            self._busy_since = time.monotonic()
            self._do([item] if isinstance(item, _Step) else self._gather(item))
            self._busy_since = None
        else:
            self._pass_over([item])
        return True

    def _do(self, items: Sequence[_Batch | _Step]) -> None:
        try:
            self._store(items)
            self._publish(items[-1].ticket)
        except Exception as error:
            self._fail(error)
            self._pass_over(items)

    def _try(self, item: _Mend) -> None:
        try:
            item.action()
            self.usable = self.failed is not None
        except Exception as error:
            self.failed = _as_os_error(error)
        self.mending = False
        self._wakeup.set()

    def _gather(self, batch: _Batch) -> list[_Batch]:
        """This batch and those that wait behind it, up to the size of a group."""
        gathered, size = [batch], len(batch.packed)
        while not self._queue.empty():  # this thread alone takes from it
            item = self._queue.get_nowait()
            if not isinstance(item, _Batch) or size + len(item.packed) > self._group_bytes - _LIST_HEAD_BYTES:
                self._held_back = item
                return gathered
            gathered.append(item)
            size += len(item.packed)
        return gathered

    def _store(self, items: Sequence[_Batch | _Step]) -> None:
        batches = [item for item in items if isinstance(item, _Batch)]
        if batches:
            self._writer.write(sum(batch.count for batch in batches), [batch.packed for batch in batches])
            self.written = batches[-1].ticket
            self._writer.sync()
        for item in items:
            if isinstance(item, _Step):
                item.action()

    def _pass_over(self, items: Sequence[_Batch | _Step]) -> None:
        """While the journal has failed, what is handed over waits for space, or else for the state as a whole."""
        self._passed = items[-1].ticket
        if self._kept is not None:
            self._kept.extend(items)
            self._kept_bytes += sum(len(item.packed) for item in items if isinstance(item, _Batch))
            if self._kept_bytes > KEPT_BYTES:
                self._kept = None

    def _try_disk(self) -> None:
        if self._kept is None:
            self._writer.trial(self._trial_bytes)
            return
        try:
            self._writer.resume()
            while self._kept:
                group = self._first_of(self._kept)
                self._store(group)
                for _ in group:
                    self._kept.popleft()
        except Exception as error:
            if not self._may_resume(error):
                self._kept = None
            raise
        self._kept = None
        self._recovered(self._passed)

    def _first_of(self, items: Iterable[_Batch | _Step]) -> list[_Batch | _Step]:
        """Those that fit into one group, at least one; a step is alone."""
        first: list[_Batch | _Step] = []
        size = _LIST_HEAD_BYTES
        for item in items:
            if isinstance(item, _Step):
                return first or [item]
            size += len(item.packed)
            if first and size > self._group_bytes:
                break
            first.append(item)
        return first

    def _recovered(self, ticket: int) -> None:
        self.failed = None
        self._publish(ticket)

    def _may_resume(self, error: Exception) -> bool:
        return self._writer.sure and isinstance(error, OSError) and error.errno in NO_SPACE

    def _publish(self, ticket: int) -> None:
        self.written = self.synced = ticket
        self._wakeup.set()

    def _fail(self, error: Exception) -> None:
        self._probing = False  # it is not done any more
        self._kept, self._kept_bytes = deque() if self._may_resume(error) else None, 0
        self.failed = _as_os_error(error)
        self._wakeup.set()

    def _take_reserve(self) -> None:
        self._writer.reserve.ensure()
        self._probing = False

    def _remove(self, upto: int) -> None:
        try:
            self._writer.compacted(upto)
            self.left_behind = None
        except OSError as error:
            self.left_behind = error


def _as_os_error(error: Exception) -> OSError:
    """A fault of ours, or no memory, is as deadly to a descriptor as a failed disk."""
    if isinstance(error, OSError):
        return error
    return OSError(errno.EIO, f"the journal could not be written: {type(error).__name__}: {error}")
