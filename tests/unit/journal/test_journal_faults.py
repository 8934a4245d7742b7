"""Every single call to the disk fails, once or from then on; and the power goes at any call (T4 and T6 of the plan).

The message of a failure has the call, the fault and the seed.
"""

from __future__ import annotations

import errno
import random
from collections import Counter

import pytest
import tiers
from jobyard.protocol.errors import StorageUnavailable
from jobyard.supervisor.journal.disk import NewFile
from jobyard.supervisor.journal.errors import JournalDamaged
from jobyard.supervisor.journal.reserve import RESERVE_BYTES
from jobyard.supervisor.journal.writer import Writer
from journals import SMALL
from simdisk import PowerLost, SimDisk
from workload import Workload, contents

FAULTS = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EINTR)
pytestmark = pytest.mark.usefixtures("quiet")
KINDS = {
    "list", "make_directory", "size", "open_read", "create", "write", "sync", "truncate", "allocate", "extend",
    "rename", "sync_directory", "unlink", "transact",
}  # fmt: skip
STATES_PER_CRASH = 10


def with_failing_call(call: int, code: int, seed: int, *, for_ever: bool, short: bool) -> SimDisk | None:
    """Run the workload with that fault, let the fault end, and see that all is well; None if it was never met."""
    disk = SimDisk(seed=call)
    disk.short_writes = short
    work = Workload(disk, seed)
    if for_ever:
        disk.fail_from = (call, code)
    else:
        disk.fail_at[call] = code
    work.run()
    if disk.calls <= call:
        return None
    disk.fail_from = None
    work.settle()
    work.turn()
    assert work.acked == work.memory.last, "no recovery after the fault"
    work.check(contents(work.recovery(disk)))
    disk.power_loss()
    work.check(contents(work.recovery(disk)))
    return disk


@pytest.mark.tier("T4")
@pytest.mark.timeout(tiers.size(120, 3_600, 36_000))
def test_no_failing_call_loses_what_was_acknowledged() -> None:
    rounds, faults, met = tiers.size(2, 15, 150), 0, Counter[str]()
    for seed in range(rounds):
        for code in FAULTS:
            for for_ever in (False, True):
                call = 0
                while True:
                    fault = f"seed {seed}, call {call}, {errno.errorcode[code]}{' for ever' if for_ever else ''}"
                    try:
                        disk = with_failing_call(call, code, seed, for_ever=for_ever, short=call % 2 == seed % 2)
                    except Exception as error:
                        raise AssertionError(f"{fault}: {error}") from error
                    if disk is None:
                        break
                    met[disk.trace[call]] += 1
                    faults += 1
                    call += 1
    assert set(met) == KINDS
    tiers.report("T4", "a failing n-th call, until it passes", faults=faults, lost=0, stuck=0)


def crash_states(seed: int, boundary: int, capacity: int | None) -> tuple[Workload, SimDisk] | None:
    """The workload up to where the power goes at that call; None if it ends before."""
    disk = SimDisk(seed, capacity)
    work = Workload(disk, seed, fault=True)
    disk.lose_power_at = boundary
    try:
        work.run()
    except PowerLost:
        return work, disk
    return None


def reopens(work: Workload, disk: SimDisk, again_at: int | None) -> None:
    """A start on ``disk`` finds everything, also when it is itself cut off at its call ``again_at``; and goes on."""
    if again_at is not None:
        disk.lose_power_at = disk.calls + again_at
        try:
            recovery = work.recovery(disk)
            work.check(contents(recovery))
            recovery.begin()
        except (PowerLost, StorageUnavailable):
            pass
        disk.power_loss()
    recovery = work.recovery(disk)
    read = contents(recovery)
    work.check(read)
    try:
        journal = recovery.begin()
    except StorageUnavailable:
        assert disk.capacity is not None
        disk.process_loss()
        disk.capacity = None
        recovery = work.recovery(disk)
        assert contents(recovery).last == read.last, "a start that found no room has lost something"
        journal = recovery.begin()
    shown = read.last
    journal.close()
    disk.power_loss()
    assert contents(work.recovery(disk)).last == shown, "what a start has shown is lost"


def power_states(states: int, capacity: int | None = None) -> tuple[int, int]:
    """Look at so many states, in turn after every call of the workload of one seed after another; how many states and
    calls that were."""
    seen = boundaries = seed = boundary = 0
    while seen < states:
        found = crash_states(seed, boundary, capacity)
        if found is None:
            seed, boundary = seed + 1, 0
            continue
        work, disk = found
        boundaries += 1
        for chance in range(STATES_PER_CRASH):
            again_at = random.Random(chance * 7919 + boundary).randrange(40) if chance % 5 == 4 else None
            try:
                reopens(work, disk.after_power_loss(seed * 1_000_003 + boundary * 101 + chance), again_at)
            except Exception as error:
                raise AssertionError(f"seed {seed}, call {boundary}, chance {chance}: {error}") from error
            seen += 1
        boundary += 1
    return seen, boundaries


@pytest.mark.tier("T6")
@pytest.mark.timeout(tiers.size(120, 3_600, 36_000))
def test_power_loss_at_any_call_loses_nothing_acknowledged() -> None:
    states, boundaries = power_states(tiers.size(5_000, 100_000, 2_000_000))
    tiers.report(
        "T6", "power loss, on a simulated disk", states=states, calls=boundaries, lost=0, phantom=0, unopenable=0
    )


@pytest.mark.tier("T6")
def test_power_loss_on_a_disk_without_room_loses_nothing_acknowledged() -> None:
    room = 900
    states, boundaries = power_states(tiers.size(1_500, 20_000, 400_000), capacity=RESERVE_BYTES + room)
    tiers.report("T6", "power loss, on a full disk", states=states, calls=boundaries, lost=0, phantom=0, unopenable=0)


def test_power_loss_together_with_failing_calls_loses_nothing_acknowledged() -> None:
    for seed in range(150):
        chance = random.Random(seed)
        disk = SimDisk(seed)
        work = Workload(disk, seed)
        for _ in range(4):
            disk.lose_power_at = disk.calls + chance.randrange(20, 200)
            for _ in range(3):
                disk.fail_at[disk.calls + chance.randrange(200)] = chance.choice((errno.EIO, errno.ENOSPC))
            try:
                work.run()
            except PowerLost:
                pass
            disk.power_loss()
            disk.fail_at.clear()
            work.check(contents(work.recovery(disk)))


def test_a_killed_process_followed_by_a_power_loss_loses_nothing_that_a_start_has_shown() -> None:
    for seed in range(100):
        disk = SimDisk(seed)
        work = Workload(disk, seed)
        disk.lose_power_at = random.Random(seed).randrange(10, 120)
        try:
            work.run()
        except PowerLost:
            pass
        disk.lose_power_at = None
        disk.process_loss()
        work.open()
        disk.power_loss()
        work.check(contents(work.recovery(disk)))


def test_the_simulated_disk_gives_the_same_trace_for_the_same_seed() -> None:
    traces = []
    for _ in range(2):
        disk = SimDisk(7)
        Workload(disk, 7).run()
        disk.power_loss()
        traces.append((disk.trace, {path: bytes(inode.data) for path, inode in disk.names.items()}))
    assert traces[0] == traces[1]


def test_states_after_a_power_loss_leave_the_disk_as_it_was() -> None:
    disk = SimDisk(7)
    Workload(disk, 7).run()
    before = {path: bytes(inode.data) for path, inode in disk.names.items()}
    states = {tuple(sorted(disk.after_power_loss(seed).names)) for seed in range(50)}
    assert len(states) > 1
    assert {path: bytes(inode.data) for path, inode in disk.names.items()} == before


def test_the_workload_does_everything_that_a_supervisor_does_to_its_journal() -> None:
    disk = SimDisk()
    work = Workload(disk, fault=True)
    work.run(40)
    assert set(disk.trace) == KINDS
    assert disk.trace.count("rename") > 10
    assert work.degraded_turns > 0
    assert 0 < work.memory.pruned <= work.archived < work.memory.last
    assert SMALL.segment_bytes < 1000


# -- what would be found -----------------------------------------------------------------------------------------------


def found_by_power_loss() -> None:
    with pytest.raises((AssertionError, JournalDamaged), match=r"acknowledged|damaged|shown|history has"):
        power_states(3_000)


def test_an_acknowledgement_before_the_sync_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobyard.supervisor.journal.writer.Writer.sync", lambda self: None)
    found_by_power_loss()


def test_a_rename_that_is_not_synced_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimDisk, "sync_directory", lambda self, directory: None)
    found_by_power_loss()


def test_a_new_start_that_shows_what_it_has_not_synced_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def publish_unsynced(self: NewFile) -> int:
        assert self._fd is not None
        self._disk.rename(self._temporary, self._path)
        self._disk.sync_directory(self._path.parent)
        fd, self._fd = self._fd, None
        return fd

    monkeypatch.setattr(NewFile, "publish", publish_unsynced)
    found_by_power_loss()


def test_jobs_that_are_pruned_before_the_history_has_them_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def prune(self: Workload) -> None:
        watermark = self.memory.last
        self._commit([["pruned", watermark]])
        self._wait()
        self.archived = watermark

    monkeypatch.setattr(Workload, "_archive", lambda self, watermark: None)
    monkeypatch.setattr(Workload, "prune", prune)
    found_by_power_loss()


def test_writing_on_after_a_sync_that_failed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def sync(self: Writer) -> None:
        try:
            self._disk.sync(self._tip.fd)
        except OSError:
            self._disk.sync(self._tip.fd)  # it says that all is well

    monkeypatch.setattr(Writer, "sync", sync)
    found_by_power_loss()
