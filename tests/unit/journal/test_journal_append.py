"""The journal as the driver uses it."""

from __future__ import annotations

import errno
import select
import threading
import time
from pathlib import Path

import pytest
from jobyard.conf.settings import JournalSettings
from jobyard.protocol.errors import TooLarge
from jobyard.supervisor.journal import frames
from jobyard.supervisor.journal.disk import Disk
from jobyard.supervisor.journal.errors import JournalDamaged
from jobyard.supervisor.journal.journal import Journal
from jobyard.supervisor.journal.reserve import RESERVE_BYTES
from journals import (
    SMALL,
    compact_all,
    contents,
    disk_with,
    files_of,
    fill,
    opened,
    record,
    started,
)
from simdisk import SimDisk

PATIENCE_S = 20.0
ROOMY = JournalSettings()


class HeldDisk(Disk):
    """A real disk on which every sync of a written file waits for a permit, once ``held``."""

    def __init__(self) -> None:
        self.held = False
        self.permits = threading.Semaphore(0)
        self.waiting = threading.Semaphore(0)
        self.written: list[bytes] = []

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        self.written.append(bytes(data))
        return super().write(fd, data, offset)

    def sync(self, fd: int) -> None:
        if self.held:
            self.waiting.release()
            assert self.permits.acquire(timeout=PATIENCE_S)
        super().sync(fd)

    def wait_for_sync(self) -> None:
        assert self.waiting.acquire(timeout=PATIENCE_S), "no sync began"


def wait_synced(journal: Journal, ticket: int) -> None:
    poll = select.poll()
    poll.register(journal.fileno(), select.POLLIN)
    deadline = time.monotonic() + PATIENCE_S
    while journal.synced < ticket and journal.failed is None:
        left = deadline - time.monotonic()
        assert left > 0 and poll.poll(left * 1000), f"synced {journal.synced}, waited for {ticket}"
        journal.collect()


def begun(directory: Path, disk: Disk | None = None, settings: JournalSettings = ROOMY) -> Journal:
    recovery = Journal.open(directory, settings, disk=disk)
    contents(recovery)
    return recovery.begin()


def test_what_was_appended_is_read_again(tmp_path: Path) -> None:
    journal = begun(tmp_path / "new")
    first = journal.append([record(1), record(2)])
    second = journal.append([record(3)])
    assert second > first
    wait_synced(journal, second)
    assert journal.synced == journal.written == second
    journal.close()

    recovery = Journal.open(tmp_path / "new", ROOMY)
    assert recovery.snapshot() is None
    assert [item for group in recovery.groups() for item in group] == [[1], [2], [3]]
    assert recovery.notes == []


def test_close_writes_and_syncs_what_is_pending(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    ticket = journal.append([record(1)])
    journal.close()
    assert journal.synced == ticket
    assert journal.failed is None
    assert contents(opened(directory=tmp_path)) == [1]


def test_the_descriptor_is_readable_once_per_change_and_quiet_after_collect(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    poll = select.poll()
    poll.register(journal.fileno(), select.POLLIN)
    assert poll.poll(0) == []
    journal.append([record(1)])
    assert poll.poll(PATIENCE_S * 1000)
    journal.collect()
    journal.collect()
    assert poll.poll(0) == []
    journal.close()


def test_appending_nothing_takes_no_ticket_and_no_write(tmp_path: Path) -> None:
    disk = SimDisk()
    journal = started(disk)
    ticket = journal.append([record(1)])
    journal.flush()
    calls = disk.calls
    assert journal.append([]) == ticket
    journal.flush()
    assert disk.calls == calls


def test_an_append_never_waits_for_the_disk_and_the_next_group_waits_for_the_sync(tmp_path: Path) -> None:
    disk = HeldDisk()
    journal = begun(tmp_path, disk)
    disk.held = True
    groups_before = len(disk.written)
    journal.append([record(1)])
    disk.wait_for_sync()
    tickets = [journal.append([record(number)]) for number in range(2, 50)]
    assert len(disk.written) == groups_before + 1, "a group was written while another was being synced"
    assert journal.synced == 0
    assert journal.written == 1
    assert journal.pending_s > 0

    disk.permits.release(2)
    wait_synced(journal, tickets[-1])
    assert len(disk.written) == groups_before + 2, "what waited goes into one group"
    disk.held = False
    journal.close()
    assert journal.pending_s == 0.0
    assert contents(opened(directory=tmp_path)) == list(range(1, 50))


def test_one_append_is_one_group_even_when_it_is_larger_than_groups_should_be() -> None:
    disk = SimDisk()
    journal = started(disk, settings=JournalSettings(segment_bytes=10_000, group_bytes_max=50))
    for first in range(1, 200, 100):
        journal.append(record(number) for number in range(first, first + 100))
    journal.flush()

    assert [len(group) for group in opened(disk).groups()] == [100, 100]


def test_groups_are_made_up_to_their_size() -> None:
    disk = SimDisk()
    journal = started(disk, settings=JournalSettings(segment_bytes=10_000, group_bytes_max=25))
    for number in range(1, 31):
        journal.append([record(number)])
    journal.flush()

    sizes = [len(group) for group in opened(disk).groups()]
    assert sum(sizes) == 30
    assert max(sizes) == 10
    assert journal.synced == 30


def test_more_than_a_group_can_ever_hold_is_refused_before_it_is_queued(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobyard.supervisor.journal.journal.PAYLOAD_BYTES_MAX", 100)
    journal = started(SimDisk())
    with pytest.raises(TooLarge, match="96 bytes of records"):
        journal.append([b"\xc4\x5e" + b"x" * 94])
    assert journal.append([record(1)]) == 1
    journal.flush()
    assert journal.failed is None


def test_a_record_that_is_not_bytes_is_refused_at_once_and_harms_nothing() -> None:
    disk = SimDisk()
    journal = started(disk)
    with pytest.raises(TypeError):
        journal.append(["text"])  # type: ignore[list-item]
    fill(journal, 1, 1)
    assert contents(opened(disk)) == [1]


def test_a_full_segment_is_followed_by_the_next() -> None:
    disk = SimDisk()
    journal = started(disk, settings=JournalSettings(segment_bytes=100, group_bytes_max=100))
    assert journal.sealed == 0
    fill(journal, 1, 10)
    names = sorted(files_of(disk))
    assert len(names) == journal.sealed + 1 > 3
    assert contents(opened(disk)) == list(range(1, 11))
    assert journal.size == journal.bytes_since_snapshot == sum(map(len, files_of(disk).values()))


def test_seal_closes_the_segment_after_all_that_was_handed_over() -> None:
    disk = SimDisk()
    journal = started(disk, settings=ROOMY)
    journal.append([record(1)])
    ticket = journal.seal()
    journal.append([record(2)])
    assert journal.sealed == 0
    journal.flush()
    assert journal.synced > ticket
    assert journal.sealed == 1
    assert [frame.number for frame in frames.find(memoryview(files_of(disk)["0000000001.segment"]), 0)] == [1, 1]
    assert contents(opened(disk)) == [1, 2]


def test_sealing_an_empty_segment_changes_nothing_but_its_ticket_is_synced() -> None:
    disk = SimDisk()
    journal = started(disk)
    fill(journal, 1, 1)
    journal.seal()
    journal.flush()
    sealed, ticket = journal.sealed, journal.seal()
    journal.flush()
    assert journal.sealed == sealed
    assert journal.synced == ticket


def test_seal_in_the_thread(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    journal.append([record(1)])
    wait_synced(journal, journal.seal())
    assert journal.sealed == 1
    journal.close()


def test_compacted_removes_what_the_snapshot_covers() -> None:
    disk = SimDisk()
    journal = started(disk)
    fill(journal, 1, 60)
    before = journal.size
    compact_all(journal, disk)
    fill(journal, 61, 62)
    names = sorted(files_of(disk))
    assert len(names) == 2
    assert names[0].endswith(".snapshot") or names[1].endswith(".snapshot")
    assert journal.size < before
    assert journal.size == sum(map(len, files_of(disk).values()))
    assert journal.bytes_since_snapshot == len(files_of(disk)[f"{journal.sealed + 1:010d}.segment"])

    compact_all(journal, disk)
    assert len(files_of(disk)) == 2
    again = started(disk)
    assert again.size == sum(map(len, files_of(disk).values()))
    assert contents(opened(disk)) == list(range(1, 63))


@pytest.mark.parametrize("upto", [0, -1, 2, 99])
def test_compacted_refuses_a_segment_that_is_not_sealed(upto: int) -> None:
    disk = SimDisk()
    journal = started(disk, settings=ROOMY)
    fill(journal, 1, 5)
    journal.seal()
    journal.flush()
    with pytest.raises(ValueError, match="not sealed"):
        journal.compacted(upto)
    assert contents(opened(disk)) == [1, 2, 3, 4, 5]


def test_compacted_without_a_snapshot_removes_nothing() -> None:
    disk = SimDisk()
    journal = started(disk, settings=ROOMY)
    fill(journal, 1, 5)
    journal.seal()
    journal.flush()
    with pytest.raises(FileNotFoundError):
        journal.compacted(1)
    assert contents(opened(disk)) == [1, 2, 3, 4, 5]


def test_begin_before_everything_was_read_is_refused() -> None:
    disk = SimDisk()
    fill(started(disk), 1, 3)
    recovery = opened(disk)
    with pytest.raises(RuntimeError, match="not read to its end"):
        recovery.begin()
    groups = recovery.groups()
    next(groups)
    with pytest.raises(RuntimeError, match="not read to its end"):
        recovery.begin()


def test_what_only_the_page_cache_held_is_on_disk_when_begin_returns() -> None:
    disk = SimDisk(seed=3)
    journal = started(disk)
    journal.append([record(1)])
    disk.fail_at[disk.calls + 1] = errno.EIO  # the sync behind the write
    journal.flush()
    assert journal.failed is not None
    disk.process_loss()

    again = started(disk)
    disk.power_loss()
    assert again.failed is None
    assert contents(opened(disk)) == [1]


# -- failures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.EIO, errno.EROFS, errno.EDQUOT])
def test_a_failed_sync_stops_everything_until_a_new_start(code: int) -> None:
    disk = SimDisk(seed=4)
    journal = started(disk)
    fill(journal, 1, 3)
    disk.fail_at[disk.calls + 1] = code
    doubtful = journal.append([record(4)])
    journal.flush()
    assert journal.failed is not None
    assert journal.failed.errno == code
    assert journal.synced == 3
    calls = disk.calls
    later = journal.append([record(5)])
    journal.seal()
    journal.flush()
    assert disk.calls == calls, "nothing is written with that descriptor any more"
    assert later > doubtful

    journal.restart([[1, 2, 3, 4, 5]])
    assert journal.failed is None
    assert journal.synced >= later
    fill(journal, 6, 7)
    disk.power_loss()
    assert contents(opened(disk)) == [1, 2, 3, 4, 5, 6, 7]


def test_a_restart_that_fails_leaves_everything_as_it_was() -> None:
    disk = SimDisk(seed=5)
    journal = started(disk)
    fill(journal, 1, 3)
    disk.fail_from = (disk.calls, errno.EIO)
    journal.append([record(4)])
    journal.flush()
    for _ in range(3):
        with pytest.raises(OSError, match="Input/output"):
            journal.restart([[1, 2, 3, 4]])
        assert journal.failed is not None
        assert journal.synced == 3
    disk.fail_from = None
    assert contents(opened(disk)) == [1, 2, 3]
    journal.restart([[1, 2, 3, 4]])
    fill(journal, 5, 5)
    assert contents(opened(disk)) == [1, 2, 3, 4, 5]
    assert len(files_of(disk)) == 2, "what the new start covers is removed"


def test_restart_without_a_failure_is_a_fault_of_the_caller() -> None:
    with pytest.raises(RuntimeError, match="no failure"):
        started(SimDisk()).restart([])


def test_the_chunks_of_a_restart_may_fail_too() -> None:
    disk = SimDisk()
    journal = started(disk)
    fill(journal, 1, 1)
    disk.fail_at[disk.calls] = errno.EIO
    journal.append([record(2)])
    journal.flush()
    with pytest.raises(ZeroDivisionError):
        journal.restart(1 // number for number in (1, 0))
    assert journal.failed is not None
    assert not [path for path in disk.names if path.suffix == ".tmp"]
    journal.restart([[1, 2]])
    assert contents(opened(disk)) == [1, 2]


def test_losing_the_snapshot_of_a_restart_is_never_silent() -> None:
    """It holds what no segment does, so nothing may bridge it, not even the failed segment if that is still there."""
    for seed in range(20):
        disk = SimDisk(seed)
        journal = started(disk, settings=ROOMY)
        fill(journal, 1, 3)
        before = files_of(disk)
        disk.fail_at[disk.calls + 1] = errno.EIO
        journal.append([record(4)])
        journal.flush()
        failed_segment = files_of(disk)
        journal.append([record(5)])
        journal.restart([[1, 2, 3, 4, 5]])
        fill(journal, 6, 6)
        for old in (before, failed_segment):
            files = {**old, **files_of(disk)}
            name = "0000000001.snapshot"
            for damaged in ({**files, name: files[name][:-1]}, {n: c for n, c in files.items() if n != name}):
                with pytest.raises(JournalDamaged):
                    contents(opened(disk_with(damaged)))


def test_a_failure_in_the_thread_wakes_the_loop_and_a_restart_recovers(tmp_path: Path) -> None:
    class Failing(Disk):
        failing = False

        def sync(self, fd: int) -> None:
            if self.failing:
                raise OSError(errno.EIO, "bad block")
            super().sync(fd)

    disk = Failing()
    journal = begun(tmp_path, disk)
    wait_synced(journal, journal.append([record(1)]))
    disk.failing = True
    ticket = journal.append([record(2)])
    wait_synced(journal, ticket)
    assert journal.failed is not None
    assert journal.failed.errno == errno.EIO
    assert journal.synced < ticket
    with pytest.raises(OSError, match="bad block"):
        journal.restart([[1, 2]])
    disk.failing = False
    journal.restart([[1, 2]])
    assert journal.synced == ticket
    wait_synced(journal, journal.append([record(3)]))
    journal.close()
    assert contents(opened(directory=tmp_path)) == [1, 2, 3]


@pytest.mark.parametrize("error", [MemoryError("no memory"), ZeroDivisionError("a fault of ours")])
def test_any_other_failure_in_the_thread_is_as_deadly_as_one_of_the_disk(tmp_path: Path, error: Exception) -> None:
    class Faulty(Disk):
        faulty = False

        def write(self, fd: int, data: bytes | memoryview, offset: int) -> int:
            if self.faulty:
                raise error
            return super().write(fd, data, offset)

    disk = Faulty()
    journal = begun(tmp_path, disk)
    disk.faulty = True
    wait_synced(journal, journal.append([record(1)]))
    assert journal.failed is not None
    assert type(error).__name__ in str(journal.failed)
    disk.faulty = False
    journal.restart([[1]])
    journal.close()
    assert contents(opened(directory=tmp_path)) == [1]


# -- a full disk -------------------------------------------------------------------------------------------------------


def test_a_full_disk_gives_up_the_reserve_and_goes_on() -> None:
    disk = SimDisk(capacity=RESERVE_BYTES + 500)
    journal = started(disk, settings=ROOMY)
    assert not journal.low_space
    number = 0
    while not journal.low_space:
        number += 1
        fill(journal, number, number)
        assert number < 100
    fill(journal, number + 1, number + 50)
    assert journal.failed is None
    disk.power_loss()
    assert contents(opened(disk)) == list(range(1, number + 51))


def test_probe_takes_the_reserve_back_when_there_is_space_again() -> None:
    disk = SimDisk(capacity=RESERVE_BYTES + 500)
    journal = started(disk, settings=ROOMY)
    fill(journal, 1, 40)
    assert journal.low_space
    journal.probe()
    assert journal.low_space
    disk.capacity = 2 * RESERVE_BYTES
    journal.probe()
    assert not journal.low_space
    disk.capacity = None
    fill(journal, 41, 42)
    assert contents(opened(disk)) == list(range(1, 43))


def test_a_disk_that_is_full_beyond_the_reserve_fails_and_recovers_without_loss() -> None:
    disk = SimDisk(capacity=2000)
    journal = started(disk, settings=ROOMY)
    assert journal.low_space, "there was never room for a reserve"
    for number in range(1, 200):
        journal.append([record(number)])
        journal.flush()
    assert journal.failed is not None
    assert journal.failed.errno == errno.ENOSPC
    synced = journal.synced
    assert contents(opened(disk)) == list(range(1, synced + 1))
    with pytest.raises(OSError, match="No space"):
        journal.restart([list(range(1, 200))] * 9)

    disk.capacity = None
    journal.restart([list(range(1, 200))])
    fill(journal, 200, 201)
    journal.probe()
    assert not journal.low_space
    disk.power_loss()
    assert contents(opened(disk)) == list(range(1, 202))


def test_a_start_on_a_full_disk_uses_the_reserve() -> None:
    disk = SimDisk(capacity=RESERVE_BYTES + 1000)
    journal = started(disk, settings=ROOMY)
    fill(journal, 1, 15)
    disk.process_loss()
    disk.capacity = RESERVE_BYTES + journal.size
    again = started(disk, settings=ROOMY)
    assert not again.low_space, "the old copy is gone, so the reserve was taken again"
    fill(again, 16, 17)
    assert again.low_space
    assert contents(opened(disk)) == list(range(1, 18))


def test_a_full_segment_is_followed_by_the_next_on_a_full_disk() -> None:
    disk = SimDisk(capacity=RESERVE_BYTES + 1000)
    journal = started(disk, settings=SMALL)
    fill(journal, 1, 6)
    disk.capacity = RESERVE_BYTES + journal.size
    fill(journal, 7, 40)
    assert journal.sealed > 2
    assert journal.low_space
    assert contents(opened(disk)) == list(range(1, 41))


def test_the_reserve_takes_real_space(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    status = (tmp_path / "reserve").stat()
    assert status.st_size == RESERVE_BYTES
    assert status.st_blocks * 512 >= RESERVE_BYTES
    journal.close()


def test_files_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    journal = begun(tmp_path / "new")
    journal.close()
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    for path in (tmp_path / "new").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600, path
