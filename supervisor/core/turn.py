"""One step of the machine while it is being taken: the state, the moment, and the effects gathered so far.

A record made here is applied at once, so that the next decision of the same step sees it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...protocol.errors import JobNotFound
from ...protocol.job import JobInfo, Parent
from ...protocol.states import FINISHED, SCHEDULED
from .effects import Durable, Effects, Kill, Notify, Prepare, Reply
from .events import Now
from .records import Record
from .rules import Rules
from .state import Job, State


class Turn:
    """What every ``decide_*`` function works on."""

    __slots__ = ("effects", "now", "rules", "state")

    def __init__(self, state: State, rules: Rules, now: Now) -> None:
        self.state = state
        self.rules = rules
        self.now = now
        self.effects = Effects()

    def record(self, record: Record) -> None:
        self.state.apply(record)
        self.effects.records.append(record)

    def durable(self, effect: Durable) -> None:
        """Happens once all records of this step are on disk."""
        self.effects.durable.append(effect)

    def reply(self, token: Any, reply: Any) -> None:
        self.effects.durable.append(Reply(token, reply))

    def notify(self, job: Job, kind: str, outcome: str | None = None) -> None:
        run_at = job.run_at if job.state == SCHEDULED else None
        self.effects.durable.append(
            Notify(
                kind,
                job.id,
                job.attempt,
                outcome,
                self.now.wall,
                job.state,
                job.ref,
                job.name,
                job.queue,
                run_at,
                job.reason,
            )
        )

    def announce(self, kind: str, *, queue: str | None = None, ids: Sequence[int] = ()) -> None:
        """What is not about one job."""
        self.effects.durable.append(Notify(kind, at=self.now.wall, queue=queue, ids=tuple(ids)))

    def prepare(self, effect: Prepare) -> None:
        self.effects.prepare.append(effect)

    def kill(self, effect: Kill) -> None:
        self.effects.kills.append(effect)


def due_at(job: Job, now: Now) -> float:
    """Boot time at which a job is due: its own where it has one of this boot, else by the wall clock."""
    return job.due_boot if job.due_boot is not None else now.boot + (job.run_at - now.wall)


def no_such_job(state: State, job_id: int, what: str = "") -> JobNotFound:
    """Says whether it never was or is gone; ``what`` asked for it."""
    why = "its records were pruned" if 0 < job_id <= state.last_id else f"the last id is {state.last_id}"
    return JobNotFound(f"{what}there is no job {job_id}: {why}", details={"id": job_id})


def describe(job: Job, pool: str, parents: list[Parent], children_count: int) -> JobInfo:
    """A job as clients see it."""
    return JobInfo(
        id=job.id,
        uid=job.uid,
        ref=job.ref,
        name=job.name,
        state=job.state,
        queue=job.queue,
        pool=pool,
        priority=job.priority,
        created_at=job.created_at,
        run_at=job.run_at,
        policy=job.policy,
        payload=job.shown_payload,
        started_at=job.attempts[0].started_at if job.attempts else None,
        finished_at=job.finished_at,
        expires_at=job.expires_at,
        attempt=job.attempt,
        spent=job.spent,
        losses=job.losses,
        attempts=list(job.attempts),
        cancel_requested=job.cancel is not None and job.state not in FINISHED,
        reason=job.reason,
        key=job.key,
        tags=job.tags or {},
        parent=job.parent,
        result_payload=job.result,
        parents=parents,
        on_parent_failure=job.on_parent_failure,
        children_count=children_count,
    )
