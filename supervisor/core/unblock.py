"""What becomes of a blocked job when its parents have ended: it goes on to its queue or its time, or is cancelled.

Each cancelled job may have children of its own; they follow in the same step, up to a bound.
"""

from __future__ import annotations

import itertools

from ...protocol.notices import PROMOTED
from ...protocol.states import CANCELLED, QUEUED, SCHEDULED
from .records import Cancelled, Promoted
from .state import Job
from .turn import Turn, due_at


def decide_unblock(turn: Turn, limit: int) -> list[Job]:
    """Let up to ``limit`` settled jobs go; those of them that are scheduled now, to be woken in time."""
    settled = turn.state.dependencies.settled
    scheduled: list[Job] = []
    while settled and limit > 0:
        jobs = [turn.state.jobs[job_id] for job_id in itertools.islice(settled, limit)]
        limit -= len(jobs)
        _cancel(turn, [job for job in jobs if job.failed_parent is not None])
        free = [job for job in jobs if job.failed_parent is None]
        early = [job for job in free if _is_early(job, turn)]
        _promote(turn, [job for job in free if not _is_early(job, turn)], QUEUED)
        _promote(turn, early, SCHEDULED)
        scheduled += early
    return scheduled


def _is_early(job: Job, turn: Turn) -> bool:
    """A job that was given no time never is, whatever the wall clock says."""
    return job.run_at != job.created_at and due_at(job, turn.now) > turn.now.boot


def _promote(turn: Turn, jobs: list[Job], state: str) -> None:
    if jobs:
        turn.record(Promoted([job.id for job in jobs], state, turn.now.wall if state == QUEUED else 0.0))
        for job in jobs:
            turn.notify(job, PROMOTED)


def _cancel(turn: Turn, jobs: list[Job]) -> None:
    """One record for each parent, since the reason names it."""
    by_parent: dict[int, list[Job]] = {}
    for job in jobs:
        assert job.failed_parent is not None
        by_parent.setdefault(job.failed_parent, []).append(job)
    for parent_id, children in by_parent.items():
        ended = children[0].parents[parent_id]
        reason = f"job {parent_id}, for which it waited, {'was cancelled' if ended == CANCELLED else 'failed'}"
        turn.record(Cancelled([job.id for job in children], turn.now.wall, "jobyard", reason))
        for job in children:
            turn.notify(job, "cancelled")
