"""Values of one layer (a file, an overlay, a variable, a flag) held against the schema, and the layers merged.

Owns the rules of the key structure: which keys exist, what a mistyped one meant, which layer wins. Knows neither where
layers come from (``sources.py``) nor what the settings mean together (``build.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import tomli

from ..protocol import options
from ..protocol.errors import BadArguments
from . import kinds, schema
from .locate import KeyPath, Position
from .schema import Named, Node


class Text(str):
    """A value from a variable or a flag, still to be read as what its key wants."""


@dataclass(frozen=True, order=True)
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
        full = (*self.base, *path)
        while full and full not in self.positions:
            full = full[:-1]
        line, column = self.positions.get(full, (0, 0))
        return Where(self.order, line, column, self.place)


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
    items: Items = {}
    _check_table(schema.TOP, layer.values, (), layer, items, problems)
    return items


def _check_node(node: Node, value: object, path: KeyPath, layer: Layer, items: Items, problems: Problems) -> None:
    if isinstance(node, Mapping | Named):
        _check_table(node, value, path, layer, items, problems)
        return
    try:
        items[path] = Item(_read(node, value), layer.where(path))
    except BadArguments as error:
        problems.add(_item_where(value, path, node, layer), f"{dotted(path)}: {error.message}", error.hint, path)


def _check_table(
    node: Mapping[str, Any] | Named, value: object, path: KeyPath, layer: Layer, items: Items, problems: Problems
) -> None:
    if isinstance(value, Text):
        value = _toml_value(value)
    if not isinstance(value, dict):
        problems.add(
            layer.where(path), f"{dotted(path)} is a section: write [{dotted(path)}] and its keys below", path=path
        )
        return
    for key, below in value.items():
        here = (*path, key)
        if isinstance(node, Named):
            try:
                node.name(key)
            except BadArguments as error:
                problems.add(layer.where(here), f"{dotted(path)}: {error.message}", error.hint, here)
                continue
            if not callable(node.node):
                items[here] = Item(DECLARED, layer.where(here))
        inner = schema.child(node, key)
        if inner is None:
            problems.add(layer.where(here), *_unknown(node, key, below, path), path=here)
        else:
            _check_node(inner, below, here, layer, items, problems)


def _unknown(node: Node, key: str, value: object, path: KeyPath) -> tuple[str, str]:
    """What to say of a key that may not stand here, and a hint."""
    known = schema.keys(node)
    homes = schema.homes(key)
    if path and "" in homes and callable(schema.TOP.get(key)):
        return f"{key} belongs at the top of the file", "move it above the first section"
    what = (
        f"there is no section [{dotted((key,))}]"
        if not path and isinstance(value, dict)
        else f"there is no key {dotted((*path, key))}"
    )
    best = options.nearest(key, known)
    if best:
        return what, f"did you mean {best!r}?"
    if homes:
        return what, f"{key} belongs in " + " or ".join(home or "the top of the file" for home in homes)
    return what, "known here: " + ", ".join(known)


def _item_where(value: object, path: KeyPath, node: Node, layer: Layer) -> Where:
    """The place of the first item of a list that is refused by itself, else of the key."""
    if isinstance(value, list) and callable(node):
        for index, item in enumerate(value):
            try:
                node([item])
            except BadArguments:
                return layer.where((*path, index))
    return layer.where(path)


def _read(parse: kinds.Parse, value: object) -> Any:
    if not isinstance(value, Text):
        return parse(value)
    refusal: BadArguments | None = None
    for candidate in _readings(value):
        try:
            return parse(candidate)
        except BadArguments as error:
            refusal = refusal or error
    raise refusal or BadArguments("no value")


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
    except (tomli.TOMLDecodeError, RecursionError):
        return None
    return read["value"] if len(read) == 1 else None


def merge(checked: Iterable[tuple[Layer, Items]]) -> Items:
    """All layers in one; a later one wins key by key."""
    merged: Items = {}
    for layer, items in checked:
        for path, item in items.items():
            before = merged.get(path)
            if before and item.value is DECLARED:
                continue
            if before and layer.adds and path[-1] == "allow":
                item = Item((*before.value, *item.value), item.where)
            merged[path] = item
    return merged
