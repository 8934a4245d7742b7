"""Jobs as somebody would keep them who reads the records alone: a second opinion on what the machine decides.

Written without a look at ``State``: a dict of jobs and the rules of the documentation. ``apply`` raises ``Violation``
where a record does not follow from those before it, at the moment at which it was made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jobyard.protocol.job import Policy
from jobyard.supervisor.core import records as r
from jobyard.supervisor.core.events import Now
from jobyard.supervisor.core.rules import Rules
from story import Violation

DONE = ("succeeded", "failed", "cancelled")
SLACK_S = 1e-6

# Which state a record may lead to from which, by the diagram in ARCHITECTURE.md.
GRAPH = {
    ("scheduled", "Promoted"): ("queued",),
    ("blocked", "Promoted"): ("queued", "scheduled"),
    ("queued", "Started"): ("running",),
    ("running", "Ended"): (*DONE, "scheduled", "queued"),
    ("scheduled", "Cancelled"): ("cancelled",),
    ("blocked", "Cancelled"): ("cancelled",),
    ("queued", "Cancelled"): ("cancelled",),
    ("scheduled", "Changed"): ("queued", "scheduled"),
    ("queued", "Changed"): ("scheduled", "queued"),
    **{(done, "Requeued"): ("queued", "blocked") for done in DONE},
}


@dataclass(frozen=True, slots=True)
class Moment:
    """When something was decided, under which rules."""

    now: Now
    boot_id: str
    rules: Rules


@dataclass(slots=True)
class Due:
    """When a job may run, at the earliest: by boot time while this boot lasts, else by the wall clock."""

    wall: float
    boot: float | None = None
    boot_id: str = ""

    def has_come(self, at: Moment) -> bool:
        if self.boot is not None and self.boot_id == at.boot_id:
            return at.now.boot >= self.boot - SLACK_S
        return at.now.wall >= self.wall - SLACK_S


@dataclass(slots=True)
class Known:
    """One job."""

    id: int
    uid: str
    queue: str
    priority: int
    policy: Policy
    key: str | None
    parents: list[int]
    on_parent_failure: str
    state: str
    due: Due | None = None
    expires_at: float | None = None
    attempt: int = 0
    spent: int = 0
    losses: int = 0
    cancel: bool = False
    child: tuple[str, int] | None = None
    again: bool = False
    result: bytes | None = None
    outcomes: list[str] = field(default_factory=list)


class Model:
    """All jobs by id. ``finals`` says how those ended that are gone; ``uids`` has every uid that ever was."""

    def __init__(self) -> None:
        self.jobs: dict[int, Known] = {}
        self.finals: dict[int, str] = {}
        self.uids: dict[str, int] = {}
        self.modes: dict[str, str] = {}
        self.pools: dict[str, str] = {}
        self.reserved = 0
        self.last_id = 0

    def apply(self, record: Any, at: Moment) -> None:
        getattr(self, f"_{type(record).__name__.lower()}")(record, at)

    def job(self, job_id: int) -> Known:
        if job_id not in self.jobs:
            raise Violation(f"a record names job {job_id}, which is not there", job_id)
        return self.jobs[job_id]

    def _move(self, job: Known, record: Any, after: str) -> None:
        if after not in GRAPH.get((job.state, type(record).__name__), ()):
            raise Violation(f"I5: {type(record).__name__} took job {job.id} from {job.state} to {after}", job.id)
        job.state = after

    # -- what begins ---------------------------------------------------------------------------------------------------

    def _began(self, record: r.Began, at: Moment) -> None:
        pass

    def _zygotestarted(self, record: r.ZygoteStarted, at: Moment) -> None:
        self.pools[record.uuid] = record.pool

    def _zygoteended(self, record: r.ZygoteEnded, at: Moment) -> None:
        for job in self.jobs.values():
            if job.child is not None and job.child[0] == record.uuid:
                raise Violation(f"zygote {record.uuid} ended while job {job.id} runs in it", job.id)

    def _submitted(self, record: r.Submitted, at: Moment) -> None:
        for new in record.jobs:
            if new.uid in self.uids:
                raise Violation(f"I1: uid {new.uid} is job {self.uids[new.uid]} and now job {new.id} as well", new.id)
            if new.id <= self.last_id:
                raise Violation(f"id {new.id} is given out again", new.id)
            self._check_key(new)
            state = "blocked" if new.after else "scheduled" if new.scheduled else "queued"
            job = Known(
                new.id, new.uid, new.queue, new.priority, new.policy, new.key, list(new.after or ()),
                new.on_parent_failure, state, _due(new.run_at, new.due_boot, at), new.expires_at,
            )  # fmt: skip
            if not new.scheduled:
                job.due = None
            self.jobs[new.id], self.uids[new.uid] = job, new.id
            self.last_id = new.id
            for parent_id, ended in zip(new.after or (), new.ended or (), strict=False):
                if ended is not None:
                    self.finals.setdefault(parent_id, ended)
            if self.modes.get(new.queue) == "draining":
                raise Violation(f"job {new.id} was taken in by queue {new.queue}, which drains", new.id)

    def _check_key(self, new: r.NewJob | Known) -> None:
        """Unique among unfinished jobs, but for one that is replaced and has to end yet."""
        for other in self.jobs.values() if new.key is not None else ():
            replaced = other.state == "running" and other.cancel
            if other.key == new.key and other.id != new.id and other.state not in DONE and not replaced:
                raise Violation(f"jobs {other.id} and {new.id} have the key {new.key!r} at once", new.id)

    def _idsreserved(self, record: r.IdsReserved, at: Moment) -> None:
        self.reserved = max(self.reserved, record.upto)

    def _restored(self, record: r.Restored, at: Moment) -> None:
        wire = record.job
        new = r.new_job(wire[0])
        if new.id in self.jobs:
            raise Violation(f"job {new.id} was restored while it is there", new.id)
        job = Known(
            new.id, new.uid, new.queue, new.priority, new.policy, new.key, list(new.after or ()),
            new.on_parent_failure, wire[1], None, None, wire[2], wire[3], wire[4],
        )  # fmt: skip
        if self.finals.get(new.id) != job.state:
            raise Violation(f"job {new.id} ended as {self.finals.get(new.id)} and came back as {job.state}", new.id)
        self.jobs[new.id] = job

    # -- attempts ------------------------------------------------------------------------------------------------------

    def _started(self, record: r.Started, at: Moment) -> None:
        job = self.job(record.id)
        self._check_start(job, self.pools.get(record.zygote, ""), at)
        self._move(job, record, "running")
        if record.attempt != job.attempt + 1:
            raise Violation(f"attempt {record.attempt} of job {job.id} comes after {job.attempt}", job.id)
        job.attempt, job.child = record.attempt, (record.zygote, record.kid)

    def _check_start(self, job: Known, pool: str, at: Moment) -> None:
        rule = at.rules.queues[job.queue]
        mode = self.modes.get(job.queue) or ("paused" if rule.paused else "open")
        if mode == "paused":
            raise Violation(f"job {job.id} starts in queue {job.queue}, which is paused", job.id)
        running = [one for one in self.jobs.values() if one.state == "running"]
        if rule.concurrency is not None and sum(one.queue == job.queue for one in running) >= rule.concurrency:
            raise Violation(f"job {job.id} starts over the limit of queue {job.queue}", job.id)
        here = sum(one.child is not None and self.pools.get(one.child[0]) == pool for one in running)
        if pool != rule.pool or here >= at.rules.pools[pool].concurrency:
            raise Violation(f"job {job.id} starts over the limit of pool {pool}, or not in {rule.pool}", job.id)
        place = (-job.priority, job.id)
        for other in self.jobs.values():
            ahead = other.state == "queued" and other.queue == job.queue and (-other.priority, other.id) < place
            if ahead:
                raise Violation(f"job {job.id} starts before job {other.id}, which comes first", job.id)

    def _ended(self, record: r.Ended, at: Moment) -> None:
        job = self.job(record.id)
        if record.attempt != job.attempt:
            raise Violation(f"attempt {record.attempt} of job {job.id} ended while {job.attempt} ran", job.id)
        self._move(job, record, record.state)
        job.child = None
        job.spent += record.counted
        job.losses += record.outcome == "lost"
        job.outcomes.append(record.outcome)
        job.result = record.result
        if record.state == "scheduled":
            job.due = _due(record.run_at, record.due_boot, at)
        if record.state in DONE:
            self.finals[job.id] = record.state

    # -- what is asked -------------------------------------------------------------------------------------------------

    def _promoted(self, record: r.Promoted, at: Moment) -> None:
        for job_id in record.ids:
            job = self.job(job_id)
            if job.state == "blocked":
                self._check_parents(job)
            self._move(job, record, record.state)
            if record.state == "queued" and job.due is not None and not job.due.has_come(at):
                raise Violation(f"job {job_id} is queued too early: {job.due} at {at.now}", job_id)

    def _check_parents(self, job: Known) -> None:
        for parent_id in job.parents:
            parent = self.jobs.get(parent_id)
            ended = parent.state if parent is not None else self.finals.get(parent_id)
            if ended not in DONE:
                raise Violation(f"job {job.id} is let go before job {parent_id} has ended ({ended})", job.id)
            if ended != "succeeded" and job.on_parent_failure == "cancel" and not job.again:
                raise Violation(f"job {job.id} is let go though job {parent_id} {ended}", job.id)

    def _changed(self, record: r.Changed, at: Moment) -> None:
        for job_id in record.ids:
            job = self.job(job_id)
            if job.state not in ("queued", "scheduled", "blocked"):
                raise Violation(f"job {job_id} is changed while it is {job.state}", job_id)
            job.priority = job.priority if record.priority is None else record.priority
            job.queue = record.queue or job.queue
            if record.limited:
                job.policy = _with_timeout(job.policy, record.timeout_s)
            if record.state is not None:
                job.due = _due(record.run_at, record.due_boot, at) if record.state == "scheduled" else None
                if job.state != "blocked":
                    self._move(job, record, record.state)

    def _cancelrequested(self, record: r.CancelRequested, at: Moment) -> None:
        job = self.job(record.id)
        if job.state != "running":
            raise Violation(f"a cancel of job {job.id} is noted while it is {job.state}", job.id)
        job.cancel = True

    def _cancelled(self, record: r.Cancelled, at: Moment) -> None:
        for job_id in record.ids:
            job = self.job(job_id)
            self._move(job, record, "cancelled")
            self.finals[job_id] = "cancelled"
            expired = record.reason is not None and record.reason.startswith("expired")
            if expired and (job.expires_at is None or job.attempt):
                raise Violation(f"job {job_id} expired, which it may not", job_id)

    def _requeued(self, record: r.Requeued, at: Moment) -> None:
        job = self.job(record.id)
        open_parents = [one for one in job.parents if one in self.jobs and self.jobs[one].state not in DONE]
        self._move(job, record, "blocked" if open_parents else "queued")
        self._check_key(job)
        job.spent = job.losses = 0
        job.cancel, job.due, job.expires_at, job.result, job.again = False, None, None, None, True
        self.finals.pop(job.id, None)

    def _pruned(self, record: r.Pruned, at: Moment) -> None:
        for job_id in record.ids:
            job = self.job(job_id)
            if job.state not in DONE:
                raise Violation(f"job {job_id} is forgotten while it is {job.state}", job_id)
            del self.jobs[job_id]

    def _queueset(self, record: r.QueueSet, at: Moment) -> None:
        self.modes[record.queue] = record.mode


def _due(run_at: float, due_boot: float | None, at: Moment) -> Due:
    return Due(run_at, due_boot, at.boot_id) if due_boot is not None else Due(run_at)


def _with_timeout(policy: Policy, timeout_s: float | None) -> Policy:
    return Policy(
        policy.retry, timeout_s, policy.soft_timeout_s, policy.stall_timeout_s, policy.grace_s, policy.on_lost
    )
