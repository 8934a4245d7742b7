"""What the supervisor's log says of jobs: one line per change, in one place.

A line takes longer to write than all else that a change costs the loop, and much less in a row with others. So lines
are kept until the loop has a moment, and only their order is owed to anyone: what a job went through is in the journal.
"""

from __future__ import annotations

import logging

from ..protocol.states import FINISHED, RUNNING
from .core.effects import Notify
from .core.machine import Machine
from .core.state import Job

log = logging.getLogger("jobyard.jobs")


class Story:
    """Tells the log of each notice that became durable; ``len`` is the number of lines that are not written yet."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._lines: list[tuple[int, str, tuple[object, ...]]] = []

    def __len__(self) -> int:
        return len(self._lines)

    def write(self) -> None:
        """Write the lines that were kept."""
        lines, self._lines = self._lines, []
        for level, text, values in lines:
            log.log(level, text, *values)

    def tell(self, notice: Notify) -> None:
        if notice.kind == "progress" or not log.isEnabledFor(logging.INFO):
            return
        job = self._machine.state.jobs.get(notice.job_id)
        if job is None:
            return
        match notice.kind:
            case "started":
                not_counted = job.attempt - job.spent - (job.state == RUNNING)  # such as those that were lost
                most = job.policy.retry.max_attempts + not_counted
                self._keep(logging.INFO, "job %d %s: attempt %d/%d started", job.id, job.name, notice.attempt, most)
            case "ended":
                self._ended(job, notice)
            case kind:
                reason = f" ({job.reason})" if job.reason else ""
                self._keep(logging.INFO, "job %d %s: %s%s", job.id, job.name, kind, reason)

    def _ended(self, job: Job, notice: Notify) -> None:
        why = cause(job, notice)
        then = f"; {job.state}" if job.state in FINISHED else "; it will be tried again"
        level = logging.INFO if notice.outcome in ("ok", "cancelled") else logging.ERROR
        text = "job %d %s: attempt %d ended %s%s%s"
        self._keep(level, text, job.id, job.name, notice.attempt, notice.outcome, f": {why}" if why else "", then)

    def _keep(self, level: int, text: str, *values: object) -> None:
        self._lines.append((level, text, values))


def cause(job: Job, notice: Notify) -> str | None:
    """Why the attempt that a notice is about ended so, in one line; None if its outcome says it all."""
    info = next((info for info in job.attempts if info.number == notice.attempt), None)
    if info is None:
        return None
    if info.error is not None:
        return f"{info.error.type}: {info.error.message.splitlines()[0][:200] if info.error.message else ''}"
    if info.signal is not None:
        return info.signal
    return f"exit code {info.exit_code}" if notice.outcome == "exited" and info.exit_code is not None else None
