"""Where layers of the config come from: the file, its drop-ins, their overlays, variables and flags.

Owns reading and the order of the layers. What the values may be is ``check.py``'s business.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import tomli

from ..protocol.ids import is_name
from . import schema
from .check import Items, Layer, Problems, Text, Where, dotted, long_number
from .find import DROP_INS, VARIABLES
from .kinds import show
from .locate import KeyPath, locate
from .paths import user_name
from .schema import Named, Node

FILE_BYTES_MAX = 1 << 20
_OVERLAY_HINT = "overlays are [env.NAME] and [env.NAME.SECTION]"
_KEY = re.compile(r"\s*(?:\[([^\[\]=]+)\]|([^\[\]=]+?)\s*=)")
_DIGITS = re.compile(r"\d[\d_]{999,}")  # Python reads no number of a few thousand
_LONG_NUMBER = "a whole number of more than 64 bits"
_TABLE = re.compile(r"^(?=[ \t]*\[)", re.MULTILINE)
_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)\Z")


class Unreadable(Exception):
    """A file that cannot be made sense of; ``line`` and ``column`` are 0 where there is none."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.message, self.line, self.column = message, line, column


def read_text(path: Path) -> str:
    """The text of a config file.

    Raises:
        Unreadable: says why, in words for the person who wrote it.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise Unreadable("is a directory; name the file in it" if path.is_dir() else "is not a file")
        with open(path, "rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror or error}") from None
    if len(data) > FILE_BYTES_MAX:
        raise Unreadable(f"is over {FILE_BYTES_MAX:,} bytes, which no config needs")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Unreadable("is UTF-16; save it as UTF-8", 1, 1)
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        before = data[: error.start].rpartition(b"\n")
        line, column = before[0].count(b"\n") + bool(before[1]) + 1, len(before[2]) + 1
        raise Unreadable(f"is not UTF-8: byte 0x{data[error.start]:02x}; save it as UTF-8", line, column) from None


def parse(text: str) -> dict[str, Any]:
    """The values in a TOML text.

    Raises:
        Unreadable: not TOML; with line and column.
    """
    try:
        values = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        found = _POSITION.search(str(error))
        message = str(error)[: found.start()] if found else str(error)
        message = message[:1].lower() + message[1:]
        line, column = text.count("\n") + 1, len(text.rpartition("\n")[2]) + 1
        if found and found[1]:
            line, column = int(found[1]), int(found[2])
        if message == "cannot overwrite a value":
            named = _KEY.match(text.split("\n")[line - 1])
            message = f"{(named[1] or named[2]) if named else 'a key'} is there twice"
        raise Unreadable(f"not valid TOML: {message}", line, column) from None
    except RecursionError:
        raise Unreadable("not valid TOML: nested too deeply", 1, 1) from None
    except ValueError:
        digits = _DIGITS.search(text)
        before = text[: digits.start() if digits else 0]
        line, column = before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1
        raise Unreadable(f"not valid TOML: {_LONG_NUMBER}", line, column) from None
    if (path := long_number(values)) is not None:
        line, column = Layer("", 0, values, locate(text)).position(path)
        raise Unreadable(f"not valid TOML: {dotted(path)} is {_LONG_NUMBER}", line, column)
    return values


def salvage(path: Path) -> dict[str, Any]:
    """What is left of a file that is not TOML: its tables that are, and of the others the keys that take one line."""
    values: dict[str, Any] = {}
    try:
        with open(path, "rb") as file:
            text = file.read(FILE_BYTES_MAX).decode("utf-8-sig", "replace")
    except OSError:
        return values
    for part in _TABLE.split(text):
        if not _add_toml(values, part):
            first, *lines = part.splitlines() or [""]
            header = first if first.lstrip().startswith("[") else ""
            for line in lines if header else [first, *lines]:
                _add_toml(values, f"{header}\n{line}")
    return values


def _add_toml(values: dict[str, Any], text: str) -> bool:
    """Whether the text is TOML, whose values then win over those that are there."""
    try:
        read = parse(text)
    except Unreadable:
        return False
    _join(values, read)
    return True


def _join(values: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            _join(values[key], value)
        else:
            values[key] = value


def drop_ins(config: Path, problems: Problems) -> list[Path]:
    """The files ``jobyard.d/*.toml`` beside the config, in the order of their names.

    Where the config lies others may be able to make that directory, and what it says is as good as the config: so it
    must be root's, ours, or that of whoever has written the config.
    """
    directory = config.parent / DROP_INS
    if not os.path.lexists(directory):
        return []
    try:
        found = sorted(path for path in directory.iterdir() if path.suffix == ".toml" and not path.name.startswith("."))
        trusted = {0, os.geteuid(), config.stat().st_uid}
        for path in (directory, *found):
            owner = path.lstat().st_uid
            if owner not in trusted:
                where, name = Where(0, 0, 0, str(path)), user_name(owner)
                problems.add(where, f"belongs to user {name}, who has not written the config")
                return []
        return found
    except OSError as error:  # also of a file that an editor replaces: without it the others would mean something else
        problems.add(Where(0, 0, 0, str(error.filename or directory)), f"cannot be read: {error.strerror or error}")
        return []


class Files:
    """The config file and its drop-ins as layers.

    Args:
        salvaging: take from a file that is no TOML what can be read of it.

    Attributes:
        whole: False when a file could not be read, so that what it declares is not known.
        overlays: the names of all ``[env.NAME]``.
    """

    def __init__(self, config: Path, problems: Problems, salvaging: bool = False) -> None:
        self.problems = problems
        self._salvaging = salvaging
        self.whole = True
        self.overlays: set[str] = set()
        self._plain: list[Layer] = []
        self._overlays: list[tuple[str, Layer]] = []
        paths = [config, *drop_ins(config, problems)]
        for order, path in enumerate(paths):
            self._read(path, order)
        self.count = len(paths)

    def _read(self, path: Path, order: int) -> None:
        try:
            text = read_text(path)
            values, positions = parse(text), locate(text)
        except Unreadable as error:
            self.whole = False
            self.problems.add(Where(order, error.line, error.column, str(path)), error.message)
            if not self._salvaging:
                return
            values, positions = salvage(path), {}
        overlays = values.pop("env", {})
        layer = Layer(str(path), order, values, positions, adds=True)
        self._plain.append(layer)
        if isinstance(overlays, dict):
            self._add_overlays(layer, overlays)
        else:
            self.problems.add(layer.where(("env",)), "env is a section", _OVERLAY_HINT)

    def _add_overlays(self, file: Layer, overlays: dict[str, Any]) -> None:
        for name, below in overlays.items():
            base: KeyPath = ("env", name)
            if is_name(name) and isinstance(below, dict):
                self.overlays.add(name)
                self._overlays.append((name, replace(file, values=below, base=base)))
            else:
                message = f"{dotted(base)} is not a section with a name"
                self.problems.add(file.where(base), message, _OVERLAY_HINT)

    def layers(self, env_name: str) -> tuple[list[Layer], list[Layer]]:
        """Layers in force, and overlays that are not but still have to be right."""
        chosen = [layer for name, layer in self._overlays if name == env_name]
        return self._plain + chosen, [layer for name, layer in self._overlays if name != env_name]


def variables(environ: Mapping[str, str], known: Items, order: int) -> list[Layer]:
    """One layer for each ``JOBYARD__SECTION__KEY``; ``known`` gives the spelling of the names that files declare."""
    layers = []
    for name in sorted(environ):
        if name.upper().startswith(VARIABLES):
            path = _spell(name[len(VARIABLES) :].split("__"), known)
            place = f"environment {name.encode(errors='backslashreplace').decode()}"
            layers.append(Layer(place, order, _nest(path, Text(environ[name]))))
    return layers


def _spell(parts: list[str], known: Items) -> list[str]:
    """The key path that the parts of a variable's name mean; what is unknown stays, in lower case, to be refused."""
    node: Node | None = schema.TOP
    path: list[str] = []
    while parts:
        if isinstance(node, Named) and callable(node.node):
            return [*path, "__".join(parts)]  # the name of an environment variable of a pool
        words: Iterable[str] = node if isinstance(node, Mapping) else ()
        if isinstance(node, Named):
            words = (str(key[-1]) for key in known if key[:-1] == tuple(path))
        part = parts[0].lower()
        spelled = next((word for word in words if _loose(word) == _loose(part)), part)
        path.append(spelled)
        node = schema.child(node, spelled) if node is not None else None
        parts = parts[1:]
    return path


def _loose(name: str) -> str:
    return name.lower().replace("-", "_").replace(".", "_")


def flags(overrides: Iterable[str], problems: Problems, order: int) -> list[Layer]:
    """One layer for each ``--set key.path=value``."""
    layers = []
    for override in overrides:
        key, equals, value = override.partition("=")
        path = _key_path(key)
        if equals and path:
            layers.append(Layer("--set", order, _nest(path, Text(value.strip()))))
        else:
            problems.add(
                Where(order, 0, 0, "--set"),
                f"{show(override)} is not KEY.PATH=VALUE",
                "as in queues.mail.concurrency=8",
            )
    return layers


def _key_path(key: str) -> list[str]:
    try:
        node = tomli.loads(f"{key} = 0") if "\n" not in key else {}
    except tomli.TOMLDecodeError:
        return []
    path: list[str] = []
    while isinstance(node, dict) and node:
        part, node = next(iter(node.items()))
        path.append(part)
    return path


def _nest(path: list[str], value: Text) -> dict[str, Any]:
    nested: Any = value
    for part in reversed(path):
        nested = {part: nested}
    return nested if isinstance(nested, dict) else {}
