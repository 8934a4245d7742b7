from __future__ import annotations

import pickle
import traceback
from typing import Any

import pytest
from fake_supervisor import failed_info, make_info
from jobyard.client.outcome import outcome_error
from jobyard.protocol import states
from jobyard.protocol.errors import JobCancelled, JobCrashed, JobFailed, JobLost, JobOutcomeError, JobTimedOut
from jobyard.protocol.job import Policy


@pytest.mark.parametrize("state", sorted(states.UNFINISHED | {states.SUCCEEDED}))
def test_job_that_succeeded_or_has_not_ended_raises_nothing(state: str) -> None:
    assert outcome_error(make_info(1, state)) is None


def failed(outcome: str, **attempt: Any) -> JobOutcomeError:
    policy = Policy(timeout_s=30.0, stall_timeout_s=5.0)
    error = outcome_error(make_info(7, states.FAILED, outcome=outcome, attempt_fields=attempt, policy=policy))
    assert error is not None
    return error


@pytest.mark.parametrize(
    "outcome, attempt, kind, message",
    [
        (states.TIMEOUT, {}, JobTimedOut, "job 7 (build) in attempt 1 ran longer than its timeout of 30 s"),
        (states.TIMEOUT, {"signal": "SIGKILL"}, JobTimedOut, "ran longer than its timeout of 30 s and was killed"),
        (states.EXITED, {"exit_code": 71}, JobCrashed, "could not send its result (exit code 71: did it close"),
        (states.STALLED, {}, JobTimedOut, "gave no sign of life for longer than its stall timeout of 5 s"),
        (states.SIGNALLED, {"signal": "SIGSEGV"}, JobCrashed, "was killed by SIGSEGV"),
        (states.EXITED, {"exit_code": 3}, JobCrashed, "ended with exit code 3 and without a result"),
        (states.OOM, {"signal": "SIGKILL"}, JobCrashed, "was killed for want of memory"),
        (states.LOST, {"reason": "the zygote died"}, JobLost, "was lost: the zygote died"),
        (states.LOST, {}, JobLost, "was lost: what ran it went down"),
        (states.OK, {"reason": "a result of 2 MiB"}, JobOutcomeError, "failed: a result of 2 MiB"),
        (states.CANCELLED_ATTEMPT, {}, JobOutcomeError, "failed: cancelled"),
    ],
)
def test_last_attempt_decides_the_error(
    outcome: str, attempt: dict[str, Any], kind: type[JobOutcomeError], message: str
) -> None:
    error = failed(outcome, **attempt)
    assert type(error) is kind and message in error.message
    assert not isinstance(error, TimeoutError)


def test_timed_out_job_without_a_timeout_of_its_own_names_none() -> None:
    error = outcome_error(make_info(7, states.FAILED, outcome=states.TIMEOUT))
    assert error is not None and error.message.endswith("ran longer than its timeout")


def test_crash_carries_signal_exit_code_and_oom() -> None:
    error = failed(states.OOM, signal="SIGKILL")
    assert isinstance(error, JobCrashed)
    assert (error.signal, error.exit_code, error.oom) == ("SIGKILL", None, True)


def test_failure_carries_what_was_raised_and_shows_the_traceback() -> None:
    error = outcome_error(failed_info(3))
    assert isinstance(error, JobFailed)
    assert (error.type, error.details["message"], error.attempts) == ("builtins.ValueError", "no such month", 1)
    assert error.message == "job 3 (build) in attempt 1 raised builtins.ValueError: no such month"
    assert "Traceback (most recent call last):" in error.traceback
    assert error.traceback in "".join(traceback.format_exception(error))


def test_failure_without_a_message_ends_with_the_type() -> None:
    error = outcome_error(failed_info(3, message=""))
    assert error is not None and error.message.endswith("raised builtins.ValueError")


def test_error_outcome_without_its_error_still_makes_an_error() -> None:
    assert failed(states.ERROR).message.endswith("failed: error")


@pytest.mark.parametrize("reason, end", [("by ann", "was cancelled: by ann"), (None, "was cancelled")])
def test_cancelled_job_says_why(reason: str | None, end: str) -> None:
    error = outcome_error(make_info(1, states.CANCELLED, reason=reason))
    assert isinstance(error, JobCancelled) and error.message.endswith(end)


@pytest.mark.parametrize("reason, end", [("expired", "failed: expired"), (None, "failed: it was never started")])
def test_job_that_failed_without_an_attempt_says_why(reason: str | None, end: str) -> None:
    error = outcome_error(make_info(1, states.FAILED, reason=reason))
    assert error is not None and error.message.endswith(end)


def test_errors_can_be_pickled() -> None:
    error = outcome_error(failed_info(3))
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is JobFailed and error is not None and again.to_wire() == error.to_wire()
