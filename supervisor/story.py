"""What the supervisor's log says of jobs, in one place: which change is told, and when its lines are written.

A line takes longer to write than all else that a change costs the loop, and much less in a row with others. So what is
told is kept until the loop has a moment, and only its order is owed to anyone: what a job went through is in the
journal. The words are ``told.py``'s.
"""

from __future__ import annotations

import logging
import time
from typing import Any, NamedTuple, Protocol

from ..conf.paths import Paths
from ..conf.settings import Settings
from ..protocol.job import AttemptInfo
from ..protocol.states import CANCELLED_ATTEMPT, CUT_OFF, CUT_OFF_CAUSE, EXITED, FINISHED, OK, QUEUED, RUNNING
from . import excerpt, params, told
from .core.effects import Notify
from .core.machine import Machine
from .core.state import Job
from .told import ENDED, STARTED, Told

log = logging.getLogger("jobyard.jobs")
ERROR_CHARS_MAX = 200
_QUIET_KINDS = frozenset({told.SUBMITTED, told.REQUEUED})  # told at level debug by every format but "plain"


class Source(Protocol):
    """What the story needs of the office."""

    settings: Settings
    paths: Paths
    log_format: str


class _Kept(NamedTuple):
    """A notice, and what changes of a job as it was then; to keep it is all that a notice costs the loop."""

    notice: Notify
    job: Job
    state: str
    attempt: int
    spent: int
    attempts: tuple[AttemptInfo, ...]
    reason: str | None


class Story:
    """Tells the log of each notice that became durable; ``len`` is the number of changes that are not written yet."""

    def __init__(self, machine: Machine, source: Source) -> None:
        self._machine = machine
        self._source = source
        self._kept: list[_Kept] = []

    def __len__(self) -> int:
        return len(self._kept)

    def tell(self, notice: Notify) -> None:
        """Keep what happened, as it is now."""
        plain = self._source.log_format == told.PLAIN
        if notice.kind == "progress" or not log.isEnabledFor(_level(notice, plain)):
            return
        job = self._machine.state.jobs.get(notice.job_id)
        if job is not None:
            self._kept.append(_Kept(notice, job, job.state, job.attempt, job.spent, job.attempts, job.reason))

    def write(self) -> None:
        """Write what was kept."""
        kept, self._kept = self._kept, []
        for one in kept:
            self._write(_told(one), one.job)

    def unauthorised(self, name: str, why: str) -> None:
        """Somebody asked for a job that the config does not allow."""
        line = told.unauthorised(name[:ERROR_CHARS_MAX], why, self._source.log_format)
        if line is not None:
            _emit(logging.ERROR, line, time.time())

    def _write(self, one: Told, job: Job) -> None:
        log_format = self._source.log_format
        shown = () if log_format in (told.PLAIN, told.STRING) else self._params(job)
        if one.kind == ENDED and log_format in (told.STRING, told.JSON):
            limit = self._source.settings.limits.logged_output_bytes
            for said in excerpt.beginning(str(self._source.paths.output_dir), one.id, one.attempt, limit):
                _emit(said.level, told.from_job(one, said.text, shown), said.at)
        for level, line in told.lines(one, shown, log_format):
            _emit(level, line, one.at)

    def _params(self, job: Job) -> Any:
        return params.shown(job.shown_payload, self._source.settings.limits.logged_argument_bytes)


def _level(notice: Notify, plain: bool) -> int:
    """The highest that one of its lines may have."""
    if notice.kind == ENDED and notice.outcome not in (OK, CANCELLED_ATTEMPT):
        return logging.ERROR
    return logging.DEBUG if notice.kind in _QUIET_KINDS and not plain else logging.INFO


def _emit(level: int, line: told.JobLine, at: float) -> None:
    """A record of the time at which it happened."""
    if log.isEnabledFor(level):
        record = log.makeRecord(log.name, level, "", 0, line, (), None)
        record.created, record.msecs = at, at % 1 * 1000
        log.handle(record)


def _told(kept: _Kept) -> Told:
    """The job may have gone on before its notice came, so that what that says counts, and of the rest what stays."""
    notice, job = kept.notice, kept.job
    info = next((info for info in kept.attempts if info.number == notice.attempt), None)
    if notice.kind not in (STARTED, ENDED) or info is None:
        state = kept.state if notice.kind == told.JOB_CANCELLED else QUEUED
        return Told(notice.kind, notice.at, job.id, job.name, state, reason=kept.reason or "")
    not_counted = kept.attempt - kept.spent - (kept.state == RUNNING)  # such as those that were lost
    most = job.policy.retry.max_attempts + not_counted
    if notice.kind == STARTED:
        return Told(STARTED, info.started_at, job.id, job.name, RUNNING, notice.attempt, most, first=kept.spent == 0)
    state = kept.state if kept.state in FINISHED else QUEUED
    error, cause = _what_went_wrong(info)
    at = info.ended_at or notice.at
    return Told(ENDED, at, job.id, job.name, state, notice.attempt, most, False, notice.outcome, error, cause)


def _what_went_wrong(info: AttemptInfo) -> tuple[str, str]:
    """In one line: the message alone, and the message with what kind of error it is."""
    if info.error is not None:
        message = info.error.message.splitlines()[0][:ERROR_CHARS_MAX] if info.error.message else ""
        return message or info.error.type, f"{info.error.type}: {message}"
    if info.signal is not None:
        return f"killed by {info.signal}", info.signal
    if info.exit_code is not None and info.outcome == EXITED:
        said = CUT_OFF_CAUSE if info.exit_code == CUT_OFF else f"exit code {info.exit_code}"
        return said, said
    return "" if info.outcome in (None, OK) else info.outcome, ""


def cause(job: Job, notice: Notify) -> str | None:
    """Why the attempt that a notice is about ended so, in one line; None if its outcome says it all."""
    info = next((info for info in job.attempts if info.number == notice.attempt), None)
    return None if info is None else _what_went_wrong(info)[1] or None
