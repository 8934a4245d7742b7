from __future__ import annotations

import contextlib
import io
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobyard.client.cli import arguments
from jobyard.client.cli.convert import convert
from jobyard.client.cli.exits import UsageError
from jobyard.protocol.errors import BadArguments
from jobyard.protocol.messages import CatalogEntry, CatalogReply, Parameter


@pytest.mark.parametrize(
    "text, annotation, value",
    [
        ("01234", "str", "01234"),
        ("true", "str", "true"),
        ("7", "int", 7),
        ("-7", "int", -7),
        ("7", "float", 7.0),
        ("inf", "float", float("inf")),
        ("yes", "bool", True),
        ("off", "bool", False),
        ("none", "int | None", None),
        ("7", "Optional[int]", 7),
        ("7", "typing.Optional[int]", 7),
        ("x", "int | str", "x"),
        ("7", "str | int", 7),
        ("7", "Union[int, str]", 7),
        ("null", "str | None", None),
        ("7", "'int'", 7),
        ("7", "Annotated[int, Field(gt=1, le='|')]", 7),
        ("[1, 2]", "list[int]", [1, 2]),
        ("[1, 2]", "tuple[int, ...]", (1, 2)),
        ("[1, 1]", "set[int]", {1}),
        ('{"a": [1]}', "dict[str, list[int]]", {"a": [1]}),
        ("[1]", "collections.abc.Sequence[int]", [1]),
        ("2026-10-01", "date", date(2026, 10, 1)),
        ("2026-10-01", "datetime.date", date(2026, 10, 1)),
        ("2026-10-01T12:00Z", "datetime", datetime(2026, 10, 1, 12, tzinfo=UTC)),
        ("12:30", "datetime.time", time(12, 30)),
        ("15m", "timedelta", timedelta(minutes=15)),
        ("1.10", "Decimal", Decimal("1.10")),
        ("12345678-1234-5678-1234-567812345678", "uuid.UUID", UUID("12345678-1234-5678-1234-567812345678")),
        ("/tmp/x", "pathlib.Path", Path("/tmp/x")),
        ("hi", "bytes", b"hi"),
        ("b", "Literal['a', 'b']", "b"),
        ("3", "Literal[1, 3]", 3),
        ("7", None, 7),
        ("seven", None, "seven"),
        ("01234", None, "01234"),
        ("[1]", "Any", [1]),
        ("7", "mymodule.Thing", 7),
        ("x", "???", "x"),
    ],
)
def test_text_is_converted_by_the_annotation(text: str, annotation: str | None, value: Any) -> None:
    converted = convert(text, annotation, "argument 1")
    assert converted == value
    assert type(converted) is type(value)


@pytest.mark.parametrize(
    "text, annotation, wanted",
    [
        ("seven", "int", "argument n: 'seven' is not a whole number"),
        ("7.5", "int", "argument n: '7.5' is not a whole number"),
        ("maybe", "bool", "argument n: 'maybe' is not true or false"),
        ("x", "int | None", "argument n: 'x' is not a whole number or none"),
        ("{", "list[int]", "argument n: '{' is not of type list[int]"),
        ("[1]", "dict", "argument n: '[1]' is not of type dict"),
        ("2026-02-30", "date", "argument n: '2026-02-30' is not a date"),
        ("c", "Literal['a', 'b']", "argument n: 'c' is not of type Literal['a', 'b']"),
        ("1e999", "float", "argument n: '1e999' is not a number"),
        ("9" * 5000, "int", "is not a whole number"),
        ("x", "Decimal", "argument n: 'x' is not a decimal number"),
    ],
)
def test_text_of_the_wrong_type_is_refused_with_its_text(text: str, annotation: str, wanted: str) -> None:
    with pytest.raises(BadArguments) as caught:
        convert(text, annotation, "argument n")
    assert wanted in caught.value.message
    assert len(caught.value.message) < 200


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_text_and_no_annotation_raise_anything_but_bad_arguments(text: str, annotation: str) -> None:
    with contextlib.suppress(BadArguments):
        convert(text, annotation, "argument 1")


@pytest.mark.parametrize(
    "annotation", ["Literal[", "Literal[(]", "Literal[f()]", "list[", "|", "Optional[]", "Union[,]"]
)
def test_an_annotation_that_makes_no_sense_is_no_reason_to_fail(annotation: str) -> None:
    with contextlib.suppress(BadArguments):
        convert("x", annotation, "argument 1")


def test_json_nested_too_deeply_is_refused() -> None:
    with pytest.raises(BadArguments):
        convert("[" * 100_000, "list", "argument 1")


def entry(ref: str = "jobs:f", *parameters: Parameter, aliases: tuple[str, ...] = ()) -> CatalogEntry:
    return CatalogEntry(ref, "default", list(parameters), aliases=list(aliases))


NUMBER = Parameter("number", "either", True, "int")
WORD = Parameter("word", "named", False, "str", "''")
REST = Parameter("rest", "args", False, "float")
MORE = Parameter("more", "kwargs", False, "bool")


def read(words: list[str], *parameters: Parameter, stdin: bytes = b"") -> tuple[list[Any], dict[str, Any]]:
    return arguments.read(words, entry("jobs:f", *parameters), io.BytesIO(stdin))


def test_words_take_the_types_of_their_parameters() -> None:
    found = read(["1", "2", "3", "word=4", "other=yes"], NUMBER, REST, WORD, MORE)
    assert found == ([1, 2.0, 3.0], {"word": "4", "other": True})


def test_a_positional_parameter_given_by_name_takes_its_type() -> None:
    assert read(["number=1"], NUMBER) == ([], {"number": 1})


def test_json_is_taken_as_it_is_whatever_the_annotation() -> None:
    assert read(["number:=[1]", ':="a=b"'], NUMBER, WORD) == (["a=b"], {"number": [1]})


@pytest.mark.parametrize("word", ["http://x/?a=b", "a b=c", "-x=1", "=1", "7=x", "a.b=c"])
def test_only_a_name_before_the_equals_sign_makes_a_named_argument(word: str) -> None:
    assert read([word], Parameter("p", "either", True, "str")) == ([word], {})


def test_an_equals_sign_in_the_value_stays() -> None:
    assert read(["word=a=b"], WORD) == ([], {"word": "a=b"})


def test_files_and_standard_input_stand_for_their_content(tmp_path: Path) -> None:
    text, data = tmp_path / "text", tmp_path / "data.json"
    text.write_text("Grüße\n", "utf-8")
    data.write_text('{"a": 1}')
    words = [f"@{text}", f"more:=@{data}", "word=-", "@@home"]
    found = read(words, Parameter("p", "args", False, "str"), WORD, MORE, stdin=b"from stdin")
    assert found == (["Grüße\n", "@home"], {"more": {"a": 1}, "word": "from stdin"})


def test_a_binary_file_reaches_a_bytes_parameter_exactly(tmp_path: Path) -> None:
    data = bytes(range(256))
    (tmp_path / "blob").write_bytes(data)
    assert read([f"@{tmp_path}/blob"], Parameter("p", "either", True, "bytes")) == ([data], {})


def test_a_binary_file_for_a_text_parameter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"\xff\xfe")
    with pytest.raises(BadArguments, match="argument 1 is not UTF-8 text"):
        read([f"@{tmp_path}/blob"], Parameter("p", "either", True, "str"))


@pytest.mark.parametrize(
    "words, message",
    [
        (["@/nowhere/x"], "argument 1: cannot read '/nowhere/x': No such file or directory"),
        (["@/"], "argument 1: cannot read '/': Is a directory"),
        (["@\0"], "argument 1: cannot read '\\x00'"),
        (["-", "word=-"], "standard input is asked for twice"),
        (["word=1", "word=2"], "argument word is given twice"),
        (["word:={"], "argument word: '{' is not JSON"),
    ],
)
def test_bad_words_are_refused_with_their_place(words: list[str], message: str) -> None:
    with pytest.raises((UsageError, BadArguments)) as caught:
        read(words, WORD)
    assert message in caught.value.message


CATALOG = CatalogReply(
    [
        entry("jobs:hello", aliases=("Hi",)),
        CatalogEntry("jobs:hello", "another pool", []),
        entry("app.mail:SendEmailJob.send", aliases=("Email",)),
        entry("app.mail:SendEmailJob.bounce", aliases=("Email",)),
        entry("app.pdf:Invoice.build"),
        entry("app.pay:Bill.charge", aliases=("Bill",)),
        entry("a.x:twin"),
        entry("b.x:twin"),
    ]
)


@pytest.mark.parametrize(
    "words, ref, method, found, rest",
    [
        (["jobs:hello", "a"], "jobs:hello", None, "jobs:hello", ["a"]),
        (["hello"], "hello", None, "jobs:hello", []),
        (["HI", "send"], "HI", None, "jobs:hello", ["send"]),
        (["Hi", "hello"], "Hi", None, "jobs:hello", ["hello"]),
        (["Email", "send", "a"], "Email", "send", "app.mail:SendEmailJob.send", ["a"]),
        (["Email.bounce"], "Email.bounce", None, "app.mail:SendEmailJob.bounce", []),
        (["SendEmail", "send"], "SendEmail", "send", "app.mail:SendEmailJob.send", []),
        (["app.pdf.Invoice", "build", "7"], "app.pdf.Invoice", "build", "app.pdf:Invoice.build", ["7"]),
        (["app.pdf:Invoice", "build"], "app.pdf:Invoice", "build", "app.pdf:Invoice.build", []),
        (["app.pdf:Invoice.build", "build"], "app.pdf:Invoice.build", None, "app.pdf:Invoice.build", ["build"]),
        (["Email", "nosuch"], "Email", "nosuch", None, []),
        (["app.pdf.Invoice", "delete"], "app.pdf.Invoice", "delete", None, []),
        (["app\\pdf\\Invoice", "build"], "app\\pdf\\Invoice", "build", None, []),
        (["Bill", "chagre", "7"], "Bill", "chagre", None, ["7"]),
        (["Bill", "7"], "Bill", None, "app.pay:Bill.charge", ["7"]),
        (["Bill", "Ann"], "Bill", None, "app.pay:Bill.charge", ["Ann"]),
        (["twin"], "twin", None, None, []),
        (["a.x:twin"], "a.x:twin", None, "a.x:twin", []),
    ],
)
def test_the_second_word_is_the_method_if_there_is_one_of_that_name(
    words: list[str], ref: str, method: str | None, found: str | None, rest: list[str]
) -> None:
    target = arguments.target(CATALOG, words)
    assert (target.ref, target.method, target.words) == (ref, method, rest)
    assert (target.entry.ref if target.entry else None) == found
