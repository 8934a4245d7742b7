"""The config file as a JSON Schema, for editors that complete and check TOML.

Keys come from ``schema.py``, what they mean and their defaults from ``default.toml``, and which types a key takes from
its own parser, which is tried with samples. So nothing is said twice; the parsers stay the judges of values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

import tomli

from ..protocol.errors import BadArguments
from . import schema
from .check import dotted
from .kinds import Parse, Refused
from .schema import Named, Node

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ENTRY = re.compile(r"(?P<off># )?(?P<key>\w+) = (?P<value>.+)\Z")
_SECTION = re.compile(r"(?P<off># )?\[(?P<path>[\w.]+)\]\Z")
_WORDS = ("high", "auto", "retry", "fork", "fresh", "error", "plain")  # each is one of what some key takes
_SAMPLES: dict[str, tuple[object, ...]] = {
    "boolean": (True,),
    "integer": (0, 1, 64, 4096, 1 << 20, 64 << 20),
    "number": (0.5, 1.5),
    "string": ("none", "name", "127.0.0.1", "10s", "1MiB", "64MiB", "pkg.mod:function", *_WORDS),
    "array": ([], ["name"], ["pkg.mod:function"]),
    "object": ({},),
}


def json_schema() -> dict[str, Any]:
    """The schema of jobyard.toml."""
    return {"$schema": DIALECT, "title": "jobyard.toml", **_table(schema.TOP, (), _notes())}


def _table(node: Mapping[str, Node], path: tuple[str, ...], notes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    properties = {
        key: _node(inner, (*path, key), notes) for key, inner in node.items() if not isinstance(inner, Refused)
    }
    if not path:
        overlay = {"type": "object", "description": "Settings of one environment, chosen by --env or JOBYARD_ENV."}
        properties["env"] = {"type": "object", "additionalProperties": overlay}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _node(node: Node, path: tuple[str, ...], notes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    note = notes.get(dotted(path), {})
    if not note and len(path) > 2:  # what queues and jobs have in common with [defaults]
        note = notes.get(dotted(("defaults", *path[2:])), {})
    if isinstance(node, Named):
        inner = node.node
        return {**note, "type": "object", "additionalProperties": _node(inner, (*path, "*"), notes)}
    if isinstance(node, Mapping):
        return {**note, **_table(node, path, notes)}
    return {**note, "type": _types(node)}


def _types(parse: Parse) -> list[str]:
    """The types of which the parser takes at least one sample."""
    return [name for name, samples in _SAMPLES.items() if any(_takes(parse, sample) for sample in samples)]


def _takes(parse: Parse, sample: object) -> bool:
    try:
        parse(sample)
    except BadArguments:
        return False
    return True


def _notes() -> dict[str, dict[str, Any]]:
    """Description and default of each key path; the name of a named table is "*"."""
    found: dict[str, dict[str, Any]] = {}
    section: tuple[str, ...] = ()
    words: list[str] = []
    for line in resources.files(__package__).joinpath("default.toml").read_text("utf-8").splitlines():
        if head := _SECTION.match(line):
            section = tuple(head["path"].split("."))
            if isinstance(schema.TOP.get(section[0]), Named):
                found[section[0]] = {"description": " ".join(words)}
                section = (section[0], "*", *section[2:])
            elif words:
                found[dotted(section)] = {"description": " ".join(words)}
            words = []
        elif entry := _ENTRY.match(line):
            note = found[dotted((*section, entry["key"]))] = {"description": " ".join(words)}
            if not entry["off"]:
                note["default"] = tomli.loads(f"value = {entry['value']}")["value"]
            words = []
        elif line.startswith("# "):
            words.append(line[2:])
        else:
            words = []
    return found
