"""The ``env_file`` of a pool: lines of ``NAME=value``. Owns that format; expands nothing."""

from __future__ import annotations

import re
from pathlib import Path

from ..protocol.errors import InvalidConfig
from .sources import Unreadable, read_text

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)\Z")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def read_env_file(path: Path) -> dict[str, str]:
    """The variables in ``path``.

    A value ends with its line; blank lines and lines that begin with ``#`` are left out. ``'...'`` is taken as it is;
    in ``"..."`` a backslash escapes; nothing is expanded.

    Raises:
        InvalidConfig: the file cannot be read, or has lines of another form; all are listed.
    """
    try:
        text = read_text(path)
    except Unreadable as error:
        place = f"{path}:{error.line}:{error.column}" if error.line else str(path)
        raise _refused([f"{place}: error: {error.message}"]) from None
    found: dict[str, str] = {}
    problems: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.match(stripped)
        value = _value(match[2]) if match else None
        if match and value is not None:
            found[match[1]] = value
        else:
            what = "a value with a quote or NUL out of place" if match else "not NAME=value"
            problems.append(f"{path}:{number}:1: error: {what}")
    if problems:
        raise _refused(problems)
    return found


def _value(text: str) -> str | None:
    if "\0" in text:
        return None
    quote = text[:1]
    if quote not in ("'", '"') or not quote:
        return text
    if len(text) < 2 or text[-1] != quote:
        return None
    inner = text[1:-1]
    if quote == "'":
        return None if "'" in inner else inner
    if not re.fullmatch(r'(?:[^"\\]|\\.)*', inner):
        return None
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), inner)


def _refused(problems: list[str]) -> InvalidConfig:
    message = "\n".join(problems)
    return InvalidConfig(message, details={"problems": problems})
