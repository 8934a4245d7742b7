"""Settings as flat key paths, for ``jobctl config show``. Owns the way back from settings to the keys of the file."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..protocol.redaction import HIDDEN
from . import schema
from .check import dotted
from .redaction import Patterns
from .settings import Settings

_KEYS = {field: key for key, field in schema.FIELDS.items()}


def values(settings: Settings) -> dict[str, Any]:
    """Every setting in force by its key path as written in the file, in the order of the file; None is "none".

    Variables of ``[pools.X] env`` with a name that ``redact`` hides are shown without their value.
    """
    found: dict[str, Any] = {"namespace": settings.namespace, "allow": settings.allow, "redact": settings.redact}
    for name in (
        "supervisor",
        "defaults",
        "queues",
        "pools",
        "jobs",
        "logging",
        "output",
        "journal",
        "history",
        "limits",
    ):
        _add(found, (name,), getattr(settings, name))
    hides = Patterns(settings.redact).match
    for pool, section in settings.pools.items():
        found.update({dotted(("pools", pool, "env", name)): HIDDEN for name in section.env if hides(name)})
    return found


def _add(found: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            below = path if field.name == "options" else (*path, _KEYS.get(field.name, field.name))
            _add(found, below, getattr(value, field.name))
    elif isinstance(value, dict):
        for key, inner in value.items():
            _add(found, (*path, key), inner)
    else:
        found[dotted(path)] = value
