"""Whatever happened to the files: what is read is an exact beginning of what was written, or the journal is refused."""

from __future__ import annotations

import pytest
from jobyard.supervisor.core.records import JOURNAL_VERSION
from jobyard.supervisor.journal import frames
from jobyard.supervisor.journal.errors import JournalDamaged, JournalTooNew
from jobyard.supervisor.journal.fsck import check
from jobyard.supervisor.journal.segment import header
from journals import (
    HOME,
    compacted_journal,
    contents,
    disk_with,
    files_of,
    fill,
    frames_of,
    opened,
    started,
    three_segments,
)
from simdisk import SimDisk

WHOLE = {"three": (three_segments(), 27), "compacted": (compacted_journal(), 40)}
LAST = "0000000003.segment"


def outcome(files: dict[str, bytes]) -> list[int] | None:
    """The numbers that a start reads, None if it refuses. Checks that going on from there works."""
    disk = disk_with(files)
    try:
        recovery = opened(disk)
        read = contents(recovery)
    except JournalDamaged:
        return None
    journal = recovery.begin()
    fill(journal, len(read) + 1, len(read) + 1)
    journal.close()
    disk.power_loss()
    assert contents(opened(disk)) == [*read, len(read) + 1]
    return read


def changed(files: dict[str, bytes], name: str, content: bytes) -> dict[str, bytes]:
    return {**files, name: content}


@pytest.mark.parametrize("which", WHOLE)
def test_the_whole_journal_is_read(which: str) -> None:
    files, count = WHOLE[which]
    assert outcome(files) == list(range(1, count + 1))


@pytest.mark.parametrize("which", WHOLE)
def test_the_open_segment_cut_at_any_byte_gives_a_beginning(which: str) -> None:
    files, count = WHOLE[which]
    content = files[LAST]
    head = len(frames_of(content)[0])
    first = outcome(changed(files, LAST, content[:head]))
    assert first is not None
    lengths = set()
    for size in range(head, len(content)):
        read = outcome(changed(files, LAST, content[:size]))
        assert read == list(range(1, len(read or []) + 1)), f"cut to {size} bytes"
        assert len(read) >= len(first)
        lengths.add(len(read))
    assert len(lengths) == len(frames_of(content)) - 1
    assert max(lengths) < count


@pytest.mark.parametrize("which", WHOLE)
def test_the_open_segment_cut_within_its_header_is_refused(which: str) -> None:
    files, _ = WHOLE[which]
    for size in range(len(frames_of(files[LAST])[0])):
        assert outcome(changed(files, LAST, files[LAST][:size])) is None, f"cut to {size} bytes"


@pytest.mark.parametrize("which", WHOLE)
def test_a_sealed_segment_or_snapshot_cut_at_any_byte_is_refused(which: str) -> None:
    files, _ = WHOLE[which]
    for name in files.keys() - {LAST}:
        for size in range(len(files[name])):
            assert outcome(changed(files, name, files[name][:size])) is None, f"{name} cut to {size} bytes"


@pytest.mark.parametrize("which", WHOLE)
def test_any_flipped_bit_gives_a_beginning_or_a_refusal(which: str) -> None:
    files, count = WHOLE[which]
    last_frame = len(files[LAST]) - len(frames_of(files[LAST])[-1])
    for name, content in files.items():
        flipped = bytearray(content)
        for bit in range(len(content) * 8):
            flipped[bit // 8] ^= 1 << bit % 8
            read = outcome(changed(files, name, bytes(flipped)))
            flipped[bit // 8] ^= 1 << bit % 8
            if name == LAST and bit // 8 >= last_frame:
                assert read is not None and read == list(range(1, len(read) + 1)) and len(read) < count, f"bit {bit}"
            else:
                assert read is None, f"{name}, bit {bit}"


@pytest.mark.parametrize("size", [1, 8, 32, 64])
@pytest.mark.parametrize("which", WHOLE)
def test_zeroed_blocks_give_a_beginning_or_a_refusal(which: str, size: int) -> None:
    files, count = WHOLE[which]
    for name, content in files.items():
        for start in range(0, len(content), 8):
            zeroed = content[:start] + bytes(len(content[start : start + size])) + content[start + size :]
            if zeroed != content:
                read = outcome(changed(files, name, zeroed))
                assert read is None or (read == list(range(1, len(read) + 1)) and len(read) < count), (
                    f"{name} at {start}"
                )


def test_a_torn_tail_is_kept_aside_with_one_note() -> None:
    files, _ = WHOLE["three"]
    disk = disk_with(changed(files, LAST, files[LAST][:-1]))
    recovery = opened(disk)
    read = contents(recovery)
    assert recovery.torn
    assert recovery.notes == []

    recovery.begin().close()

    [note] = recovery.notes
    [torn] = [path for path in disk.names if path.name.startswith("torn-")]
    assert torn.name in note
    assert LAST in note
    assert bytes(disk.names[torn].durable) == frames_of(files[LAST])[-1][:-1]
    again = opened(disk)
    assert contents(again) == read
    assert not again.torn


def test_only_the_newest_torn_tails_are_kept() -> None:
    files, _ = WHOLE["three"]
    disk = disk_with({**files, **{f"torn-{1:010d}-{n:012d}.bin": b"x" for n in range(20)}, LAST: files[LAST] + b"x"})
    recovery = opened(disk)
    contents(recovery)
    recovery.begin().close()

    torn = sorted(path.name for path in disk.names if path.name.startswith("torn-"))
    assert len(torn) == 8
    assert torn[-1].startswith("torn-0000000003-")


@pytest.mark.parametrize("tail", [b"\0", bytes(9000), b"garbage", frames.PREFIX + b"G", bytes(600) + b"\xff" * 600])
def test_a_tail_of_zeros_or_garbage_is_torn(tail: bytes) -> None:
    files, count = WHOLE["three"]
    assert outcome(changed(files, LAST, files[LAST] + tail)) == list(range(1, count + 1))


def test_zeros_before_a_later_group_are_damage() -> None:
    files, _ = WHOLE["three"]
    *before, last = frames_of(files[LAST])
    assert outcome(changed(files, LAST, b"".join(before) + bytes(9000) + last)) is None


def test_anything_behind_a_sealed_segment_is_damage() -> None:
    files, _ = WHOLE["three"]
    name = "0000000002.segment"
    for tail in (b"\0", b"garbage", frames_of(files[name])[-1]):
        assert outcome(changed(files, name, files[name] + tail)) is None


def test_valid_looking_bytes_inside_a_torn_group_do_not_make_it_damage() -> None:
    disk = disk_with({})
    fill(started(disk), 1, 3)
    content = files_of(disk)["0000000001.segment"]
    head = frames.decode(memoryview(content), 0)
    assert head
    older = frames_of(content)[1]
    other = frames.encode(frames.GROUP, 9, head.salt + 1, frames.pack_group(1, [b"\x91\x63"]))
    torn = frames.encode(frames.GROUP, 4, head.salt, frames.pack_group(1, [b"\xc4\xff" + older + other]))[:-1]

    assert outcome({"0000000001.segment": content + torn}) == [1, 2, 3]


def test_dropped_frames_are_refused_but_for_the_last() -> None:
    files, count = WHOLE["three"]
    for name in files:
        parts = frames_of(files[name])
        for index in range(len(parts)):
            read = outcome(changed(files, name, b"".join(parts[:index] + parts[index + 1 :])))
            if name == LAST and index == len(parts) - 1:
                assert read == list(range(1, count - 2))
            else:
                assert read is None, f"{name} without frame {index}"


def test_swapped_frames_are_refused() -> None:
    files, _ = WHOLE["three"]
    for name in files:
        parts = frames_of(files[name])
        for index in range(len(parts) - 1):
            swapped = [*parts[:index], parts[index + 1], parts[index], *parts[index + 2 :]]
            assert outcome(changed(files, name, b"".join(swapped))) is None, f"{name}, frames {index} and {index + 1}"


def test_duplicated_frames_are_refused_or_dropped() -> None:
    files, count = WHOLE["three"]
    for name in files:
        parts = frames_of(files[name])
        for index in range(len(parts)):
            read = outcome(changed(files, name, b"".join([*parts[: index + 1], *parts[index:]])))
            if name == LAST and index == len(parts) - 1:
                assert read == list(range(1, count + 1))
            else:
                assert read is None, f"{name}, frame {index}"


def test_frames_of_another_file_are_never_read() -> None:
    """The other file has the same groups with other content, and only the salt tells."""
    one, _ = WHOLE["three"]
    other = {
        name: b"".join(
            frames.encode(frame.kind, frame.number, frame.salt ^ 1, bytes(frame.payload))
            for frame in frames.find(memoryview(content), 0)
        )
        for name, content in one.items()
    }
    for name in one:
        mine, theirs = frames_of(one[name]), frames_of(other[name])
        for index in range(len(mine)):
            read = outcome(changed(one, name, b"".join([*mine[:index], theirs[index], *mine[index + 1 :]])))
            assert read is None, f"{name}, frame {index}"


def test_a_header_of_another_file_is_refused_also_if_the_group_behind_it_is_torn() -> None:
    files, _ = WHOLE["three"]
    head, first, *rest = frames_of(files[LAST])
    frame = frames.decode(memoryview(head), 0)
    assert frame
    other = header(frame.number, frames.unpack_number(frame.payload) or 0, frame.salt ^ 1)
    for torn in (first[:-1] + b"?", bytes(len(first)), b""):
        assert outcome(changed(files, LAST, b"".join([other, torn, *rest]))) is None


def test_swapped_files_are_refused() -> None:
    files, _ = WHOLE["three"]
    one, two = files["0000000001.segment"], files["0000000002.segment"]
    assert outcome({**files, "0000000001.segment": two, "0000000002.segment": one}) is None
    assert outcome(changed(files, "0000000002.segment", one)) is None


@pytest.mark.parametrize("which", WHOLE)
def test_a_missing_file_is_refused_but_for_the_open_segment(which: str) -> None:
    files, _ = WHOLE[which]
    for name in files:
        rest = {other: content for other, content in files.items() if other != name}
        read = outcome(rest)
        assert (read is not None) == (name == LAST), name


def test_a_snapshot_without_any_segment_is_refused() -> None:
    files, _ = WHOLE["compacted"]
    assert outcome({name: content for name, content in files.items() if name.endswith("snapshot")}) is None


def test_the_error_names_file_offset_group_and_what_to_do() -> None:
    files, _ = WHOLE["three"]
    parts = frames_of(files["0000000002.segment"])
    broken = changed(files, "0000000002.segment", b"".join([parts[0], b"\xff" * len(parts[1]), *parts[2:]]))

    with pytest.raises(JournalDamaged) as caught:
        contents(opened(disk_with(broken)))

    assert caught.value.file == HOME / "0000000002.segment"
    assert caught.value.offset == len(parts[0])
    assert caught.value.group is not None
    assert f"group {caught.value.group} cannot be read" in str(caught.value)
    assert "jobctl journal repair" in caught.value.hint
    assert caught.value.code == "storage_unavailable"


def test_damage_in_the_open_segment_names_the_group_that_proves_it() -> None:
    files, _ = WHOLE["three"]
    parts = frames_of(files[LAST])
    assert len(parts) >= 3
    with pytest.raises(JournalDamaged, match=r"group \d+ is intact at byte \d+, so it was stored before"):
        contents(opened(disk_with(changed(files, LAST, b"".join([parts[0], parts[1][:-1] + b"?", *parts[2:]])))))


def test_an_unreadable_newest_snapshot_is_named_when_the_older_files_are_gone() -> None:
    files, _ = WHOLE["compacted"]
    name = "0000000001.snapshot"
    with pytest.raises(JournalDamaged, match=name):
        contents(opened(disk_with(changed(files, name, files[name][:-1]))))


def test_an_unreadable_snapshot_does_no_harm_while_its_segments_are_there() -> None:
    files, count = WHOLE["three"]
    recovery = opened(disk_with({**files, "0000000001.snapshot": b"rubbish"}))
    assert contents(recovery) == list(range(1, count + 1))
    assert "0000000001.snapshot" in recovery.notes[0]


@pytest.mark.parametrize("name", ["0000000001.segment", LAST])
def test_a_newer_version_is_refused_with_a_clear_line(name: str) -> None:
    files, _ = WHOLE["three"]
    head, *rest = [
        frames.encode(frame.kind, frame.number, frame.salt, bytes(frame.payload), version=JOURNAL_VERSION + 1)
        for frame in frames.find(memoryview(files[name]), 0)
    ]
    for content in (b"".join([head, *rest]), frames_of(files[name])[0] + b"".join(rest)):
        with pytest.raises(
            JournalTooNew,
            match=f"newer jobyard: journal version {JOURNAL_VERSION + 1}, this one reads up to {JOURNAL_VERSION}",
        ):
            contents(opened(disk_with(changed(files, name, content))))


def test_a_newer_snapshot_is_refused_with_a_clear_line() -> None:
    files, _ = WHOLE["compacted"]
    content = b"".join(
        frames.encode(frame.kind, frame.number, frame.salt, bytes(frame.payload), version=JOURNAL_VERSION + 1)
        for frame in frames.find(memoryview(files["0000000001.snapshot"]), 0)
    )
    with pytest.raises(JournalTooNew, match=f"journal version {JOURNAL_VERSION + 1}"):
        opened(disk_with(changed(files, "0000000001.snapshot", content)))


@pytest.mark.parametrize("payload", [b"\xc1", b"\x07", b""])
def test_a_group_with_a_right_checksum_that_holds_no_records_is_refused(payload: bytes) -> None:
    content = header(1, 1, 5) + frames.encode(frames.GROUP, 1, 5, payload)
    with pytest.raises(JournalDamaged, match="group 1"):
        contents(opened(disk_with({"0000000001.segment": content})))


def test_foreign_files_are_left_alone() -> None:
    files, count = WHOLE["three"]
    strangers = {"notes.txt": b"hello", "1.segment": b"no", "lock": b"1\n", "0000000001.segment.bak": b"?"}
    disk = disk_with({**files, **strangers, "0000000009.snapshot.tmp": b"half"})
    recovery = opened(disk)
    assert contents(recovery) == list(range(1, count + 1))
    recovery.begin().close()

    names = {path.name for path in disk.names}
    assert strangers.keys() <= names
    assert "0000000009.snapshot.tmp" not in names


def test_want_of_memory_is_not_taken_for_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is told of damage repairs, and a repair leaves out what it cannot read."""
    disk = SimDisk()
    fill(started(disk), 1, 3)

    def no_memory(*args: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr(frames.msgpack, "unpackb", no_memory)
    with pytest.raises(MemoryError):
        contents(opened(disk))
    with pytest.raises(MemoryError):
        check(HOME, disk)
