"""Arguments without their hidden values, and errors that repeat them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobyard.protocol import redaction
from jobyard.protocol.codec import pack_arguments, unpack_arguments
from jobyard.protocol.errors import ProtocolError
from jobyard.protocol.job import ErrorInfo


def nowhere(position: int) -> bool:
    return False


def hide(*args: Any, positions: Callable[[int], bool] = nowhere, **kwargs: Any) -> Any:
    shown = redaction.hide(pack_arguments(args, kwargs), positions, lambda name: name == "token")
    return None if shown is None else unpack_arguments(shown)


def test_named_argument_is_hidden() -> None:
    assert hide("a", token="s3cret", to="b") == (["a"], {"token": "***", "to": "b"})


def test_positional_argument_is_hidden_by_its_index() -> None:
    assert hide("a", "s3cret", "c", positions=lambda at: at == 1) == (["a", "***", "c"], {})


def test_key_is_hidden_at_any_depth_of_lists_dicts_and_tuples() -> None:
    value = [{"x": ({"token": ["a", "b"], "id": 1}, {1, 2})}]
    assert hide(value) == ([[{"x": ({"token": "***", "id": 1}, {1, 2})}]], {})


@pytest.mark.parametrize("value", [None, True, False, "", b""])
def test_nothing_yes_and_no_are_no_secrets(value: object) -> None:
    assert hide(token=value) is None


@pytest.mark.parametrize("value", [0, 1, 0.0, "x", b"x", [], {}, (1,), {"a": "b"}, Decimal(1)], ids=repr)
def test_every_other_value_is_hidden_as_a_whole(value: object) -> None:
    assert hide(token=value) == ([], {"token": "***"})


def test_arguments_without_a_hidden_value_are_left_alone() -> None:
    assert hide("token", [{"tokens": 1}], x={"y": {5: "token"}}) is None


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.characters(codec="utf-8"))
    | st.binary()
    | st.just(Path("/x")),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner),
    max_leaves=20,
)


@given(_values)
def test_what_is_not_hidden_comes_back_as_it_was(value: Any) -> None:
    assert hide(value, token="x") == ([value], {"token": "***"})
    hidden = {"around": (value, {"token": value})}
    stays = value is None or value is True or value is False or value in ("", b"")
    assert hide(hidden, token="x") == ([{"around": (value, {"token": value if stays else "***"})}], {"token": "***"})


@given(st.binary(max_size=60))
def test_bytes_that_are_no_payload_are_refused_and_no_fault(data: bytes) -> None:
    try:
        redaction.hide(data, lambda at: True, lambda name: True)
    except ProtocolError:
        return
    assert isinstance(msgpack.unpackb(data, strict_map_key=False), list)


def test_payload_nested_too_deeply_is_refused() -> None:
    payload = b"\x92\x91" + b"\x91" * 500 + b"\xc0" + b"\x80"
    with pytest.raises(ProtocolError):
        redaction.hide(payload, nowhere, lambda name: True)


# -- errors ------------------------------------------------------------------------------------------------------------


def scrubbed(message: str, secret: Any, traceback: str = "") -> ErrorInfo:
    payload = pack_arguments((), {"token": secret, "other": "plain"})
    shown = redaction.hide(payload, nowhere, lambda name: name == "token")
    assert shown is not None
    return redaction.scrub(ErrorInfo("ValueError", message, traceback, ("ValueError",)), payload, shown)


def test_value_that_is_repeated_leaves_message_and_traceback() -> None:
    found = scrubbed("bad 'hunter22', not plain", "hunter22", 'raise ValueError("hunter22")')
    assert found == ErrorInfo("ValueError", "bad '***', not plain", 'raise ValueError("***")', ("ValueError",))


@pytest.mark.parametrize(
    "secret",
    ["käse'\n\\x\"", b"\x00\xffbinary", 123456, -1.25, Decimal("12.50"), datetime(2026, 1, 1, tzinfo=UTC), 10**5000],
    ids=lambda value: type(value).__name__,
)
def test_value_is_found_as_text_and_with_escapes(secret: Any) -> None:
    forms = {repr(secret)} if not isinstance(secret, int) or secret < 10**9 else {hex(secret)}
    if isinstance(secret, str):
        forms |= {secret, json.dumps(secret), repr({"token": secret})}
    for form in forms:
        message = scrubbed(f"before {form} after", secret).message
        assert "***" in message and message.startswith("before ") and message.endswith(" after")
        for piece in ("käse", "binary", "1234", "1.25", "12.50"):
            assert piece not in message


@pytest.mark.parametrize(
    ("secret", "form"),
    [
        ("it's long", repr("""say "it's long" now""")),
        ("pässwörd", ascii("a pässwörd")),
        ("""p"ä"swo'd""", ascii("""a p"ä"swo'd""")),
        ("""p"ässword""", json.dumps({"a": """p"ässword"""}, ensure_ascii=False)),
        ("""p"äs's""", """p"äs's""".encode("ascii", "backslashreplace").decode()),
        ("hunter2\n", "bad hunter2, sorry"),
    ],
)
def test_value_is_found_inside_of_other_text_with_its_own_quotes_and_escapes(secret: str, form: str) -> None:
    message = scrubbed(form, secret).message
    assert "***" in message
    assert not any(piece in message for piece in ("long", "sw", "hunter2", "\\xe4"))


def test_values_inside_of_a_hidden_value_are_found_each_by_itself() -> None:
    secret = {"user": "ann-long", "keys": ["first-key", {"second-key"}], "on": True}
    assert scrubbed("ann-long: first-key, second-key", secret).message == "***: ***, ***"


def test_lines_of_a_long_value_are_found_when_they_are_indented() -> None:
    key = "-----BEGIN KEY-----\nMIIBVgIBADANBgkq\n-----END KEY-----"
    text = "\n".join("    " + line for line in key.splitlines())
    assert "MIIB" not in scrubbed("no", key, text).traceback


def test_value_of_three_characters_is_left_in_a_text() -> None:
    assert scrubbed("key error", "key").message == "key error"


def test_longer_value_goes_first() -> None:
    assert scrubbed("abcdefgh abcd", ["abcd", "abcdefgh"]).message == "*** ***"


def test_text_is_dropped_where_more_is_hidden_than_can_be_looked_for() -> None:
    found = scrubbed("no", [f"value {number}" for number in range(redaction.TEXTS_MAX + 1)], "Traceback")
    assert (found.message, found.traceback) == ("***", "***")


def test_values_that_are_too_many_are_not_looked_at_even_if_no_text_is_hidden_for_them() -> None:
    """A million numbers would hold up the supervisor's loop for seconds."""
    assert scrubbed("no", [1] * redaction.TEXTS_MAX).message == "no"
    assert scrubbed("no", [1] * (redaction.TEXTS_MAX + 1)).message == "***"


def test_text_is_dropped_where_the_payload_cannot_be_read() -> None:
    found = redaction.scrub(ErrorInfo("ProtocolError", "no", "there"), b"\xc1", b"\xc1")
    assert (found.message, found.traceback) == ("***", "***")


def test_arguments_with_more_in_them_than_can_be_looked_at_are_hidden_as_a_whole() -> None:
    rows = [[number, "a value"] for number in range(redaction.ELEMENTS_MAX // 2)]
    assert hide(rows, "visible", other="here") == (["***"], {})
    payload = pack_arguments((rows, "visible"), {"other": "hereafter"})
    shown = redaction.hide(payload, nowhere, lambda name: False)
    assert shown is not None
    found = redaction.scrub(ErrorInfo("ValueError", "hereafter", "a value"), payload, shown)
    assert (found.message, found.traceback) == ("***", "***")
