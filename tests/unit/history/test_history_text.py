"""What can be searched: every plain value of the arguments, bounded; in memory, the same words without opening them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from finished import finished
from jobyard.protocol import codec
from jobyard.supervisor.history import text


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("plain", "plain"),
        ({"name": ["deep", {"x": ("deeper",)}]}, "name\ndeep\nx\ndeeper"),
        (12345, "12345"),
        (2**80, str(2**80)),
        ([10**6000, "behind"], "\nbehind"),
        (Path("name\udcff"), "name\\udcff"),
        (b"bytes\xff", "bytes�"),
        (None, ""),
        (dt.date(2026, 1, 2), "2026-01-02"),
        ("nul\0inside", "nul inside"),
    ],
)
def test_plain_values_are_text(value: Any, found: str) -> None:
    assert text.arguments(codec.pack_arguments((value,), {})) == found


def test_names_of_arguments_are_found() -> None:
    assert text.arguments(codec.pack_arguments((), {"month": "2026-10"})) == "month\n2026-10"


def test_long_and_deep_arguments_are_bounded() -> None:
    deep: Any = "end"
    for _ in range(150):
        deep = [deep]
    assert text.arguments(codec.pack_arguments((deep,), {})) == "end"
    assert len(text.arguments(codec.pack_arguments(("x" * 1_000_000, "y"), {}))) <= text.TEXT_CHARS_MAX
    assert len(text.arguments(codec.pack_arguments((["ab"] * 100_000,), {}))) <= text.TEXT_CHARS_MAX


def test_payload_that_cannot_be_read_has_no_text() -> None:
    assert text.arguments(b"\xc1rubbish") == ""


def test_what_went_wrong_is_an_error_or_a_reason() -> None:
    job = finished(1, "failed", error="no such customer")
    job.reason = "gave up"
    assert (text.error(job), text.reason(job)) == ("app.Oops\nno such customer", "gave up")
    job = finished(1, "cancelled", attempt=0)
    assert (text.error(job), text.reason(job)) == ("", "")


@pytest.mark.parametrize("words", ["Invoice", "77", "invoice customer", "OOPS", "4711", str(2**40), ""])
def test_words_are_found_in_memory(words: str) -> None:
    assert text.holds_words(finished(1, "failed", args=("invoice-77", 4711, 2**40), error="customer"), words)


@pytest.mark.parametrize("words", ["Иван", "иван", "ИВАН 4711", "ünï", "ÜNÏ", f"иван {2**40}"])
def test_words_in_other_letters_are_found_in_memory(words: str) -> None:
    assert text.holds_words(finished(1, args=("Иван", "Ünï", 4711, 2**40)), words)


@pytest.mark.parametrize("words", ["nobody", "invoice nobody", "4712", "9" * 5000, "²"])
def test_other_words_are_not(words: str) -> None:
    assert not text.holds_words(finished(1, "failed", args=("invoice-77", 4711), error="customer"), words)
