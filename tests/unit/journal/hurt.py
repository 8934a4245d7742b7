"""Journals of some size, ways to hurt them, and the judgement of what a start then makes of them.

Owns the truth: what was written, in which group, in which file. Files are plain bytes by name.
"""

from __future__ import annotations

import errno
import io
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, BinaryIO

import msgpack
from jobyard.conf.settings import JournalSettings
from jobyard.supervisor.journal import frames
from jobyard.supervisor.journal.compact import compact
from jobyard.supervisor.journal.disk import Disk
from jobyard.supervisor.journal.errors import JournalDamaged
from jobyard.supervisor.journal.fsck import Verdict
from jobyard.supervisor.journal.reader import JournalReader
from jobyard.supervisor.journal.recovery import Recovery
from jobyard.supervisor.journal.replay import replay
from journals import HOME, Misfit, Numbers, files_of, number_of, removed, started
from simdisk import SimDisk

KIB = 1024
Files = dict[str, bytes]


class Shelf(Disk):
    """Files that are only read."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def list(self, directory: Path) -> list[str]:
        return sorted(self._files)

    def size(self, path: Path) -> int:
        return len(self._files[path.name])

    def open_read(self, path: Path) -> BinaryIO:
        if path.name not in self._files:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return io.BytesIO(self._files[path.name])


def padded(number: int) -> bytes:
    """A record as large as that of a small job. Its bytes go with its number."""
    packed: bytes = msgpack.packb(_job(number))
    return packed


@cache
def _job(number: int) -> list[Any]:
    chance = random.Random(number)
    return [number, chance.randbytes(chance.randrange(40, 400))]


class Jobs(Numbers):
    """Numbers with what goes with them in their snapshots."""

    def dump(self) -> Iterator[Any]:
        for start in range(0, len(self.seen), 4):
            yield [_job(number) for number in self.seen[start : start + 4]]

    def load(self, chunk: Any) -> None:
        for number, rest in chunk:
            assert [number, rest] == _job(number)
            self.apply(number)


@dataclass(frozen=True)
class Piece:
    """A group or chunk of an intact file, with its place and its numbers."""

    name: str
    start: int
    content: bytes
    numbers: tuple[int, ...]

    def untouched(self, hurt: Files) -> bool:
        """It stands where it stood."""
        end = self.start + len(self.content)
        return hurt[self.name][self.start : end] == self.content


@dataclass(frozen=True)
class Sound:
    """An intact journal of the numbers from 1 to ``count``."""

    files: Files
    last: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "last", max(name for name in self.files if name.endswith(".segment")))

    @cached_property
    def count(self) -> int:
        _, numbers = look(self.files)
        assert numbers == list(range(1, len(numbers or ()) + 1))
        return len(numbers or ())

    @cached_property
    def snapshot(self) -> str:
        """Name of the one that is read, or ""."""
        return max((name for name in self.files if name.endswith(".snapshot")), default="")

    @cached_property
    def sealed(self) -> list[str]:
        """Names of the sealed segments that are read if the snapshot is."""
        covered = self.snapshot[:10]
        return [name for name in self.files if name.endswith(".segment") and covered < name[:10] < self.last[:10]]

    @cached_property
    def covered(self) -> list[str]:
        """Names of the segments that the snapshot takes the place of, where they are there still."""
        return [name for name in self.files if name.endswith(".segment") and name[:10] <= self.snapshot[:10]]

    @cached_property
    def pieces(self) -> list[Piece]:
        found = []
        for name, content in self.files.items():
            for frame in frames.find(memoryview(content), 0):
                if frame.kind in (frames.GROUP, frames.CHUNK):
                    numbers = tuple(item[0] for item in frames.unpack(frame.payload))
                    found.append(Piece(name, frame.start, content[frame.start : frame.end], numbers))
        return found

    def judge(self, hurt: Files) -> tuple[Verdict, list[int]]:
        """What a start makes of ``hurt``, which must be right: the verdict and the numbers."""
        verdict, numbers = look(hurt)
        if verdict is Verdict.DAMAGED:
            return verdict, numbers
        assert numbers == list(range(1, len(numbers) + 1)), "something else was read than what was written"
        assert len(numbers) <= self.count, "more was read than was written"
        for name in self.sealed:
            assert hurt[name] == self.files[name], f"{name} is not what it was, and that went unnoticed"
        if self.snapshot and hurt[self.snapshot] != self.files[self.snapshot]:
            assert self.covered, "a snapshot that is not what it was went unnoticed"
            assert all(hurt[name] == self.files[name] for name in self.covered)
        lost = [piece.content for piece in self.pieces if piece.name == self.last and piece.numbers[-1] > len(numbers)]
        assert not any(content in hurt[self.last] for content in lost), "something was dropped that is still there"
        return verdict, numbers


def jobs_in(recovery: Recovery, *, lenient: bool = False) -> list[int]:
    """Every number that a start reads, in order."""
    state = Jobs(lenient)
    replay(recovery, recovery.groups(), state, number_of, Misfit)
    return state.seen


def look(files: Files) -> tuple[Verdict, list[int]]:
    """The verdict of a start, and what it reads before it comes to that."""
    state = Jobs()
    try:
        reader = JournalReader(HOME, Shelf(files))
        replay(reader, reader.groups(), state, number_of, Misfit)
    except JournalDamaged:
        return Verdict.DAMAGED, state.seen
    return Verdict.TORN_TAIL if reader.torn else Verdict.OK, state.seen


def written(disk: SimDisk, size: int, segment_bytes: int, compact_at: int = 0) -> Sound:
    """A journal of about ``size`` bytes, of groups of one to four records, compacted once at number ``compact_at``."""
    chance, number = random.Random(size), 0
    journal = started(disk, settings=JournalSettings(segment_bytes=segment_bytes, group_bytes_max=64 * KIB))
    while journal.size < size:
        count = chance.randint(1, 4)
        journal.append(padded(each) for each in range(number + 1, number + count + 1))
        journal.flush()
        number += count
        if compact_at and number >= compact_at:
            journal.seal()
            journal.flush()
            compact(HOME, journal.sealed, Jobs(), number_of, Misfit, disk)
            removed(journal, journal.sealed)
            compact_at = 0
    journal.close()
    return Sound(files_of(disk))


def one_segment() -> Sound:
    return written(SimDisk(seed=1), 64 * KIB, 1 << 20)


def many_segments() -> Sound:
    return written(SimDisk(seed=2), 64 * KIB, 12 * KIB)


def mid_compaction() -> Sound:
    """The snapshot is there, and what it covers is not removed yet."""
    disk = SimDisk(seed=3)
    disk.unlink = lambda path: None  # type: ignore[method-assign]
    found = written(disk, 64 * KIB, 12 * KIB, compact_at=60)
    return Sound({name: content for name, content in found.files.items() if not name.endswith(".tmp")})


def small(seed: int = 4) -> Sound:
    """A snapshot and three segments, 16 KiB together."""
    return written(SimDisk(seed=seed), 16 * KIB, 4 * KIB, compact_at=20)


# -- ways to hurt a file -----------------------------------------------------------------------------------------------

Hurt = Callable[[random.Random, bytes, bytes], bytes]


def _block(chance: random.Random, content: bytes, size: int = 512) -> tuple[int, int]:
    start = chance.randrange(max(1, len(content) // size)) * size
    return start, min(start + size, len(content))


def flip(chance: random.Random, content: bytes, other: bytes) -> bytes:
    bit = chance.randrange(len(content) * 8)
    return flipped(content, bit)


def zero_block(chance: random.Random, content: bytes, other: bytes) -> bytes:
    start, end = _block(chance, content, chance.choice((512, 4096)))
    return content[:start] + bytes(end - start) + content[end:]


def zero_run(chance: random.Random, content: bytes, other: bytes) -> bytes:
    start = chance.randrange(len(content))
    end = min(len(content), start + chance.randrange(8 * KIB, 9 * KIB))
    return content[:start] + bytes(end - start) + content[end:]


def swap_blocks(chance: random.Random, content: bytes, other: bytes) -> bytes:
    one, two = sorted((_block(chance, content), _block(chance, content)))
    if one == two or two[1] - two[0] < 512:
        return content
    middle = content[one[1] : two[0]]
    return content[: one[0]] + content[slice(*two)] + middle + content[slice(*one)] + content[two[1] :]


def double_block(chance: random.Random, content: bytes, other: bytes) -> bytes:
    start, end = _block(chance, content)
    return content[:end] + content[start:end] + content[end:]


def drop_block(chance: random.Random, content: bytes, other: bytes) -> bytes:
    start, end = _block(chance, content)
    return content[:start] + content[end:]


def stale_block(chance: random.Random, content: bytes, other: bytes) -> bytes:
    """A block is what another file has there."""
    start, end = _block(chance, content)
    return content[:start] + other[start:end].ljust(end - start, b"\0") + content[end:]


def splice(chance: random.Random, content: bytes, other: bytes) -> bytes:
    return content[: chance.randrange(1, len(content))] + other[chance.randrange(len(other)) :]


def garbage_tail(chance: random.Random, content: bytes, other: bytes) -> bytes:
    size = chance.randrange(1, 2 * KIB)
    start = chance.randrange(len(content))
    tails = (chance.randbytes(size), bytes(size), other[-size:], content[start : start + size], frames.PREFIX * 9)
    return content + chance.choice(tails)


WAYS: tuple[Hurt, ...] = (
    flip, zero_block, zero_run, swap_blocks, double_block, drop_block, stale_block, splice, garbage_tail,
)  # fmt: skip


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def hurt(chance: random.Random, sound: Sound, ways: int, strangers: list[bytes]) -> tuple[str, Files]:
    """Hurt one file in so many ways; its name and what is left. ``strangers`` lend blocks."""
    name = chance.choice(sorted(sound.files))
    content = sound.files[name]
    for _ in range(ways):
        content = chance.choice(WAYS)(chance, content or b"?", chance.choice(strangers))
    return name, {**sound.files, name: content}
