"""Every single call to the disk fails once, or from then on; and the power goes at any moment.

The workload does what the driver does: it appends, compacts now and then, and when the journal failed it starts it anew
from memory. ``acked`` is what a client would have been told is stored.
"""

from __future__ import annotations

import errno
import random

import pytest
from jobyard.protocol.errors import StorageUnavailable
from jobyard.supervisor.journal.compact import compact
from jobyard.supervisor.journal.errors import JournalDamaged
from jobyard.supervisor.journal.journal import Journal
from journals import HOME, SMALL, Misfit, Numbers, contents, number_of, opened, record
from simdisk import PowerLost, SimDisk

TURNS = 12


class Driver:
    """``memory`` is its state, ``acked`` how much of that was acknowledged."""

    def __init__(self, disk: SimDisk, seed: int = 0) -> None:
        self.disk = disk
        self.memory: list[int] = []
        self.acked = 0
        self.batches = {0}
        self._random = random.Random(seed)
        self._tickets: dict[int, int] = {}
        self._journal: Journal | None = None

    def run(self, turns: int = TURNS) -> None:
        """Raises: PowerLost."""
        self.open()
        for turn in range(turns):
            self.turn()
            if turn % 4 == 3:
                self.compact()

    def open(self) -> None:
        """Start the supervisor; again and again while the disk refuses."""
        for _ in range(40):
            try:
                recovery = opened(self.disk)
                read = contents(recovery)
                self.check(read)
                self.memory = read
                self._journal = recovery.begin()
            except JournalDamaged:
                raise
            except (OSError, StorageUnavailable):
                self.disk.process_loss()
                self.disk.fail_from = None
                continue
            self._tickets.clear()
            self.acked = max(self.acked, len(read))  # whoever asks now is told that these are stored
            return
        raise AssertionError("the journal cannot be opened though the fault is over")

    def turn(self) -> None:
        assert self._journal is not None
        for _ in range(self._random.randint(1, 3)):
            count = self._random.randint(1, 4)
            batch = range(len(self.memory) + 1, len(self.memory) + 1 + count)
            self.memory.extend(batch)
            self.batches.add(len(self.memory))
            self._tickets[self._journal.append(map(record, batch))] = len(self.memory)
        self.settle()

    def settle(self) -> None:
        assert self._journal is not None
        self._journal.flush()
        if self._journal.failed is not None:
            self._journal.try_disk()
            self._journal.flush()
            if self._journal.usable:
                self._journal.restart(self.chunks())
                self._journal.flush()
        self.acked = max([self.acked, *(n for ticket, n in self._tickets.items() if ticket <= self._journal.synced)])

    def compact(self) -> None:
        assert self._journal is not None
        self._journal.seal()
        self._journal.flush()
        try:
            upto = self._journal.sealed
            compact(HOME, upto, Numbers(), number_of, Misfit, self.disk)
            self._journal.compacted(upto)
            self._journal.flush()
        except Exception as error:
            if not isinstance(error, OSError) and "cannot be compacted" not in str(error):
                raise

    def chunks(self) -> list[list[int]]:
        return [self.memory[start : start + 7] for start in range(0, len(self.memory), 7)]

    def check(self, read: list[int]) -> None:
        """What was read is a beginning of what was appended, with all that was acknowledged and no part of a batch."""
        assert read == list(range(1, len(read) + 1))
        assert self.acked <= len(read) <= max(self.acked, len(self.memory)), f"{self.acked} were acknowledged"
        assert len(read) in self.batches, "a part of a batch"


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for_ever"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EROFS], ids=errno.errorcode.get)
def test_no_failing_call_loses_what_was_acknowledged(code: int, for_ever: bool) -> None:
    call = 0
    while True:
        disk = SimDisk(seed=call)
        driver = Driver(disk, seed=1)
        if for_ever:
            disk.fail_from = (call, code)
        else:
            disk.fail_at[call] = code
        driver.run()
        if disk.calls <= call:
            break
        acked_with_fault = driver.acked
        disk.fail_from = None
        driver.settle()
        driver.turn()
        assert driver.acked == len(driver.memory) > acked_with_fault, f"call {call}: no recovery after the fault"
        disk.power_loss()
        driver.check(contents(opened(disk)))
        call += 1
    assert call > 80


@pytest.mark.parametrize("block", range(6))
def test_power_loss_at_any_call_loses_nothing_acknowledged(block: int) -> None:
    for seed in range(block * 60, block * 60 + 60):
        chance = random.Random(seed)
        disk = SimDisk(seed)
        driver = Driver(disk, seed)
        for _ in range(4):
            disk.lose_power_at = disk.calls + chance.randrange(1, 150)
            try:
                driver.run()
            except PowerLost:
                pass
            disk.power_loss()
            driver.check(contents(opened(disk)))
        driver.run()
        assert driver.acked == len(driver.memory)


def test_power_loss_together_with_failing_calls_loses_nothing_acknowledged() -> None:
    for seed in range(150):
        chance = random.Random(seed)
        disk = SimDisk(seed)
        driver = Driver(disk, seed)
        for _ in range(4):
            disk.lose_power_at = disk.calls + chance.randrange(20, 200)
            for _ in range(3):
                disk.fail_at[disk.calls + chance.randrange(200)] = chance.choice((errno.EIO, errno.ENOSPC))
            try:
                driver.run()
            except PowerLost:
                pass
            disk.power_loss()
            disk.fail_at.clear()
            driver.check(contents(opened(disk)))


def test_a_killed_process_followed_by_a_power_loss_loses_nothing_that_a_start_has_shown() -> None:
    for seed in range(100):
        disk = SimDisk(seed)
        driver = Driver(disk, seed)
        disk.lose_power_at = random.Random(seed).randrange(10, 120)
        try:
            driver.run()
        except PowerLost:
            pass
        disk.lose_power_at = None
        disk.process_loss()
        driver.open()
        disk.power_loss()
        driver.check(contents(opened(disk)))


def test_the_simulated_disk_gives_the_same_trace_for_the_same_seed() -> None:
    traces = []
    for _ in range(2):
        disk = SimDisk(7)
        Driver(disk, 7).run()
        disk.power_loss()
        traces.append((disk.trace, {path: bytes(inode.data) for path, inode in disk.names.items()}))
    assert traces[0] == traces[1]


def test_the_tests_above_find_an_acknowledgement_before_the_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobyard.supervisor.journal.writer.Writer.sync", lambda self: None)
    with pytest.raises((AssertionError, JournalDamaged), match=r"acknowledged|damaged"):
        test_power_loss_at_any_call_loses_nothing_acknowledged(0)


def test_the_tests_above_find_a_rename_that_is_not_synced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimDisk, "sync_directory", lambda self, directory: None)
    with pytest.raises((AssertionError, JournalDamaged), match=r"acknowledged|damaged"):
        test_power_loss_at_any_call_loses_nothing_acknowledged(0)


def test_small_segments_are_what_the_workload_runs_on() -> None:
    disk = SimDisk()
    driver = Driver(disk)
    driver.run(40)
    assert disk.trace.count("rename") > 10
    assert SMALL.segment_bytes < 1000
