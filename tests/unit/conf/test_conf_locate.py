"""Positions of keys in TOML texts, the odd ones above all."""

from __future__ import annotations

from typing import Any

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st
from jobyard.conf.locate import KeyPath, locate
from toml_text import texts, values, written


@pytest.mark.parametrize(
    ("text", "path", "position"),
    [
        ("a = 1\nb = 2\n", ("b",), (2, 1)),
        ("[x]\n\n  key = 1", ("x", "key"), (3, 3)),
        ("[x . y]\nz = 1", ("x", "y"), (1, 6)),
        ("a.b.c = 1", ("a", "b", "c"), (1, 5)),
        ("a . b = 1", ("a", "b"), (1, 5)),
        ("t = { a = 1, b = { c = 2 } }", ("t", "b", "c"), (1, 20)),
        ("t = {}\nu = 1", ("u",), (2, 1)),
        ("[[x]]\na = 1\n[[x]]\na = 2", ("x", 1, "a"), (4, 1)),
        ("[[x]]\n[x.y]\nz = 1", ("x", 0, "y", "z"), (3, 1)),
        ("[[x]]\n[[x.y]]\nz = 1\n[[x.y]]\nz = 2", ("x", 0, "y", 1, "z"), (5, 1)),
        ("\"a b\".'c.d' = 1", ("a b", "c.d"), (1, 7)),
        ('"\\u00e9" = 1\nb = 2', ("\u00e9",), (1, 1)),
        ('a = """\n[b]\nc = 1\n"""\nd = 1', ("d",), (5, 1)),
        ("a = '''\nb = 1'''\nd = 1", ("d",), (3, 1)),
        ('a = """x""""\nb = 1', ("b",), (2, 1)),
        ('a = "\\"" # b = 3\nb = 1', ("b",), (2, 1)),
        ("a = 'x # y'\nb = 1", ("b",), (2, 1)),
        ('a = [\n  1, # one\n  "two",\n]\nb = 1', ("a", 1), (3, 3)),
        ("a = [ { b = 1 }, { b = 2 } ]", ("a", 1, "b"), (1, 20)),
        ("a = [[], [1, 2]]\nb = 1", ("a", 1, 1), (1, 14)),
        ("a = 1979-05-27 07:32:00\nb = 1", ("b",), (2, 1)),
        ("a = 1\r\nb = 2\r\n", ("b",), (2, 1)),
        ("# comment\n\n\ta = 1", ("a",), (3, 2)),
        ("a = 1e5 # c\n[t] # d\nb = +inf", ("t", "b"), (3, 1)),
    ],
)
def test_key_is_found_where_it_stands(text: str, path: KeyPath, position: tuple[int, int]) -> None:
    assert locate(text)[path] == position


def paths(value: Any, base: KeyPath = ()) -> set[KeyPath]:
    """Every key path of a parsed value."""
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    return {base} | {path for key, below in inner for path in paths(below, (*base, key))}


@given(
    st.dictionaries(texts, values, max_size=4),
    st.dictionaries(texts, st.dictionaries(texts, values, max_size=3), max_size=3),
)
def test_every_key_that_tomli_sees_is_located_and_no_other(
    top: dict[str, Any], tables: dict[str, dict[str, Any]]
) -> None:
    tables = {name: table for name, table in tables.items() if name not in top}
    lines = [f"{written(key)} = {written(value)} # c" for key, value in top.items()]
    for name, table in tables.items():
        lines += [f"[ {written(name)} ]", *(f"  {written(key)}={written(value)}" for key, value in table.items()), ""]
    text = "\n".join(lines)
    found = locate(text)
    assert set(found) == paths(tomli.loads(text)) - {()}
    for path, (line, column) in found.items():
        assert text.split("\n")[line - 1][column - 1] not in (" ", "=", ",", "#"), path
