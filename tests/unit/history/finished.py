"""Builds finished jobs."""

from __future__ import annotations

from typing import Any

from jobyard.protocol import codec
from jobyard.protocol.job import AttemptInfo, ErrorInfo, Policy, Usage
from jobyard.supervisor.core.records import NewJob
from jobyard.supervisor.core.state import Job

AT = 1_790_000_000.0  # the moment at which job 0 would have been submitted; each number is ten seconds later


def finished(number: int, state: str = "succeeded", *, args: Any = (), error: str | None = None, **given: Any) -> Job:
    """A job that ran for a second, five seconds after its submit."""
    at = given.pop("created_at", AT + 10.0 * number)
    ended = given.pop("finished_at", at + 6.0)
    fields = {"ref": "app:f", "name": "f", "queue": "default", "key": None, "tags": None, **given}
    uid = fields.pop("uid", f"{number:032x}")
    attempt = fields.pop("attempt", 1)
    ref, name, queue = fields.pop("ref"), fields.pop("name"), fields.pop("queue")
    payload = codec.pack_arguments(tuple(args), {})
    job = Job(NewJob(number, uid, ref, name, payload, queue, 0, Policy(), at, at, **fields), Policy())
    job.state, job.attempt, job.finished_at = state, attempt, ended
    if attempt:
        info = ErrorInfo("app.Oops", error) if error is not None else None
        usage = Usage(0.5, 0.25, 1000)
        job.attempts = (AttemptInfo(attempt, ended - 1, ended, "ok", error=info, usage=usage, wait_s=5.0),)
    return job
