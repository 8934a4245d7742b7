"""A job as a list of plain values, as snapshots and the history hold it; its parts are those of records.

A value may be added at the end, never removed or moved: older snapshots are shorter.
"""

from __future__ import annotations

from typing import Any

from ...protocol.states import SCHEDULED
from . import records as r
from .job import Job


def job_to_wire(job: Job) -> list[Any]:
    new = r.NewJob(
        job.id, job.uid, job.ref, job.name, job.payload, job.queue, job.priority, job.policy, job.created_at,
        job.run_at, job.due_boot, job.expires_at, job.key, job.tags, job.parent, job.state == SCHEDULED,
        list(job.parents) or None, job.on_parent_failure, None, job.shown,
    )  # fmt: skip
    return [
        r.fields_to_wire(new),
        job.state,
        job.attempt,
        job.spent,
        job.losses,
        [r.fields_to_wire(info) for info in job.attempts],
        None if job.child is None else list(job.child),
        None if job.cancel is None else r.to_wire(job.cancel),
        job.reason,
        job.result,
        job.finished_at,
        list(job.parents.values()),
        job.failed_parent,
    ]


def job_from_wire(wire: list[Any]) -> Job:
    """The job that ``job_to_wire`` made plain; it belongs to no state yet."""
    new = r.new_job(wire[0])
    job = Job(new, new.policy)
    job.state, job.attempt, job.spent, job.losses, attempts, child, cancel = wire[1:8]
    job.reason, job.result, job.finished_at = wire[8:11]
    if job.parents:
        job.parents = dict(zip(job.parents, wire[11], strict=True))
        job.failed_parent = wire[12]
    job.attempts = tuple(r.attempt_from_wire(item) for item in attempts)
    job.child = None if child is None else (child[0], child[1], child[2], child[3])
    job.cancel = None if cancel is None else r.CancelRequested(*cancel[1:])
    return job
