"""The journal as the driver uses it."""

from __future__ import annotations

import errno
import select
import threading
from pathlib import Path

import pytest
from jobyard.conf.settings import JournalSettings
from jobyard.protocol.errors import TooLarge
from jobyard.supervisor.journal import frames
from jobyard.supervisor.journal.compact import compact
from jobyard.supervisor.journal.disk import Disk
from jobyard.supervisor.journal.journal import Journal
from journals import (
    PATIENCE_S,
    ROOMY,
    Misfit,
    Numbers,
    begun,
    compact_all,
    contents,
    files_of,
    fill,
    number_of,
    opened,
    record,
    removed,
    started,
    used,
    wait_synced,
)
from simdisk import SimDisk


class HeldDisk(Disk):
    """A real disk on which every sync of a written file waits for a permit, once ``held``, or fails."""

    def __init__(self) -> None:
        self.held = self.failing = False
        self.permits = threading.Semaphore(0)
        self.waiting = threading.Semaphore(0)
        self.written: list[bytes] = []

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        self.written.append(bytes(data))
        return super().write(fd, data, offset)

    def sync(self, fd: int) -> None:
        if self.failing:
            raise OSError(errno.EIO, "bad block")
        if self.held:
            self.waiting.release()
            assert self.permits.acquire(timeout=PATIENCE_S)
        super().sync(fd)

    def wait_for_sync(self) -> None:
        assert self.waiting.acquire(timeout=PATIENCE_S), "no sync began"


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


def test_a_new_directory_is_on_disk_before_the_journal_is_used(tmp_path: Path) -> None:
    class Watched(Disk):
        synced: list[Path] = []

        def sync_directory(self, directory: Path) -> None:
            self.synced.append(directory)
            super().sync_directory(directory)

    disk = Watched()
    begun(tmp_path / "new", disk).close()
    assert disk.synced[:2] == [tmp_path, tmp_path / "new"]


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


def test_nothing_that_is_asked_of_a_journal_waits_for_a_disk_that_hangs(tmp_path: Path) -> None:
    disk = HeldDisk()
    journal = begun(tmp_path, disk)
    journal.append([record(1)])
    journal.seal()
    journal.flush()
    compact(tmp_path, 1, Numbers(), number_of, Misfit)
    disk.held = True
    journal.append([record(2)])
    disk.wait_for_sync()
    journal.probe()
    removal = journal.compacted(1)
    last = journal.seal()
    assert journal.synced < removal < last
    disk.held = False
    disk.permits.release()
    wait_synced(journal, last)
    assert (journal.left_behind, journal.covered, journal.sealed) == (None, 1, 2)
    journal.close()
    assert contents(opened(directory=tmp_path)) == [1, 2]


def test_a_new_start_after_a_failure_does_not_wait_for_a_disk_that_hangs(tmp_path: Path) -> None:
    disk = HeldDisk()
    journal = begun(tmp_path, disk)
    disk.failing = True
    journal.append([record(1)])
    journal.flush()
    disk.failing, disk.held = False, True
    journal.try_disk()
    disk.wait_for_sync()
    assert journal.mending and not journal.usable
    disk.held = False
    disk.permits.release()
    journal.flush()
    assert journal.usable and not journal.mending
    disk.held = True
    journal.restart([[1, 2]])
    disk.wait_for_sync()
    later = journal.append([record(3)])
    assert journal.mending and journal.failed is not None
    disk.held = False
    disk.permits.release()
    journal.flush()
    assert journal.failed is None and journal.synced == later
    journal.close()
    assert contents(opened(directory=tmp_path)) == [1, 2, 3]


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
    assert journal.size == sum(len(used(content)) for content in files_of(disk).values())
    assert journal.bytes_since_snapshot == len(used(files_of(disk)[f"{journal.sealed + 1:010d}.segment"]))

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
        removed(journal, 1)
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
    disk.fail_at[disk.calls + 2] = errno.EIO  # the sync behind the write, before which space is taken
    journal.flush()
    assert journal.failed is not None
    disk.process_loss()

    again = started(disk)
    disk.power_loss()
    assert again.failed is None
    assert contents(opened(disk)) == [1]
