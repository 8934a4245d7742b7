"""What can be searched of a job: its arguments and what went wrong, as bounded plain text.

The supervisor never opens a payload; only the archivist, which runs beside it, does so here. Jobs that are still in
memory are searched as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgpack

from ...protocol import codec
from ...protocol.errors import ProtocolError
from ..core.state import Job

TEXT_CHARS_MAX = 4096
PACKED_BYTES_MAX = 16_384
INT_BITS_MAX = 1024
SEPARATOR = "\n"  # no word that is searched for holds one


def arguments(payload: bytes) -> str:
    """Every text, number and other plain value in the arguments, names included; "" if they cannot be read."""
    try:
        args, kwargs = codec.unpack_arguments(payload)
    except ProtocolError:
        return ""
    return _bounded(_pieces([args, kwargs]))


def error(job: Job) -> str:
    """Type and message of what the last attempt raised; "" if it raised nothing."""
    last = job.attempts[-1].error if job.attempts else None
    return "" if last is None else _bounded(iter([last.type, last.message]))


def reason(job: Job) -> str:
    """How else the last attempt ended, and the reason that the job has."""
    last = job.attempts[-1] if job.attempts else None
    pieces = [job.reason] if last is None else [job.reason, last.reason, last.signal]
    return _bounded(piece for piece in dict.fromkeys(pieces) if piece)


def holds_words(job: Job, words: str) -> bool:
    """Whether each word is part of the arguments or of what went wrong, without opening the arguments: as the bytes
    that it has there. Numbers below 128 have none of their own, and are not found like this."""
    words, said = words.lower(), SEPARATOR.join([error(job), reason(job)]).lower()
    packed = job.shown_payload[:PACKED_BYTES_MAX].lower()
    if not words.isascii():  # bytes know no other letters
        packed = packed.decode(errors="surrogateescape").lower().encode(errors="surrogateescape")
    return all(word in said or any(form in packed for form in _forms(word)) for word in words.split())


def _forms(word: str) -> list[bytes]:
    forms = [word.encode(errors="replace")]
    if word.isascii() and word.isdigit() and len(word) <= 20 and 127 < int(word) < 1 << 64:
        forms.append(msgpack.packb(int(word)).lower())
    return forms


def _pieces(value: Any) -> Iterator[str]:
    """Depth first, without recursion: values may be nested deeply."""
    stack = [iter([value])]
    while stack:
        for item in stack[-1]:
            if isinstance(item, dict):
                stack.append(iter([part for pair in item.items() for part in pair]))
                break
            if isinstance(item, list | tuple | set | frozenset):
                stack.append(iter(item))
                break
            if item is not None:
                yield _plain(item)
        else:
            stack.pop()


def _plain(item: Any) -> str:
    """What is stored must have a form in UTF-8, and the name of a file need not."""
    if isinstance(item, bytes):
        return item.decode(errors="replace")
    if isinstance(item, int) and item.bit_length() > INT_BITS_MAX:
        return ""  # Python refuses to write it out
    return str(item).encode(errors="backslashreplace").decode()


def _bounded(pieces: Iterator[str]) -> str:
    found: list[str] = []
    left = TEXT_CHARS_MAX
    for piece in pieces:
        found.append(piece[:left])
        left -= len(piece) + 1
        if left <= 0:
            break
    return SEPARATOR.join(found).replace("\0", " ")
