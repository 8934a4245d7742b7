"""References to callables (``pkg.mod:function``, ``pkg.mod:Class.method``) and the patterns of the allow list.

A pattern is a reference, or ``pkg.mod:*`` for the public functions defined in that module, or ``pkg.mod:Class.*`` for
the public methods of that class. Nothing here imports what it names.
"""

from __future__ import annotations

import re

from .errors import BadArguments

_WORD = r"[A-Za-z_][A-Za-z0-9_]*"
_REF = re.compile(rf"({_WORD}(?:\.{_WORD})*):({_WORD}(?:\.{_WORD})?)\Z")
_PATTERN = re.compile(rf"({_WORD}(?:\.{_WORD})*):(?:({_WORD})\.)?(\*|{_WORD})\Z")


def split_ref(ref: str) -> tuple[str, str]:
    """Module and qualified name.

    Raises:
        BadArguments: not of the form ``pkg.mod:name`` or ``pkg.mod:Class.method``.
    """
    found = _REF.match(ref)
    if not found:
        raise BadArguments(f"{ref!r} is not a reference", hint="write pkg.mod:function or pkg.mod:Class.method")
    return found[1], found[2]


def is_ref(text: str) -> bool:
    return _REF.match(text) is not None


def is_pattern(text: str) -> bool:
    return _PATTERN.match(text) is not None


def is_private(text: str) -> bool:
    """Whether the last part of a name begins with an underscore, which no wildcard takes."""
    return re.split("[:.]", text)[-1].startswith("_")


def matches(pattern: str, ref: str) -> bool:
    """Whether ``pattern`` allows ``ref`` by name. A wildcard never takes names that begin with an underscore."""
    if pattern == ref:
        return True
    if not pattern.endswith("*"):
        return False
    prefix = pattern[:-1]
    rest = ref[len(prefix) :]
    return ref.startswith(prefix) and rest.isidentifier() and not rest.startswith("_")


def allowed(patterns: list[str] | tuple[str, ...], ref: str) -> bool:
    for pattern in patterns:  # noqa: SIM110 - a generator more is dear in a child that runs this once
        if matches(pattern, ref):
            return True
    return False


def display_name(ref: str) -> str:
    """``Class@method`` or the function's name, for logs."""
    return ref.partition(":")[2].replace(".", "@")
