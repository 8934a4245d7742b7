"""``jobctl logs`` against a recorded supervisor: which lines are shown, and in which form."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jobyard.client.cli import loglines
from jobyard.client.cli.main import main
from jobyard.protocol import messages
from jobyard.protocol.errors import SupervisorUnavailable
from jobyard.protocol.job import ErrorInfo

NOON = 1_790_856_000.0
Run = Callable[..., Any]
Piece = tuple[str, bytes]


class Logs:
    """Outputs by job and attempt; a piece is a chunk, a minute after the one before."""

    def __init__(self, supervisor: Any, job: Run) -> None:
        self.supervisor = supervisor
        self._job = job
        self._outputs: dict[tuple[int, int], list[messages.LogChunk]] = {}
        self.dropped = 0
        supervisor.answers[messages.Logs] = self.read

    def add(self, *pieces: Piece | bytes, job_id: int = 42, attempt: int = 1, first: int = 0, **info: Any) -> None:
        chunks, offset = [], first
        for number, piece in enumerate(pieces):
            stream, data = ("stdout", piece) if isinstance(piece, bytes) else piece
            chunks.append(messages.LogChunk(offset, stream, NOON - 60 * (len(pieces) - number), data))
            offset += len(data)
        self._outputs.setdefault((job_id, attempt), []).extend(chunks)
        others = [one for one in self.supervisor.jobs if one.id != job_id]
        self.supervisor.jobs = [*others, self._job(job_id, **{"state": "succeeded", "attempt": attempt, **info})]

    def read(self, request: messages.Logs) -> messages.LogReply:
        attempt = request.attempt or max(number for job_id, number in self._outputs if job_id == request.id)
        chunks = self._outputs[request.id, attempt]
        size = chunks[-1].offset + len(chunks[-1].data)
        rest = [_after(chunk, request.offset) for chunk in chunks]
        found = [chunk for chunk in rest if chunk.data][: 1 if request.limit else 0]
        reached = found[0].offset + len(found[0].data) if found else request.offset
        ended = request.offset >= size if not request.limit else not found
        return messages.LogReply(attempt, found, reached, ended, self.dropped if not found else 0, size=size)


def _after(chunk: messages.LogChunk, offset: int) -> messages.LogChunk:
    skipped = max(0, offset - chunk.offset)
    return replace(chunk, offset=chunk.offset + skipped, data=chunk.data[skipped:])


@pytest.fixture
def logs(supervisor: Any, job: Run) -> Logs:
    return Logs(supervisor, job)


RECORDS: tuple[Piece, ...] = (
    ("stdout", b"plain\n"),
    ("logging", b"INFO app: fine\n"),
    ("stderr", b"an error\n"),
    ("logging", b"WARNING app: careful\n    second line\n"),
    ("logging", b"Level 35 app: between\n"),
    ("logging", b"AUDIT app: of its own\n"),
)


def test_logs_are_read_on_until_there_is_no_more(jobctl: Run, logs: Logs) -> None:
    logs.add(*RECORDS, attempt=2)
    logs.dropped = 1234
    ended = jobctl("logs", "42")
    assert (ended.code, ended.out) == (0, b"".join(data for _, data in RECORDS).decode())
    assert ended.err.startswith("1,234 bytes in the middle were over the limit")


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["--stream", "stderr"], ["an error"]),
        (["--stream", "stderr,stdout"], ["plain", "an error"]),
        (
            ["--level", "warning"],
            ["WARNING app: careful", "    second line", "Level 35 app: between", "AUDIT app: of its own"],
        ),
        (["--level", "ERROR"], ["AUDIT app: of its own"]),
        (["--since", "3m"], ["Level 35 app: between", "AUDIT app: of its own"]),
        (["--grep", "^WARN|pl.in"], ["plain", "WARNING app: careful"]),
        (["--tail", "2"], ["Level 35 app: between", "AUDIT app: of its own"]),
        (["--tail", "0"], []),
        (["--tail", "1", "--stream", "stdout"], ["plain"]),
        (["--tail", "1", "--grep", "i"], ["AUDIT app: of its own"]),
        (["--tail", "99"], [line for _, data in RECORDS for line in data.decode().splitlines()]),
        (["--time", "--stream", "stdout"], ["2026-10-01 11:54:00.000 plain"]),
    ],
)
def test_lines_are_chosen(jobctl: Run, logs: Logs, options: list[str], shown: list[str]) -> None:
    logs.add(*RECORDS)
    for follow in ([], ["-f"]):
        assert jobctl("logs", "42", *options, *follow).out.splitlines() == shown


def test_of_a_job_that_was_never_started_it_says_so(jobctl: Run, logs: Logs) -> None:
    logs.add(b"", state="queued", attempt=0)
    ended = jobctl("logs", "42")
    assert (ended.code, ended.out, ended.err) == (0, "", "job 42 has not been started: jobctl why 42\n")


def test_lines_of_several_jobs_say_whose_they_are(jobctl: Run, logs: Logs) -> None:
    logs.add(b"one\n", job_id=7)
    logs.add(b"two\nthree\n", job_id=42)
    assert jobctl("logs", "42", "7").out == "42 | two\n42 | three\n 7 | one\n"
    assert sorted(jobctl("logs", "-f", "7,42").out.splitlines()) == [" 7 | one", "42 | three", "42 | two"]


def test_all_attempts_say_which_they_are(jobctl: Run, logs: Logs, attempt: Run) -> None:
    first = attempt(1, outcome="error", error=ErrorInfo("builtins.OSError", "busy"))
    logs.add(b"one\n", attempt=1)
    logs.add(b"two\n", attempt=2, attempts=[first])
    assert jobctl("logs", "42", "--attempt", "1").out == "one\n"
    assert jobctl("logs", "42", "--attempt", "all").out == "42.1 | one\n42.2 | two\n"
    followed = jobctl("logs", "-f", "42", "--attempt", "all")
    assert (followed.out, followed.err) == ("42.1 | one\n42.2 | two\n", "attempt 1: OSError: busy\n")


def test_line_that_ends_with_its_attempt_is_not_continued_by_the_next(jobctl: Run, logs: Logs, attempt: Run) -> None:
    logs.add(b"cut", attempt=1)
    logs.supervisor.jobs[0] = replace(logs.supervisor.jobs[0], state="running")
    read = logs.read

    def retried(request: messages.Logs) -> messages.LogReply:
        reply = read(request)
        if reply.ended and request.attempt == 1:
            logs.add(b"whole\n", attempt=2)
        return reply

    logs.supervisor.answers[messages.Logs] = retried
    assert jobctl("logs", "-f", "42").out == "cut\nwhole\n"


def test_follower_begins_with_the_present_attempt(jobctl: Run, logs: Logs) -> None:
    logs.add(b"a\n", attempt=3)
    assert jobctl("logs", "-f", "42").out == "a\n"
    assert {one.attempt for one in logs.supervisor.asked(messages.Logs)} == {3}


def test_follower_sees_what_has_no_line_end_yet_and_characters_whole(jobctl: Run, logs: Logs) -> None:
    data = "Grüße\n".encode()
    logs.add(data[:3], ("stderr", b"-"), data[3:])
    assert jobctl("logs", "-f", "42").out == "Gr-üße\n"
    assert jobctl("logs", "42").out == "Grüße\n-\n"


def test_progress_bar_is_its_last_state_unless_it_is_followed(jobctl: Run, logs: Logs) -> None:
    logs.add(b"\r 10%\r 20%", b"\r100%\n")
    assert jobctl("logs", "42").out == "100%\n"
    assert jobctl("logs", "-f", "42", "--time").out.count("\n") == 3
    assert jobctl("logs", "-f", "42").out.split() == ["10%", "20%", "100%"]


def test_place_of_what_was_dropped_is_told(jobctl: Run, logs: Logs) -> None:
    logs.add(b"head")
    logs.add(b"tail\n", first=1004)
    for options in ([], ["-f"], ["--raw"]):
        ended = jobctl("logs", "42", *options)
        assert ended.out.replace("\n", "") == "headtail"
        assert ended.err == "1,000 bytes of output are missing here\n"


@pytest.mark.parametrize("options", [[], ["-f"], ["--time"], ["-f", "--time"]])
def test_hostile_text_is_made_visible(jobctl: Run, logs: Logs, options: list[str]) -> None:
    logs.add(b"\x1b[31m\xff\x07\xe2\x80\xae\r\n")
    assert jobctl("logs", "42", *options).out.endswith("\\x1b[31m\\xff\\x07\\u202e\n")


def test_logs_as_json_have_streams_levels_and_times(jobctl: Run, logs: Logs) -> None:
    logs.add(*RECORDS[2:4])
    (output,) = jobctl("logs", "42", "--json").json["outputs"]
    lines = output.pop("lines")
    assert output == {
        "id": 42,
        "attempt": 1,
        "path": None,
        "ended": True,
        "printed_bytes": 46,
        "dropped_bytes": 0,
        "unwritten_bytes": 0,
        "unwritten_why": None,
    }
    assert lines[1] == {
        "at": "2026-10-01T11:59:00.000000Z",
        "stream": "logging",
        "level": "WARNING",
        "text": "app: careful",
    }
    assert [line["level"] for line in lines] == [None, "WARNING", "WARNING"]
    each = [json.loads(line) for line in jobctl("logs", "42", "-o", "jsonl").out.splitlines()]
    assert each == [{"id": 42, "attempt": 1, **line} for line in lines]


def test_raw_output_is_passed_on_byte_by_byte(logs: Logs, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    data = bytes(range(256))
    logs.add(data[:100], data[100:])
    assert main(["logs", "42", "--raw"], connect=lambda context: logs.supervisor) == 0
    assert capfdbinary.readouterr().out == data
    assert main(["logs", "42", "--raw", "--tail", "1"], connect=lambda context: logs.supervisor) == 0
    assert capfdbinary.readouterr().out == data[11:]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "ID"),
        (["x"], "'x' is not a job id"),
        (["42", "--attempt", "0"], "--attempt 0 is no attempt"),
        (["42", "--attempt", "x"], "--attempt x is no attempt"),
        (["42", "--tail", "-1"], "--tail -1"),
        (["42", "--stream", "stdout,stdrr"], "there is no stream 'stdrr'"),
        (["42", "--level", "loud"], "there is no level 'loud'"),
        (["42", "--since", "yesterday"], "'yesterday' is not a point in time"),
        (["42", "--grep", "("], "'(' is not a regular expression"),
        (["42", "--raw", "--time"], "--raw passes bytes on"),
        (["42", "7", "-f", "--raw"], "2 jobs are named"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(jobctl: Run, logs: Logs, options: list[str], says: str) -> None:
    logs.add(b"", job_id=7)
    logs.add(b"a\n")
    ended = jobctl("logs", *options)
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.err


def test_pattern_that_would_take_for_ever_is_given_up(jobctl: Run, logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loglines, "GREP_S", 0.05)
    logs.add(b"a" * 60 + b"!\n")
    ended = jobctl("logs", "42", "--grep", "(a+)+$")
    assert (ended.code, ended.out) == (2, "")
    assert "takes more than 0.05 s for one line" in ended.err


def test_unknown_job_is_not_found(jobctl: Run, logs: Logs) -> None:
    assert jobctl("logs", "43").code == 4


def test_follower_ends_with_its_own_code_when_the_supervisor_stops(jobctl: Run, logs: Logs, job: Run) -> None:
    logs.supervisor.jobs = [job(7, state="running", attempt=1), job(42, state="running", attempt=1)]
    logs.supervisor.answers[messages.Logs] = SupervisorUnavailable("the supervisor stops")
    assert jobctl("logs", "42", "-f").code == jobctl("logs", "7,42", "-f").code == 7
    assert jobctl("logs", "42").code == 3


def test_levels_have_colours_where_colours_are_wanted(jobctl: Run, logs: Logs, tmp_path: Path) -> None:
    logs.add(*RECORDS[:4])
    shown = jobctl("logs", "42", "--color", "always").out
    assert "\x1b[33mWARNING app: careful\x1b[0m" in shown and "plain\n" in shown
