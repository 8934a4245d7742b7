"""A job as a list of plain values, as snapshots hold it. ``State.load`` reads it; its parts are those of records.

A value may be added at the end, never removed or moved: older snapshots are shorter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...protocol.states import SCHEDULED
from . import records as r

if TYPE_CHECKING:
    from .state import Job


def job_to_wire(job: Job) -> list[Any]:
    new = r.NewJob(
        job.id, job.uid, job.ref, job.name, job.payload, job.queue, job.priority, job.policy, job.created_at,
        job.run_at, job.due_boot, job.expires_at, job.key, job.tags, job.parent, job.state == SCHEDULED,
        list(job.parents) or None, job.on_parent_failure,
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
