"""Arguments in the log: never too many, and always JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobyard.protocol.codec import pack_arguments
from jobyard.protocol.text import clean
from jobyard.supervisor import params, told


def shown(*args: Any, **kwargs: Any) -> Any:
    return params.shown(pack_arguments(args, kwargs), 4096)


def test_shape_says_how_the_arguments_were_given() -> None:
    assert shown() == []
    assert shown("a", 5) == ["a", 5]
    assert shown(user_id=123) == {"user_id": 123}
    assert shown("a", user_id=123) == {"0": "a", "user_id": 123}


def test_large_arguments_are_a_size() -> None:
    assert shown("x" * 5000) == "5,006 bytes"
    assert shown(b"x" * 10) == ["10 bytes"]


def test_payload_that_is_none_is_no_error() -> None:
    assert str(params.shown(b"\xc1", 100)).startswith("not readable: ")


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), 1 << 20_000, {1, 2}, (1, 2), {5: "x"}, Decimal("1.5"), Path("/x"), datetime.now(UTC)],
    ids=lambda value: type(value).__name__,
)
def test_value_that_json_has_no_word_for_is_shown_as_something_it_has(value: Any) -> None:
    json.loads(told.compact(shown(value)), parse_constant=pytest.fail)


@given(st.recursive(st.text(st.characters(codec="utf-8")) | st.floats() | st.integers() | st.binary(), st.lists))
def test_any_value_is_json_in_one_line_that_is_safe_to_print(value: Any) -> None:
    text = told.compact(params.shown(pack_arguments((value,), {}), 4096))
    json.loads(text, parse_constant=pytest.fail)
    assert text == clean(text)
