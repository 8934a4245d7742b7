"""``run`` and ``logs``: following a job's output, against a recorded supervisor."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import pytest
from jobyard.client.cli import follow, views
from jobyard.client.cli.render import Output
from jobyard.protocol import messages
from jobyard.protocol.errors import (
    SupervisorUnavailable,
)
from jobyard.protocol.job import ErrorInfo

NOON = 1_790_856_000.0
Run = Callable[..., Any]


# -- run ---------------------------------------------------------------------------------------------------------------


def chunk(offset: int, data: bytes, stream: str = "stdout") -> messages.LogChunk:
    return messages.LogChunk(offset, stream, NOON, data)


def output(supervisor: Any, *replies: messages.LogReply) -> None:
    """Answers requests for output one after the other."""
    waiting = list(replies)
    supervisor.answers[messages.Logs] = lambda request: waiting.pop(0)


def test_run_prints_the_output_of_every_attempt_and_ends_as_the_job(
    jobctl: Run, accepting: Any, job: Run, attempt: Run
) -> None:
    first = attempt(1, outcome="error", error=ErrorInfo("builtins.OSError", "busy"))
    states = [
        job(42, state="scheduled", attempt=1, attempts=[first], run_at=NOON + 65),
        job(42, state="succeeded", attempt=2, attempts=[first, attempt(2, outcome="ok")]),
    ]
    accepting.answers[messages.Get] = lambda request: messages.Jobs([states.pop(0)])
    output(
        accepting,
        messages.LogReply(1, [chunk(0, b"one\n")], 4, ended=False),
        messages.LogReply(1, [chunk(4, b"oops\n", "stderr")], 9, ended=False),
        messages.LogReply(1, [], 9, ended=True),
        messages.LogReply(2, [chunk(0, b"two\n")], 4, ended=True),
    )
    ended = jobctl("run", "jobs:hello")
    again = "attempt 1: OSError: busy; the next starts in 5.00 s\n"
    assert (ended.code, ended.out, ended.err) == (0, "one\ntwo\n", "oops\n" + again)
    assert [(one.attempt, one.offset, one.follow) for one in accepting.asked(messages.Logs)] == [
        (1, 0, True),
        (1, 4, True),
        (1, 9, True),
        (2, 0, True),
    ]
    timeouts = [
        timeout
        for one, timeout in zip(accepting.requests, accepting.timeouts, strict=True)
        if type(one) is messages.Logs
    ]
    assert timeouts == [math.inf] * 4


@pytest.mark.parametrize(
    "fields, last, code, text",
    [
        (
            {"state": "failed"},
            {"outcome": "error", "error": ErrorInfo("builtins.ValueError", "no")},
            1,
            "failed: ValueError: no",
        ),
        (
            {"state": "failed"},
            {"outcome": "error", "error": ErrorInfo("builtins.ValueError", "x" * 9000)},
            1,
            f"failed: ValueError: {'x' * (views.REASON_CHARS_MAX - 15)}...\n",
        ),
        ({"state": "failed"}, {"outcome": "timeout"}, 124, "failed: ran into its timeout"),
        ({"state": "failed"}, {"outcome": "exited", "exit_code": 3}, 1, "exit code 3"),
        ({"state": "cancelled", "reason": "by ann"}, {"outcome": "cancelled"}, 1, "cancelled: by ann"),
    ],
)
def test_run_of_a_job_that_does_not_succeed_says_why(
    jobctl: Run,
    accepting: Any,
    job: Run,
    attempt: Run,
    fields: dict[str, Any],
    last: dict[str, Any],
    code: int,
    text: str,
) -> None:
    accepting.jobs = [job(42, attempt=1, attempts=[attempt(1, **last)], **fields)]
    output(accepting, messages.LogReply(1, [], 0, ended=True))
    ended = jobctl("run", "jobs:hello")
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.startswith("job 42 ")
    assert text in ended.err
    assert ended.err.endswith("try: jobctl show 42\n")


def test_run_of_a_job_that_never_started_ends_when_it_is_cancelled(jobctl: Run, accepting: Any, job: Run) -> None:
    accepting.jobs = [job(42, state="cancelled", attempt=0)]
    output(accepting, messages.LogReply(1, [], 0, ended=True))
    ended = jobctl("run", "jobs:hello")
    assert (ended.code, ended.err) == (1, "job 42 cancelled\ntry: jobctl show 42\n")


def test_an_interrupted_run_leaves_the_job_and_says_how_to_go_on(jobctl: Run, accepting: Any) -> None:
    accepting.answers[messages.Logs] = KeyboardInterrupt()
    ended = jobctl("run", "jobs:hello")
    assert (ended.code, ended.out) == (130, "")
    assert "detached: job 42 goes on" in ended.err
    assert not accepting.asked(messages.Cancel)


def test_run_ends_with_its_own_code_when_the_supervisor_stops(jobctl: Run, accepting: Any) -> None:
    accepting.answers[messages.Logs] = SupervisorUnavailable("the supervisor stops")
    ended = jobctl("run", "jobs:hello")
    assert ended.code == 7
    assert "job 42" in ended.err


def test_run_tells_when_output_was_dropped(jobctl: Run, accepting: Any, job: Run, attempt: Run) -> None:
    accepting.jobs = [job(42, state="succeeded", attempt=1, attempts=[attempt(outcome="ok")])]
    output(accepting, messages.LogReply(1, [chunk(0, b"a\n")], 9, ended=True, dropped_bytes=1234))
    ended = jobctl("run", "jobs:hello")
    assert (ended.code, ended.out) == (0, "a\n")
    assert ended.err.startswith("1,234 bytes in the middle were over the limit")


@pytest.mark.parametrize(
    ("lost", "what"), [(4567, "4,567 bytes of output"), (0, "output")], ids=["counted", "not counted"]
)
def test_run_and_logs_tell_when_output_could_not_be_written(
    jobctl: Run, accepting: Any, job: Run, attempt: Run, lost: int, what: str
) -> None:
    accepting.jobs = [job(42, state="succeeded", attempt=1, attempts=[attempt(outcome="ok")])]
    for verb in (["run", "jobs:hello"], ["logs", "42"]):
        output(
            accepting,
            messages.LogReply(1, [chunk(0, b"a\n")], 2, ended=False),
            messages.LogReply(1, [], 9, ended=True, unwritten_bytes=lost, unwritten_why="No space left on device"),
        )
        ended = jobctl(*verb)
        assert (ended.code, ended.out) == (0, "a\n")
        assert ended.err == f"{what} could not be written: No space left on device\n"


@pytest.mark.parametrize("data, said", [(b"no line end", "\n"), (b"a line\n", ""), (b"", "")])
def test_after_output_without_a_line_end_a_terminal_gets_one(data: bytes, said: str) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    errors = io.StringIO()
    out = Output(Terminal(), errors)
    printer = follow.Printer(out, apart=True)
    if data:
        printer(chunk(0, data))
    printer.end_line()
    assert errors.getvalue() == said


def test_run_as_json_prints_the_job_alone_on_stdout(jobctl: Run, accepting: Any, job: Run, attempt: Run) -> None:
    accepting.jobs = [job(42, state="succeeded", attempt=1, attempts=[attempt(outcome="ok")], result={"n": 1})]
    output(accepting, messages.LogReply(1, [chunk(0, b"words\n")], 6, ended=True))
    ended = jobctl("run", "jobs:hello", "--json")
    assert ended.json["jobs"][0]["result"] == {"n": 1}
    assert ended.err == "words\n"
