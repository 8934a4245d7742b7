"""The space a segment takes ahead of its groups: no reader minds it, no figure counts it, no failure comes of it."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from jobyard.supervisor.journal import fsck
from jobyard.supervisor.journal.segment import SegmentReader
from journals import HOME, ROOMY, begun, contents, files_of, fill, opened, record, started, used, wait_synced
from simdisk import SimDisk

FIRST = "0000000001.segment"


def test_the_space_ahead_is_taken_once_for_many_groups() -> None:
    disk = SimDisk()
    fill(started(disk, settings=ROOMY), 1, 50)
    assert disk.trace.count("extend") == 1
    assert len(files_of(disk)[FIRST]) > len(used(files_of(disk)[FIRST]))


def test_a_journal_whose_process_was_killed_is_whole_and_has_no_torn_tail() -> None:
    disk = SimDisk()
    fill(started(disk, settings=ROOMY), 1, 5)
    disk.process_loss()

    assert fsck.check(HOME, disk).verdict is fsck.Verdict.OK
    assert not any('"damage"' in line for line in fsck.dump(HOME, disk))
    recovery = opened(disk)
    assert contents(recovery) == [1, 2, 3, 4, 5]
    assert not recovery.torn
    recovery.begin()
    assert not [path for path in disk.names if path.suffix == ".bin"]


def test_the_space_ahead_counts_in_no_figure() -> None:
    disk = SimDisk()
    journal = started(disk, settings=ROOMY)
    fill(journal, 1, 5)
    assert journal.size == journal.bytes_since_snapshot == len(used(files_of(disk)[FIRST]))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EOPNOTSUPP, errno.EIO])
def test_a_disk_that_gives_no_space_ahead_is_written_to_all_the_same(code: int) -> None:
    disk = SimDisk()
    journal = started(disk, settings=ROOMY)
    disk.fail_at[disk.calls] = code
    fill(journal, 1, 5)
    assert journal.failed is None
    assert not journal.low_space
    assert disk.trace.count("extend") == 1, "it is not asked again for every group"
    assert contents(opened(disk)) == [1, 2, 3, 4, 5]


def test_a_sealed_segment_ends_with_its_last_group_before_the_next_one_exists() -> None:
    for seed in range(20):
        disk = SimDisk(seed)
        journal = started(disk, settings=ROOMY)
        fill(journal, 1, 5)
        journal.seal()
        journal.flush()
        disk.power_loss()
        reader = SegmentReader.open(disk, HOME, 1, 1)
        assert [frame.number for frame in reader.groups()] == [1, 2, 3, 4, 5]
        reader.check_sealed()


def test_a_closed_journal_takes_no_more_of_a_real_disk_than_it_holds(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    wait_synced(journal, journal.append([record(1)]))
    [path] = tmp_path.rglob(FIRST)
    assert path.stat().st_size > journal.size
    journal.close()
    assert path.stat().st_size == journal.size
