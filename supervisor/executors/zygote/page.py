"""Memory shared by a zygote, its children and its supervisor: one slot for each child, with what needs no message.

Owns the layout. A child writes the time of its last sign of life, its memory before the job's own code, whether it has
a scratch directory, and its newest progress; the others read. A reader never waits: progress that is being written at
that moment is passed over, since word of it is still to come.

What may be read while it is written is packed elsewhere and copied in: ``pack_into`` fills its place with zeros first,
and writes it byte by byte. A copy of four or eight bytes is seen as a whole.
"""

from __future__ import annotations

import fcntl
import math
import mmap
import os
import struct
from typing import NamedTuple

SLOTS = 4096
_SLOT_BYTES = 512
_LIFE = struct.Struct("=dQB7x")  # sign of life (monotonic time), base memory in bytes, scratch directory made
_BEAT, _BASE = struct.Struct("=d"), struct.Struct("=Q")  # the first two of them
_BASE_AT = _BEAT.size
_PROGRESS = struct.Struct("=IIddd")  # version (odd while it is written), text length, done, total (NaN: unknown), at
_VERSION, _NOTED = struct.Struct("=I"), struct.Struct("=Iddd")  # the first of them, and the others
_PROGRESS_AT = _LIFE.size
_NOTED_AT = _PROGRESS_AT + _VERSION.size
_TEXT_AT = _PROGRESS_AT + _PROGRESS.size
_TEXT_BYTES_MAX = _SLOT_BYTES - _TEXT_AT
_ZEROS = bytes(_TEXT_AT)
_AT_MAX = 1e11  # seconds since the epoch
_BASE_MAX = (1 << 63) - 1  # the highest that a record may hold; any job may write more into its slot


class Noted(NamedTuple):
    """Newest progress of a child."""

    done: float
    total: float | None
    text: str
    at: float


class Page:
    """All slots. ``fd`` is the memory as a file, for whoever is to share it."""

    def __init__(self, fd: int) -> None:
        """
        Raises:
            OSError, ValueError: it is no such memory, or could be cut off, which would kill whoever reads it.
        """
        if not fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK:
            raise ValueError("a shared page that can be cut off")
        self.fd = fd
        self._memory = mmap.mmap(fd, SLOTS * _SLOT_BYTES)

    @classmethod
    def create(cls) -> Page:
        """A page of empty slots.

        Raises:
            OSError: no descriptor or no memory left.
        """
        fd = os.memfd_create("jobyard-page", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(fd, SLOTS * _SLOT_BYTES)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
            return cls(fd)
        except OSError:
            os.close(fd)
            raise

    def slot(self, index: int) -> Slot:
        """The slot of this number.

        Raises:
            IndexError: there is no such slot.
        """
        if not 0 <= index < SLOTS:
            raise IndexError(f"slot {index} of {SLOTS}")
        return Slot(self._memory, index * _SLOT_BYTES)

    def close(self) -> None:
        self._memory.close()
        os.close(self.fd)


class Slot:
    """What one child says of itself."""

    __slots__ = ("_at", "_memory", "_version")

    def __init__(self, memory: mmap.mmap, at: int) -> None:
        self._memory = memory
        self._at = at
        self._version = 0

    def clear(self) -> None:
        """Make it empty, for the next child."""
        self._memory[self._at : self._at + _TEXT_AT] = _ZEROS

    # -- the child's side ----------------------------------------------------------------------------------------------

    def beat(self, now: float) -> None:
        """Sign of life at this monotonic time."""
        self._memory[self._at : self._at + _BEAT.size] = _BEAT.pack(now)

    def set_base(self, size: int) -> None:
        """Memory in bytes that was held before the job's own code."""
        _BASE.pack_into(self._memory, self._at + _BASE_AT, size)

    def set_scratch(self) -> None:
        """The attempt has a directory of its own, to be removed."""
        self._memory[self._at + 16] = 1

    def note(self, progress: Noted) -> None:
        """Replace the progress."""
        text = progress.text.encode("utf-8", "replace")[:_TEXT_BYTES_MAX]
        total = float("nan") if progress.total is None else progress.total
        noted = _NOTED.pack(len(text), progress.done, total, progress.at) + text
        self._version = (self._version + 2) & 0xFFFFFFFE or 2
        self._set_version(self._version - 1)
        self._memory[self._at + _NOTED_AT : self._at + _NOTED_AT + len(noted)] = noted
        self._set_version(self._version)

    def _set_version(self, version: int) -> None:
        at = self._at + _PROGRESS_AT
        self._memory[at : at + _VERSION.size] = _VERSION.pack(version)

    # -- the others' side ----------------------------------------------------------------------------------------------

    def last_beat(self) -> float:
        """Monotonic time of the last sign of life, 0.0 if there was none."""
        return float(_BEAT.unpack_from(self._memory, self._at)[0])

    def base(self) -> int:
        """Memory in bytes that was held before the job's own code, 0 if that never ran."""
        return min(int(_BASE.unpack_from(self._memory, self._at + _BASE_AT)[0]), _BASE_MAX)

    def has_scratch(self) -> bool:
        return self._memory[self._at + 16] == 1

    def noted(self) -> Noted | None:
        """The newest progress; None if there is none, or if it is being written right now."""
        version, length, done, total, at = _PROGRESS.unpack_from(self._memory, self._at + _PROGRESS_AT)
        if version == 0 or version % 2:
            return None
        start = self._at + _TEXT_AT
        raw = self._memory[start : start + min(length, _TEXT_BYTES_MAX)]
        if _VERSION.unpack_from(self._memory, self._at + _PROGRESS_AT)[0] != version:
            return None
        total_or_none = None if total != total else total
        if not (math.isfinite(done) and 0 <= at <= _AT_MAX and (total_or_none is None or math.isfinite(total_or_none))):
            return None  # none of ours wrote this
        return Noted(done, total_or_none, raw.decode("utf-8", "ignore"), at)
