from __future__ import annotations

import io
import json
import time

import pytest
from jobyard.client.cli.render import (
    Column,
    Output,
    clean,
    clean_lines,
    duration,
    error_text,
    forget_odd_sizes,
    moment,
    plain_table,
    size,
)
from jobyard.protocol.errors import InvalidConfig, JobNotFound, NotAllowed

# Escape sequences and characters with which text in a table or a log could lie about what was printed.
HOSTILE = [
    "\x1b[2J\x1b[H",
    "\x1b]0;title\x07",
    "\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\",
    "\x1b]52;c;ZXZpbA==\x07",
    "\x1bP1$r\x1b\\",
    "\x1b[8m hidden \x1b[0m",
    "\x1b[1A\x1b[2K",
    "\x9b31m",
    "\x9d0;x\x9c",
    "42 succeeded\r43 failed   ",
    "a\bb\b\b",
    "\x00nul",
    "\x07\x07",
    "\x0b\x0c",
    "\x0e\x0f",
    "\x7f",
    "\x85next line",
    "\u202egnp.exe",
    "\u2066\u2067\u2068\u2069",
    "\u200e\u200f\u061c",
    "\u2028\u2029",
    "\ufeff",
    "\U000e0041\U000e007f",
    "\ufff9a\ufffab\ufffb",
    "\udc9b31m",
    "name\nforged  line",
    "tab\tseparated",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_could_drive_a_terminal_is_left(text: str) -> None:
    cleaned = clean(text)
    assert cleaned.isprintable()
    assert cleaned != text


@pytest.mark.parametrize("text", HOSTILE)
def test_in_text_of_many_lines_only_line_ends_and_tabs_are_left(text: str) -> None:
    assert all(char.isprintable() or char in "\n\t" for char in clean_lines(text))


@pytest.mark.parametrize("text", ["Grüße, Łukasz", "日本語", "👩‍👩‍👧", "नमस्ते", "a\u0301", "\u00a0"])
def test_text_of_any_language_stays_as_it_is(text: str) -> None:
    assert clean(text) == text


def test_a_carriage_return_in_output_becomes_a_line_end() -> None:
    assert clean_lines("10%\r20%\r\ndone\n") == "10%\n20%\ndone\n"


@pytest.mark.parametrize(
    "seconds, text",
    [
        (None, "-"),
        (0.0123, "0.012 s"),
        (1.239, "1.24 s"),
        (59.94, "59.9 s"),
        (192.0, "3m 12s"),
        (3599.9, "1h 00m"),
        (7500.0, "2h 05m"),
        (273_600.0, "3d 4h"),
    ],
)
def test_durations_read_at_a_glance(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    "count, text",
    [(None, "-"), (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (12_897_484, "12.3 MiB"), (2**41, "2048.0 GiB")],
)
def test_sizes_read_at_a_glance(count: int | None, text: str) -> None:
    assert size(count) == text


def test_moments_are_local_time() -> None:
    assert moment(1_790_856_000.0) == "2026-10-01 12:00:00"
    assert moment(None) == "-"


COLUMNS = (Column("ID", right=True), Column("STATE"), Column("NOTE"))


def test_a_plain_table_is_aligned_and_has_no_trailing_blanks() -> None:
    assert plain_table(COLUMNS, [["7", "failed", "x"], ["12345", "queued", ""]]) == (
        "   ID  STATE   NOTE\n"
        "    7  failed  x\n"
        "12345  queued\n"
    )  # fmt: skip


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_moment_that_is_in_the_year_10000_here_is_the_last_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "XXX-14")
    time.tzset()
    assert moment(253_402_300_799.0) == "9999-12-31 23:59:59"


@pytest.mark.parametrize("given", ["", "0", "\u00b2", "-1", "1e3", "100000", "9" * 5000])
def test_a_size_of_the_terminal_that_is_none_is_as_if_it_were_not_given(given: str) -> None:
    environ = {"COLUMNS": given, "LINES": given, "TERM": "xterm"}
    forget_odd_sizes(environ)
    assert environ == {"TERM": "xterm"}


def test_sizes_of_a_terminal_stay() -> None:
    environ = {"COLUMNS": "1", "LINES": "10000"}
    forget_odd_sizes(environ)
    assert environ == {"COLUMNS": "1", "LINES": "10000"}


def test_a_table_on_a_terminal_is_coloured_unless_no_color_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    columns = (Column("STATE", styles={"failed": "red"}), Column("NOTE"))
    bare, coloured = Terminal(), Terminal()
    Output(coloured, io.StringIO()).table(columns, [["failed", "x"]])
    Output(bare, io.StringIO(), no_color=True).table(columns, [["failed", "x"]])
    assert "\x1b[31mfailed" in coloured.getvalue()
    assert "\x1b" not in bare.getvalue()
    assert "failed" in bare.getvalue()


LONG_NOTE = "the result has 5,000,005 bytes, over the limit of 1,048,576"


@pytest.mark.parametrize("width, lines", [("100", 2), ("60", 4), ("40", 2), ("20", 2)])
def test_a_narrow_terminal_folds_the_last_column_but_never_to_a_ribbon_nor_cuts_another(
    monkeypatch: pytest.MonkeyPatch, width: str, lines: int
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    stream = Terminal()
    columns = (Column("KEY"), Column("STATE"), Column("NOTE"))
    Output(stream, io.StringIO(), no_color=True).table(columns, [["supervisor.runtime_dir", "failed", LONG_NOTE]])
    printed = stream.getvalue()
    assert len(printed.splitlines()) == lines
    assert "supervisor.runtime_dir" in printed
    assert "".join(LONG_NOTE.split()) in "".join(printed.split())


@pytest.mark.parametrize(
    "width, line",
    [
        ("100", "42  app.jobs:SendWelcomeEmail.handle  " + LONG_NOTE),
        ("50", "42  …ndWelcomeEmail.handle  the result has 5,000,…"),
        ("34", "42  …eEmail.handle  the result ha…"),
        ("20", "42  app.jobs:SendWelcomeEmail.handle  " + LONG_NOTE),
    ],
)
def test_a_narrow_terminal_cuts_the_beginning_of_a_column_that_allows_it(
    monkeypatch: pytest.MonkeyPatch, width: str, line: str
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    stream = Terminal()
    columns = (Column("ID", right=True), Column("JOB", cuts=True), Column("NOTE"))
    Output(stream, io.StringIO(), no_color=True).table(columns, [["42", "app.jobs:SendWelcomeEmail.handle", LONG_NOTE]])
    assert stream.getvalue().splitlines()[1].rstrip() == line.rstrip()


def test_rich_markup_in_a_cell_is_text() -> None:
    stream = Terminal()
    Output(stream, io.StringIO(), no_color=True).table((Column("NOTE"),), [["[red]x[/red] [link=http://e]y"]])
    assert "[red]x[/red] [link=http://e]y" in stream.getvalue()


@pytest.mark.parametrize("text", HOSTILE)
def test_cells_lines_talk_and_errors_are_all_cleaned(text: str) -> None:
    out, err = io.StringIO(), io.StringIO()
    output = Output(out, err)
    output.table(COLUMNS, [["1", text, text]])
    output.line(text)
    output.block(text)
    output.say(text)
    output.error(NotAllowed(text, hint=text))
    output.error(InvalidConfig(text, details={"problems": [text]}))
    assert all(char.isprintable() or char in "\n\t" for char in out.getvalue() + err.getvalue())


def test_an_error_says_what_is_wrong_and_what_to_try() -> None:
    assert (
        error_text(JobNotFound("there is no job 7", hint="jobctl list")) == "error: there is no job 7\ntry: jobctl list"
    )
    assert (
        error_text(JobNotFound("there is no job 7", hint="did you mean '8'?"))
        == "error: there is no job 7\ndid you mean '8'?"
    )


def test_mistakes_of_a_config_are_printed_one_per_line() -> None:
    error = InvalidConfig(
        "2 mistakes", details={"problems": ["a.toml:1:2: error: x", "--config y: there is no such file"]}
    )
    assert error_text(error) == "a.toml:1:2: error: x\nerror: --config y: there is no such file"


def test_an_error_as_json_is_one_line_whatever_its_details_are() -> None:
    err = io.StringIO()
    Output(io.StringIO(), err, "json").error(JobNotFound("a\nb", details={"odd": {1, 2}.__class__}))
    (line,) = err.getvalue().splitlines()
    assert json.loads(line)["error"] == {
        "code": "job_not_found",
        "message": "a\nb",
        "hint": "",
        "details": {"odd": "<class 'set'>"},
    }
