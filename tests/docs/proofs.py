"""Reads tables of a Markdown page whose last column names the tests that prove each row, and looks those tests up.

A test is written as `` `tests/path.py::test_name` ``, with the id of one of its parameters behind it if only that one
is meant. Knows nothing of what the rows say; a test counts as there if its file defines a function of that name.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
_HEADING = re.compile(r"^## +(.*)$", re.MULTILINE)
_PROOF = re.compile(r"`(tests/[^`]*)`")
_NODE = re.compile(r"(?P<file>tests/[\w/]+\.py)::(?P<function>test_\w+)(?P<parameters>\[.+\])?")


@dataclass(frozen=True)
class Row:
    """One row of a table: its first cell, what is between, and the last."""

    section: str
    name: str
    says: str
    proof: str

    @property
    def tests(self) -> list[str]:
        return _PROOF.findall(self.proof)


def sections(page: Path) -> dict[str, str]:
    """The text below each heading of the second level."""
    _, *parts = _HEADING.split(page.read_text(encoding="utf-8"))
    return dict(zip(parts[::2], parts[1::2], strict=True))


def table(text: str) -> list[list[str]]:
    """Cells of the first table in ``text``, heading first."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [row for row in rows if not all(set(cell) <= set("-:") for cell in row)]


def rows(page: Path, last_column: str = "test") -> list[Row]:
    """The rows of every section's table whose last column has that heading."""
    found = []
    for section, text in sections(page).items():
        heading, *body = table(text) or [[""]]
        if heading[-1] == last_column:
            found += [Row(section, row[0], " | ".join(row[1:-1]), row[-1]) for row in body]
    return found


def missing(test: str) -> str | None:
    """Why a test is none; None if it is there."""
    node = _NODE.fullmatch(test)
    if node is None:
        return f"{test} is not of the form tests/path.py::test_name"
    path = ROOT / node["file"]
    if not path.is_file():
        return f"{test}: there is no such file"
    decorators = _tests(path).get(node["function"])
    if decorators is None:
        return f"{test}: the file has no such test"
    if node["parameters"] and "parametrize" not in decorators:
        return f"{test}: this test has no parameters"
    return None


@cache
def _tests(path: Path) -> dict[str, str]:
    """The test functions of a file, each with the text of its decorators."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.name: " ".join(ast.unparse(decorator) for decorator in node.decorator_list)
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }
