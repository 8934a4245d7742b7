"""The journal when the disk fails or is full."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from jobyard.conf.settings import JournalSettings
from jobyard.protocol.errors import StorageUnavailable
from jobyard.supervisor.journal.disk import Disk
from jobyard.supervisor.journal.errors import JournalDamaged
from jobyard.supervisor.journal.reserve import RESERVE_BYTES
from journals import (
    HOME,
    ROOMY,
    SMALL,
    begun,
    contents,
    disk_with,
    files_of,
    fill,
    opened,
    record,
    restarted,
    started,
    used,
    wait_synced,
)
from simdisk import SimDisk


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

    restarted(journal, [[1, 2, 3, 4, 5]])
    assert journal.failed is None
    assert journal.synced >= later
    fill(journal, 6, 7)
    disk.power_loss()
    assert contents(opened(disk)) == [1, 2, 3, 4, 5, 6, 7]


def test_what_was_handed_over_before_the_failure_was_seen_is_dropped() -> None:
    disk = SimDisk()
    journal = started(disk, settings=JournalSettings(group_bytes_max=10))
    for number in range(1, 9):
        journal.append([record(number)])
    disk.fail_at[disk.calls + 1] = errno.EIO  # the write, before which space is taken
    journal.flush()
    assert journal.synced == 0
    assert contents(opened(disk)) == []
    restarted(journal, [list(range(1, 9))])
    assert contents(opened(disk)) == list(range(1, 9)), "once each"


def test_a_restart_that_fails_leaves_everything_as_it_was() -> None:
    disk = SimDisk(seed=5)
    journal = started(disk)
    fill(journal, 1, 3)
    disk.fail_from = (disk.calls, errno.EIO)
    journal.append([record(4)])
    journal.flush()
    for _ in range(3):
        with pytest.raises(OSError, match="Input/output"):
            restarted(journal, [[1, 2, 3, 4]])
        assert journal.failed is not None
        assert journal.synced == 3
    disk.fail_from = None
    assert contents(opened(disk)) == [1, 2, 3]
    restarted(journal, [[1, 2, 3, 4]])
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
        restarted(journal, (1 // number for number in (1, 0)))
    assert journal.failed is not None
    assert not [path for path in disk.names if path.suffix == ".tmp"]
    restarted(journal, [[1, 2]])
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
        restarted(journal, [[1, 2, 3, 4, 5]])
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
        restarted(journal, [[1, 2]])
    disk.failing = False
    restarted(journal, [[1, 2]])
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
    restarted(journal, [[1]])
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
    journal.flush()
    assert journal.low_space
    disk.capacity = 2 * RESERVE_BYTES
    journal.probe()
    journal.flush()
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
        restarted(journal, [list(range(1, 200))] * 9)

    disk.capacity = None
    restarted(journal, [list(range(1, 200))])
    fill(journal, 200, 201)
    journal.probe()
    journal.flush()
    assert not journal.low_space
    disk.power_loss()
    assert contents(opened(disk)) == list(range(1, 202))


def test_a_full_disk_that_has_little_room_again_is_enough_to_go_on_without_the_whole_state() -> None:
    disk = SimDisk(capacity=2000)
    journal = started(disk, settings=ROOMY)
    number = 0
    while journal.failed is None:
        number += 1
        ticket = journal.append([record(number)])
        journal.flush()
    ticket = journal.append([record(number + 1), record(number + 2)])
    journal.try_disk()
    journal.flush()
    assert journal.failed is not None and journal.failed.errno == errno.ENOSPC
    assert journal.synced < ticket
    disk.capacity = 2200
    journal.try_disk()
    journal.flush()
    assert journal.failed is None
    assert journal.synced == ticket
    assert not [path for path in disk.names if path.suffix == ".snapshot"]
    disk.power_loss()
    assert contents(opened(disk)) == list(range(1, number + 3))


@pytest.mark.parametrize("failed_before", [False, True])
def test_segment_that_was_to_be_sealed_on_a_full_disk_is_sealed_when_there_is_room(failed_before: bool) -> None:
    disk = SimDisk(capacity=2000)
    journal = started(disk, settings=ROOMY)
    fill(journal, 1, 1)
    disk.capacity = sum(map(len, files_of(disk).values()))
    if failed_before:
        disk.fail_at[disk.calls] = errno.ENOSPC
        journal.append([record(2)])
        journal.flush()
    ticket = journal.seal()
    last = 3 if failed_before else 2
    later = journal.append([record(last)])
    journal.flush()
    assert journal.failed is not None and (journal.sealed, journal.synced < ticket) == (0, True)
    disk.capacity = None
    journal.try_disk()
    journal.flush()
    assert journal.failed is None
    assert (journal.sealed, journal.synced) == (1, later), "whoever waits for it is told the truth"
    assert contents(opened(disk)) == list(range(1, last + 1))


def test_too_much_that_waits_for_space_is_stored_with_the_whole_state_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobyard.supervisor.journal.journal.KEPT_BYTES", 50)
    disk = SimDisk(capacity=1000)
    journal = started(disk, settings=ROOMY)
    for number in range(1, 101):
        journal.append([record(number)])
        journal.flush()
    assert journal.failed is not None
    disk.capacity = None
    journal.try_disk()
    journal.flush()
    assert journal.failed is not None and journal.usable
    restarted(journal, [list(range(1, 101))])
    disk.power_loss()
    assert contents(opened(disk)) == list(range(1, 101))


@pytest.mark.parametrize("code", [errno.EIO, errno.EROFS])
def test_after_any_other_failure_nothing_is_written_behind_what_is_there(code: int) -> None:
    disk = SimDisk()
    journal = started(disk, settings=ROOMY)
    fill(journal, 1, 3)
    before = files_of(disk)
    disk.fail_at[disk.calls] = code  # the write
    journal.append([record(4)])
    journal.flush()
    assert journal.failed is not None
    journal.try_disk()
    journal.flush()
    assert journal.usable and journal.failed is not None
    assert used(files_of(disk)["0000000001.segment"]) == used(before["0000000001.segment"])


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


def without_room_for_a_copy() -> SimDisk:
    """A full disk with 1 to 20 on it, the reserve used up, that has crashed."""
    disk = SimDisk(capacity=RESERVE_BYTES + 1000)
    journal = started(disk, settings=ROOMY)
    fill(journal, 1, 20)
    journal.close()
    disk.unlink(HOME / "reserve")
    disk.process_loss()
    disk.capacity = journal.size + 100
    return disk


def test_a_start_without_room_for_a_copy_goes_on_in_the_same_file() -> None:
    disk = without_room_for_a_copy()
    journal = started(disk, settings=ROOMY)
    assert "forget" in disk.trace
    assert journal.low_space
    fill(journal, 21, 22)
    disk.power_loss()
    assert contents(opened(disk)) == list(range(1, 23))


def test_a_start_without_room_for_a_copy_drops_a_torn_tail_and_says_so() -> None:
    disk = without_room_for_a_copy()
    segment = disk.names[HOME / "0000000001.segment"]
    segment.data += b"torn" * 20
    segment.durable = bytes(segment.data)
    disk.capacity = len(segment.data)
    recovery = opened(disk, settings=ROOMY)
    assert contents(recovery) == list(range(1, 21))
    journal = recovery.begin()
    assert "80 bytes" in recovery.notes[0] and "dropped, for want of space" in recovery.notes[0]
    fill(journal, 21, 21)
    assert contents(opened(disk)) == list(range(1, 22))


def test_a_start_without_room_for_a_copy_is_refused_if_the_disk_does_not_have_what_was_read() -> None:
    """A sync had failed before the crash: the pages are in memory and look as if they were on disk."""
    disk = without_room_for_a_copy()
    segment = disk.names[HOME / "0000000001.segment"]
    segment.durable = segment.durable[:-1] + b"?"
    recovery = opened(disk, settings=ROOMY)
    assert contents(recovery) == list(range(1, 21))
    with pytest.raises(StorageUnavailable, match="is not on disk as it was read"):
        recovery.begin()


@pytest.mark.parametrize(("code", "hint"), [(errno.ENOSPC, "free some space on that disk"), (errno.EROFS, "")])
def test_a_start_that_the_disk_refuses_says_where_and_changes_nothing(code: int, hint: str) -> None:
    disk = SimDisk()
    fill(started(disk), 1, 3)
    files = files_of(disk)
    disk.names[HOME / "0000000001.segment"].data += b"torn"
    recovery = opened(disk)
    assert contents(recovery) == [1, 2, 3]
    disk.fail_from = (disk.calls, code)
    with pytest.raises(
        StorageUnavailable, match=f"the journal in {HOME} cannot be written: {os.strerror(code)}"
    ) as caught:
        recovery.begin()
    assert caught.value.hint == hint
    disk.fail_from = None
    assert files_of(disk) == {name: content + b"torn" for name, content in files.items()}
    assert started(disk).failed is None


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


@pytest.mark.parametrize(("code", "held"), [(errno.ENOSPC, False), (errno.EOPNOTSUPP, True)])
def test_the_reserve_is_written_where_space_cannot_be_promised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, held: bool
) -> None:
    def refuse(fd: int, offset: int, size: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    journal = begun(tmp_path)
    assert journal.low_space == (not held)
    assert (tmp_path / "reserve").exists() == held
    journal.probe()
    journal.flush()
    assert journal.low_space == (not held)
    journal.close()
    if held:
        assert (tmp_path / "reserve").stat().st_blocks * 512 >= RESERVE_BYTES


def test_files_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    journal = begun(tmp_path / "new")
    journal.close()
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    for path in (tmp_path / "new").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600, path


# In a process of its own: it is to end.
THREAD_THAT_BREAKS = """
import sys
from pathlib import Path
from jobyard.conf.settings import JournalSettings
from jobyard.supervisor.journal.journal import Journal

def no_memory(self, batch):
    raise MemoryError("none left")

recovery = Journal.open(Path(sys.argv[1]), JournalSettings())
list(recovery.groups())
journal = recovery.begin()
Journal._gather = no_memory
journal.append([b"record"])
journal.flush()
"""


def test_a_thread_that_breaks_ends_the_process_rather_than_store_nothing_any_more(tmp_path: Path) -> None:
    command = [sys.executable, "-c", THREAD_THAT_BREAKS, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == os.EX_SOFTWARE
    assert done.stderr.endswith("MemoryError: none left\n")
