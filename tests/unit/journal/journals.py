"""Builders for the tests of the journal: records are lists of one number, a state is the list of the numbers."""

from __future__ import annotations

import select
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgpack
from jobyard.conf.settings import JournalSettings
from jobyard.supervisor.journal import frames
from jobyard.supervisor.journal.compact import compact
from jobyard.supervisor.journal.disk import Disk
from jobyard.supervisor.journal.journal import Journal
from jobyard.supervisor.journal.recovery import Recovery
from jobyard.supervisor.journal.replay import replay
from simdisk import SimDisk

HOME = Path("/journal")
PATIENCE_S = 20.0
ROOMY = JournalSettings()
SMALL = JournalSettings(segment_bytes=300, group_bytes_max=1000)


class Misfit(Exception):
    """A number that does not follow the one before."""


class Numbers:
    """The state of these tests: 1, 2, 3... Applying any other number than the next is a misfit."""

    def __init__(self, lenient: bool = False) -> None:
        self.seen: list[int] = []
        self._lenient = lenient

    def apply(self, number: int) -> None:
        if self.seen and number != self.seen[-1] + 1 and not self._lenient:
            raise Misfit(f"{number} after {self.seen[-1]}")
        self.seen.append(number)

    def load(self, chunk: Any) -> None:
        self.seen += chunk

    def dump(self) -> Iterator[Any]:
        for start in range(0, len(self.seen), 10):
            yield self.seen[start : start + 10]


def record(number: int) -> bytes:
    packed: bytes = msgpack.packb([number])
    return packed


def number_of(item: list[int]) -> int:
    return item[0]


def opened(disk: Disk | None = None, directory: Path = HOME, settings: JournalSettings = SMALL) -> Recovery:
    return Journal.open(directory, settings, disk=disk, threaded=False)


def contents(recovery: Recovery, lenient: bool = False) -> list[int]:
    """Every number in the journal, in order."""
    state = Numbers(lenient)
    replay(recovery, recovery.groups(), state, number_of, Misfit)
    return state.seen


def started(disk: Disk | None = None, directory: Path = HOME, settings: JournalSettings = SMALL) -> Journal:
    """A journal for which nothing happens but by ``flush``."""
    recovery = opened(disk, directory, settings)
    contents(recovery)
    return recovery.begin()


def wait_synced(journal: Journal, ticket: int) -> None:
    poll = select.poll()
    poll.register(journal.fileno(), select.POLLIN)
    deadline = time.monotonic() + PATIENCE_S
    while journal.synced < ticket and journal.failed is None:
        left = deadline - time.monotonic()
        assert left > 0 and poll.poll(left * 1000), f"synced {journal.synced}, waited for {ticket}"
        journal.collect()


def begun(directory: Path, disk: Disk | None = None, settings: JournalSettings = ROOMY) -> Journal:
    """A journal on a real disk, with its thread."""
    recovery = Journal.open(directory, settings, disk=disk)
    contents(recovery)
    return recovery.begin()


def fill(journal: Journal, first: int, last: int, per_group: int = 1) -> None:
    """The numbers from ``first`` to ``last``, synced."""
    for start in range(first, last + 1, per_group):
        journal.append(record(number) for number in range(start, min(start + per_group, last + 1)))
        journal.flush()
    assert journal.failed is None


def restarted(journal: Journal, chunks: Iterable[Any]) -> None:
    """A new start after a failure, done when this returns.

    Raises:
        OSError: the disk refused.
    """
    journal.restart(chunks)
    journal.flush()
    if journal.failed is not None:
        raise journal.failed


def files_of(disk: SimDisk) -> dict[str, bytes]:
    return {
        path.name: bytes(inode.data) for path, inode in disk.names.items() if path.suffix in (".segment", ".snapshot")
    }


def used(content: bytes) -> bytes:
    """A file without the space at its end that was taken ahead of time."""
    return content.rstrip(b"\0")


def disk_with(files: dict[str, bytes]) -> SimDisk:
    disk = SimDisk()
    for name, content in files.items():
        fd = disk.create(HOME / name)
        if content:
            disk.write(fd, content, 0)
        disk.sync(fd)
        disk.close(fd)
    disk.sync_directory(HOME)
    return disk


def frames_of(content: bytes) -> list[bytes]:
    """The frames of an intact file."""
    return [content[frame.start : frame.end] for frame in frames.find(memoryview(content), 0)]


def three_segments() -> dict[str, bytes]:
    """A journal of 1 to 27 in three segments, three numbers to a group and three groups to a segment."""
    disk = SimDisk(seed=1)
    journal = started(disk, settings=JournalSettings(segment_bytes=140, group_bytes_max=1000))
    fill(journal, 1, 27, per_group=3)
    journal.close()
    files = files_of(disk)
    assert sorted(files) == ["0000000001.segment", "0000000002.segment", "0000000003.segment"]
    return files


def compacted_journal() -> dict[str, bytes]:
    """A snapshot of 1 to 25 and two segments up to 40."""
    disk = SimDisk(seed=2)
    journal = started(disk, settings=JournalSettings(segment_bytes=100_000, group_bytes_max=1000))
    fill(journal, 1, 25, per_group=5)
    compact_all(journal, disk)
    fill(journal, 26, 33)
    journal.seal()
    fill(journal, 34, 40)
    journal.close()
    files = files_of(disk)
    assert sorted(files) == ["0000000001.snapshot", "0000000002.segment", "0000000003.segment"]
    return files


def compact_all(journal: Journal, disk: Disk, directory: Path = HOME) -> None:
    """Seal, compact and remove, as supervisor and archivist do."""
    journal.seal()
    journal.flush()
    if journal.failed is None:
        compact(directory, journal.sealed, Numbers(), number_of, Misfit, disk)
        removed(journal, journal.sealed)


def removed(journal: Journal, upto: int) -> None:
    """What the snapshot ``upto`` covers is gone when this returns.

    Raises:
        OSError: it could not be removed.
    """
    journal.compacted(upto)
    journal.flush()
    if journal.left_behind is not None:
        raise journal.left_behind
