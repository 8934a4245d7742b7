"""All that is durable, in memory: jobs, queues' modes, zygotes. ``State.apply`` is the only code that changes it, for
live records and for replayed ones alike.

Knows no clock, no disk and no process. What is derived (heaps, counts, indexes) is kept here beside what it derives
from, so that nothing else needs to remember it; ``check.py`` proves that the two agree.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from ...protocol.ids import uid_time
from ...protocol.job import AttemptInfo, Policy
from ...protocol.states import BLOCKED, FINISHED, QUEUED, RUNNING, SCHEDULED, STATES, WAITING
from . import records as r
from .dependencies import Dependencies
from .heap import PriorityHeap
from .job import JOB_BYTES
from .job import Job as Job
from .snapshot import job_from_wire, job_to_wire
from .transitions import NEW, IllegalRecord, check_transition

_CHUNK_JOBS = 500
_HEAP_SLACK = 1000  # entries of a heap that may stand for jobs that have left it


class Queue:
    """A queue's durable mode (None: as the config says) and its derived heap and counts by state."""

    __slots__ = ("counts", "heap", "mode")

    def __init__(self, stands: Callable[[int, int], bool]) -> None:
        self.mode: str | None = None
        self.heap = PriorityHeap(stands)
        self.counts = dict.fromkeys(STATES, 0)


class State:
    """Every job and what belongs to it.

    Attributes:
        finished: ids in the order in which they finished, each with its number in that order.
        finish_count: how often a job has finished; the number of the last one.
        finish_bytes: what all that finished in this process's life, or was loaded by it, took, with ``JOB_BYTES`` each.
        values_dropped: how many jobs with hidden values have ended since the snapshot that this was read from. The
            segments behind it still have these values.
        children: (zygote uuid, kid) -> id of the running job.
        pool_running: how many jobs run in each pool.
        dependencies: which jobs wait for which.
        last_id: highest id given out, or that may have been.
        pruned_until: no uid made after this moment has ever been pruned.
        pruned_id: the highest id that was ever pruned, 0 if none was: all finished jobs above it are here.
        wall: the latest wall-clock time at which a supervisor, a job or an attempt began, or an attempt ended.
    """

    def __init__(self, kept_attempts: int = 20) -> None:
        self.kept_attempts = kept_attempts
        self.generation = 0
        self.boot_id = ""
        self.wall = 0.0
        self.last_id = 0
        self.reserved_id = 0
        self.pruned_until = 0.0
        self.pruned_id = 0
        self.jobs: dict[int, Job] = {}
        self.uids: dict[str, int] = {}
        self.keys: dict[str, int] = {}
        self.queues: dict[str, Queue] = {}
        self.zygotes: dict[str, r.ZygoteStarted] = {}
        self.finished: dict[int, int] = {}
        self.finish_count = self.finish_bytes = 0
        self.values_dropped = 0
        self.children: dict[tuple[str, int], int] = {}
        self.pool_running: dict[str, int] = {}
        self.dependencies = Dependencies()
        self.counts = dict.fromkeys(STATES, 0)
        self.unfinished_bytes = 0
        self.finished_bytes = 0
        self._policies: dict[Policy, Policy] = {}

    # -- reading -------------------------------------------------------------------------------------------------------

    def queue(self, name: str) -> Queue:
        found = self.queues.get(name)
        if found is None:
            found = self.queues[name] = Queue(partial(self._stands, name))
        return found

    @property
    def unfinished_count(self) -> int:
        return len(self.jobs) - len(self.finished)

    def running_in(self, zygote: str) -> list[Job]:
        return [self.jobs[job_id] for (uuid, _), job_id in self.children.items() if uuid == zygote]

    def _stands(self, queue: str, job_id: int, priority: int) -> bool:
        job = self.jobs.get(job_id)
        return job is not None and job.state == QUEUED and job.priority == priority and job.queue == queue

    # -- changing ------------------------------------------------------------------------------------------------------

    def apply(self, record: r.Record) -> None:
        """Make ``record`` true.

        Raises:
            IllegalRecord: it does not fit; the state is as before.
        """
        _APPLY[type(record)](self, record)

    def _began(self, record: r.Began) -> None:
        if record.generation <= self.generation:
            raise IllegalRecord(f"generation {record.generation} after {self.generation}")
        if record.boot_id != self.boot_id:
            for job in self.jobs.values():
                job.due_boot = None
        self.generation, self.boot_id = record.generation, record.boot_id
        self.wall = max(self.wall, record.at)

    def _zygote_started(self, record: r.ZygoteStarted) -> None:
        self.zygotes[record.uuid] = record

    def _zygote_ended(self, record: r.ZygoteEnded) -> None:
        if self.running_in(record.uuid):
            raise IllegalRecord(f"zygote {record.uuid} ended while jobs run in it")
        self.zygotes.pop(record.uuid, None)

    def _submitted(self, record: r.Submitted) -> None:
        for new in record.jobs:
            if new.id in self.jobs or new.uid in self.uids:
                raise IllegalRecord(f"job {new.id} ({new.uid}) submitted twice")
            ended = dict(zip(new.after or (), new.ended or (), strict=False))
            if any(parent_id not in self.jobs and ended.get(parent_id) is None for parent_id in new.after or ()):
                raise IllegalRecord(f"job {new.id} waits for jobs that are not there: {new.after}")
        for new in record.jobs:
            job = Job(new, self._policies.setdefault(new.policy, new.policy))
            self._add(job, r.Submitted, BLOCKED if new.after else SCHEDULED if new.scheduled else QUEUED)
            self.wall = max(self.wall, new.created_at)

    def _add(self, job: Job, record: type, state: str) -> None:
        self.jobs[job.id] = job
        self.uids[job.uid] = job.id
        self.last_id = max(self.last_id, job.id)
        if job.key is not None:
            self.keys[job.key] = job.id
        self.unfinished_bytes += job.held_bytes
        self._move(job, record, state)
        if job.parents:
            self.dependencies.submitted(job, self.jobs)

    def _promoted(self, record: r.Promoted) -> None:
        for job in self._all(record.ids):
            self._move(job, r.Promoted, record.state)
            job.run_at = record.run_at or job.run_at
            if record.state == QUEUED:
                job.due_boot = None

    def _started(self, record: r.Started) -> None:
        job = self._one(record.id)
        if record.attempt != job.attempt + 1:
            raise IllegalRecord(f"job {job.id}: attempt {record.attempt} after {job.attempt}")
        if (record.zygote, record.kid) in self.children:
            raise IllegalRecord(f"job {job.id}: child {record.kid} of {record.zygote} is taken")
        zygote = self.zygotes.get(record.zygote)
        pool, code_version = (zygote.pool, zygote.code_version) if zygote is not None else ("", "")
        self._move(job, r.Started, RUNNING)
        job.attempt = record.attempt
        info = AttemptInfo(
            record.attempt, record.at, wait_s=record.wait_s, pid=record.pid, pool=pool, code_version=code_version
        )
        before = job.held_bytes
        job.attempts = (*job.attempts, info)[-self.kept_attempts :]
        self.unfinished_bytes += job.held_bytes - before
        self._bind(job, (record.zygote, record.kid, record.pid, record.pid_started))
        self.wall = max(self.wall, record.at)

    def _ended(self, record: r.Ended) -> None:
        job = self._one(record.id)
        if record.attempt != job.attempt or job.child is None:
            raise IllegalRecord(f"job {job.id}: attempt {record.attempt} ended, but {job.attempt} is the last")
        before = job.held_bytes
        self._move(job, r.Ended, record.state)
        self._unbind(job)
        job.spent += record.counted
        job.losses += record.outcome == "lost"
        job.result, job.reason = record.result, record.reason
        job.run_at, job.due_boot = record.run_at or job.run_at, record.due_boot
        job.attempts = (*job.attempts[:-1], _ended_info(job.attempts[-1], record))
        self.unfinished_bytes += job.held_bytes - before
        self.wall = max(self.wall, record.at)
        if record.state in FINISHED:
            self._finish(job, record.at)
            self.dependencies.finished(job, self.jobs)

    def _cancel_requested(self, record: r.CancelRequested) -> None:
        job = self._one(record.id)
        if job.state != RUNNING:
            raise IllegalRecord(f"job {job.id}: cancel requested while {job.state}")
        job.cancel = record

    def _cancelled(self, record: r.Cancelled) -> None:
        for job in self._all(record.ids):
            self._move(job, r.Cancelled, "cancelled")
            job.reason = record.reason
            self._finish(job, record.at)
            self.dependencies.finished(job, self.jobs)

    def _requeued(self, record: r.Requeued) -> None:
        job = self._one(record.id)
        if job.id not in self.finished:
            raise IllegalRecord(f"job {job.id}: requeued while {job.state}")
        if not job.has_arguments:
            raise IllegalRecord(f"job {job.id}: requeued without its arguments")
        self._move(job, r.Requeued, BLOCKED if self.dependencies.requeued(job, self.jobs) else QUEUED)
        del self.finished[job.id]
        self.finished_bytes -= job.held_bytes
        job.spent = job.losses = 0
        job.cancel = job.reason = job.result = job.finished_at = job.expires_at = None
        job.run_at = record.at if job.state == QUEUED else job.created_at
        self.unfinished_bytes += job.held_bytes
        if job.key is not None and job.key not in self.keys:
            self.keys[job.key] = job.id

    def _pruned(self, record: r.Pruned) -> None:
        for job in self._all(record.ids):
            if job.id not in self.finished:
                raise IllegalRecord(f"job {job.id}: pruned while {job.state}")
            del self.jobs[job.id], self.uids[job.uid], self.finished[job.id]
            self.dependencies.remove(job)
            self.finished_bytes -= job.held_bytes
            self.counts[job.state] -= 1
            self.queue(job.queue).counts[job.state] -= 1
            self.pruned_until = max(self.pruned_until, uid_time(job.uid))
            self.pruned_id = max(self.pruned_id, job.id)

    def _restored(self, record: r.Restored) -> None:
        job = job_from_wire(record.job)
        if job.id in self.jobs or job.uid in self.uids:
            raise IllegalRecord(f"job {job.id} ({job.uid}) restored while it is here")
        if job.state not in FINISHED:
            raise IllegalRecord(f"job {job.id}: restored while {job.state}")
        self._place(job)

    def _changed(self, record: r.Changed) -> None:
        jobs = self._all(record.ids)
        for job in jobs:
            if job.state not in WAITING:
                raise IllegalRecord(f"job {job.id}: changed while {job.state}")
        for job in jobs:
            self._change_place(job, record)
            if record.limited:
                policy = dataclasses.replace(job.policy, timeout_s=record.timeout_s)
                job.policy = self._policies.setdefault(policy, policy)
            if record.state is not None:
                self._change_time(job, record, record.state)

    def _change_place(self, job: Job, record: r.Changed) -> None:
        if record.queue is not None:
            self.queue(job.queue).counts[job.state] -= 1
            job.queue = record.queue
            self.queue(job.queue).counts[job.state] += 1
        if record.priority is not None:
            job.priority = record.priority
        if job.state == QUEUED:
            self._enqueue(job)

    def _change_time(self, job: Job, record: r.Changed, state: str) -> None:
        job.run_at, job.due_boot = record.run_at, record.due_boot
        if job.state == BLOCKED:
            job.run_at = job.run_at if state == SCHEDULED else job.created_at
        elif job.state != state:
            self._move(job, r.Changed, state)

    def _queue_set(self, record: r.QueueSet) -> None:
        self.queue(record.queue).mode = record.mode

    def _ids_reserved(self, record: r.IdsReserved) -> None:
        self.reserved_id = max(self.reserved_id, record.upto)

    def _move(self, job: Job, record: type, after: str) -> None:
        """The only place where ``job.state`` changes."""
        check_transition(job.id, job.state, record, after)
        queue = self.queue(job.queue)
        if job.state != NEW:
            self.counts[job.state] -= 1
            queue.counts[job.state] -= 1
        left, job.state = job.state, after
        self.counts[after] += 1
        queue.counts[after] += 1
        if after == QUEUED:
            self._enqueue(job)
        if BLOCKED in (left, after):
            self.dependencies.settle(job)

    def _enqueue(self, job: Job) -> None:
        queue = self.queue(job.queue)
        queue.heap.push(job.id, job.priority)
        if len(queue.heap) > 2 * queue.counts[QUEUED] + _HEAP_SLACK:
            queue.heap.tidy()

    def _bind(self, job: Job, child: tuple[str, int, int, int]) -> None:
        job.child = child
        self.children[child[0], child[1]] = job.id
        pool = job.attempts[-1].pool
        self.pool_running[pool] = self.pool_running.get(pool, 0) + 1

    def _unbind(self, job: Job) -> None:
        assert job.child is not None
        del self.children[job.child[0], job.child[1]]
        job.child = None
        self.pool_running[job.attempts[-1].pool] -= 1

    def _finish(self, job: Job, at: float) -> None:
        job.finished_at = at
        job.due_boot = None
        self.finish_count += 1
        self.finished[job.id] = self.finish_count
        self.unfinished_bytes -= job.held_bytes
        if job.shown is not None:
            job.payload = b""
            self.values_dropped += 1
        self.finish_bytes += job.held_bytes + JOB_BYTES
        self.finished_bytes += job.held_bytes
        if job.key is not None and self.keys.get(job.key) == job.id:
            del self.keys[job.key]

    def _one(self, job_id: int) -> Job:
        job = self.jobs.get(job_id)
        if job is None:
            raise IllegalRecord(f"there is no job {job_id}")
        return job

    def _all(self, ids: list[int]) -> list[Job]:
        return [self._one(job_id) for job_id in ids]

    # -- snapshots -----------------------------------------------------------------------------------------------------

    def dump(self) -> Iterator[Any]:
        """The durable state as plain chunks; ``load`` of all of them gives an equal state."""
        yield [
            "head",
            r.JOURNAL_VERSION,
            self.generation,
            self.boot_id,
            self.wall,
            self.last_id,
            self.reserved_id,
            self.pruned_until,
            self.pruned_id,
        ]
        yield ["zygotes", [r.to_wire(zygote) for zygote in self.zygotes.values()]]
        yield ["queues", [[name, queue.mode] for name, queue in sorted(self.queues.items()) if queue.mode is not None]]
        unfinished = sorted(self.jobs.keys() - self.finished.keys())
        ordered = [self.jobs[job_id] for job_id in unfinished] + [self.jobs[job_id] for job_id in self.finished]
        for start in range(0, len(ordered), _CHUNK_JOBS):
            yield ["jobs", [job_to_wire(job) for job in ordered[start : start + _CHUNK_JOBS]]]
        yield ["finished", self.finish_count, list(self.finished.values())]

    def load(self, chunk: Any) -> None:
        """Take in one chunk of ``dump``.

        Raises:
            BadRecord: written by another version.
        """
        kind, *rest = chunk
        if kind == "head":
            if not 0 < rest[0] <= r.JOURNAL_VERSION:
                raise r.BadRecord(f"a snapshot of version {rest[0]}; this version reads {r.JOURNAL_VERSION}")
            self.generation, self.boot_id, self.wall, self.last_id, self.reserved_id = rest[1:6]
            self.pruned_until, self.pruned_id = (*rest[6:], 0)[:2]
        elif kind == "zygotes":
            for wire in rest[0]:
                self.apply(r.from_wire(wire))
        elif kind == "queues":
            for name, mode in rest[0]:
                self.queue(name).mode = mode
        elif kind == "jobs":
            for wire in rest[0]:
                self._place(job_from_wire(wire))
        elif kind == "finished":
            self.finish_count = rest[0]
            self.finished = dict(zip(self.finished, rest[1], strict=True))
        else:
            raise r.BadRecord(f"a snapshot chunk of the unknown kind {kind!r}")

    def _place(self, job: Job) -> None:
        """Take in a job in whatever state it is."""
        job.policy = self._policies.setdefault(job.policy, job.policy)
        self.jobs[job.id] = job
        self.uids[job.uid] = job.id
        self.counts[job.state] += 1
        queue = self.queue(job.queue)
        queue.counts[job.state] += 1
        self.unfinished_bytes += job.held_bytes
        if job.state == QUEUED:
            queue.heap.push(job.id, job.priority)
        if job.child is not None:
            self._bind(job, job.child)
        if job.state in FINISHED:
            assert job.finished_at is not None
            self._finish(job, job.finished_at)
        elif job.key is not None:
            self.keys[job.key] = max(job.id, self.keys.get(job.key, 0))
        self.dependencies.add(job)
        if job.state == BLOCKED:
            self.dependencies.settle(job)


_APPLY: dict[type, Callable[[State, Any], None]] = {
    r.Began: State._began,
    r.ZygoteStarted: State._zygote_started,
    r.ZygoteEnded: State._zygote_ended,
    r.Submitted: State._submitted,
    r.Promoted: State._promoted,
    r.Started: State._started,
    r.Ended: State._ended,
    r.CancelRequested: State._cancel_requested,
    r.Cancelled: State._cancelled,
    r.Requeued: State._requeued,
    r.Pruned: State._pruned,
    r.QueueSet: State._queue_set,
    r.IdsReserved: State._ids_reserved,
    r.Changed: State._changed,
    r.Restored: State._restored,
}


def _ended_info(info: AttemptInfo, record: r.Ended) -> AttemptInfo:
    return dataclasses.replace(
        info,
        ended_at=record.at,
        outcome=record.outcome,
        exit_code=record.exit_code,
        signal=record.signal,
        reason=record.reason,
        error=record.error,
        usage=record.usage,
    )
