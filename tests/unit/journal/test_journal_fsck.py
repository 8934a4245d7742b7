from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from jobyard.supervisor.core.records import JOURNAL_VERSION
from jobyard.supervisor.journal import frames, fsck
from jobyard.supervisor.journal.disk import Disk
from jobyard.supervisor.journal.errors import JournalDamaged
from jobyard.supervisor.journal.fsck import Verdict
from jobyard.supervisor.journal.replay import Replayed, replay
from journals import (
    HOME,
    Misfit,
    Numbers,
    compacted_journal,
    contents,
    disk_with,
    files_of,
    fill,
    frames_of,
    number_of,
    opened,
    three_segments,
)
from simdisk import PowerLost, SimDisk

THREE, COMPACTED = three_segments(), compacted_journal()
SNAPSHOT = "0000000001.snapshot"
SECOND, LAST = "0000000002.segment", "0000000003.segment"


def broken(files: dict[str, bytes], name: str, *indexes: int) -> dict[str, bytes]:
    """The same with one byte changed in each of these frames of a file."""
    parts = frames_of(files[name])
    for index in indexes:
        parts[index] = parts[index][:-1] + bytes([parts[index][-1] ^ 0x55])
    return {**files, name: b"".join(parts)}


def snapshot_of(disk: SimDisk) -> dict[Path, bytes]:
    return {path: bytes(inode.data) for path, inode in disk.names.items()}


def test_a_sound_journal_is_ok() -> None:
    report = fsck.check(HOME, disk_with(COMPACTED))
    assert report.verdict is Verdict.OK
    assert (report.chunks, report.segments, report.groups, report.records) == (3, 2, 15, 15)
    assert report.problems == []


def test_the_verdicts_are_the_documented_exit_codes() -> None:
    assert {verdict.name: int(verdict) for verdict in Verdict} == {
        "OK": 0,
        "TORN_TAIL": 1,
        "DAMAGED": 2,
        "UNREADABLE": 3,
    }


def test_a_torn_tail_is_told_with_file_offset_and_group() -> None:
    report = fsck.check(HOME, disk_with({**THREE, LAST: THREE[LAST][:-1]}))
    assert report.verdict is Verdict.TORN_TAIL
    [problem] = report.problems
    offset = len(THREE[LAST]) - len(frames_of(THREE[LAST])[-1])
    assert f"{LAST}, byte {offset}" in problem
    assert "group 9" in problem


def test_damage_is_told_with_file_offset_and_group() -> None:
    report = fsck.check(HOME, disk_with(broken(THREE, SECOND, 2)))
    assert report.verdict is Verdict.DAMAGED
    assert SECOND in report.problems[0]
    assert "group 5 cannot be read" in report.problems[0]


def test_what_is_no_journal_is_unreadable(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "absent"):
        report = fsck.check(directory)
        assert report.verdict is Verdict.UNREADABLE
        assert str(directory) in report.problems[0]
    assert not (tmp_path / "absent").exists()


def test_a_journal_of_a_newer_version_is_unreadable_and_not_repaired() -> None:
    newer = b"".join(
        frames.encode(frame.kind, frame.number, frame.salt, bytes(frame.payload), version=JOURNAL_VERSION + 1)
        for frame in frames.find(memoryview(THREE[SECOND]), 0)
    )
    disk = disk_with({**THREE, SECOND: newer})
    before = snapshot_of(disk)
    for report in (fsck.check(HOME, disk), fsck.repair(HOME, disk)):
        assert report.verdict is Verdict.UNREADABLE
        assert f"version {JOURNAL_VERSION + 1}" in report.problems[0]
    assert snapshot_of(disk) == before


@pytest.mark.parametrize("files", [THREE, {**THREE, LAST: THREE[LAST] + b"torn"}, {}], ids=["sound", "torn", "empty"])
def test_repair_touches_nothing_but_damage(files: dict[str, bytes]) -> None:
    disk = disk_with(files)
    before = snapshot_of(disk)
    report = fsck.repair(HOME, disk)
    assert report.verdict is not Verdict.DAMAGED
    assert snapshot_of(disk) == before
    assert report.changed == []
    assert report.aside is None


def numbers_after_repair(files: dict[str, bytes]) -> list[int]:
    """Repair, start, go on, start again. The old files must be aside, and every file that is sound untouched."""
    disk = disk_with(files)
    report = fsck.repair(HOME, disk)
    assert report.verdict is Verdict.DAMAGED
    assert report.changed
    assert report.aside == HOME / "damaged-1"
    for name in report.changed:
        assert bytes(disk.names[report.aside / name].data) == files.get(name, b""), name
    for name in files.keys() - set(report.changed):
        assert bytes(disk.names[HOME / name].data) == files[name], name
    disk.power_loss()
    assert fsck.check(HOME, disk).verdict in (Verdict.OK, Verdict.TORN_TAIL)
    recovery = opened(disk)
    read = contents(recovery, lenient=True)
    assert recovery.gaps or len(read) == 0 or read == list(range(1, len(read) + 1))
    journal = recovery.begin()
    fill(journal, 1000, 1002)
    journal.close()
    assert contents(opened(disk), lenient=True) == [*read, 1000, 1001, 1002]
    return read


@pytest.mark.parametrize("name", sorted(THREE))
def test_repair_keeps_every_intact_group(name: str) -> None:
    per_group = {index: range(first, first + 3) for index, first in enumerate(range(1, 28, 3))}
    base = sorted(THREE).index(name) * 3
    for index in range(1, 4):
        if name == LAST and index == 3:
            continue  # a torn tail
        lost = set(per_group[base + index - 1])
        assert numbers_after_repair(broken(THREE, name, index)) == [n for n in range(1, 28) if n not in lost]


@pytest.mark.parametrize("name", sorted(THREE))
def test_repair_does_without_the_header_of_a_segment(name: str) -> None:
    assert numbers_after_repair(broken(THREE, name, 0)) == list(range(1, 28))


def test_repair_does_without_a_header_that_is_of_another_file() -> None:
    head, *groups = frames_of(THREE[LAST])
    frame = frames.decode(memoryview(head), 0)
    assert frame
    other = frames.encode(frames.SEGMENT, 3, frame.salt ^ 1, bytes(frame.payload))
    assert numbers_after_repair({**THREE, LAST: b"".join([other, *groups])}) == list(range(1, 28))


def test_repair_puts_swapped_groups_in_order_and_drops_doubles() -> None:
    parts = frames_of(THREE[SECOND])
    swapped = b"".join([parts[0], parts[2], parts[1], parts[3], parts[2]])
    assert numbers_after_repair({**THREE, SECOND: swapped}) == list(range(1, 28))


def test_repair_drops_groups_of_other_files() -> None:
    parts = frames_of(THREE[SECOND])
    foreign = frames.encode(frames.GROUP, 5, 4711, frames.pack_group(1, [b"\x91\x63"]))
    assert numbers_after_repair({**THREE, SECOND: b"".join([parts[0], parts[1], foreign, parts[3]])}) == [
        *range(1, 13),
        *range(16, 28),
    ]


@pytest.mark.parametrize("name", ["0000000001.segment", SECOND])
def test_repair_goes_on_behind_a_missing_file(name: str) -> None:
    index = sorted(THREE).index(name)
    rest = {other: content for other, content in THREE.items() if other != name}
    assert numbers_after_repair(rest) == [n for n in range(1, 28) if not index * 9 < n <= index * 9 + 9]


def test_repair_goes_on_behind_a_sealed_segment_that_was_cut() -> None:
    cut = len(b"".join(frames_of(THREE[SECOND])[:2]))
    assert numbers_after_repair({**THREE, SECOND: THREE[SECOND][:cut]}) == [*range(1, 13), *range(19, 28)]


def test_repair_drops_groups_that_another_file_holds_already() -> None:
    assert numbers_after_repair({**THREE, SECOND: THREE["0000000001.segment"]}) == [*range(1, 10), *range(19, 28)]


def test_repair_drops_a_group_that_holds_no_records() -> None:
    head = frames.decode(memoryview(THREE[SECOND]), 0)
    assert head
    parts = frames_of(THREE[SECOND])
    senseless = frames.encode(frames.GROUP, 5, head.salt, b"\xc1")
    assert numbers_after_repair({**THREE, SECOND: b"".join([parts[0], parts[1], senseless, parts[3]])}) == [
        *range(1, 13),
        *range(16, 28),
    ]


def test_repair_keeps_the_intact_chunks_of_a_snapshot() -> None:
    chunks = [range(1, 11), range(11, 21), range(21, 26)]
    for index, lost in enumerate(chunks, 1):
        assert numbers_after_repair(broken(COMPACTED, SNAPSHOT, index)) == [n for n in range(1, 41) if n not in lost]


@pytest.mark.parametrize("index", [0, 4], ids=["header", "end"])
def test_repair_does_without_the_first_or_last_frame_of_a_snapshot(index: int) -> None:
    assert numbers_after_repair(broken(COMPACTED, SNAPSHOT, index)) == list(range(1, 41))


def test_repair_goes_on_without_a_snapshot_of_which_nothing_is_left() -> None:
    assert numbers_after_repair({**COMPACTED, SNAPSHOT: b"nothing"}) == list(range(26, 41))


def test_repair_drops_chunks_that_are_no_values() -> None:
    parts = frames_of(COMPACTED[SNAPSHOT])
    head = frames.decode(memoryview(parts[0]), 0)
    assert head
    senseless = frames.encode(frames.CHUNK, 2, head.salt, b"\xc1")
    files = {**COMPACTED, SNAPSHOT: b"".join([parts[0], parts[1], senseless, parts[3][:-1] + b"?", parts[4]])}
    assert numbers_after_repair(files) == [*range(1, 11), *range(26, 41)]


def test_repair_gives_up_a_snapshot_that_nothing_says_the_place_of() -> None:
    files = broken(broken(COMPACTED, SNAPSHOT, 0), SECOND, 0)
    assert numbers_after_repair(files) == list(range(26, 41))


def test_repair_stops_at_a_group_of_a_newer_version() -> None:
    parts = frames_of(THREE[LAST])
    last = frames.decode(memoryview(parts[3]), 0)
    assert last
    newer = frames.encode(last.kind, last.number, last.salt, bytes(last.payload), version=JOURNAL_VERSION + 1)
    disk = disk_with({**broken(THREE, SECOND, 1), LAST: b"".join([*parts[:3], newer])})
    report = fsck.repair(HOME, disk)
    assert report.verdict is Verdict.UNREADABLE
    assert f"version {JOURNAL_VERSION + 1}" in " ".join(report.problems)
    assert bytes(disk.names[HOME / LAST].data) == b"".join([*parts[:3], newer])


def test_repair_says_what_is_lost() -> None:
    files = broken(broken(COMPACTED, SNAPSHOT, 2), SECOND, 3, 4)
    report = fsck.repair(HOME, disk_with(files))
    assert f"{SNAPSHOT}: chunk 2 is lost" in report.problems
    assert f"{SECOND}: groups 8 to 9 are lost" in report.problems
    assert report.changed == [SNAPSHOT, SECOND]


def test_a_second_repair_keeps_the_old_files_of_the_first() -> None:
    disk = disk_with(broken(THREE, SECOND, 1))
    fsck.repair(HOME, disk)
    content = bytes(disk.names[HOME / SECOND].data)
    parts = frames_of(content)
    disk.names[HOME / SECOND].data[:] = b"".join([*parts[:-2], b"?", parts[-1]])
    report = fsck.repair(HOME, disk)
    assert report.aside == HOME / "damaged-2"
    assert HOME / "damaged-1" / SECOND in disk.names
    assert contents(opened(disk), lenient=True) == [*range(1, 10), *range(16, 28)]


def test_every_flipped_bit_costs_at_most_what_it_hit() -> None:
    chance = random.Random(1)
    for _ in range(300):
        name = chance.choice(sorted(COMPACTED))
        content = bytearray(COMPACTED[name])
        bit = chance.randrange(len(content) * 8)
        content[bit // 8] ^= 1 << bit % 8
        disk = disk_with({**COMPACTED, name: bytes(content)})
        fsck.repair(HOME, disk)
        read = contents(opened(disk), lenient=True)
        assert read == sorted(set(read))
        assert set(read) <= set(range(1, 41))
        assert len(read) >= 40 - (10 if name == SNAPSHOT else 1), f"{name}, bit {bit}"


def test_a_repair_cut_short_at_any_call_can_be_done_again() -> None:
    files = broken(broken(COMPACTED, SNAPSHOT, 1), SECOND, 2)
    call = 0
    while True:
        disk = disk_with(files)
        disk.random = random.Random(call)
        disk.lose_power_at = disk.calls + call
        try:
            fsck.repair(HOME, disk)
        except PowerLost:
            disk.power_loss()
            fsck.repair(HOME, disk)
            assert contents(opened(disk), lenient=True) == [*range(11, 27), *range(28, 41)], f"call {call}"
            asides = {bytes(disk.names[path].data) for path in disk.names if path.parent.name.startswith("damaged-")}
            assert files[SNAPSHOT] in asides
            assert files[SECOND] in asides
            call += 1
            continue
        break
    assert call > 15


def test_a_record_that_does_not_fit_behind_a_gap_is_skipped_and_counted() -> None:
    disk = disk_with(broken(THREE, SECOND, 1))
    with pytest.raises(JournalDamaged):
        contents(opened(disk))
    fsck.repair(HOME, disk)
    recovery, state = opened(disk), Numbers()
    assert replay(recovery, recovery.groups(), state, number_of, Misfit) == Replayed(records=9, skipped=15)
    assert state.seen == list(range(1, 10))


def test_dump_prints_every_record_and_chunk_as_json() -> None:
    lines = [json.loads(line) for line in fsck.dump(HOME, disk_with(COMPACTED))]
    numbers = [line["record"][0] for line in lines if line["kind"] == "record"]
    assert numbers == list(range(26, 41))
    assert [n for line in lines if line["kind"] == "chunk" for n in line["chunk"]] == list(range(1, 26))
    assert {line["kind"] for line in lines} == {"snapshot", "chunk", "end", "segment", "record"}
    assert lines[0] == {"file": SNAPSHOT, "offset": 0, "kind": "snapshot", "number": 1}


def test_dump_goes_on_behind_damage() -> None:
    files = broken(THREE, SECOND, 2)
    lines = [json.loads(line) for line in fsck.dump(HOME, disk_with({**files, LAST: files[LAST] + b"tail"}))]
    parts = frames_of(THREE[SECOND])
    assert [line for line in lines if line["kind"] == "damage"] == [
        {"file": SECOND, "offset": len(parts[0] + parts[1]), "kind": "damage", "bytes": len(parts[2])},
        {"file": LAST, "offset": len(THREE[LAST]), "kind": "damage", "bytes": 4},
    ]
    assert [line["record"][0] for line in lines if line["kind"] == "record"] == [*range(1, 13), *range(16, 28)]


def test_dump_shows_bytes_and_gaps() -> None:
    content = b"".join(
        [
            frames.encode(frames.SEGMENT, 1, 5, frames.pack_number(1)),
            frames.encode(frames.GAP, 3, 5),
            frames.encode(frames.GROUP, 4, 5, frames.pack_group(1, [b"\x92\x01\xc4\x02\x00\xff"])),
            frames.encode(frames.GROUP, 5, 5, b"\xc1"),
        ]
    )
    lines = [json.loads(line) for line in fsck.dump(HOME, disk_with({"0000000001.segment": content}))]
    assert [line["kind"] for line in lines] == ["segment", "gap", "record", "damage"]
    assert lines[2]["record"] == [1, {"bytes": 2}]


def test_the_functions_work_on_a_real_disk(tmp_path: Path) -> None:
    for name, content in broken(THREE, SECOND, 1).items():
        (tmp_path / name).write_bytes(content)
    assert fsck.check(tmp_path).verdict is Verdict.DAMAGED
    report = fsck.repair(tmp_path)
    assert report.aside is not None
    assert [path.name for path in report.aside.iterdir()] == [SECOND]
    assert fsck.check(tmp_path).verdict is Verdict.OK
    assert len(list(fsck.dump(tmp_path))) == 24 + 3 + 1
    assert contents(opened(Disk(), tmp_path), lenient=True) == [*range(1, 10), *range(13, 28)]


def test_an_unreadable_file_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "0000000001.segment").mkdir()
    report = fsck.check(tmp_path)
    assert report.verdict is Verdict.UNREADABLE
    assert "cannot be read" in report.problems[0]


def test_the_journals_used_here_are_what_they_are_said_to_be() -> None:
    assert files_of(disk_with(THREE)) == THREE
    assert [len(frames_of(THREE[name])) for name in sorted(THREE)] == [4, 4, 4]
