"""What the log is told of a job, and the lines that each format makes of it. Pure.

Owns the words. ``log_formats.py`` puts time and level around them; ``story.py`` knows when something is told. The words
of ``string``, ``json`` and ``laravel`` are those of other job runners, so that what reads their logs reads ours; they
are kept as they are, also where ours would differ: "completed" for succeeded, attempts counted from 0, an error told
before and after its attempt is given up.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..protocol.states import CANCELLED, COARSE, FAILED, FINISHED, OK
from ..protocol.text import HOSTILE, clean

PLAIN, STRING, JSON, LARAVEL = "plain", "string", "json", "laravel"
SUBMITTED, STARTED, ENDED, JOB_CANCELLED, REQUEUED = "submitted", "started", "ended", "cancelled", "requeued"
BAR = "<===============>"


class Told(NamedTuple):
    """One change of a job, as it was when it happened.

    Attributes:
        kind: one of the constants above.
        at: when, in seconds since the epoch.
        state: of the job after it.
        attempt, most: number of the attempt, and how many there may be.
        first: nothing has been tried yet.
        error: what went wrong in the attempt, in one line; ``cause`` says the kind of it too.
        reason: why the job was cancelled or put back.
    """

    kind: str
    at: float
    id: int
    name: str
    state: str
    attempt: int = 0
    most: int = 0
    first: bool = False
    outcome: str | None = None
    error: str = ""
    cause: str = ""
    reason: str = ""


class JobLine(NamedTuple):
    """The message of a log record that is about a job; ``str`` is the line's text."""

    name: str
    status: str
    text: str
    info: dict[str, Any]

    def __str__(self) -> str:
        return self.text


Lines = Iterator[tuple[int, JobLine]]


def lines(told: Told, params: Any, log_format: str) -> Lines:
    """The lines that a format has for this, with their levels; ``params`` are arguments as the log may show them."""
    match log_format:
        case "plain":
            return _plain(told)
        case "laravel":
            return _laravel(told, params)
    return _words(told, params)


def from_job(told: Told, text: str, params: Any) -> JobLine:
    """The line for something that the job itself has said."""
    return _word(told, f"FROM_JOB_CLASS: {{{text}}}", params)


def unauthorised(name: str, why: str, log_format: str) -> JobLine | None:
    """The line for an attempt to run what the config does not allow; None in ``plain``, where the refusal says it."""
    if log_format == PLAIN:
        return None
    name = clean(name)
    if log_format == LARAVEL:
        message = f"Unauthorized job execution attempt: {_at(name)}"
        return JobLine(name, "unauthorized", f"{message} {compact({'status': 'unauthorized'})}", {})
    status = f"UNAUTHORIZED: {why}"
    return JobLine(_at(name), status, f"{_at(name)} -> {status}", {})


def compact(value: Any) -> str:
    """JSON in one line, with nothing in it that is hostile to a terminal."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return HOSTILE.sub(lambda found: json.dumps(found[0])[1:-1], text)


def _at(name: str) -> str:
    """``Class@method`` of a name that nobody knows."""
    owner, dot, method = name.rpartition(".")
    return f"{owner}@{method}" if dot and ":" not in method else name


# -- plain -------------------------------------------------------------------------------------------------------------


def _plain(told: Told) -> Lines:
    level = logging.INFO
    what = f"attempt {told.attempt}/{told.most}"
    match told.kind:
        case "started":
            what += " started"
        case "ended":
            if told.outcome not in (OK, CANCELLED):
                level = logging.ERROR
            cause = f": {told.cause}" if told.cause else ""
            then = told.state if told.state in FINISHED else "it will be tried again"
            what += f" ended {told.outcome}{cause}; {then}"
        case kind:
            what = f"{kind} ({told.reason})" if told.reason else kind
    yield level, JobLine(told.name, told.kind, f"job {told.id} {told.name}: {what}", {})


# -- string and json ---------------------------------------------------------------------------------------------------


def _words(told: Told, params: Any) -> Lines:
    match told.kind:
        case "started":
            if told.first:
                yield logging.INFO, _word(told, f"RUNNING {BAR}", params)
            yield logging.INFO, _word(told, f"ATTEMPT: {told.attempt - 1}", params)
        case "ended" if told.outcome == OK:
            yield logging.INFO, _word(told, f"SUCCEED {BAR}", params)
        case "ended" if told.state != CANCELLED:
            yield logging.ERROR, _word(told, told.error, params)
            yield logging.INFO, _word(told, f"FAILED attempt #{told.attempt}", params)
            yield logging.ERROR, _word(told, told.error, params)
            if told.state == FAILED:
                yield logging.ERROR, _word(told, f"FAILED {BAR}", params)
        case "ended" | "cancelled":
            yield logging.INFO, _word(told, f"CANCELLED {BAR}", params)
        case kind:
            yield logging.DEBUG, _word(told, kind.upper(), params)


def _word(told: Told, status: str, params: Any) -> JobLine:
    name = told.name.partition("@")[0]
    info: dict[str, Any] = {"id": told.id, "job": told.name, "params": params}
    if told.attempt:
        info |= {"attempt": told.attempt, "max_attempts": told.most}
    if told.error:
        info["error"] = told.error
    return JobLine(name, status, f"{name} -> {status}", info)


# -- laravel -----------------------------------------------------------------------------------------------------------


def _laravel(told: Told, params: Any) -> Lines:
    match told.kind:
        case "started":
            yield logging.INFO, _sentence(told, "Job started", params)
        case "ended" if told.outcome == OK:
            yield logging.INFO, _sentence(told, "Job completed", params)
        case "ended" if told.state == FAILED:
            yield logging.ERROR, _sentence(told, "Job failed", params)
        case "ended" if told.state != CANCELLED:
            yield logging.ERROR, _sentence(told, f"Job attempt {told.attempt}/{told.most} failed", params)
        case "ended" | "cancelled":
            yield logging.INFO, _sentence(told, "Job cancelled", params)
        case kind:
            yield logging.DEBUG, _sentence(told, f"Job {kind}", params)


def _sentence(told: Told, what: str, params: Any) -> JobLine:
    status = told.state if told.state == CANCELLED else COARSE[told.state]
    info = {"error": told.error} if told.error else {}
    info |= {"params": params, "status": status}
    return JobLine(told.name, status, f"{what}: {told.name} {compact(info)}", info)
