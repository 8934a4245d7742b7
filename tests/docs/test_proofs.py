"""The check behind the pages that name tests notices what is not there."""

from __future__ import annotations

import pytest
from proofs import missing, rows

HERE = "tests/docs/test_proofs.py"
PAGE = """# A page

## One

2 rows.

| asked for | what jobyard does | test |
|---|---|---|
| a \\| b | this, `c` | `tests/a.py::test_a`, `tests/b.py::test_b[x-y]` |
| later on | that | later |

## Without proofs

| word | meaning |
|---|---|
| a | b |
"""


@pytest.mark.parametrize(
    ("test", "why"),
    [
        ("tests/docs/test_proofs.py", "form"),
        ("docs/test_proofs.py::test_rows", "form"),
        ("tests/docs/no_such_file.py::test_x", "no such file"),
        (f"{HERE}::test_no_such_test", "no such test"),
        (f"{HERE}::test_rows_are_read[x]", "no parameters"),
    ],
)
def test_test_that_is_none_is_told(test, why):
    assert why in str(missing(test))


@pytest.mark.parametrize("test", ["test_rows_are_read", "test_test_that_is_none_is_told[tests/docs-form]"])
def test_test_that_is_there_is_found(test):
    assert missing(f"{HERE}::{test}") is None


def test_rows_are_read(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    first, second = rows(page)
    assert (first.section, first.name, first.says) == ("One", "a \\| b", "this, `c`")
    assert first.tests == ["tests/a.py::test_a", "tests/b.py::test_b[x-y]"]
    assert (second.name, second.tests, second.proof) == ("later on", [], "later")
