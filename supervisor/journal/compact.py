"""Compaction: sealed segments become one snapshot.

Runs beside the supervisor in a process of its own. It reads sealed segments, which nobody writes any more, and adds one
file; removing what that covers is left to the supervisor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ...protocol.errors import WrongState
from . import snapshot
from .disk import Disk
from .reader import JournalReader
from .replay import Replayable, replay

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Compacted:
    """What was done: the records read from segments, those skipped behind a gap, and the size of the snapshot."""

    upto: int
    records: int
    skipped: int
    bytes: int


def compact(
    directory: Path,
    upto: int,
    state: Replayable[R],
    decode: Callable[[Any], R],
    misfit: type[Exception],
    disk: Disk | None = None,
    before: Callable[[], None] = lambda: None,
) -> Compacted:
    """Write the snapshot that covers the segments up to ``upto``, durably.

    Args:
        state: an empty one.
        decode, misfit: as for ``replay``.
        before: called when ``state`` is complete, before the snapshot is written.

    Raises:
        WrongState: segment ``upto`` is not sealed, or covered already.
        JournalDamaged, JournalTooNew, OSError, and whatever ``state`` and ``decode`` raise.
    """
    disk = disk or Disk()
    reader = JournalReader(directory, disk)
    if not reader.covered < upto < reader.last:
        sealed = f"{reader.covered + 1} to {reader.last - 1}" if reader.last > reader.covered + 1 else "none"
        raise WrongState(f"segment {upto} cannot be compacted; sealed and not yet compacted: {sealed}")
    done = replay(reader, reader.sealed_groups(upto), state, decode, misfit)
    before()
    size = snapshot.write(disk, directory, upto, reader.last_group, state.dump())
    return Compacted(upto, done.records, done.skipped, size)
