"""The journal as the driver sees it: hand over records, learn when they are on disk.

Owns the tickets and the thread that writes and syncs. The thread alone touches the writer, but for ``restart``, which
finds it idle. Everything that the driver reads is one attribute that one thread assigns.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

from ...conf.settings import JournalSettings
from ...protocol.errors import TooLarge
from .disk import Disk
from .frames import PAYLOAD_BYTES_MAX
from .recovery import Recovery
from .wakeup import Wakeup
from .writer import Writer

_LIST_HEAD_BYTES = 5


@dataclass(frozen=True, slots=True)
class _Batch:
    """What one ``append`` handed over."""

    ticket: int
    count: int
    packed: bytes


@dataclass(frozen=True, slots=True)
class _Seal:
    ticket: int


@dataclass(frozen=True, slots=True)
class _Barrier:
    """Everything before it is dealt with once ``reached`` is set. ``last`` ends the thread."""

    reached: Event
    last: bool = False


_Item = _Batch | _Seal | _Barrier


class Journal:
    """Made by ``Journal.open(...).begin()``.

    Attributes:
        written: highest ticket handed to the operating system: it outlives this process.
        synced: highest ticket on disk: it outlives a power failure.
        failed: set once a write or a sync failed. Tickets above ``synced`` are in doubt and later ones are not written,
            until ``restart`` succeeds.
    """

    def __init__(self, writer: Writer, settings: JournalSettings, threaded: bool) -> None:
        self.written = self.synced = 0
        self.failed: OSError | None = None
        self._writer = writer
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
            self._put(_Batch(self._ticket, len(packed), data))
        return self._ticket

    def seal(self) -> int:
        """Close the open segment after all that was handed over, so that it can be compacted.

        Returns:
            A ticket; once it is synced, ``sealed`` is the number of the last sealed segment.
        """
        self._ticket += 1
        self._put(_Seal(self._ticket))
        return self._ticket

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

    # -- upkeep --------------------------------------------------------------------------------------------------------

    def probe(self) -> None:
        """Try to get the reserve back; to be called now and then while ``low_space``."""
        self._writer.reserve.ensure()

    def compacted(self, upto: int) -> None:
        """A snapshot that covers the segments up to this one is durable: remove them, and older snapshots.

        Raises:
            ValueError: that segment is not sealed.
            OSError: there is no such snapshot, or a file could not be removed; a later call removes it.
        """
        self._writer.compacted(upto)

    def restart(self, chunks: Iterable[Any]) -> None:
        """After a failure: store the whole state in a new file and go on from there. Then nothing is in doubt any more.

        Args:
            chunks: the state with everything that was handed over, also what was not written since the failure.

        Raises:
            OSError: the disk still refuses; ``failed`` stands.
        """
        if self.failed is None:
            raise RuntimeError("there was no failure")
        self.flush()  # drops what was handed over before the failure was seen; the thread is idle after it
        self._writer.restart(chunks)
        self.failed = None
        self._publish(self._ticket)

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

    def _put(self, item: _Item) -> None:
        if self.failed is None:
            self._queue.put(item)

    def _run(self) -> None:
        while self._turn():
            pass

    def _turn(self) -> bool:
        """Deal with the next item, together with those that can go into the same group. False after the last one."""
        item = self._held_back or self._queue.get()
        self._held_back = None
        if isinstance(item, _Barrier):
            item.reached.set()
            return not item.last
        if self.failed is None:
            self._busy_since = time.monotonic()
            try:
                if isinstance(item, _Seal):
                    self._writer.seal()
                    self.written = ticket = item.ticket
                else:
                    ticket = self._store(self._gather(item))
                self._publish(ticket)
            except OSError as error:
                self._fail(error)
            except Exception as error:  # a fault of ours, or no memory: as deadly to this descriptor as a failed disk
                self._fail(OSError(errno.EIO, f"the journal could not be written: {type(error).__name__}: {error}"))
            self._busy_since = None
        return True

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

    def _store(self, batches: list[_Batch]) -> int:
        self._writer.write(sum(batch.count for batch in batches), [batch.packed for batch in batches])
        self.written = ticket = batches[-1].ticket
        self._writer.sync()
        return ticket

    def _publish(self, ticket: int) -> None:
        self.written = self.synced = ticket
        self._wakeup.set()

    def _fail(self, error: OSError) -> None:
        self.failed = error
        self._wakeup.set()
