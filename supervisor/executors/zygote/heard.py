"""Whether what a zygote says can be true: the types and ranges of its messages, before anything is done with them.

Owns what each field may be. A zygote runs a pool's modules, perhaps as another user, and what it says goes into
records, system calls and texts. Whether it fits what is known of this zygote is the executor's business.
"""

from __future__ import annotations

import socket as sockets
from collections.abc import Callable
from typing import Any

from ....protocol.errors import ProtocolError
from . import channel
from .channel import Message, Socket
from .page import SLOTS

PIDS_MAX = 1 << 22  # the highest that the kernel can be told
COUNT_MAX = (1 << 63) - 1  # the highest that the history can hold
TIME_MAX = 1e11  # seconds since the epoch, or of processor time
ERRNO_MAX = 4095
NAME_CHARS_MAX, TEXT_CHARS_MAX, WHY_CHARS_MAX = 256, 4096, 64 * 1024
KILLED = frozenset({None, "cancel", "timeout", "stall", "stop", "oom"})


def check(message: Message) -> None:
    """
    Raises:
        ProtocolError: one of its fields is not what it may be.
    """
    test = _TESTS.get(type(message))
    if test is not None and not test(message):
        raise ProtocolError(f"a {type(message).__name__} message with fields that cannot be")


def check_socket(fd: int) -> None:
    """Look at what another user's zygote has given for a child's socket. It stays open.

    Raises:
        ProtocolError, OSError: it is something else.
    """
    sock = Socket(*channel.SOCKET, 0, fd)
    try:
        family = sock.getsockopt(sockets.SOL_SOCKET, sockets.SO_DOMAIN)
        kind = sock.getsockopt(sockets.SOL_SOCKET, sockets.SO_TYPE)
    finally:
        sock.detach()
    if (family, kind) != channel.SOCKET:
        raise ProtocolError("a child's socket that is of another kind")


def is_count(value: object, most: int = COUNT_MAX) -> bool:
    """A whole number that fits wherever it may get to."""
    return type(value) is int and 0 <= value <= most


def is_number(value: Any) -> bool:
    """A number of seconds that means something."""
    return type(value) in (float, int) and 0 <= value <= TIME_MAX  # NaN is not


def _text(value: object, most: int = TEXT_CHARS_MAX) -> bool:
    return isinstance(value, str) and len(value) <= most and "\0" not in value


def _rows(rows: object, limits: tuple[int, ...]) -> bool:
    """Lists of whole numbers, each up to its limit."""
    return isinstance(rows, list) and all(
        isinstance(row, list) and len(row) == len(limits) and all(map(is_count, row, limits)) for row in rows
    )


def _gone(parts: object) -> bool:
    if not isinstance(parts, list) or len(parts) != len(channel.Gone._fields):
        return False
    gone = channel.Gone(*parts)
    return (
        is_count(gone.seq)
        and is_count(gone.kid)
        and (gone.exit_code is None or is_count(gone.exit_code, 255))
        and (gone.signal is None or _text(gone.signal, NAME_CHARS_MAX))
        and isinstance(gone.killed, str | None)
        and gone.killed in KILLED
        and all(map(is_number, (gone.at, gone.cpu_user_s, gone.cpu_system_s)))
        and all(map(is_count, (gone.peak_bytes, gone.base_bytes, gone.survivors)))
        and (gone.reason is None or _text(gone.reason))
    )


def _welcome(said: channel.Welcome) -> bool:
    texts = (said.uuid, said.boot_id, said.output_dir, said.scratch_root)
    return all(map(is_count, (said.version, said.pid, said.pid_started))) and all(map(_text, texts))


def _ready(said: channel.Ready) -> bool:
    return isinstance(said.warnings, list) and all(map(_text, said.warnings)) and _text(said.code_version)


_MADE = (COUNT_MAX, PIDS_MAX, SLOTS - 1)
_LISTED = (COUNT_MAX, PIDS_MAX, COUNT_MAX, SLOTS - 1, COUNT_MAX, COUNT_MAX)
_TESTS: dict[type, Callable[[Any], bool]] = {
    channel.Welcome: _welcome,
    channel.Kids: lambda said: _rows(said.kids, _LISTED),
    channel.Ready: _ready,
    channel.Refused: lambda said: _text(said.why, WHY_CHARS_MAX),
    channel.Made: lambda said: _rows(said.kids, _MADE),
    channel.PrepareFailed: lambda said: is_count(said.failed) and _text(said.why),
    channel.Exits: lambda said: isinstance(said.exits, list) and all(map(_gone, said.exits)),
    channel.Grown: lambda said: is_count(said.kid) and isinstance(said.done, bool),
    channel.Unwritten: lambda said: (
        _text(said.name, NAME_CHARS_MAX) and is_count(said.size) and is_count(said.errno, ERRNO_MAX)
    ),
}
