"""``docs/failure-matrix.md`` keeps its word: each cell of the matrix has a row that says more, and its test."""

from __future__ import annotations

import pytest
from proofs import ROOT, Row, missing, rows, sections, table

PAGE = ROOT / "docs" / "failure-matrix.md"
MATRIX = "All at a glance"
STATES = (
    "being submitted",
    "scheduled",
    "queued",
    "about to start",
    "running",
    "being stopped",
    "at its end",
    "finished",
)


def cells() -> dict[tuple[str, str], str]:
    """What the matrix says, by what dies and by the state of the job."""
    (_, *columns), *lines = table(sections(PAGE)[MATRIX])
    return {(what, state): said for state, *row in lines for what, said in zip(columns, row, strict=True)}


def explained() -> dict[tuple[str, str], Row]:
    return {(row.section, row.name): row for row in rows(PAGE)}


def test_matrix_has_every_state_of_a_job():
    assert tuple(dict.fromkeys(state for _, state in cells())) == STATES


def test_every_cell_is_explained_once_and_nothing_else_is():
    assert sorted((row.section, row.name) for row in rows(PAGE)) == sorted(
        key for key in cells() if cells()[key] != "-"
    )


@pytest.mark.parametrize("key", sorted(explained()), ids="; ".join)
def test_cell_is_proved_by_tests_that_exist(key):
    row = explained()[key]
    assert row.tests, "no test"
    assert [why for test in row.tests if (why := missing(test))] == []


def test_explanations_begin_with_what_the_matrix_says():
    said = {key: row.says for key, row in explained().items()}
    assert [key for key, text in cells().items() if text != "-" and not said[key].startswith(f"**{text}**")] == []
