"""Every error that jobyard raises or sends, in one tree.

    JobyardError                     code, hint, details
    +- SupervisorUnavailable         also ConnectionError
    +- OutcomeUnknown                the request may or may not have taken effect
    +- ProtocolError  VersionMismatch  TooDeep (also ProtocolError)
    +- NotAllowed  BadArguments (also TypeError)  NotSerializable (also TypeError)  NotImportable
    +- UnknownQueue  QueueFull  QueueDraining  DuplicateJob  JobNotFound (also LookupError)  WrongState
    +- StorageUnavailable  HistoryUnavailable  TooLarge  RateLimited  Unauthorised  InvalidConfig
    +- WaitTimeout                   also TimeoutError
    +- NoCurrentJob
    +- JobOutcomeError               what ``result()`` raises
       +- JobFailed  JobTimedOut  JobCancelled  JobCrashed  JobLost

Inside a job: ``RetryLater`` and ``GiveUp`` are raised by the job; ``CancelRequested`` and ``SoftTimeout`` are raised in
it, and derive from BaseException so that a broad ``except Exception`` does not swallow them.

An error crosses the wire as ``{code, message, hint, details}``; ``from_wire`` rebuilds it from the closed table of
codes below and never from a name in the data.
"""

from __future__ import annotations

from typing import Any, ClassVar


class JobyardError(Exception):
    """Base of all errors of jobyard.

    Attributes:
        code: stable name for programs.
        hint: one thing to try, or "".
        details: further facts, always plain values.
    """

    code: ClassVar[str] = "error"

    def __init__(self, message: str = "", *, hint: str = "", details: dict[str, Any] | None = None) -> None:
        self.message = message or _first_line(type(self))
        self.hint = hint
        self.details = details or {}
        super().__init__(self.message)

    @property
    def advice(self) -> str:
        """The hint as a line of its own; unless it is a question or a list, with the word "try" before it."""
        question = self.hint.endswith("?") or self.hint.startswith("known:")
        return self.hint if question or not self.hint else f"try: {self.hint}"

    def __str__(self) -> str:
        return f"{self.message}\n{self.advice}" if self.hint else self.message

    def to_wire(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message, "hint": self.hint, "details": self.details}

    def __reduce__(self) -> tuple[Any, ...]:
        return (from_wire, (self.to_wire(),))


class SupervisorUnavailable(JobyardError, ConnectionError):
    """No supervisor answers."""

    code = "supervisor_unavailable"


class OutcomeUnknown(JobyardError):
    """The connection or the storage failed while the request was under way: it may or may not have taken effect."""

    code = "outcome_unknown"


class ProtocolError(JobyardError):
    """The other side sent something that is not a valid message."""

    code = "bad_request"


class TooDeep(ProtocolError):
    """A message is nested too deep, or has too many elements."""

    code = "too_deep"


class VersionMismatch(JobyardError):
    """Client and supervisor speak different versions of the protocol."""

    code = "version_mismatch"


class NotAllowed(JobyardError):
    """The config does not allow this job."""

    code = "not_allowed"


class BadArguments(JobyardError, TypeError):
    """The arguments do not fit."""

    code = "bad_arguments"


class NotSerializable(JobyardError, TypeError):
    """A value is of a type that cannot be sent."""

    code = "not_serializable"


class NotImportable(JobyardError):
    """A function that another process cannot import by name."""

    code = "not_importable"


class UnknownQueue(JobyardError):
    """The config declares no such queue."""

    code = "unknown_queue"


class QueueFull(JobyardError):
    """A limit on the number or size of unfinished jobs is reached."""

    code = "queue_full"


class QueueDraining(JobyardError):
    """The queue finishes what it has and takes no new jobs."""

    code = "queue_draining"


class DuplicateJob(JobyardError):
    """An unfinished job with the same key exists."""

    code = "duplicate_job"


class JobNotFound(JobyardError, LookupError):
    """There is no such job."""

    code = "job_not_found"


class WrongState(JobyardError):
    """The job is in a state in which this cannot be done."""

    code = "wrong_state"


class StorageUnavailable(JobyardError):
    """The journal cannot be written, so nothing new is accepted."""

    code = "storage_unavailable"


class HistoryUnavailable(JobyardError):
    """Finished jobs that have left memory cannot be looked up now."""

    code = "history_unavailable"


class TooLarge(JobyardError):
    """A value or message is over its limit."""

    code = "too_large"


class RateLimited(JobyardError):
    """This client has too many requests under way."""

    code = "rate_limited"


class Unauthorised(JobyardError):
    """This user may not do that."""

    code = "unauthorised"


class InvalidConfig(JobyardError):
    """The config has mistakes; ``details["problems"]`` lists them all."""

    code = "invalid_config"


class WaitTimeout(JobyardError, TimeoutError):
    """The time given for waiting is over; the job goes on."""

    code = "wait_timeout"


class NoCurrentJob(JobyardError):
    """No job is being run here."""

    code = "no_current_job"


class JobOutcomeError(JobyardError):
    """The job ended without a result."""

    code = "job_outcome"


class JobFailed(JobOutcomeError):
    """The job raised an exception in its last attempt.

    Attributes:
        type: qualified name of the exception's class.
        traceback: its formatted traceback.
        attempts: how many attempts were made.
    """

    code = "job_failed"

    @property
    def type(self) -> str:
        return str(self.details.get("type", ""))

    @property
    def traceback(self) -> str:
        return str(self.details.get("traceback", ""))

    @property
    def attempts(self) -> int:
        return int(self.details.get("attempts", 0))


class JobTimedOut(JobOutcomeError):
    """The job ran longer than its timeout in its last attempt."""

    code = "job_timed_out"


class JobCancelled(JobOutcomeError):
    """The job was cancelled."""

    code = "job_cancelled"


class JobCrashed(JobOutcomeError):
    """The job's process ended without a result.

    Attributes:
        signal: name of the signal that ended it, or None.
        exit_code: its exit code, or None.
        oom: whether the kernel killed it for want of memory, as far as that is known.
    """

    code = "job_crashed"

    @property
    def signal(self) -> str | None:
        return self.details.get("signal")

    @property
    def exit_code(self) -> int | None:
        return self.details.get("exit_code")

    @property
    def oom(self) -> bool:
        return bool(self.details.get("oom"))


class JobLost(JobOutcomeError):
    """What ran the job went down too many times."""

    code = "job_lost"


class RetryLater(Exception):
    """Raise in a job: try again after ``delay`` seconds.

    Args:
        delay: seconds; None takes the retry policy's delay.
        count: whether this counts as an attempt.
    """

    def __init__(self, delay: float | None = None, *, count: bool = False, reason: str = "") -> None:
        super().__init__(reason or "try again later")
        self.delay = delay
        self.count = count


class GiveUp(Exception):
    """Raise in a job: it failed, and trying again would not help."""


class CancelRequested(BaseException):
    """Raised in a job that is being cancelled, so that ``finally`` and ``with`` run before the process is killed."""


class SoftTimeout(BaseException):
    """Raised in a job that ran for its soft timeout."""


def _first_line(cls: type) -> str:
    return (cls.__doc__ or cls.__name__).strip().splitlines()[0].rstrip(".")


def _codes(cls: type[JobyardError]) -> dict[str, type[JobyardError]]:
    found = {cls.code: cls}
    for sub in cls.__subclasses__():
        found.update(_codes(sub))
    return found


BY_CODE: dict[str, type[JobyardError]] = _codes(JobyardError)


def from_wire(wire: dict[str, Any]) -> JobyardError:
    """The error that ``wire`` describes; an unknown code gives the base class."""
    cls = BY_CODE.get(str(wire.get("code")), JobyardError)
    details = wire.get("details")
    return cls(
        str(wire.get("message", "")),
        hint=str(wire.get("hint", "")),
        details=details if isinstance(details, dict) else {},
    )
