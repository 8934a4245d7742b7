"""The beginning of an attempt's output as lines for the log."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from jobyard.protocol import logfile
from jobyard.supervisor import excerpt, output

OUT, ERR, LOG = 0, 1, 2


@pytest.fixture
def said(tmp_path: Path):
    """Writes chunks (stream, time, data) as the log writer does; gives the lines as (time, level, text)."""

    def write(*chunks: tuple[int, float, bytes], limit: int = 8192):
        base = output.base(tmp_path, 7, 1)
        Path(base).parent.mkdir(exist_ok=True)
        at, index = 0, b""
        for stream, when, text in chunks:
            index += logfile.RECORD.pack(at, at, len(text), stream, 0, when)
            at += len(text)
        Path(logfile.data_file(base, logfile.HEAD)).write_bytes(b"".join(text for _, _, text in chunks))
        Path(logfile.index_file(base, logfile.HEAD)).write_bytes(index)
        return [(line.at, line.level, line.text) for line in excerpt.beginning(str(tmp_path), 7, 1, limit)]

    return write


def test_lines_are_put_together_by_stream_and_told_by_time(said) -> None:
    found = said((OUT, 1.0, b"one\ntw"), (ERR, 2.0, b"oops\n"), (OUT, 3.0, b"o\nthree"))
    assert found == [
        (1.0, logging.INFO, "one"),
        (1.0, logging.INFO, "two"),
        (2.0, logging.INFO, "oops"),
        (3.0, logging.INFO, "three"),
    ]


def test_logging_has_its_level_and_the_job_s_own_log_no_name(said) -> None:
    found = said(
        (LOG, 1.0, b"INFO job: hello\nERROR app.mail: no route\n    Traceback\n"), (OUT, 2.0, b"ERROR job: x\n")
    )
    assert found == [
        (1.0, logging.INFO, "hello"),
        (1.0, logging.ERROR, "app.mail: no route"),
        (1.0, logging.ERROR, "    Traceback"),
        (2.0, logging.INFO, "ERROR job: x"),
    ]


def test_silent_job_and_a_limit_of_nothing_give_no_line(said, tmp_path: Path) -> None:
    assert excerpt.beginning(str(tmp_path), 8, 1, 100) == []
    assert said((OUT, 1.0, b"x\n"), limit=0) == []
    assert said((OUT, 1.0, b"\n  \n")) == []


def test_what_is_over_the_limit_is_named_and_not_read(said) -> None:
    rest = "... the rest: jobctl logs 7 --attempt 1"
    assert said((OUT, 1.0, b"12345\n6789\n"), limit=8) == [(1.0, 20, "12345"), (1.0, 20, "67"), (1.0, 20, rest)]
    assert said((OUT, 1.0, b"1234567\n"), limit=8) == [(1.0, 20, "1234567")]


def test_output_in_very_many_pieces_is_read_as_far_as_one_look_goes(said) -> None:
    found = said(*[(OUT, float(number), b"x\n") for number in range(4000)])
    assert [text for _, _, text in found[:2]] == ["x", "x"] and len(found) <= 1000
    assert found[-1][2] == "... the rest: jobctl logs 7 --attempt 1"


def test_bytes_that_are_no_text_are_escaped(said) -> None:
    assert said((OUT, 1.0, b"\xff\xfe\r\n")) == [(1.0, logging.INFO, "\\xff\\xfe")]
