from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from jobyard.client.cli import documents, views
from jobyard.protocol import messages
from jobyard.protocol.job import AttemptInfo, ErrorInfo, JobInfo, Policy, Progress, RetryPolicy, Usage

NOON = 1_790_856_000.0
Build = Callable[..., Any]
CUT_OFF = "exit code 71: did it close descriptors that are not its own?"

FAILURE = ErrorInfo(
    "builtins.ValueError",
    "no such order: 7",
    'Traceback (most recent call last):\n  File "jobs.py", line 3, in hello\nValueError: no such order: 7\n',
)


@pytest.fixture
def failed(job: Build, attempt: Build) -> JobInfo:
    usage = Usage(cpu_user_s=0.1, cpu_system_s=0.05, peak_rss_bytes=3_250_586, base_rss_bytes=9_000_000)
    info: JobInfo = job(
        42,
        args=("Ann", 7),
        kwargs={"loud": True},
        state="failed",
        policy=Policy(retry=RetryPolicy(max_attempts=2), timeout_s=600.0),
        started_at=NOON + 1,
        finished_at=NOON + 11,
        attempt=2,
        key="k-7",
        tags={"user": "7"},
        attempts=[
            attempt(
                1, ended_at=NOON + 2, outcome="signalled", signal="SIGSEGV", usage=replace(usage, approximate=True)
            ),
            attempt(
                2,
                started_at=NOON + 7,
                ended_at=NOON + 11,
                outcome="error",
                error=FAILURE,
                usage=usage,
                log="/l/42.2.log",
            ),
        ],
    )
    return info


def test_the_details_of_a_job_hold_everything(failed: JobInfo) -> None:
    assert views.job_details(failed, NOON + 60) == (
        "job 42  failed\n"
        "  job        jobs:hello  (hello)\n"
        "  arguments  'Ann', 7, loud=True\n"
        "  queue      default  (pool default, priority 0)\n"
        "  created    2026-10-01 12:00:00\n"
        "  started    2026-10-01 12:00:01\n"
        "  finished   2026-10-01 12:00:11\n"
        "  took       10.0 s\n"
        "  attempts   2 of 2\n"
        "  limits     timeout 10m 00s\n"
        "  key        k-7\n"
        "  tags       user=7\n"
        "  note       ValueError: no such order: 7\n"
        "  log        /l/42.2.log\n"
        "  uid        0000000000000000000000000000002a\n"
        "\n"
        "  NO  STARTED                TOOK       CPU  PEAK MEMORY   PID  OUTCOME\n"
        "   1  2026-10-01 12:00:01  1.00 s  ~0.150 s     ~3.1 MiB  4711  its process was killed by SIGSEGV\n"
        "   2  2026-10-01 12:00:07  4.00 s   0.150 s      3.1 MiB  4711  ValueError: no such order: 7\n"
        "\n"
        "  error of attempt 2:\n"
        "    Traceback (most recent call last):\n"
        '      File "jobs.py", line 3, in hello\n'
        "    ValueError: no such order: 7"
    )


@pytest.mark.parametrize(
    ("outcome", "said"), [("cancelled", True), ("timeout", True), ("stalled", True), ("error", False)]
)
def test_an_attempt_that_was_stopped_shows_where_it_was_and_not_an_error(
    job: Build, attempt: Build, outcome: str, said: bool
) -> None:
    error = ErrorInfo("jobyard.protocol.errors.CancelRequested", "by ann", "Traceback ...\n  in hello\n")
    info = job(state="cancelled", attempt=1, attempts=[attempt(outcome=outcome, error=error)])
    text = views.job_details(info, NOON + 60)
    assert ("  attempt 1 was stopped here:\n    Traceback" in text) is said
    assert ("  error of attempt 1:" in text) is not said


def test_the_details_of_a_job_hold_its_warnings(job: Build) -> None:
    text = views.job_details(
        job(7, state="succeeded", warnings=["attempt 1: output lost", "attempt 2: likewise"]), NOON
    )
    assert "  warning    attempt 1: output lost\n  warning    attempt 2: likewise\n" in text


def test_an_argument_cannot_forge_a_line_of_the_details(job: Build) -> None:
    text = views.job_details(job(7, tags={"a\n  key  forged": "b"}, key="x\r\ny"), NOON)
    assert [line for line in text.splitlines() if "forged" in line] == ["  tags       a\\n  key  forged=b"]
    assert "  key        x\\r\\ny" in text


@pytest.mark.parametrize(
    "fields, note",
    [
        ({"state": "queued"}, ""),
        ({"state": "running", "progress": Progress(3, 10, "pages")}, "3/10 pages"),
        ({"state": "running", "progress": Progress(3)}, "3"),
        ({"state": "running", "cancel_requested": True}, "being cancelled"),
        ({"state": "scheduled", "run_at": NOON + 30}, "starts in 30.0 s"),
        ({"state": "cancelled", "reason": "not needed"}, "not needed"),
        ({"state": "failed", "reason": "expired"}, "expired"),
        ({"state": "succeeded"}, ""),
    ],
)
def test_the_note_says_the_one_thing_worth_saying(job: Build, fields: dict[str, Any], note: str) -> None:
    assert views.note(job(1, **fields), NOON) == note


def test_the_note_of_a_job_that_waits_for_its_next_attempt_says_why(job: Build, attempt: Build) -> None:
    info = job(1, state="scheduled", run_at=NOON + 5, attempt=1, attempts=[attempt(outcome="error", error=FAILURE)])
    assert views.note(info, NOON) == "again in 5.00 s, after: ValueError: no such order: 7"


@pytest.mark.parametrize(
    "fields, words",
    [
        ({}, "running"),
        ({"outcome": "ok"}, "ok"),
        ({"outcome": "exited", "exit_code": 3}, "its process ended with exit code 3 and no result"),
        ({"outcome": "oom"}, "its process was killed for want of memory"),
        ({"outcome": "exited", "exit_code": 71}, f"its process could not send its result ({CUT_OFF})"),
        ({"outcome": "timeout", "error": FAILURE}, "ran into its timeout of 1m 30s"),
        ({"outcome": "timeout", "signal": "SIGKILL"}, "ran into its timeout of 1m 30s and was killed"),
        ({"outcome": "timeout", "signal": "SIGTERM"}, "ran into its timeout of 1m 30s"),
        ({"outcome": "stalled"}, "gave no sign of life for its stall timeout of 2.00 s"),
        (
            {"outcome": "stalled", "signal": "SIGKILL"},
            "gave no sign of life for its stall timeout of 2.00 s and was killed",
        ),
        ({"outcome": "cancelled", "reason": "by ann"}, "cancelled (by ann)"),
        ({"outcome": "cancelled", "reason": "by ann", "signal": "SIGKILL"}, "cancelled and was killed (by ann)"),
        ({"outcome": "signalled", "signal": "SIGKILL"}, "its process was killed by SIGKILL"),
        ({"outcome": "error", "error": ErrorInfo("E", "\n")}, "E"),
        ({"outcome": "error", "error": ErrorInfo("", "")}, "error"),
    ],
)
def test_outcomes_are_told_in_words(attempt: Callable[..., AttemptInfo], fields: dict[str, Any], words: str) -> None:
    assert views.outcome(attempt(**fields), Policy(timeout_s=90.0, stall_timeout_s=2.0)) == words


def test_outcome_of_a_timeout_whose_value_is_gone_is_told_all_the_same(attempt: Callable[..., AttemptInfo]) -> None:
    assert views.outcome(attempt(outcome="timeout"), Policy()) == "ran into its timeout"


def test_arguments_that_cannot_be_decoded_are_no_reason_to_fail(job: Build) -> None:
    info = job(1, payload=b"\xc1", state="succeeded", result_payload=b"\xc1")
    assert "(cannot be decoded)" in views.job_details(info, NOON)
    assert documents.job(info)["args"] is None
    assert documents.job(info)["result"] is None


def test_a_huge_value_is_cut_for_people(job: Build) -> None:
    text = views.job_details(job(1, args=("x" * 10_000, 10**5000)), NOON)
    assert len(text) < 2 * views.VALUE_CHARS_MAX + 1000


def test_a_job_as_json_has_every_key_with_its_unit(failed: JobInfo) -> None:
    document = documents.job(failed)
    assert document["created_at"] == "2026-10-01T12:00:00.000000Z"
    assert document["expires_at"] is None
    assert document["timeout_s"] == 600.0
    assert document["args"] == ["Ann", 7]
    assert document["kwargs"] == {"loud": True}
    assert document["error"] == {"type": FAILURE.type, "message": FAILURE.message, "traceback": FAILURE.traceback}
    assert document["retry"]["delays_s"] == [5.0]
    assert document["attempts"][0] == {
        "number": 1,
        "started_at": "2026-10-01T12:00:01.000000Z",
        "ended_at": "2026-10-01T12:00:02.000000Z",
        "outcome": "signalled",
        "exit_code": None,
        "signal": "SIGSEGV",
        "reason": None,
        "error": None,
        "cpu_user_s": 0.1,
        "cpu_system_s": 0.05,
        "peak_rss_bytes": 3_250_586,
        "base_rss_bytes": 9_000_000,
        "usage_approximate": True,
        "wait_s": 0.0,
        "pid": 4711,
        "host": "here",
        "pool": "default",
        "code_version": None,
        "log": None,
    }


def test_every_job_has_the_same_keys_in_json(job: Build, failed: JobInfo) -> None:
    assert list(documents.job(job(1))) == list(documents.job(failed))


@pytest.mark.parametrize(
    "value, plain",
    [
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (b"\xff", {"base64": "/w=="}),
        ((1, {2}), [1, [2]]),
        ({1: datetime(2026, 10, 1, tzinfo=UTC)}, {"1": "2026-10-01T00:00:00+00:00"}),
        (Decimal("1.10"), "1.10"),
        (True, True),
        (2**80, 2**80),
    ],
)
def test_values_that_json_has_no_word_for_become_text(value: Any, plain: Any) -> None:
    assert documents.plain(value) == plain


def test_an_integer_too_long_for_decimal_digits_is_hexadecimal() -> None:
    assert documents.plain(1 << 20_000) == hex(1 << 20_000)


def parameter(name: str, kind: str, **rest: Any) -> messages.Parameter:
    return messages.Parameter(name, kind, "default" not in rest, **rest)


@pytest.mark.parametrize(
    "parameters, text",
    [
        ([], "m:f()"),
        ([parameter("a", "either", annotation="int"), parameter("b", "either", default="2")], "m:f(a: int, b=2)"),
        ([parameter("a", "positional"), parameter("b", "either")], "m:f(a, /, b)"),
        ([parameter("a", "positional")], "m:f(a, /)"),
        ([parameter("k", "named", annotation="str", default="'x'")], "m:f(*, k: str = 'x')"),
        ([parameter("rest", "args"), parameter("k", "named"), parameter("more", "kwargs")], "m:f(*rest, k, **more)"),
    ],
)
def test_a_signature_reads_as_in_the_source(parameters: list[messages.Parameter], text: str) -> None:
    assert views.signature(messages.CatalogEntry("m:f", "default", parameters)) == text
