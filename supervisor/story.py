"""What the supervisor's log says of jobs: one line per change, in one place."""

from __future__ import annotations

import logging

from ..protocol.states import FINISHED
from .core.effects import Notify
from .core.machine import Machine
from .core.state import Job

log = logging.getLogger("jobyard.jobs")


class Story:
    """Tells the log of each notice as it becomes durable."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def tell(self, notice: Notify) -> None:
        if notice.kind == "progress" or not log.isEnabledFor(logging.INFO):
            return
        job = self._machine.state.jobs.get(notice.job_id)
        if job is None:
            return
        match notice.kind:
            case "started":
                log.info(
                    "job %d %s: attempt %d/%d started", job.id, job.name, notice.attempt, job.policy.retry.max_attempts
                )
            case "ended":
                self._ended(job, notice)
            case kind:
                log.info("job %d %s: %s%s", job.id, job.name, kind, f" ({job.reason})" if job.reason else "")

    def _ended(self, job: Job, notice: Notify) -> None:
        info = next((info for info in job.attempts if info.number == notice.attempt), None)
        cause = ""
        if info is not None and info.error is not None:
            cause = f": {info.error.type}: {info.error.message.splitlines()[0][:200] if info.error.message else ''}"
        elif info is not None and info.signal is not None:
            cause = f": {info.signal}"
        elif info is not None and info.exit_code is not None and notice.outcome == "exited":
            cause = f": exit code {info.exit_code}"
        then = f"; {job.state}" if job.state in FINISHED else "; it will be tried again"
        level = logging.INFO if notice.outcome in ("ok", "cancelled") else logging.ERROR
        log.log(
            level, "job %d %s: attempt %d ended %s%s%s", job.id, job.name, notice.attempt, notice.outcome, cause, then
        )
