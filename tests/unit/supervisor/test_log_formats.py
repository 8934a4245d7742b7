"""The formats of the supervisor's log against the sample lines that they are named after, and against hostile text."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jobyard.protocol.options import LOG_FORMATS
from jobyard.supervisor import log_formats, told
from jobyard.supervisor.told import Told

GOLDEN = Path(__file__).parents[2] / "golden" / "logs"


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def at(text: str) -> float:
    return datetime.fromisoformat(f"2024-11-12T{text}").replace(tzinfo=UTC).timestamp()


def started(name: str, when: str, attempt: int = 1) -> Told:
    return Told("started", at(when), 7, name, "running", attempt, 3, first=attempt == 1)


def ended(name: str, when: str, outcome: str, state: str, attempt: int = 1, error: str = "") -> Told:
    cause = f"RuntimeError: {error}" if error else ""
    return Told("ended", at(when), 7, name, state, attempt, 3, outcome=outcome, error=error, cause=cause)


def written(log_format: str, level: int, message: object, when: float, env: str = "local") -> str:
    record = logging.LogRecord("jobyard.jobs", level, "", 0, message, (), None)
    record.created = when
    return log_formats.formatter(log_format, env).format(record)


def lines(log_format: str, one: Told, params: Any = ()) -> list[str]:
    return [written(log_format, level, line, one.at) for level, line in told.lines(one, params, log_format)]


def said(log_format: str, one: Told, when: str, text: str) -> str:
    return written(log_format, logging.INFO, told.from_job(one, text, []), at(when))


def test_string_is_the_sample_line_by_line() -> None:
    email = ended("Email@send", "18:19:01", "ok", "succeeded")
    first = ended("Invoice@complete", "18:19:18", "error", "queued", error="Sample ERROR")
    second = ended("Invoice@complete", "18:19:28", "ok", "succeeded", attempt=2)
    found = [
        *lines("string", started("Email@send", "18:19:01")),
        said("string", email, "18:19:01", "Sending email to: email@gmail.com, Subject: sbj"),
        said("string", email, "18:19:01", "Email sent successfully to: email@gmail.com"),
        *lines("string", email),
        *lines("string", started("Invoice@complete", "18:19:18")),
        said("string", first, "18:19:18", "starting invoice completion"),
        *lines("string", first),
        *lines("string", started("Invoice@complete", "18:19:28", 2)),
        said("string", second, "18:19:28", "starting invoice completion"),
        said("string", second, "18:19:28", "invoice completed: 123"),
        *lines("string", second),
    ]
    assert found == (GOLDEN / "string.log").read_text().splitlines()


def test_laravel_is_the_sample_line_by_line() -> None:
    name, params = "App\\Jobs\\SendWelcomeEmail@handle", {"user_id": 123}
    refused = told.unauthorised("App\\Jobs\\UnauthorizedJob.method", "not allowed", "laravel")
    found = [
        *lines("laravel", started(name, "10:00:00"), params),
        *lines("laravel", ended(name, "10:00:05", "ok", "succeeded"), params),
        *lines("laravel", ended(name, "10:00:10", "error", "failed", 3, "Some error message"), params),
        written("laravel", logging.ERROR, refused, at("10:00:15")),
    ]
    assert found == (GOLDEN / "laravel.log").read_text().splitlines()


def test_laravel_tells_a_retry_with_its_error_and_which_attempt_of_how_many() -> None:
    (found,) = lines("laravel", ended("Report@send", "10:00:00", "error", "queued", 2, "no route"), [5])
    assert found == (
        "[2024-11-12 10:00:00] local.ERROR: Job attempt 2/3 failed: Report@send "
        '{"error":"no route","params":[5],"status":"pending"}'
    )


def test_json_has_the_keys_and_words_of_the_sample_in_its_order() -> None:
    text = (GOLDEN / "json-keys.txt").read_text()
    keys = list(dict.fromkeys(re.findall(r"'(\w+)' =>", text)))
    wanted = [dict(re.findall(r"'(\w+)' => '([^']*)'", block)) for block in text.split("\n)\n")[:-1]]
    found = [json.loads(line) for line in lines("json", started("Email@send", "18:28:24"), {"email": "a@x"})]
    assert [list(line)[: len(keys)] for line in found] == [keys, keys]
    assert [{key: line[key] for key in keys if key != "additional_info"} for line in found] == wanted
    assert found[0]["additional_info"] == {
        "id": 7,
        "job": "Email@send",
        "params": {"email": "a@x"},
        "attempt": 1,
        "max_attempts": 3,
    }
    assert found[0]["environment"] == "local"


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (started("Mail@send", "10:00:00"), ["job 7 Mail@send: attempt 1/3 started"]),
        (ended("f", "10:00:00", "ok", "succeeded"), ["job 7 f: attempt 1/3 ended ok; succeeded"]),
        (
            ended("f", "10:00:00", "error", "queued", 2, "no"),
            ["job 7 f: attempt 2/3 ended error: RuntimeError: no; it will be tried again"],
        ),
        (
            ended("f", "10:00:00", "error", "failed", 3, "no"),
            ["job 7 f: attempt 3/3 ended error: RuntimeError: no; failed"],
        ),
        (Told("cancelled", 0.0, 7, "f", "cancelled", reason="not needed"), ["job 7 f: cancelled (not needed)"]),
        (Told("submitted", 0.0, 7, "f", "queued"), ["job 7 f: submitted"]),
    ],
)
def test_plain_tells_id_attempt_and_cause(one: Told, expected: list[str]) -> None:
    assert [line.partition("INFO    ")[2] or line.partition("ERROR   ")[2] for line in lines("plain", one)] == expected


@pytest.mark.parametrize("log_format", ["string", "json", "laravel"])
def test_every_format_but_plain_tells_of_cancelling_and_keeps_what_it_has_no_sample_for_to_debug(
    log_format: str,
) -> None:
    cancelled = Told("cancelled", 0.0, 7, "f", "cancelled")
    ((level, line),) = told.lines(cancelled, [], log_format)
    assert level == logging.INFO and "cancelled" in str(line).lower()
    running = ended("f", "10:00:00", "cancelled", "cancelled")
    assert [str(line) for _, line in told.lines(running, [], log_format)] == [str(line)]
    for kind in ("submitted", "requeued"):
        ((level, _),) = told.lines(cancelled._replace(kind=kind, state="queued"), [], log_format)
        assert level == logging.DEBUG


def test_last_failure_ends_like_a_success_does() -> None:
    *_, last = lines("string", ended("f", "10:00:00", "error", "failed", 3, "no"))
    assert last == "[2024-11-12 10:00:00] local.ERROR: f -> FAILED <===============>"


@pytest.mark.parametrize("name", ["os:system", "pkg.mod:Class@method", "UnauthorizedJob@method", "word"])
def test_name_that_is_refused_is_shown_whole_with_its_method_behind_an_at_sign(name: str) -> None:
    line = told.unauthorised(name.replace("@", "."), "why", "laravel")
    assert str(line) == f'Unauthorized job execution attempt: {name} {{"status":"unauthorized"}}'


def test_name_that_is_refused_stays_on_its_line() -> None:
    assert str(told.unauthorised("a\nb\x1b", "why", "string")) == "a\\nb\\x1b -> UNAUTHORIZED: why"


def test_plain_leaves_a_refusal_to_the_line_that_says_who_asked() -> None:
    assert told.unauthorised("os:system", "why", "plain") is None


HOSTILE = "a\x1b[2J\r\n[2024-11-12 10:00:00] local.INFO: forged\u202e\x9b\ud800\0"


@pytest.mark.parametrize("log_format", LOG_FORMATS)
def test_hostile_text_can_neither_move_a_cursor_nor_forge_a_line(log_format: str) -> None:
    one = ended(HOSTILE, "10:00:00", "error", "failed", 3, HOSTILE)
    found = [*lines(log_format, one, [HOSTILE]), said(log_format, one, "10:00:00", HOSTILE)]
    found.append(written(log_format, logging.INFO, HOSTILE, 0.0))
    for text in found:
        first, *more = text.split("\n")
        assert first.isprintable()
        assert all(line.startswith("    ") and line.isprintable() for line in more)
        if log_format == "json":
            assert json.loads(text)


@pytest.mark.parametrize("log_format", LOG_FORMATS)
def test_traceback_is_in_the_record(log_format: str) -> None:
    try:
        raise ValueError("broken \x1b[31m")
    except ValueError:
        record = logging.LogRecord("jobyard", logging.ERROR, "", 0, "it %s", ("failed",), sys.exc_info())
    text = log_formats.formatter(log_format, "local").format(record)
    assert "it failed" in text and "ValueError: broken" in text and "\x1b" not in text
    assert ("\n" in text) is (log_format != "json")


def test_environment_is_in_the_line() -> None:
    assert ".ERROR: x" in written("string", logging.ERROR, "x", 0.0, "production")
    assert " production.ERROR: x" in written("laravel", logging.ERROR, "x", 0.0, "production")
    assert json.loads(written("json", logging.ERROR, "x", 0.0, "production"))["environment"] == "production"


def test_colours_stand_around_the_line_of_any_format() -> None:
    inner = log_formats.formatter("string", "local")
    record = logging.LogRecord("jobyard", logging.ERROR, "", 0, "x", (), None)
    plain, coloured = inner.format(record), log_formats.coloured(inner).format(record)
    assert coloured == f"\x1b[31m{plain}\x1b[0m"
