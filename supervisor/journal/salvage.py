"""Making one journal out of what is left of a damaged one.

Keeps every intact group and chunk under its number, and puts a GAP frame wherever some are missing, so that a reader
can follow. Files are replaced one by one, each after a copy of it is safely aside: a crash in between leaves a journal
that is still damaged, and that can be repaired again.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from . import frames, segment
from .disk import Disk, write_file
from .errors import JournalDamaged
from .files import listing, segment_path, snapshot_path
from .frames import Frame
from .segment import SegmentReader
from .snapshot import Snapshot


class Salvage:
    """One repair of the journal in ``directory``.

    Attributes:
        changed: names of the files that were replaced. aside: the directory with their old content.
        lost: what could not be kept, one line each.
    """

    def __init__(self, directory: Path, disk: Disk) -> None:
        self.changed: list[str] = []
        self.lost: list[str] = []
        self.aside: Path | None = None
        self._directory, self._disk = directory, disk
        self._files = listing(disk, directory)

    def run(self) -> None:
        """Raises: OSError, JournalTooNew."""
        covered, group = self._base()
        needed = [number for number in self._files.segments if number > covered]
        for number in needed:
            try:
                group = self._intact_segment(number, group, is_open=number == needed[-1])
            except JournalDamaged:
                group = self._rewrite_segment(number, group)

    # -- segments ------------------------------------------------------------------------------------------------------

    def _intact_segment(self, number: int, first_group: int, is_open: bool) -> int:
        """The group that follows it. Raises: JournalDamaged."""
        reader = SegmentReader.open(self._disk, self._directory, number, first_group)
        for frame in reader.groups():
            segment.records(reader.path, frame)
        if is_open:
            reader.check_torn()
        else:
            reader.check_sealed()
        return reader.group

    def _rewrite_segment(self, number: int, first_group: int) -> int:
        path = segment_path(self._directory, number)
        data = self._read(path)
        head = frames.decode(data, 0)
        intact = head is not None and head.kind == frames.SEGMENT and head.number == number
        salt = self._usual_salt(data, frames.GROUP)
        if head and intact and next(frames.find(data, head.end, head.salt), None):
            salt = head.salt
        kept = _Kept(path, "group", first_group, salt)
        if head and intact:
            kept.skip_to(frames.unpack_number(head.payload) or 0)
        kept.add(data, frames.GROUP)
        self._replace(path, data, [segment.header(number, first_group, salt), *kept.pieces])
        self.lost += kept.lost
        return kept.number

    # -- snapshots -----------------------------------------------------------------------------------------------------

    def _base(self) -> tuple[int, int]:
        """The last segment that the newest usable snapshot covers, and the first group after it."""
        for number in reversed(self._files.snapshots):
            try:
                found = Snapshot.open(self._disk, self._directory, number)
                return found.upto, found.last_group + 1
            except JournalDamaged:
                next_group = self._rewrite_snapshot(number)
                if next_group:
                    return number, next_group
        return 0, 1

    def _rewrite_snapshot(self, upto: int) -> int:
        """Keep its intact chunks; the group that follows it, or 0 if nothing of it is of use."""
        path = snapshot_path(self._directory, upto)
        data = self._read(path)
        head = frames.decode(data, 0)
        intact = head is not None and head.kind == frames.SNAPSHOT and head.number == upto
        salt = head.salt if head and intact else self._usual_salt(data, frames.CHUNK)
        last_group = frames.unpack_number(head.payload) if head and intact else self._group_before(upto + 1)
        kept = _Kept(path, "chunk", 1, salt)
        kept.add(data, frames.CHUNK)
        if last_group is None or not kept.pieces:
            self.lost.append(f"{path.name}: all of it is lost")
            self._set_aside(path, data)
            self._disk.unlink(path)
            return 0
        ends = [frame.number for frame in frames.find(data, 0, salt) if frame.kind == frames.END]
        kept.skip_to(max(ends, default=kept.number) + 1)  # without its end, nobody knows how many more there were
        first = frames.encode(frames.SNAPSHOT, upto, salt, frames.pack_number(last_group))
        last = frames.encode(frames.END, kept.number - 1, salt)
        self._replace(path, data, [first, *kept.pieces, last])
        self.lost += kept.lost
        return last_group + 1

    def _group_before(self, number: int) -> int | None:
        """The last group before segment ``number``, by what that one says."""
        try:
            reader = SegmentReader.open(self._disk, self._directory, number, None)
        except (JournalDamaged, FileNotFoundError):
            return None
        return reader.group - 1

    # -- files ---------------------------------------------------------------------------------------------------------

    def _read(self, path: Path) -> memoryview:
        with self._disk.open_read(path) as file:
            return memoryview(file.read())

    def _usual_salt(self, data: memoryview, kind: bytes) -> int:
        """That of most frames of ``kind``; a new one if there are none."""
        counted = Counter(frame.salt for frame in frames.find(data, 0) if frame.kind == kind)
        return counted.most_common(1)[0][0] if counted else self._disk.salt()

    def _replace(self, path: Path, old: memoryview, pieces: list[bytes]) -> None:
        self._set_aside(path, old)
        write_file(self._disk, path, *pieces)

    def _set_aside(self, path: Path, old: memoryview) -> None:
        if self.aside is None:
            present = set(self._disk.list(self._directory))
            number = next(number for number in range(1, len(present) + 2) if f"damaged-{number}" not in present)
            self.aside = self._directory / f"damaged-{number}"
            self._disk.make_directory(self.aside)
            self._disk.sync_directory(self._directory)
        write_file(self._disk, self.aside / path.name, bytes(old))
        self.changed.append(path.name)


class _Kept:
    """Frames in ascending order, with a GAP wherever numbers are missing.

    Attributes:
        number: the one that comes next.
    """

    def __init__(self, path: Path, what: str, first: int, salt: int) -> None:
        self.pieces: list[bytes] = []
        self.lost: list[str] = []
        self.number = first
        self._path, self._what, self._salt = path, what, salt

    def add(self, data: memoryview, kind: bytes) -> None:
        """All intact frames of ``kind`` in ``data``, wherever they stand, and the gaps that are known already."""
        found: dict[int, Frame] = {}
        for frame in frames.find(data, 0, self._salt):
            if frame.kind in (kind, frames.GAP) and self._readable(frame):
                frame.refuse_newer(self._path)
                found.setdefault(frame.number, frame)
        for number, frame in sorted(found.items()):
            if number < self.number:
                continue
            if frame.kind == kind:
                self.skip_to(number)
            self.pieces.append(bytes(data[frame.start : frame.end]))
            self.number = number + 1

    def skip_to(self, number: int) -> None:
        """Mark everything before ``number`` as lost that was not added."""
        if number > self.number:
            self.pieces.append(frames.encode(frames.GAP, number - 1, self._salt))
            last = number - 1
            lost = f"{self._what} {last} is" if last == self.number else f"{self._what}s {self.number} to {last} are"
            self.lost.append(f"{self._path.name}: {lost} lost")
            self.number = number

    def _readable(self, frame: Frame) -> bool:
        try:
            if frame.kind == frames.GROUP:
                segment.records(self._path, frame)
            elif frame.kind == frames.CHUNK:
                frames.unpack(frame.payload)
        except (JournalDamaged, ValueError):
            return False
        return True
