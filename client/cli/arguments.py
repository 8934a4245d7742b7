"""The words after ``submit`` and ``run``: which job they name, and the arguments they give it.

A word is a positional argument; ``name=text`` a named one; ``name:=JSON`` and ``:=JSON`` give JSON; ``@file`` and ``-``
stand for the content of a file and of standard input, also after ``=`` and ``:=``; ``@@`` begins text that starts with
@. Text is converted by the annotations in the catalogue. The supervisor resolves the name again and has the last word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from ...protocol.codec import MESSAGE_BYTES_MAX
from ...protocol.errors import BadArguments
from ...protocol.messages import CatalogEntry, CatalogReply, Parameter
from ...protocol.options import nearest
from .convert import convert, json_value
from .exits import UsageError

_NAMED = re.compile(r"([^\W\d]\w*)?(:=|=)(.*)\Z", re.DOTALL)
_CLASS = re.compile(r"(?:\w+[.\\])*[A-Z]\w*\Z")
_IDENTIFIER = re.compile(r"[^\W\d]\w*\Z")


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be submitted. ``entry`` is None where the catalogue shows no single callable of that name."""

    ref: str
    method: str | None
    entry: CatalogEntry | None
    words: list[str] = field(default_factory=list)


def target(catalog: CatalogReply, words: Sequence[str]) -> Target:
    """``REF`` or ``CLASS METHOD``: the second word is the method if the class or alias allows one of that name."""
    ref, rest = words[0], list(words[1:])
    if rest and _IDENTIFIER.match(rest[0]):
        entry = _find(catalog, f"{ref}.{rest[0]}")
        if entry is not None:
            return Target(ref, rest[0], entry, rest[1:])
        if _CLASS.match(ref) and (_find(catalog, ref) is None or nearest(rest[0], _methods(catalog, ref))):
            return Target(ref, rest[0], None, rest[1:])  # to be refused by its whole name
    return Target(ref, None, _find(catalog, ref), rest)


def _methods(catalog: CatalogReply, ref: str) -> set[str]:
    """What a class or alias allows."""
    found = set()
    for entry in catalog.entries:
        method = entry.ref.partition(":")[2].rpartition(".")[2]
        name = f"{ref}.{method}".casefold()
        full = {f".{one}".casefold() for one in _full_names(entry)}
        if name in _alias_names(entry) or any(one.endswith(f".{name}") for one in full):
            found.add(method)
    return found


def _find(catalog: CatalogReply, name: str) -> CatalogEntry | None:
    """The one callable that ``name`` may stand for: by its reference, an alias, its dotted name, the end of that."""
    alias, dotted = name.casefold(), name.replace(":", ".")
    tests: tuple[Callable[[CatalogEntry], bool], ...] = (
        lambda entry: entry.ref == name,
        lambda entry: alias in _alias_names(entry),
        lambda entry: dotted in _full_names(entry),
        lambda entry: any(full.endswith(f".{dotted}") for full in _full_names(entry)),
    )
    for test in tests:
        found = {entry.ref: entry for entry in catalog.entries if test(entry)}  # one for all pools that have it
        if found:
            return next(iter(found.values())) if len(found) == 1 else None
    return None


def _alias_names(entry: CatalogEntry) -> set[str]:
    cls, _, method = entry.ref.partition(":")[2].rpartition(".")
    names = {alias.casefold() for alias in entry.aliases}
    return names | {f"{alias.casefold()}.{method.casefold()}" for alias in entry.aliases if cls}


def _full_names(entry: CatalogEntry) -> set[str]:
    """Module and name with a dot between; a class ``NameJob`` goes by ``Name`` as well."""
    module, _, qualname = entry.ref.partition(":")
    cls, _, method = qualname.rpartition(".")
    names = {f"{module}.{qualname}"}
    return names | {f"{module}.{cls[:-3]}.{method}"} if cls.endswith("Job") else names


def read(words: Sequence[str], entry: CatalogEntry | None, stdin: BinaryIO) -> tuple[list[Any], dict[str, Any]]:
    """Positional and named arguments.

    Raises:
        BadArguments: a word does not fit its parameter, or is neither JSON nor UTF-8 where it should be.
        UsageError: an unreadable file, a name given twice, standard input asked for twice.
    """
    if sum(_split(word)[2] == "-" for word in words) > 1:
        raise UsageError("standard input is asked for twice", hint="use '-' once, and @file for the rest")
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for word in words:
        name, raw, source = _split(word)
        where = f"argument {name or len(args) + 1}"
        text = _text(source, stdin, where)
        parameter = _parameter(entry, name, len(args))
        value = json_value(text, where) if raw else convert(text, parameter.annotation if parameter else None, where)
        _check_utf8(value, where)
        if name is None:
            args.append(value)
        elif name in kwargs:
            raise UsageError(f"argument {name} is given twice")
        else:
            kwargs[name] = value
    return args, kwargs


def _split(word: str) -> tuple[str | None, bool, str]:
    """Name (None: positional), whether JSON, and the rest of a word."""
    found = _NAMED.match(word)
    if found is None or (found[1] is None and found[2] == "="):
        return None, False, word
    return found[1], found[2] == ":=", found[3]


def _text(source: str, stdin: BinaryIO, where: str) -> str:
    if source == "-":
        return _decoded(stdin.read(MESSAGE_BYTES_MAX + 1), where, "standard input")
    if source.startswith("@@"):
        return source[1:]
    if not source.startswith("@"):
        return source
    path = source[1:]
    try:
        with open(path, "rb") as file:
            return _decoded(file.read(MESSAGE_BYTES_MAX + 1), where, path)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(
            f"{where}: cannot read {path!r}: {why}", hint=f"for text that begins with @ write @{source}"
        ) from None


def _decoded(data: bytes, where: str, name: str) -> str:
    """The text of a file; bytes that are not UTF-8 stay as surrogates, for parameters that take bytes."""
    if len(data) > MESSAGE_BYTES_MAX:
        raise UsageError(
            f"{where}: {name} is over the limit of {MESSAGE_BYTES_MAX:,} bytes",
            hint="give the job the file's path as text",
        )
    return data.decode("utf-8", "surrogateescape")


def _parameter(entry: CatalogEntry | None, name: str | None, index: int) -> Parameter | None:
    """The parameter that takes this argument; None if the catalogue shows none."""
    if entry is None:
        return None
    if name is not None:
        named = [item for item in entry.parameters if item.name == name and item.kind in ("either", "named")]
        named += [item for item in entry.parameters if item.kind == "kwargs"]
        return named[0] if named else None
    listed = [item for item in entry.parameters if item.kind in ("positional", "either")]
    if index < len(listed):
        return listed[index]
    return next((item for item in entry.parameters if item.kind == "args"), None)


def _check_utf8(value: Any, where: str) -> None:
    try:
        if isinstance(value, str):
            value.encode()
    except UnicodeEncodeError:
        raise BadArguments(
            f"{where} is not UTF-8 text", hint="annotate the parameter as bytes, or give a file's path"
        ) from None
