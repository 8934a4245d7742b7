from __future__ import annotations

import errno
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgpack
import pytest
from jobyard.conf.settings import JournalSettings
from jobyard.protocol.errors import WrongState
from jobyard.supervisor import archivist
from jobyard.supervisor.core.records import QueueSet, from_wire, to_wire
from jobyard.supervisor.core.state import State
from jobyard.supervisor.core.transitions import IllegalRecord
from jobyard.supervisor.journal import frames, snapshot
from jobyard.supervisor.journal.compact import Compacted, compact
from jobyard.supervisor.journal.disk import Disk
from jobyard.supervisor.journal.errors import JournalDamaged
from jobyard.supervisor.journal.files import snapshot_path
from jobyard.supervisor.journal.journal import Journal
from jobyard.supervisor.journal.replay import replay
from jobyard.supervisor.journal.snapshot import Snapshot
from journals import (
    HOME,
    Misfit,
    Numbers,
    compact_all,
    contents,
    disk_with,
    files_of,
    fill,
    frames_of,
    number_of,
    opened,
    removed,
    started,
)
from simdisk import PowerLost, SimDisk

NAME = "0000000005.snapshot"
CHUNKS: list[Any] = [["head", 1, None], {"a": b"\xff" * 40, 7: 2.5}, [], "text", 0]


def written(chunks: list[Any] = CHUNKS) -> bytes:
    disk = SimDisk(seed=9)
    snapshot.write(disk, HOME, 5, 17, chunks)
    disk.power_loss()
    return files_of(disk)[NAME]


def read(content: bytes) -> list[Any]:
    return list(Snapshot.open(disk_with({NAME: content}), HOME, 5).chunks())


@pytest.mark.parametrize("chunks", [CHUNKS, [], [b"x" * 3_000_000, b"y" * 3_000_000]])
def test_a_snapshot_is_read_as_it_was_written(tmp_path: Path, chunks: list[Any]) -> None:
    size = snapshot.write(Disk(), tmp_path, 5, 17, iter(chunks))

    found = Snapshot.open(Disk(), tmp_path, 5)

    assert list(found.chunks()) == chunks
    assert list(found.chunks()) == chunks, "more than once"
    assert (found.upto, found.last_group, found.gaps) == (5, 17, 0)
    assert found.size == size == (tmp_path / NAME).stat().st_size


def test_a_snapshot_cut_at_any_byte_is_never_accepted() -> None:
    content = written()
    assert read(content) == CHUNKS
    for size in range(len(content)):
        with pytest.raises(JournalDamaged):
            read(content[:size])


def test_a_snapshot_with_any_bit_flipped_is_never_accepted() -> None:
    content = bytearray(written())
    for bit in range(len(content) * 8):
        content[bit // 8] ^= 1 << bit % 8
        with pytest.raises(JournalDamaged):
            read(bytes(content))
        content[bit // 8] ^= 1 << bit % 8


def test_a_snapshot_with_frames_missing_swapped_doubled_or_added_is_never_accepted() -> None:
    parts = frames_of(written())
    for index in range(len(parts)):
        with pytest.raises(JournalDamaged):
            read(b"".join(parts[:index] + parts[index + 1 :]))
        with pytest.raises(JournalDamaged):
            read(b"".join([*parts[: index + 1], *parts[index:]]))
    for index in range(len(parts) - 1):
        with pytest.raises(JournalDamaged):
            read(b"".join([*parts[:index], parts[index + 1], parts[index], *parts[index + 2 :]]))
    with pytest.raises(JournalDamaged, match="goes on after its end"):
        read(b"".join(parts) + b"\0")


def test_a_snapshot_of_another_number_is_refused() -> None:
    with pytest.raises(JournalDamaged, match="not that of this snapshot"):
        Snapshot.open(disk_with({"0000000006.snapshot": written()}), HOME, 6)


def test_frames_of_another_snapshot_are_refused() -> None:
    mine, theirs = frames_of(written()), frames_of(written_with_another_salt())
    for index in range(1, len(mine)):
        with pytest.raises(JournalDamaged, match="another file"):
            read(b"".join([*mine[:index], theirs[index], *mine[index + 1 :]]))


def written_with_another_salt() -> bytes:
    disk = SimDisk(seed=10)
    snapshot.write(disk, HOME, 5, 17, CHUNKS)
    return files_of(disk)[NAME]


def test_a_chunk_with_a_right_checksum_that_is_no_value_is_refused() -> None:
    first, _, *rest = frames_of(written([1]))
    head = frames.decode(memoryview(first), 0)
    assert head
    with pytest.raises(JournalDamaged, match="chunk 1 is not a value"):
        read(first + frames.encode(frames.CHUNK, 1, head.salt, b"\xc1") + b"".join(rest))


def test_a_claimed_length_beyond_the_file_is_not_allocated() -> None:
    content = bytearray(written())
    first = len(frames_of(bytes(content))[0])
    content[first + 24 : first + 28] = b"\x0f\xff\xff\xff"
    with pytest.raises(JournalDamaged, match="chunk 1 cannot be read"):
        read(bytes(content))


def test_a_snapshot_that_cannot_be_written_leaves_nothing_behind() -> None:
    call = 0
    while True:
        disk = SimDisk(seed=call)
        disk.fail_at[call] = errno.EIO
        try:
            snapshot.write(disk, HOME, 5, 17, CHUNKS)
        except OSError:
            disk.power_loss()
            disk.unlink(snapshot_path(HOME, 5).with_name(NAME + ".tmp"))
            assert all(content == written_by(call) for content in files_of(disk).values())
            call += 1
            continue
        break
    assert call == 6, "unlink, create, write, sync, rename, sync_directory"


def written_by(seed: int) -> bytes:
    disk = SimDisk(seed)
    snapshot.write(disk, HOME, 5, 17, CHUNKS)
    return files_of(disk)[NAME]


# -- compaction --------------------------------------------------------------------------------------------------------


def sealed_journal(last: int = 20) -> tuple[SimDisk, Journal]:
    disk = SimDisk(seed=3)
    journal = started(disk, settings=JournalSettings(segment_bytes=10_000))
    fill(journal, 1, last // 2)
    journal.seal()
    fill(journal, last // 2 + 1, last)
    journal.seal()
    fill(journal, last + 1, last + 2)
    assert journal.sealed == 2
    return disk, journal


def test_compaction_puts_the_sealed_segments_into_a_snapshot() -> None:
    disk, journal = sealed_journal()
    done = compact(HOME, 1, Numbers(), number_of, Misfit, disk)
    assert done == Compacted(upto=1, records=10, skipped=0, bytes=len(files_of(disk)["0000000001.snapshot"]))
    removed(journal, 1)
    done = compact(HOME, 2, Numbers(), number_of, Misfit, disk)
    assert done.records == 10, "what the first snapshot covers is not read again"
    removed(journal, 2)
    assert sorted(files_of(disk)) == ["0000000002.snapshot", "0000000003.segment"]
    disk.power_loss()
    recovery = opened(disk)
    assert recovery.covered == 2
    assert contents(recovery) == list(range(1, 23)), "also when removed files came back"


@pytest.mark.parametrize("upto", [-1, 0, 3, 4, 99])
def test_a_segment_that_is_not_sealed_is_not_compacted(upto: int) -> None:
    disk, _ = sealed_journal()
    with pytest.raises(WrongState, match=f"segment {upto} cannot be compacted; sealed and not yet compacted: 1 to 2"):
        compact(HOME, upto, Numbers(), number_of, Misfit, disk)


def test_a_compacted_segment_is_not_compacted_again() -> None:
    disk, _ = sealed_journal()
    compact(HOME, 2, Numbers(), number_of, Misfit, disk)
    with pytest.raises(WrongState, match="not yet compacted: none"):
        compact(HOME, 2, Numbers(), number_of, Misfit, disk)


def test_damage_is_never_compacted_away() -> None:
    disk, _ = sealed_journal()
    files = files_of(disk)
    for name in ("0000000001.segment", "0000000002.segment"):
        broken = disk_with({**files, name: files[name][:-1]})
        with pytest.raises(JournalDamaged, match=name):
            compact(HOME, 2, Numbers(), number_of, Misfit, broken)
        assert "0000000002.snapshot" not in files_of(broken)


def test_a_record_that_does_not_fit_stops_the_compaction() -> None:
    disk = SimDisk()
    journal = started(disk, settings=JournalSettings(segment_bytes=10_000))
    fill(journal, 1, 2)
    fill(journal, 4, 5)
    journal.seal()
    journal.flush()
    with pytest.raises(Misfit, match="4 after 2"):
        compact(HOME, 1, Numbers(), number_of, Misfit, disk)


def test_power_loss_at_any_call_of_a_compaction_loses_nothing() -> None:
    call = 0
    while True:
        disk, journal = sealed_journal()
        disk.random = random.Random(call)
        disk.lose_power_at = disk.calls + call
        try:
            compact_all(journal, disk)
        except PowerLost:
            disk.power_loss()
            assert contents(opened(disk)) == list(range(1, 23)), f"call {call}"
            call += 1
            continue
        break
    assert call > 15


# -- the archivist -----------------------------------------------------------------------------------------------------


def test_the_archivist_says_in_one_line_what_went_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = started(Disk(), tmp_path)
    journal.close()
    assert archivist.main([str(tmp_path), "1", "--kept-attempts", "20"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    error = json.loads(line)["error"]
    assert error["code"] == "wrong_state"
    assert "segment 1 cannot be compacted" in error["message"]


def test_the_archivist_reports_a_record_that_no_state_accepts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = started(Disk(), tmp_path)
    journal.append([b"\x91\xcd\xff\xff"])
    journal.seal()
    journal.close()
    assert archivist.main([str(tmp_path), "1", "--kept-attempts", "20"]) == 1
    error = json.loads(capsys.readouterr().err)["error"]
    assert error["code"] == "storage_unavailable"
    assert "segment 1 cannot be compacted" in error["message"]


def test_the_archivist_is_a_process_that_leaves_a_snapshot(tmp_path: Path) -> None:
    journal = started(Disk(), tmp_path)
    for mode in ("paused", "draining", "open", "paused"):
        journal.append([msgpack.packb(to_wire(QueueSet("mail", mode)))])
    journal.seal()
    journal.flush()

    done = subprocess.run(
        [sys.executable, "-m", "jobyard.supervisor.archivist", str(tmp_path), "1", "--kept-attempts", "20"],
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    assert (answer["upto"], answer["records"], answer["skipped"]) == (1, 4, 0)
    removed(journal, 1)
    journal.close()
    state, recovery = State(), opened(directory=tmp_path)
    replay(recovery, recovery.groups(), state, from_wire, IllegalRecord)
    assert recovery.covered == 1
    assert state.queue("mail").mode == "paused"
