"""The format: every file of a journal is a row of frames. Owns their bytes; knows neither files nor what records mean.

A frame is a header and a payload. All integers are big-endian:

    magic    4  the kind of frame, below
    version  4  JOURNAL_VERSION of the writer
    number   8  of the segment, group, snapshot or chunk
    salt     8  random, the same in all frames of one file and in no other file
    length   4  of the payload
    crc      4  CRC-32 of the 28 bytes above and the payload

The shape of the header is the same in every version, so that a newer file is told from a damaged one.

    SEGMENT   first in a segment; number of the segment; payload: number of its first group (8 bytes)
    GROUP     number of the group, one more than that of the group before; payload: msgpack list of its records
    SNAPSHOT  first in a snapshot; number of the last segment it covers; payload: number of the last group it covers
    CHUNK     number of the chunk, from 1; payload: one msgpack value
    END       last in a snapshot; number of its chunks; no payload
    GAP       written by repair alone: groups or chunks before this one, up to and including its number, are lost
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack

from ..core.records import JOURNAL_VERSION
from .errors import JournalTooNew

PREFIX = b"\x89JY"
SEGMENT = PREFIX + b"S"
GROUP = PREFIX + b"G"
SNAPSHOT = PREFIX + b"P"
CHUNK = PREFIX + b"C"
END = PREFIX + b"E"
GAP = PREFIX + b"X"
KINDS = frozenset({SEGMENT, GROUP, SNAPSHOT, CHUNK, END, GAP})

PAYLOAD_BYTES_MAX = 256 * 1024 * 1024  # far above what is written; a length over it is not even tried

_LOOK_BYTES = 64 * 1024
_CHECKED = struct.Struct(">4sIQQI")
_CRC = struct.Struct(">I")
_NUMBER = struct.Struct(">Q")
_ARRAY = struct.Struct(">BI")
HEADER_BYTES = _CHECKED.size + _CRC.size


@dataclass(frozen=True, slots=True)
class Frame:
    """An intact frame. ``start`` and ``end`` are its place in the buffer it was found in."""

    kind: bytes
    version: int
    number: int
    salt: int
    payload: memoryview
    start: int
    end: int

    def refuse_newer(self, file: Path) -> None:
        """Raises: JournalTooNew."""
        if self.version > JOURNAL_VERSION:
            raise JournalTooNew(file, self.version, JOURNAL_VERSION)


def encode(kind: bytes, number: int, salt: int, payload: bytes = b"", version: int = JOURNAL_VERSION) -> bytes:
    """A frame as bytes."""
    checked = _CHECKED.pack(kind, version, number, salt, len(payload))
    return b"".join((checked, _CRC.pack(zlib.crc32(payload, zlib.crc32(checked))), payload))


def decode(buffer: memoryview, start: int, only_salt: int | None = None) -> Frame | None:
    """The frame that begins at ``start``, or None if no intact one (of that salt) does."""
    body = start + HEADER_BYTES
    if body > len(buffer):
        return None
    kind, version, number, salt, length = _CHECKED.unpack_from(buffer, start)
    if kind not in KINDS or version == 0 or length > PAYLOAD_BYTES_MAX or body + length > len(buffer):
        return None
    if only_salt is not None and salt != only_salt:
        return None
    (crc,) = _CRC.unpack_from(buffer, start + _CHECKED.size)
    payload = buffer[body : body + length]
    if zlib.crc32(payload, zlib.crc32(buffer[start : start + _CHECKED.size])) != crc:
        return None
    return Frame(kind, version, number, salt, payload, start, body + length)


def payload_bytes(header: bytes) -> int:
    """The length of payload that a frame's header claims."""
    length: int = _CHECKED.unpack_from(header)[4]
    return length


def find(
    buffer: memoryview, start: int, only_salt: int | None = None, effort_bytes: int | None = None
) -> Iterator[Frame]:
    """Every intact frame at or after ``start``, wherever it begins, but none inside the payload of another.

    What is stored for users may look like many long frames, and to sum up each of them would take for ever.

    Args:
        only_salt: leave out frames of other files; nobody can guess the salt.
        effort_bytes: give up when so many bytes of what is no frame were summed up.
    """
    whole = buffer.obj
    assert isinstance(whole, bytes)
    at = whole.find(PREFIX, start)
    while at >= 0:
        frame = decode(buffer, at, only_salt)
        if frame is not None:
            yield frame
        elif effort_bytes is not None:
            claimed = payload_bytes(whole[at : at + HEADER_BYTES].ljust(HEADER_BYTES))
            if at + HEADER_BYTES + claimed <= len(whole):  # otherwise that was seen without summing it up
                effort_bytes -= claimed
            if effort_bytes < 0:
                return
        at = whole.find(PREFIX, frame.end if frame else at + 1)


def is_blank(buffer: memoryview, start: int) -> bool:
    """Whether there is nothing but zeros from ``start`` on."""
    blocks = range(start, len(buffer), _LOOK_BYTES)
    return not any(bytes(buffer[at : at + _LOOK_BYTES]).strip(b"\0") for at in blocks)


def pack_number(number: int) -> bytes:
    return _NUMBER.pack(number)


def unpack_number(payload: memoryview) -> int | None:
    """The number that is the payload of a file's first frame; None if it is none."""
    return int(_NUMBER.unpack(payload)[0]) if len(payload) == _NUMBER.size else None


def pack_group(count: int, packed: list[bytes]) -> bytes:
    """``count`` packed records, in any number of pieces, as the payload of a GROUP."""
    return b"".join((_ARRAY.pack(0xDD, count), *packed))


def unpack(payload: memoryview) -> Any:
    """The msgpack value in a payload.

    Raises:
        ValueError: it is none, though its checksum is right: the writer had a fault.
        MemoryError: there is no room for it, which says nothing of the journal.
    """
    try:
        return msgpack.unpackb(payload, raw=False, strict_map_key=False)
    except MemoryError:
        raise
    except Exception as error:  # msgpack raises eight different classes on bad input
        raise ValueError(f"{type(error).__name__}: {error}") from None
