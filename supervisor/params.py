"""A job's arguments as the supervisor's log shows them: bounded, as JSON values.

Only for the log: nothing is decided by what is in a payload. It is given what may be shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..protocol.codec import unpack_arguments
from ..protocol.errors import JobyardError
from ..protocol.text import json_number


def shown(payload: bytes, bytes_max: int) -> list[Any] | dict[str, Any] | str:
    """The arguments: a list of positional ones, a mapping of named ones, or a mapping with positions as names for both.

    Args:
        bytes_max: of larger arguments only the size is given.
    """
    if len(payload) > bytes_max:
        return f"{len(payload):,} bytes"
    try:
        positional, named = unpack_arguments(payload)
    except JobyardError as error:
        return f"not readable: {error.message}"
    args, kwargs = [_plain(value) for value in positional], _mapping(named)
    if not kwargs:
        return args
    return {str(at): value for at, value in enumerate(args)} | kwargs


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return json_number(value)
    if isinstance(value, Mapping):
        return _mapping(value)
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    return f"{len(value):,} bytes" if isinstance(value, bytes) else str(value)


def _mapping(value: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key): _plain(item) for key, item in value.items()}
