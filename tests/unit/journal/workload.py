"""A supervisor's use of its journal, without the supervisor: the real journal, outbox and way out of degraded mode.

Jobs are the numbers 1, 2, 3...; those that were pruned are in the history. What the outbox answers is what a client
would have been told.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import msgpack
from jobyard.conf.settings import JournalSettings
from jobyard.protocol.errors import StorageUnavailable
from jobyard.supervisor.core import effects as f
from jobyard.supervisor.core import events as e
from jobyard.supervisor.core.machine import Machine
from jobyard.supervisor.journal.compact import compact
from jobyard.supervisor.journal.errors import JournalDamaged
from jobyard.supervisor.journal.journal import Journal
from jobyard.supervisor.journal.recovery import Recovery
from jobyard.supervisor.journal.replay import replay
from jobyard.supervisor.outbox import Outbox
from jobyard.supervisor.storage import Storage
from journals import HOME, SMALL, Misfit
from simdisk import SimDisk

TURNS = 12
PATIENCE_TURNS = 8  # within which a disk that works again is noticed
PRUNED = "pruned"


class Ledger:
    """The state: the numbers after ``pruned`` up to ``last``. A number that does not follow the one before, or pruning
    of what is not there, is a misfit."""

    def __init__(self) -> None:
        self.pruned = self.last = 0
        self.children: tuple[()] = ()

    def apply(self, record: list[Any]) -> None:
        if record[0] == PRUNED:
            if not self.pruned <= record[1] <= self.last:
                raise Misfit(f"pruned to {record[1]} of {self.pruned} to {self.last}")
            self.pruned = record[1]
        elif record[0] == self.last + 1:
            self.last += 1
        else:
            raise Misfit(f"{record[0]} after {self.last}")

    def dump(self) -> Iterator[Any]:
        yield ["head", self.pruned]
        for start in range(self.pruned + 1, self.last + 1, 10):
            yield ["numbers", *range(start, min(start + 10, self.last + 1))]

    def load(self, chunk: Any) -> None:
        kind, *numbers = chunk
        if kind == "head":
            self.pruned = self.last = numbers[0]
        else:
            for number in numbers:
                self.apply([number])


@dataclass
class _Machine:
    """What ``Storage`` wants of a machine."""

    state: Ledger


class Workload:
    """``run`` is the life of a supervisor.

    Attributes:
        memory: its state. acked: up to where a client was told that the numbers are stored.
        archived: up to where the history has them. ends: where a group may end.
        degraded_turns: in how many turns nothing new was taken.
    """

    def __init__(self, disk: SimDisk, seed: int = 0, settings: JournalSettings = SMALL, fault: bool = False) -> None:
        self.disk = disk
        self.memory = Ledger()
        self.acked = self.archived = 0
        self.ends = {0}
        self.degraded_turns = 0
        self._random = random.Random(seed)
        self._settings = settings
        self._fault = fault
        self._boot = 0.0
        self._ticket = 0
        self.journal: Journal
        self.storage: Storage
        self._outbox: Outbox

    def run(self, turns: int = TURNS) -> None:
        """Appends, syncs, seals, snapshots, removals; with ``fault`` a sync that fails, and a stop and a new start.

        Raises:
            PowerLost.
        """
        self.open()
        for turn in range(turns):
            if self._fault and turn == turns // 2:
                self.disk.fail_at[self.disk.calls + self._random.randrange(3)] = errno.EIO
            self.turn()
            if turn % 4 == 3:
                self.compact()
        if self._fault:
            self.journal.close()
            self.open()
            self.turn()

    def recovery(self, disk: SimDisk) -> Recovery:
        return Journal.open(HOME, self._settings, disk=disk, threaded=False)

    def open(self) -> None:
        """Start the supervisor; again and again while the disk refuses.

        Raises:
            JournalDamaged, AssertionError: something that was stored is missing.
        """
        for _ in range(40):
            try:
                recovery = self.recovery(self.disk)
                read = contents(recovery)
                self.check(read)
                self.journal = recovery.begin()
            except JournalDamaged:
                raise
            except (OSError, StorageUnavailable):
                self.disk.process_loss()
                self.disk.fail_from = None
                continue
            self.memory = read
            self.acked = max(self.acked, read.last)  # whoever asks now is told that these are stored
            self._outbox = Outbox(self._acknowledge)
            machine = cast(Machine, _Machine(read))
            self.storage = Storage(machine, self.journal, self._outbox, lambda token, error: None)
            self._ticket = 0
            return
        raise AssertionError("the journal cannot be opened though the fault is over")

    def turn(self) -> None:
        for _ in range(self._random.randint(1, 3)):
            first = self.memory.last + 1
            self._commit([[number] for number in range(first, first + self._random.randint(1, 4))])
        self._wait()
        self.degraded_turns += self.storage.degraded is not None

    def settle(self) -> None:
        """The fault is over: it must be noticed."""
        for _ in range(PATIENCE_TURNS):
            self._wait()
        assert self.storage.degraded is None, f"still degraded: {self.storage.degraded}"

    def compact(self) -> None:
        """As supervisor and archivist do, in their order."""
        self.journal.seal()
        self._wait()
        upto, watermark = self.journal.sealed, self.memory.last
        if self.journal.failed is not None or upto <= self.journal.covered:
            return
        try:
            compact(HOME, upto, Ledger(), list, Misfit, self.disk, before=lambda: self._archive(watermark))
        except OSError:
            return
        self.prune()
        self.journal.compacted(upto)
        self._wait()

    def prune(self) -> None:
        """What the history has may leave memory."""
        if self.archived > self.memory.pruned:
            self._commit([[PRUNED, self.archived]])

    def check(self, read: Ledger) -> None:
        """All that was acknowledged is there or in the history; nothing is there that was never handed over."""
        assert read.pruned <= self.archived, f"pruned to {read.pruned}, but the history has {self.archived}"
        assert self.acked <= read.last, f"{self.acked} were acknowledged, {read.last} are there"
        assert read.last <= max(self.acked, self.memory.last), f"{read.last} were never handed over"
        assert read.last in self.ends, "a part of a group"

    def _commit(self, records: list[list[Any]]) -> None:
        for record in records:
            self.memory.apply(record)
        self.ends.add(self.memory.last)
        self._ticket = self.journal.append([msgpack.packb(record) for record in records])
        if self.storage.degraded is None:
            self._outbox.add([f.Reply(cast(Any, self), self.memory.last)], self._ticket, self.journal.synced)

    def _acknowledge(self, reply: f.Reply) -> None:
        self.acked = max(self.acked, cast(int, reply.reply))

    def _archive(self, watermark: int) -> None:
        """The history's transaction; one that refuses does not hold up the snapshot."""

        def commit() -> None:
            self.archived = watermark

        try:
            self.disk.transact(commit)
        except OSError:
            pass

    def _wait(self) -> None:
        """Let the journal's thread do what there is to do, as the loop would see it a second later."""
        self._boot += 1.0
        self.journal.flush()
        self._outbox.release(self.journal.synced)
        self.storage.mind(e.Now(boot=self._boot, wall=self._boot))
        self.journal.flush()


def contents(recovery: Recovery) -> Ledger:
    """All that a start reads."""
    state = Ledger()
    replay(recovery, recovery.groups(), state, list, Misfit)
    return state
