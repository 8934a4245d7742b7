"""The schemas that ship: all documents have one, and none changes unnoticed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jobyard.client.cli import documents, schemas, shapes

Run = Callable[..., Any]
GOLDEN = Path(__file__).parents[2] / "golden" / "schemas"


@pytest.mark.parametrize("name", schemas.names())
def test_a_schema_is_as_it_was(jobctl: Run, name: str) -> None:
    """A new key may be added; anything else needs a new number. Written by: jobctl schema NAME > tests/golden/..."""
    assert jobctl("schema", name).out == (GOLDEN / f"{name}.json").read_text()


def test_no_schema_is_left_from_another_time() -> None:
    assert sorted(path.stem for path in GOLDEN.glob("*.json")) == sorted(schemas.names())


def test_every_document_that_a_verb_may_print_has_a_schema() -> None:
    named = {value for value in vars(documents).values() if isinstance(value, str) and value.startswith("jobctl.")}
    assert named == set(shapes.DOCUMENTS)


def test_a_document_is_found_by_both_of_its_names(jobctl: Run) -> None:
    assert jobctl("schema", "jobctl.status/1").out == jobctl("schema", "status").out
    assert jobctl("schema").out.split() == schemas.names()


def test_an_unknown_schema_is_answered_with_the_nearest(jobctl: Run) -> None:
    ended = jobctl("schema", "staus")
    assert (ended.code, ended.out) == (2, "")
    assert "status" in ended.err


def test_keys_are_required_and_times_are_told_apart_from_text() -> None:
    job = schemas.schema("job")
    assert set(job["required"]) == set(job["properties"])
    assert job["properties"]["created_at"] == {"type": ["string", "null"], "format": "date-time"}
    assert json.dumps(schemas.schema("catalog")).count("annotation") == 2  # a message is described by its own fields
