"""Names of the states of a job and of the ways in which an attempt can end.

Owns the words only. Which state may follow which is decided in ``supervisor/core/transitions.py``.
"""

from __future__ import annotations

SCHEDULED = "scheduled"  # its time has not come: delayed, or waiting for its next attempt
BLOCKED = "blocked"  # waits for other jobs
QUEUED = "queued"  # may start as soon as its queue and its pool have room
RUNNING = "running"
SUCCEEDED = "succeeded"
FAILED = "failed"
CANCELLED = "cancelled"

STATES = (SCHEDULED, BLOCKED, QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED)
FINISHED = frozenset({SUCCEEDED, FAILED, CANCELLED})
UNFINISHED = frozenset(STATES) - FINISHED
WAITING = UNFINISHED - {RUNNING}

# The four states that other job runners have, for programs that know no others.
COARSE = {
    SCHEDULED: "pending",
    BLOCKED: "pending",
    QUEUED: "pending",
    RUNNING: "running",
    SUCCEEDED: "completed",
    FAILED: "failed",
    CANCELLED: "failed",
}

# How an attempt ended.
OK = "ok"
ERROR = "error"  # the function raised
TIMEOUT = "timeout"
STALLED = "stalled"
EXITED = "exited"  # the process ended without a result, with an exit code
SIGNALLED = "signalled"  # the process was ended by a signal that jobyard did not send
OOM = "oom"
CANCELLED_ATTEMPT = "cancelled"
LOST = "lost"  # the zygote or the machine went down beneath it

OUTCOMES = (OK, ERROR, TIMEOUT, STALLED, EXITED, SIGNALLED, OOM, CANCELLED_ATTEMPT, LOST)
CRASHES = frozenset({EXITED, SIGNALLED, OOM})
CUT_OFF = 71  # exit code of a job's process that could not tell how it ended, unless the job chose it itself
CUT_OFF_CAUSE = f"exit code {CUT_OFF}: did it close descriptors that are not its own?"

# Named priorities: a higher number runs first.
PRIORITIES = {"high": 10, "normal": 0, "low": -10}
PRIORITY_MIN, PRIORITY_MAX = -1_000_000, 1_000_000
