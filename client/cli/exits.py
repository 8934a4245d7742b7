"""Exit codes of jobctl, and which error or end of a job gives which. Nothing else chooses one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...protocol import states
from ...protocol.errors import JobyardError

if TYPE_CHECKING:
    from ...protocol.job import JobInfo

OK = 0
JOB_FAILED = 1
USAGE = 2
NO_SUPERVISOR = 3
NOT_FOUND = 4
REFUSED = 5
WRONG_STATE = 6
STOPPED = 7  # the supervisor stopped while something was under way
INTERNAL = 70  # a bug in jobyard
TIMEOUT = 124
INTERRUPTED = 130  # Ctrl-C, as shells count it: 128 + SIGINT
CLOSED_PIPE = 141  # whoever read the output has gone: 128 + SIGPIPE

_BY_CODE = {
    "usage": USAGE,
    "bad_arguments": USAGE,
    "invalid_config": USAGE,
    "no_config": USAGE,
    "not_serializable": USAGE,
    "supervisor_unavailable": NO_SUPERVISOR,
    "job_not_found": NOT_FOUND,
    "unknown_queue": NOT_FOUND,
    "wrong_state": WRONG_STATE,
    "outcome_unknown": STOPPED,
    "stopped": STOPPED,
    "wait_timeout": TIMEOUT,
    "internal": INTERNAL,
}


class UsageError(JobyardError):
    """The command line is wrong."""

    code = "usage"


class Stopped(JobyardError):
    """The supervisor stopped while something was under way."""

    code = "stopped"


class Internal(JobyardError):
    """A bug in jobyard."""

    code = "internal"


def for_error(error: JobyardError) -> int:
    return _BY_CODE.get(error.code, REFUSED)


def for_job(info: JobInfo) -> int:
    """What became of a finished job, as an exit code."""
    if info.state == states.SUCCEEDED:
        return OK
    last = info.last_attempt
    return TIMEOUT if last is not None and last.outcome == states.TIMEOUT else JOB_FAILED


def for_jobs(infos: list[JobInfo]) -> int:
    """0 when every job succeeded; for one job its own code."""
    if len(infos) == 1:
        return for_job(infos[0])
    return OK if all(info.state == states.SUCCEEDED for info in infos) else JOB_FAILED
