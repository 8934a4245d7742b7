"""Settings as flat key paths, for ``jobctl config show``. Owns the way back from settings to the keys of the file."""

from __future__ import annotations

import dataclasses
from typing import Any

from . import schema
from .check import dotted
from .settings import Settings

_KEYS = {field: key for key, field in schema.FIELDS.items()}


def values(settings: Settings) -> dict[str, Any]:
    """Every setting in force by its key path as written in the file, in the order of the file; None is "none"."""
    found: dict[str, Any] = {"namespace": settings.namespace, "allow": settings.allow}
    for name in ("supervisor", "defaults", "queues", "pools", "jobs", "logging", "output", "journal", "limits"):
        _add(found, (name,), getattr(settings, name))
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
