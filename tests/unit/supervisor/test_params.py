"""Arguments in the log: without what is to be hidden, never too many, and always JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobyard.conf.settings import JobSettings, Settings
from jobyard.protocol.codec import pack_arguments
from jobyard.protocol.messages import Parameter
from jobyard.protocol.text import clean
from jobyard.supervisor import params, told

TOKEN = frozenset({"token"})
SEND = [Parameter("to", "either", True), Parameter("token", "either", True), Parameter("more", "args", False)]


def shown(*args: Any, hidden: frozenset[str] = frozenset(), parameters: Any = (), **kwargs: Any) -> Any:
    return params.shown(pack_arguments(args, kwargs), hidden, parameters, 4096)


def test_shape_says_how_the_arguments_were_given() -> None:
    assert shown() == []
    assert shown("a", 5) == ["a", 5]
    assert shown(user_id=123) == {"user_id": 123}
    assert shown("a", user_id=123) == {"0": "a", "user_id": 123}


def test_hidden_argument_is_hidden_by_name_by_position_and_inside_of_values() -> None:
    assert shown(to="a", token="s", hidden=TOKEN, parameters=SEND) == {"to": "a", "token": "***"}
    assert shown("a", "s", "x", hidden=TOKEN, parameters=SEND) == ["a", "***", "x"]
    assert shown([{"token": "s", "id": 1}], hidden=TOKEN, parameters=SEND) == [[{"token": "***", "id": 1}]]
    assert shown("a", "b", "s", "s", hidden=frozenset({"more"}), parameters=SEND) == ["a", "b", "***", "***"]


def test_function_that_is_not_known_any_more_shows_no_position_if_anything_is_hidden() -> None:
    assert shown("s", to="a", hidden=TOKEN, parameters=None) == {"0": "***", "to": "a"}
    assert shown("s", parameters=None) == ["s"]


def test_large_arguments_are_a_size() -> None:
    assert shown("x" * 5000) == "5,006 bytes"
    assert shown(b"x" * 10) == ["10 bytes"]


def test_payload_that_is_none_is_no_error() -> None:
    assert params.shown(b"\xc1", frozenset(), [], 100).startswith("not readable: ")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), 1 << 20_000, {1, 2}, (1, 2), {5: "x"}, Decimal("1.5"), Path("/x"), datetime.now(UTC)],
    ids=lambda value: type(value).__name__,
)
def test_value_that_json_has_no_word_for_is_shown_as_something_it_has(value: Any) -> None:
    json.loads(told.compact(shown(value)), parse_constant=pytest.fail)


@given(st.recursive(st.text(st.characters(codec="utf-8")) | st.floats() | st.integers() | st.binary(), st.lists))
def test_any_value_is_json_in_one_line_that_is_safe_to_print(value: Any) -> None:
    text = told.compact(params.shown(pack_arguments((value,), {}), frozenset(), [], 4096))
    json.loads(text, parse_constant=pytest.fail)
    assert text == clean(text)


def test_redaction_holds_for_the_target_whichever_name_was_submitted() -> None:
    settings = Settings(
        file=Path("/x"),
        jobs={
            "Email": JobSettings(target="app:Email", methods=("send", "bounce"), redact=("token",)),
            "Other": JobSettings(target="app:Email", methods=("*",), redact=("key",)),
            "Plain": JobSettings(target="app:plain"),
        },
    )
    assert params.hidden_names(settings, "app:Email.send") == {"token", "key"}
    assert params.hidden_names(settings, "app:Email.other") == {"key"}
    assert params.hidden_names(settings, "app:plain") == frozenset()
