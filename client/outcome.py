"""What ``result()`` raises for a job that ended without a result. Pure: from what is known of the job to an error."""

from __future__ import annotations

from typing import Any

from ..protocol import states
from ..protocol.errors import JobCancelled, JobCrashed, JobFailed, JobLost, JobOutcomeError, JobTimedOut
from ..protocol.job import AttemptInfo, JobInfo


def outcome_error(info: JobInfo) -> JobOutcomeError | None:
    """The error that tells how the job ended; None if it succeeded or is not finished."""
    if info.state == states.CANCELLED:
        why = f": {info.reason}" if info.reason else ""
        return JobCancelled(f"{_job(info)} was cancelled{why}", details={"id": info.id, "reason": info.reason})
    if info.state != states.FAILED:
        return None
    last = info.last_attempt
    if last is None:
        why = info.reason or "it was never started"
        return JobOutcomeError(f"{_job(info)} failed: {why}", details={"id": info.id, "reason": info.reason})
    return _attempt_error(info, last)


def _attempt_error(info: JobInfo, last: AttemptInfo) -> JobOutcomeError:
    facts: dict[str, Any] = {"id": info.id, "attempts": info.attempt, "reason": last.reason}
    where = f"{_job(info)} in attempt {last.number}"
    if last.error is not None and last.outcome == states.ERROR:
        return _failed(where, last, facts)
    if last.outcome == states.TIMEOUT:
        limit = _seconds(info.policy.timeout_s)
        return JobTimedOut(f"{where} ran longer than its timeout{limit}{_killed(last)}", details=facts)
    if last.outcome == states.STALLED:
        limit = _seconds(info.policy.stall_timeout_s)
        return JobTimedOut(
            f"{where} gave no sign of life for longer than its stall timeout{limit}{_killed(last)}", details=facts
        )
    if last.outcome in states.CRASHES:
        facts |= {"signal": last.signal, "exit_code": last.exit_code, "oom": last.outcome == states.OOM}
        why = f" ({last.reason})" if last.reason else ""
        return JobCrashed(f"{where} {_crash(last)}{why}", details=facts)
    if last.outcome == states.LOST:
        return JobLost(f"{where} was lost: {last.reason or 'what ran it went down'}", details=facts)
    return JobOutcomeError(f"{where} failed: {last.reason or last.outcome}", details=facts)


def _failed(where: str, last: AttemptInfo, facts: dict[str, Any]) -> JobFailed:
    assert last.error is not None
    raised = last.error
    text = f"{raised.type}: {raised.message}" if raised.message else raised.type
    error = JobFailed(
        f"{where} raised {text}",
        details={**facts, "type": raised.type, "message": raised.message, "traceback": raised.traceback},
    )
    if raised.traceback:
        error.add_note(f"in the job:\n{raised.traceback.rstrip()}")
    return error


def _crash(last: AttemptInfo) -> str:
    if last.outcome == states.OOM:
        return "was killed for want of memory"
    if last.signal:
        return f"was killed by {last.signal}"
    if last.exit_code == states.CUT_OFF:
        return f"could not send its result ({states.CUT_OFF_CAUSE})"
    return f"ended with exit code {last.exit_code} and without a result"


def _killed(last: AttemptInfo) -> str:
    return " and was killed" if last.signal == "SIGKILL" else ""


def _seconds(limit: float | None) -> str:
    return "" if limit is None else f" of {limit:g} s"


def _job(info: JobInfo) -> str:
    return f"job {info.id} ({info.name})"
