"""A job's arguments as the supervisor's log may show them: without what the config hides, bounded, as JSON values.

Only for the log: nothing is decided by what is in a payload.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..conf.allow import alias_refs
from ..conf.settings import Settings
from ..protocol import refs
from ..protocol.codec import unpack_arguments
from ..protocol.errors import JobyardError
from ..protocol.messages import Parameter
from ..protocol.text import json_number

HIDDEN = "***"


def hidden_names(settings: Settings, ref: str) -> frozenset[str]:
    """What ``[jobs.X] redact`` hides of a job; it holds for the target, whichever name was submitted."""
    return frozenset(
        name
        for job in settings.jobs.values()
        if job.redact and refs.allowed(alias_refs(job), ref)
        for name in job.redact
    )


def shown(
    payload: bytes, hidden: frozenset[str], parameters: Sequence[Parameter] | None, bytes_max: int
) -> list[Any] | dict[str, Any] | str:
    """The arguments: a list of positional ones, a mapping of named ones, or a mapping with positions as names for both.

    Args:
        hidden: names of parameters, and of keys inside of values, whose value is not shown.
        parameters: of the function; None if they are not known, then no positional argument is shown if any is hidden.
        bytes_max: of larger arguments only the size is given.
    """
    if len(payload) > bytes_max:
        return f"{len(payload):,} bytes"
    try:
        positional, named = unpack_arguments(payload)
    except JobyardError as error:
        return f"not readable: {error.message}"
    hides = _hides(hidden, parameters)
    args = [HIDDEN if hides(at) else _plain(value, hidden) for at, value in enumerate(positional)]
    kwargs = _mapping(named, hidden)
    if not kwargs:
        return args
    return {str(at): value for at, value in enumerate(args)} | kwargs


def _hides(hidden: frozenset[str], parameters: Sequence[Parameter] | None) -> Callable[[int], bool]:
    """Whether the positional argument at an index is hidden."""
    if parameters is None:
        return lambda at: bool(hidden)
    names = [one.name for one in parameters if one.kind in ("positional", "either")]
    rest = next((one.name for one in parameters if one.kind == "args"), "")
    return lambda at: (names[at] if at < len(names) else rest) in hidden


def _plain(value: Any, hidden: frozenset[str]) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return json_number(value)
    if isinstance(value, Mapping):
        return _mapping(value, hidden)
    if isinstance(value, list | tuple | set):
        return [_plain(item, hidden) for item in value]
    return f"{len(value):,} bytes" if isinstance(value, bytes) else str(value)


def _mapping(value: Mapping[Any, Any], hidden: frozenset[str]) -> dict[str, Any]:
    return {str(key): HIDDEN if key in hidden else _plain(item, hidden) for key, item in value.items()}
