"""The shapes of what is told of keys. See ``shapes.py``. No shape has a secret in it."""

from __future__ import annotations

from typing import TypedDict

from .shapes_told import Time


class Key(TypedDict):
    """A key that is valid: whose it is, and its public half."""

    name: str
    public_key: str
    created_at: Time | None


class Keys(TypedDict):
    """Every key that is valid, by name."""

    keys: list[Key]


class NewKey(TypedDict):
    """A key that was made, and the file that its owner needs, which holds the secret."""

    name: str
    public_key: str
    address: str
    file: str


class Revoked(TypedDict):
    """Names whose keys are no longer valid."""

    names: list[str]
