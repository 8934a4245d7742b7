"""One segment: how it begins, how its groups follow each other, and what it means when they stop doing so.

Owns the rule that tells a torn tail from damage. Group k+1 is never written before group k is on disk. So behind the
first thing that is not the group that belongs there, a whole group of this file with that number or a higher one proves
that something stored is lost: damage. Without one, nothing that was ever acknowledged after a sync can have stood there
but the last group itself: a torn tail. A sealed segment was complete on disk before the next one existed, so there
everything unexpected is damage. Zeros up to the end of an open segment are space that was taken ahead of time.

A whole group of another file, in the place of the next one or behind a header that no group belongs to, is damage as
well: either that group or the header is not what was written there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import frames
from .disk import Disk, NewFile
from .errors import JournalDamaged
from .files import segment_path
from .frames import Frame

_EFFORT = 8  # times the size of a file


def create(disk: Disk, directory: Path, number: int, first_group: int) -> tuple[int, int, int]:
    """A new, empty segment, durable: its descriptor, salt and size."""
    salt = disk.salt()
    with NewFile(disk, segment_path(directory, number)) as file:
        file.write(header(number, first_group, salt))
        return file.publish(), salt, file.size


def header(number: int, first_group: int, salt: int) -> bytes:
    return frames.encode(frames.SEGMENT, number, salt, frames.pack_number(first_group))


@dataclass
class SegmentReader:
    """Yields the groups of one segment in order, and stops at the first thing that does not belong there.

    Attributes:
        salt: of this file.
        offset: where the intact part ends, so far. group: the number that belongs there.
        first_offset: where the header ends.
        gaps: how many times a repair declared groups lost here.
    """

    path: Path
    data: memoryview
    salt: int
    offset: int
    group: int
    first_offset: int
    gaps: int = 0

    @classmethod
    def open(cls, disk: Disk, directory: Path, number: int, first_group: int | None) -> SegmentReader:
        """Read the file and check its header; ``first_group`` None takes the group that it names.

        Raises:
            JournalDamaged: the header is not that of this segment, or does not follow what came before.
            JournalTooNew: a newer version wrote it.
        """
        path = segment_path(directory, number)
        with disk.open_read(path) as file:
            data = memoryview(file.read())
        frame = frames.decode(data, 0)
        if frame is None or frame.kind != frames.SEGMENT:
            raise JournalDamaged(path, 0, first_group, "the header of the file cannot be read")
        frame.refuse_newer(path)
        first = frames.unpack_number(frame.payload)
        if frame.number != number or first is None:
            raise JournalDamaged(path, 0, first_group, f"this is the content of segment {frame.number}")
        if first_group is not None and first != first_group:
            raise JournalDamaged(
                path, 0, first_group, f"group {first_group} should come first here, but group {first} does"
            )
        return cls(path, data, frame.salt, frame.end, first, frame.end)

    def groups(self) -> Iterator[Frame]:
        """Raises: JournalTooNew."""
        while self.offset < len(self.data):
            frame = frames.decode(self.data, self.offset)
            if frame is None or not self._belongs(frame):
                return
            frame.refuse_newer(self.path)
            if frame.kind == frames.GAP:
                self.gaps += 1
            self.group, self.offset = frame.number + 1, frame.end
            if frame.kind == frames.GROUP:
                yield frame

    @property
    def complete(self) -> bool:
        """After ``groups`` is exhausted: the file holds nothing beyond, or zeros."""
        return frames.is_blank(self.data, self.offset)

    def intact(self) -> bytes:
        return bytes(self.data[: self.offset])

    def tail(self) -> bytes:
        """What stands behind the intact part, up to the zeros at the end."""
        return bytes(self.data[self.offset :]).rstrip(b"\0")

    def check_sealed(self) -> None:
        """Raises: JournalDamaged if anything stands behind the intact part, be it zeros."""
        if self.offset != len(self.data):
            raise self._damaged("though this file was complete once")

    def check_torn(self) -> None:
        """Raises: JournalDamaged if what stands behind the intact part is more than a torn tail."""
        for frame in frames.find(self.data, self.offset, self.salt):
            if frame.kind in (frames.GROUP, frames.GAP) and frame.number >= self.group:
                raise self._damaged(
                    f"but group {frame.number} is intact at byte {frame.start}, so it was stored before"
                )
        stranger = frames.decode(self.data, self.offset)
        if stranger is None and self.offset == self.first_offset:
            found = frames.find(self.data, self.offset, effort_bytes=_EFFORT * len(self.data))
            stranger = next((frame for frame in found if frame.kind == frames.GROUP), None)
        if stranger is not None and stranger.salt != self.salt and stranger.number >= self.group:
            raise self._damaged(
                f"and group {stranger.number}, intact at byte {stranger.start}, is of another file than the header"
            )

    def _belongs(self, frame: Frame) -> bool:
        if frame.salt != self.salt:
            return False
        return (
            frame.number == self.group
            if frame.kind == frames.GROUP
            else frame.kind == frames.GAP and frame.number >= self.group
        )

    def _damaged(self, proof: str) -> JournalDamaged:
        return JournalDamaged(self.path, self.offset, self.group, f"group {self.group} cannot be read, {proof}")


def records(path: Path, frame: frames.Frame) -> list[Any]:
    """The records in a group.

    Raises:
        JournalDamaged: there are none, though its checksum is right.
    """
    try:
        records = frames.unpack(frame.payload)
    except ValueError as error:
        problem = f"group {frame.number} holds no records: {error}"
        raise JournalDamaged(path, frame.start, frame.number, problem) from None
    if not isinstance(records, list):
        raise JournalDamaged(path, frame.start, frame.number, f"group {frame.number} is no list of records")
    return records
