from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobyard.client.lines import LINE_BYTES_MAX, Lines, LogLine
from jobyard.protocol.messages import LogChunk


def chunked(*pieces: tuple[str, bytes] | bytes, first: int = 0) -> list[LogChunk]:
    """Consecutive chunks; the n-th is of the time n. A bare piece is of stdout."""
    chunks, offset = [], first
    for number, piece in enumerate(pieces):
        stream, data = ("stdout", piece) if isinstance(piece, bytes) else piece
        chunks.append(LogChunk(offset, stream, float(number), data))
        offset += len(data)
    return chunks


def read(*pieces: tuple[str, bytes] | bytes) -> list[LogLine]:
    lines = Lines()
    return [*lines.feed(chunked(*pieces)), *lines.end()]


def texts(*pieces: tuple[str, bytes] | bytes) -> list[str]:
    return [line.text for line in read(*pieces)]


def test_line_is_given_when_its_end_is_there() -> None:
    lines = Lines()
    first, second = chunked(b"one\ntw", b"o\n")
    assert [line.text for line in lines.feed([first])] == ["one"]
    assert [line.text for line in lines.feed([second])] == ["two"]
    assert list(lines.end()) == []


def test_line_without_an_end_is_given_when_there_is_no_more() -> None:
    assert texts(b"one\ntwo") == ["one", "two"]


def test_line_is_of_the_time_of_its_first_byte() -> None:
    assert [(line.at, line.text) for line in read(b"a", b"b\nc", b"\nd\n")] == [(0.0, "ab"), (1.0, "c"), (2.0, "d")]


def test_empty_lines_are_kept_and_carriage_returns_before_an_end_are_not() -> None:
    assert texts(b"\n\na\r\n\rb\r\r\n") == ["", "", "a", "b"]


def test_what_a_carriage_return_writes_over_is_a_line_that_says_so() -> None:
    lines = Lines()
    assert [line.text for line in lines.feed(chunked(b"\r 10%\r 20%\r"))] == [" 10%\r"]
    assert [line.text for line in lines.feed(chunked(b"100%", first=11))] == [" 20%\r"]
    assert [line.text for line in lines.end()] == ["100%"]
    assert texts(b"half\r") == ["half"]


def test_record_that_began_before_a_gap_gives_its_level_to_no_line_after_it() -> None:
    lines = Lines()
    head = [LogChunk(0, "logging", 0.0, b"ERROR app: failed\n")]
    tail = [LogChunk(900, "logging", 1.0, b"    of something else\n")]
    assert [line.level for line in lines.feed([*head, *tail])] == ["ERROR", "WARNING", None]


def test_streams_do_not_mix() -> None:
    pieces = [("stdout", b"on"), ("stderr", b"tw"), ("stdout", b"e\n"), ("stderr", b"o\n")]
    assert [(line.stream, line.text) for line in read(*pieces)] == [("stdout", "one"), ("stderr", "two")]


def test_character_cut_by_chunks_is_put_together() -> None:
    data = "zażółć €\n".encode()
    assert texts(*(data[index : index + 1] for index in range(len(data)))) == ["zażółć €"]


def test_bytes_that_are_not_text_appear_as_escapes() -> None:
    assert texts(b"a\xff\x00b\n") == ["a\\xff\x00b"]


def test_line_that_is_too_long_comes_in_pieces_of_whole_characters() -> None:
    text = "a" + "€" * LINE_BYTES_MAX
    pieces = texts(text.encode() + b"\n")
    assert "".join(pieces) == text and len(pieces) > 1
    assert all(len(piece.encode()) <= LINE_BYTES_MAX for piece in pieces)


def test_long_line_of_bytes_that_are_no_characters_is_cut_all_the_same() -> None:
    lines = Lines()
    found = list(lines.feed(chunked(b"\x80" * (LINE_BYTES_MAX + 10))))
    assert [line.text for line in found] == ["\\x80" * LINE_BYTES_MAX]


@pytest.mark.parametrize(
    "line, level, text",
    [
        ("INFO app.mail: sent", "INFO", "app.mail: sent"),
        ("CRITICAL root: a: b", "CRITICAL", "root: a: b"),
        ("Level 25 root: custom", "Level 25", "root: custom"),
        ("AUDIT app: own level", "AUDIT", "app: own level"),
        ("no level here", None, "no level here"),
        ("ERROR without a name", None, "ERROR without a name"),
    ],
)
def test_level_of_a_logging_line_is_read(line: str, level: str | None, text: str) -> None:
    (found,) = read(("logging", line.encode() + b"\n"))
    assert (found.level, found.text) == (level, text)


def test_record_of_several_lines_keeps_its_level() -> None:
    found = read(("logging", b"ERROR app: failed\nTraceback:\n  ValueError: x\nINFO app: on\n"))
    assert [line.level for line in found] == ["ERROR", "ERROR", "ERROR", "INFO"]


def test_stdout_has_no_level() -> None:
    assert [(line.level, line.text) for line in read(b"INFO app: not a record\n")] == [(None, "INFO app: not a record")]


def test_gap_ends_the_line_and_is_told() -> None:
    lines = Lines()
    found = list(lines.feed([*chunked(b"head"), *chunked(b"tail\n", first=1_004)])) + list(lines.end())
    assert [(line.stream, line.text) for line in found] == [
        ("stdout", "head"),
        ("jobyard", "1,000 bytes of output are missing here"),
        ("stdout", "tail"),
    ]


def test_output_read_from_its_middle_has_no_gap() -> None:
    assert [line.text for line in Lines().feed(chunked(b"x\n", first=500))] == ["x"]


@given(
    st.binary(max_size=300) | st.text("ab\r\n", max_size=60).map(str.encode), st.lists(st.integers(0, 300), max_size=5)
)
def test_lines_do_not_depend_on_where_chunks_end(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in itertools.pairwise(edges)]
    assert texts(*pieces) == texts(data)
