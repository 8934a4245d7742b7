"""Parsers of single values of the config: each takes what TOML gave and returns the setting's value.

Owns what a value may look like and how a wrong one is refused; the policy options of jobs are parsed by
``protocol/options.py`` instead. Knows no key, no file and no position.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, NoReturn

from ..protocol import options, refs
from ..protocol.errors import BadArguments
from ..protocol.plain import dataclass

Parse = Callable[[object], Any]

_SIZE_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_SIZE_UNITS |= {unit + suffix: 1024**power for power, unit in enumerate("kmgt", 1) for suffix in ("", "ib")}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)\Z")
_MODULE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*\Z", re.ASCII)
_WORD = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)
_PATTERN_HINT = "write pkg.mod:*, pkg.mod:function, pkg.mod:Class.method or pkg.mod:Class.*"


def show(value: object) -> str:
    """A value as it would stand in the file, cut to a readable length."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _refuse(value: object, wanted: str, hint: str = "") -> NoReturn:
    raise BadArguments(f"{show(value)} is not {wanted}", hint=hint)


def text(value: object) -> str:
    if not isinstance(value, str):
        _refuse(value, "text", hint="put it in quotes")
    if not value or "\0" in value:
        _refuse(value, "text of at least one character, without NUL")
    return value


def socket_path(value: object) -> str:
    """A path, which may be written as ZeroMQ writes it, ``ipc:///path``."""
    path = text(value).removeprefix("ipc://")
    if "://" in path or not path:
        _refuse(value, "the path of a socket", hint="give a path, or ipc:///path")
    return path


def flag(value: object) -> bool:
    if not isinstance(value, bool):
        _refuse(value, "true or false")
    return value


def whole(low: int, high: int) -> Parse:
    def parse(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            _refuse(value, f"a whole number from {low:,} to {high:,}")
        return value

    return parse


def size(low: int, high: int) -> Parse:
    """Bytes, from a number or text such as ``"16MiB"``; kB, MB, GB are powers of 1000, the others of 1024."""

    def parse(value: object) -> int:
        number: object = value
        if isinstance(value, str):
            match = _SIZE.match(value.strip().lower())
            if match and match[2] in _SIZE_UNITS:
                amount = float(match[1]) * _SIZE_UNITS[match[2]]
                number = int(amount) if math.isfinite(amount) else None
        if isinstance(number, bool) or not isinstance(number, int):
            _refuse(value, "a size", hint='give a number of bytes, or text such as "16MiB"')
        if not low <= number <= high:
            _refuse(value, f"a size from {low:,} to {high:,} bytes")
        return number

    return parse


def whole_seconds(low: int, high: int) -> Parse:
    """A duration that is rounded up to whole seconds, as the system counts them."""

    def parse(value: object) -> int:
        seconds = math.ceil(options.duration(value))
        if not low <= seconds <= high:
            _refuse(value, f"a duration from {low:,} to {high:,} s")
        return seconds

    return parse


def or_none(parse: Parse) -> Parse:
    """``"none"`` stands for no limit."""

    def parse_optional(value: object) -> Any:
        if isinstance(value, str) and value.strip().lower() == "none":
            return None
        try:
            return parse(value)
        except BadArguments as error:
            raise BadArguments(f'{error.message}, nor "none"', hint=error.hint) from None

    return parse_optional


def one_of(*words: str, later: str | None = None) -> Parse:
    """One of ``words``; ``later`` is a word that a later version will know."""

    def parse(value: object) -> str:
        if value is not None and value == later:
            raise BadArguments(
                f'"{later}" is not in this version', hint="use " + " or ".join(f'"{word}"' for word in words)
            )
        if not isinstance(value, str) or value not in words:
            best = options.nearest(value, words) if isinstance(value, str) else None
            _refuse(
                value,
                "one of " + ", ".join(f'"{word}"' for word in words),
                hint=f'did you mean "{best}"?' if best else "",
            )
        return value

    return parse


def list_of(parse: Parse, example: str) -> Parse:
    def parse_list(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            _refuse(value, "a list", hint=f"write {example}")
        return tuple(parse(item) for item in value)

    return parse_list


def module(value: object) -> str:
    if not isinstance(value, str) or not _MODULE.match(value):
        _refuse(value, "the name of a module", hint='write it with dots, as in "app.jobs"')
    return value


def method(value: object) -> str:
    if value != "*" and (not isinstance(value, str) or not _WORD.match(value)):
        _refuse(value, "the name of a method", hint='"*" stands for all public methods')
    return str(value)


def hidden_name(value: object) -> str:
    """A name of an argument or a key, or a pattern of such names."""
    if not isinstance(value, str) or not any(char.isalnum() for char in value) or not value.isprintable():
        _refuse(
            value, "a name, or a pattern of names", hint='"token" is that name, "*token*" every name with it inside'
        )
    return value


def namespaces(value: object) -> tuple[str, ...]:
    return tuple(module(item) for item in value) if isinstance(value, list) else (module(value),)


def pattern(value: object) -> str:
    if not isinstance(value, str) or not refs.is_pattern(value):
        meant = ":".join(str(value).replace("\\", ".").rsplit(".", 1)) + ".*"
        hint = f"for a class in a module write {meant}" if refs.is_pattern(meant) else _PATTERN_HINT
        _refuse(value, "something that can be allowed", hint=hint)
    return value


def hook(value: object) -> str:
    if not isinstance(value, str) or not refs.is_ref(value):
        _refuse(value, "a function", hint='write "pkg.mod:function"')
    return value


def target(value: object) -> str:
    if not isinstance(value, str) or not refs.is_ref(value):
        _refuse(
            value, "a target", hint='write "pkg.mod:function", "pkg.mod:Class.method", or "pkg.mod:Class" and methods'
        )
    return value


def variable_name(value: object) -> str:
    if not isinstance(value, str) or not _WORD.match(value):
        _refuse(value, "the name of an environment variable")
    return value


def variable_value(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        _refuse(value, "text", hint="put it in quotes")
    return value


def address(value: object) -> str:
    """An IP address, never a name: what a name means is decided elsewhere, and may change."""
    import ipaddress  # few configs have one

    try:
        return str(ipaddress.ip_address(text(value)))
    except ValueError:
        _refuse(value, "an IP address", hint='write "127.0.0.1"')


@dataclass(frozen=True)
class Refused:
    """For a key that may never be given; most are documented for a later version."""

    why: str
    hint: str = "leave it out"

    def __call__(self, value: object) -> NoReturn:
        raise BadArguments(self.why, hint=self.hint)


def not_yet(what: str, hint: str = "leave it out") -> Refused:
    return Refused(f"{what} is not in this version", hint)
