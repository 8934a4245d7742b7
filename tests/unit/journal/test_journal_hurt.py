"""Journals that are cut, flipped, zeroed, shuffled and spliced by the thousand (T2 and T3 of the plan).

What is read is the exact beginning of what was written, and a start never silently drops what is still to be found in
the files. What a check says is what a start comes to.
"""

from __future__ import annotations

import random
import tracemalloc
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest
import tiers
from hurt import (
    KIB,
    Files,
    Shelf,
    Sound,
    flipped,
    hurt,
    jobs_in,
    look,
    many_segments,
    mid_compaction,
    one_segment,
    padded,
    small,
)
from jobyard.supervisor.journal import frames, fsck
from jobyard.supervisor.journal.fsck import Verdict
from journals import HOME, disk_with, opened
from simdisk import SimDisk

pytestmark = pytest.mark.timeout(tiers.size(120, 7_200, 72_000))
CHECKED = 8  # of so many journals one is given to fsck, and one started from, too


def goes_on(files: Files, numbers: list[int], seed: int) -> None:
    """A start on a disk with these files appends, and loses nothing over a power failure."""
    disk = disk_with(files)
    disk.random = random.Random(seed)
    recovery = opened(disk)
    assert jobs_in(recovery) == numbers
    journal = recovery.begin()
    journal.append([padded(len(numbers) + 1)])
    journal.flush()
    assert journal.failed is None
    disk.power_loss()
    assert jobs_in(opened(disk)) == [*numbers, len(numbers) + 1]


def judged(sound: Sound, files: Files, turn: int, tally: Counter[str]) -> list[int] | None:
    """What is read of ``files``, None if they are refused. Every so often fsck and a start are asked as well."""
    verdict, numbers = sound.judge(files)
    tally[verdict.name.lower()] += 1
    if turn % CHECKED == 0:
        assert fsck.check(HOME, Shelf(files)).verdict is verdict
        if verdict is not Verdict.DAMAGED:
            goes_on(files, numbers, turn)
    return None if verdict is Verdict.DAMAGED else numbers


# -- T2 ----------------------------------------------------------------------------------------------------------------


def cuts(sound: Sound) -> list[tuple[str, int]]:
    """Where to cut: in tier P within the last 4 KiB of the open segment and at some other bytes, else at every byte."""
    everywhere = [(name, size) for name, content in sorted(sound.files.items()) for size in range(len(content))]
    if tiers.TIER != "P":
        return everywhere
    end = len(sound.files[sound.last])
    near = [(sound.last, size) for size in range(max(0, end - 4 * KIB), end)]
    return near + random.Random(2).sample(everywhere, 667)


@pytest.mark.tier("T2")
@pytest.mark.parametrize("make", [one_segment, many_segments, mid_compaction])
def test_a_journal_cut_at_any_byte_is_its_exact_beginning(make: Callable[[], Sound]) -> None:
    sound, tally = make(), Counter[str]()
    groups = [piece for piece in sound.pieces if piece.name == sound.last]
    ends = [groups[0].start, *(piece.start + len(piece.content) for piece in groups)]
    before = groups[0].numbers[0] - 1
    for turn, (name, size) in enumerate(cuts(sound)):
        where = f"{name} cut to {size} bytes"
        numbers = judged(sound, {**sound.files, name: sound.files[name][:size]}, turn, tally)
        if name in sound.sealed or (name == sound.snapshot and not sound.covered):
            assert numbers is None, where
        elif name != sound.last:  # not needed
            assert numbers is not None and len(numbers) == sound.count, where
        elif size < ends[0]:
            assert numbers is None, f"{where}, within its header"
        else:
            whole = [piece.numbers[-1] for piece, end in zip(groups, ends[1:], strict=True) if end <= size]
            assert numbers is not None and len(numbers) == max(whole, default=before), where
    assert tally.total() > 600
    tiers.report("T2", f"cut at a byte: {make.__name__}", cuts=tally.total(), divergent=0, **tally)


def test_a_cut_between_groups_is_ok_and_any_other_in_the_open_segment_a_torn_tail() -> None:
    sound = one_segment()
    content = sound.files[sound.last]
    starts = [frame.start for frame in frames.find(memoryview(content), 0)]
    for start, end in pairwise([*starts[1:], len(content)]):
        assert look({sound.last: content[:start]})[0] is Verdict.OK
        assert look({sound.last: content[: start + 1]})[0] is Verdict.TORN_TAIL
        assert look({sound.last: content[: end - 1]})[0] is Verdict.TORN_TAIL


# -- T3 ----------------------------------------------------------------------------------------------------------------


def is_last_group(sound: Sound, name: str, at: int) -> bool:
    return name == sound.last and at >= max(piece.start for piece in sound.pieces if piece.name == name)


@pytest.mark.tier("T3")
def test_no_flipped_bit_goes_unnoticed() -> None:
    sound, tally = small(), Counter[str]()
    bits = [(name, bit) for name, content in sorted(sound.files.items()) for bit in range(len(content) * 8)]
    assert len(bits) >= 16 * KIB * 8
    for turn, (name, bit) in enumerate(tiers.size(random.Random(3).sample(bits, 2_500), bits, bits)):
        numbers = judged(sound, {**sound.files, name: flipped(sound.files[name], bit)}, turn, tally)
        assert (numbers is not None) == is_last_group(sound, name, bit // 8), f"{name}, bit {bit}"
    tiers.report("T3", "a flipped bit", flips=tally.total(), divergent=0, **tally)


@pytest.mark.tier("T3")
@pytest.mark.parametrize("size", [512, 4 * KIB])
def test_no_zeroed_block_goes_unnoticed(size: int) -> None:
    tally, chance = Counter[str](), random.Random(size)
    for sound in (one_segment(), many_segments(), mid_compaction(), small()):
        blocks = [(name, at) for name, content in sorted(sound.files.items()) for at in range(0, len(content), size)]
        for turn, (name, at) in enumerate(tiers.size(chance.sample(blocks, min(60, len(blocks))), blocks, blocks)):
            content = sound.files[name]
            end = min(at + size, len(content))
            judged(sound, {**sound.files, name: content[:at] + bytes(end - at) + content[end:]}, turn, tally)
    tiers.report("T3", f"a zeroed block of {size} bytes", blocks=tally.total(), divergent=0, **tally)


@pytest.mark.tier("T3")
@pytest.mark.parametrize("ways", [1, 3])
def test_no_shuffled_or_spliced_file_goes_unnoticed(ways: int) -> None:
    """Runs of zeros, blocks swapped, doubled, dropped or of another file, files spliced, garbage at the end."""
    tally = Counter[str]()
    sounds = [small(), many_segments(), mid_compaction(), one_segment()]
    strangers = [content for sound in (small(5), *sounds) for content in sound.files.values()]
    count = tiers.size(800, 25_000, 500_000)
    for seed in range(count):
        chance = random.Random(seed * 2 + ways)
        sound = sounds[0] if seed % 4 else chance.choice(sounds)
        name, files = hurt(chance, sound, chance.randint(1, ways) if ways > 1 else 1, strangers)
        try:
            judged(sound, files, seed, tally)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, {ways} ways, {name}: {error}") from error
    tiers.report("T3", f"a file hurt in up to {ways} ways", files=tally.total(), divergent=0, **tally)


@pytest.mark.tier("T3")
def test_repair_loses_nothing_but_what_is_damaged() -> None:
    repaired = lost = 0
    for seed in range(tiers.size(400, 10_000, 100_000)):
        chance = random.Random(seed)
        sound = small()
        name = chance.choice(sorted(sound.files))
        content, start = sound.files[name], chance.randrange(len(sound.files[name]))
        end = min(len(content), start + chance.choice((1, 8, 64, 512, 4096)))
        files = {**sound.files, name: content[:start] + chance.randbytes(end - start) + content[end:]}
        disk = disk_with(files)
        report = fsck.repair(HOME, disk)
        repaired += bool(report.changed)
        recovery = opened(disk)
        there = set(jobs_in(recovery, lenient=True))
        recovery.begin().close()
        kept = {number for piece in sound.pieces if piece.untouched(files) for number in piece.numbers}
        assert kept <= there <= set(range(1, sound.count + 1)), f"seed {seed}, {name}, bytes {start} to {end}"
        lost += sound.count - len(there)
    assert repaired
    tiers.report("T3", "repair", repaired=repaired, records_lost=lost, lost_beside_the_damage=0)


# -- bounds ------------------------------------------------------------------------------------------------------------


def large_tail(kind: str, size: int, salt: int) -> bytes:
    if kind == "zeros and a byte":
        return bytes(size) + b"?"
    if kind == "noise":
        return random.Random(5).randbytes(size)
    header = frames.encode(frames.GROUP, 99, salt + 1)
    lengths = (size - at - 2 * len(header) for at in range(0, size - len(header), len(header)))
    return b"".join(header[:24] + length.to_bytes(4, "big") + header[28:] for length in lengths)


@pytest.mark.parametrize("kind", ["zeros and a byte", "noise", "foreign headers"])
def test_a_damaged_file_takes_no_more_memory_than_twice_its_size(kind: str) -> None:
    sound = small()
    head = frames.decode(memoryview(sound.files[sound.last]), 0)
    assert head
    size = 4 << 20
    files = {**sound.files, sound.last: sound.files[sound.last] + large_tail(kind, size, head.salt)}
    tracemalloc.start()
    try:
        verdict, numbers = look(files)
        read_peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (verdict, len(numbers)) == (Verdict.TORN_TAIL, sound.count)
    assert read_peak < 2 * size + (1 << 20)


def test_the_journals_used_here_are_what_they_are_said_to_be() -> None:
    assert len(one_segment().files) == 1
    assert len(many_segments().sealed) > 3
    assert mid_compaction().snapshot and mid_compaction().covered and mid_compaction().sealed
    assert small().snapshot and not small().covered and small().sealed
    assert 16 * KIB <= sum(map(len, small().files.values())) < 18 * KIB
    assert SimDisk().calls == 0
