"""Values of one layer (a file, an overlay, a variable, a flag) held against the schema, and the layers merged.

Owns the rules of the key structure: which keys exist, what a mistyped one meant, which layer wins. Knows neither where
layers come from (``sources.py``) nor what the settings mean together (``build.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass as ordered
from dataclasses import field
from typing import Any, Final

import tomli

from ..protocol import options
from ..protocol.errors import BadArguments
from ..protocol.plain import dataclass
from . import kinds, schema
from .locate import KeyPath, Position
from .schema import Named, Node


class Text(str):
    """A value from a variable or a flag, still to be read as what its key wants."""


@ordered(frozen=True, order=True)
class Where:
    """A place to point at. ``order`` is that of the layers; line and column count from 1, 0 stands for no line."""

    order: int
    line: int
    column: int
    place: str

    def __str__(self) -> str:
        return f"{self.place}:{self.line}:{self.column}" if self.line else self.place

    @property
    def origin(self) -> str:
        return f"{self.place}:{self.line}" if self.line else self.place


@dataclass(frozen=True)
class Layer:
    """Values from one place.

    Attributes:
        base: the path of the table in its file that ``values`` is, ``("env", NAME)`` for an overlay.
        adds: ``allow`` lines add to those of earlier layers, as in all files; else they replace them.
    """

    place: str
    order: int
    values: dict[str, Any]
    positions: dict[KeyPath, Position] = field(default_factory=dict)
    base: KeyPath = ()
    adds: bool = False

    def where(self, path: KeyPath) -> Where:
        """The place of ``path``, or of the nearest thing around it that has one."""
        return Where(self.order, *self.position(path), self.place)

    def position(self, path: KeyPath) -> Position:
        """Line and column of ``path``, or of the nearest thing around it; 0 where there is none."""
        full = (*self.base, *path)
        while full and full not in self.positions:
            full = full[:-1]
        return self.positions.get(full, (0, 0))


@dataclass(frozen=True)
class Item:
    """One setting as parsed. The table of a queue, pool or alias has an item of its own: ``DECLARED``."""

    value: Any
    where: Where


Items = dict[KeyPath, Item]
DECLARED: Final = object()


class Problems:
    """All that is wrong. ``paths`` lets later checks keep quiet about what was refused already."""

    def __init__(self) -> None:
        self.found: list[tuple[Where, str]] = []
        self.paths: set[KeyPath] = set()

    def add(self, where: Where, message: str, hint: str = "", path: KeyPath = ()) -> None:
        self.found.append((where, f"{message} ({hint})" if hint else message))
        self.paths.add(path)

    def lines(self) -> list[str]:
        """``file:line:col: error: ...`` in the order of the layers."""
        return [f"{where}: error: {message}" for where, message in sorted(set(self.found))]


def dotted(path: KeyPath) -> str:
    """A key path as it is written in TOML."""
    return ".".join(_quoted(str(part)) for part in path)


def _quoted(part: str) -> str:
    return part if part and all(char.isalnum() or char in "_-" for char in part) else json.dumps(part)


def check(layer: Layer, problems: Problems) -> Items:
    """The settings in ``layer`` that are right; what is wrong goes to ``problems``."""
    checker = _Checker(layer, problems)
    checker.table(schema.TOP, layer.values, ())
    return checker.items


class _Checker:
    """Walks one layer beside the schema."""

    def __init__(self, layer: Layer, problems: Problems) -> None:
        self.layer = layer
        self.problems = problems
        self.items: Items = {}

    def node(self, node: Node, value: object, path: KeyPath) -> None:
        if isinstance(node, Mapping | Named):
            self.table(node, value, path)
            return
        try:
            self.items[path] = Item(_read(node, value), self.layer.where(path))
        except BadArguments as error:
            where = self.layer.where((*path, *_culprit(node, value)))
            self.problems.add(where, f"{dotted(path)}: {error.message}", error.hint, path)

    def table(self, node: Mapping[str, Any] | Named, value: object, path: KeyPath) -> None:
        if isinstance(value, Text):
            value = _toml_value(value)
        if not isinstance(value, dict):
            section = dotted(path)
            message = f"{section} is a section: write [{section}] and its keys below"
            self.problems.add(self.layer.where(path), message, path=path)
            return
        for key, below in value.items():
            here = (*path, key)
            inner = schema.child(node, key)
            if isinstance(node, Named) and not self.name(node, here):
                continue
            if inner is None:
                self.problems.add(self.layer.where(here), *_unknown(node, key, below, path), path=here)
            else:
                self.node(inner, below, here)

    def name(self, node: Named, path: KeyPath) -> bool:
        """Note a queue, pool or alias as declared; False if it may not be called so."""
        where = self.layer.where(path)
        try:
            node.name(path[-1])
        except BadArguments as error:
            self.problems.add(where, f"{dotted(path[:-1])}: {error.message}", error.hint, path)
            return False
        if isinstance(node.node, Mapping):
            self.items[path] = Item(DECLARED, where)
        return True


def _unknown(node: Node, key: str, value: object, path: KeyPath) -> tuple[str, str]:
    """What to say of a key that may not stand here, and a hint."""
    known, homes = schema.keys(node), schema.homes(key)
    if path and "" in homes and not isinstance(schema.TOP[key], Mapping | Named):
        return f"{key} belongs at the top of the file", "move it above the first section"
    if not path and isinstance(value, dict):
        what = f"there is no section [{dotted((key,))}]"
    else:
        what = f"there is no key {dotted((*path, key))}"
    best = options.nearest(key, known)
    if best:
        return what, f"did you mean {best!r}?"
    if homes:
        return what, f"{key} belongs in " + " or ".join(home or "the top of the file" for home in homes)
    return what, "known here: " + ", ".join(known)


def _culprit(parse: kinds.Parse, value: object) -> KeyPath:
    """The index of the first item of a list that is refused by itself."""
    for index, item in enumerate(value if isinstance(value, list) else ()):
        try:
            parse([item])
        except BadArguments:
            return (index,)
    return ()


def _read(parse: kinds.Parse, value: object) -> Any:
    if not isinstance(value, Text):
        return parse(value)
    refusals = []
    for candidate in _readings(value):
        try:
            return parse(candidate)
        except BadArguments as error:
            refusals.append(error)
    raise refusals[0]


def _readings(text: Text) -> list[object]:
    """What a text may mean, best first: TOML if it looks like it, itself, a number or boolean, a list with commas."""
    parsed = _toml_value(text)
    plain = str(text)
    words = [word.strip() for word in text.split(",")]
    if parsed is None:
        return [plain, words]
    return [parsed] if text[:1] in ("[", "{", '"', "'") else [plain, parsed, words]


def _toml_value(text: str) -> Any:
    try:
        read = tomli.loads(f"value = {text}")
    except (ValueError, RecursionError):  # not TOML, or a number of thousands of digits
        return None
    return read["value"] if len(read) == 1 and long_number(read) is None else None


def long_number(value: Any, path: KeyPath = ()) -> KeyPath | None:
    """Where there is a whole number that TOML does not have, because it takes more than 64 bits; None if nowhere.

    Python, which writes out none of some thousand digits, could not even say what is wrong with it.
    """
    if isinstance(value, int):
        return None if -(1 << 63) <= value < 1 << 63 else path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return next((found for key, part in parts if (found := long_number(part, (*path, key))) is not None), None)


def split(path: KeyPath) -> tuple[KeyPath, KeyPath]:
    """The section that a key is in, and its path there: ``("queues", "mail")`` and ``("retry", "delay")``."""
    depth = 2 if isinstance(schema.TOP.get(str(path[0])), Named) else 1
    return path[:depth], path[depth:]


def is_allow(path: KeyPath) -> bool:
    """Whether this is the key ``allow``, at the top of the file or of a pool."""
    return path == ("allow",) or (path[0] == "pools" and split(path)[1] == ("allow",))


def merge(checked: Iterable[tuple[Layer, Items]]) -> Items:
    """All layers in one; a later one wins key by key."""
    merged: Items = {}
    for layer, items in checked:
        for path, item in items.items():
            before = merged.get(path)
            if before and item.value is DECLARED:
                continue
            if before and layer.adds and is_allow(path):
                item = Item((*before.value, *item.value), item.where)
            merged[path] = item
    return merged
