"""Which files a journal's directory holds, and their names. Knows nothing of what is in them.

0000000007.segment      groups of records; the one with the highest number is open, the others are sealed
0000000006.snapshot     the state after segment 6: it takes the place of all segments up to that one
reserve                 space kept for a full disk
torn-*.bin              what a crash left half-written at the end of the open segment
damaged-1/              the files that a repair replaced
*.tmp                   files under way; removed at the next start
lock                    held by the one process that may write here
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from .disk import TEMPORARY, Disk

_NUMBERED = re.compile(r"(\d{10,})\.(segment|snapshot)")
TORN_KEPT = 8  # older torn tails are removed


@dataclass(frozen=True, slots=True)
class Files:
    """What was found, each list in ascending order."""

    directory: Path
    segments: list[int]
    snapshots: list[int]
    torn: list[str]
    temporary: list[str]


def listing(disk: Disk, directory: Path) -> Files:
    found = Files(directory, [], [], [], [])
    for name in sorted(disk.list(directory)):
        match = _NUMBERED.fullmatch(name)
        if match:
            (found.segments if match[2] == "segment" else found.snapshots).append(int(match[1]))
        elif name.startswith("torn-") and name.endswith(".bin"):
            found.torn.append(name)
        elif name.endswith(TEMPORARY):
            found.temporary.append(name)
    found.segments.sort()
    found.snapshots.sort()
    return found


def segment_path(directory: Path, number: int) -> Path:
    return directory / f"{number:010d}.segment"


def snapshot_path(directory: Path, number: int) -> Path:
    return directory / f"{number:010d}.snapshot"


def torn_path(directory: Path, segment: int, group: int) -> Path:
    return directory / f"torn-{segment:010d}-{group:012d}.bin"


def remove_covered(
    disk: Disk, directory: Path, upto: int, segments: Collection[int], snapshots: Collection[int]
) -> None:
    """Unlink the segments that snapshot ``upto`` covers, and the snapshots before it."""
    for number in segments:
        if number <= upto:
            disk.unlink(segment_path(directory, number))
    for number in snapshots:
        if number < upto:
            disk.unlink(snapshot_path(directory, number))
