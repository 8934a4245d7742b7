"""Compaction: sealed segments become one snapshot. Knows a state only as something that takes records and gives chunks.

Runs beside the supervisor in a process of its own. It reads sealed segments, which nobody writes any more, and adds one
file; removing what that covers is left to the supervisor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ...protocol.errors import WrongState
from . import snapshot
from .disk import Disk
from .files import segment_path
from .recovery import Recovery

R = TypeVar("R", contravariant=True)


class Replayable(Protocol[R]):
    """A state, empty at first."""

    def load(self, chunk: Any) -> None:
        """Take over one chunk of a snapshot."""
        ...

    def apply(self, record: R) -> object: ...

    def dump(self) -> Iterator[Any]:
        """The whole state as chunks of plain values."""
        ...


@dataclass(frozen=True, slots=True)
class Compacted:
    """What was done. ``records`` were read from segments; the snapshot has ``bytes``."""

    upto: int
    records: int
    bytes: int


def compact(
    directory: Path, upto: int, state: Replayable[R], decode: Callable[[Any], R], disk: Disk | None = None
) -> Compacted:
    """Write the snapshot that covers the segments up to ``upto``, durably.

    Args:
        decode: makes a record of what stands in a segment.

    Raises:
        WrongState: segment ``upto`` is not sealed, or covered already.
        JournalDamaged, JournalTooNew, OSError.
    """
    disk = disk or Disk()
    recovery = Recovery(directory, disk)
    if not recovery.covered < upto < recovery.last:
        raise WrongState(f"segment {upto} cannot be compacted: sealed are {recovery.covered + 1} to {recovery.last - 1}")
    for chunk in recovery.snapshot() or ():
        state.load(chunk)
    records = 0
    for group in recovery.groups(upto):
        for record in group:
            state.apply(decode(record))
        records += len(group)
    return Compacted(upto, records, snapshot.write(disk, directory, upto, recovery.last_group, state.dump()))
