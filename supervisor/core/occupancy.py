"""What a queued job needs beside its turn: a place in its queue and a slot in its pool, and who has them.

Pure reads over the state, for those who explain. Dispatch itself is in ``pools.py``.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass

from ...protocol.states import QUEUED, RUNNING, SUCCEEDED
from .events import Now
from .rules import Rules
from .state import Job, State

SAMPLE_JOBS = 1_000  # so many of the newest finished jobs are looked at for how long jobs take
SAMPLE_ATTEMPTS = 20  # of one function


@dataclass(frozen=True, slots=True)
class Full:
    """A queue or a pool without room: ``name`` for people, its bound, and the ids of the jobs that run in it."""

    name: str
    limit: int
    holders: list[int]


def full_queue(state: State, rules: Rules, name: str) -> Full | None:
    rule = rules.queues.get(name)
    if rule is None or rule.concurrency is None or state.queue(name).counts[RUNNING] < rule.concurrency:
        return None
    return Full(f"queue {name}", rule.concurrency, [job.id for job in _running(state) if job.queue == name])


def full_pool(state: State, rules: Rules, queue: str) -> Full | None:
    """The pool of a queue."""
    rule = rules.queues.get(queue)
    pool = rules.pools.get(rule.pool) if rule is not None else None
    if rule is None or pool is None or state.pool_running.get(rule.pool, 0) < pool.concurrency:
        return None
    holders = [job.id for job in _running(state) if job.attempts[-1].pool == rule.pool]
    return Full(f"pool {rule.pool}", pool.concurrency, holders)


def full_for(state: State, rules: Rules, queue: str) -> list[Full]:
    """What keeps a job of this queue from starting for want of room."""
    both = (full_queue(state, rules, queue), full_pool(state, rules, queue))
    return [full for full in both if full is not None]


def stuck_submitters(state: State, rules: Rules) -> dict[int, int]:
    """Running jobs that have submitted one for which there is no room: their ids -> the id of that one."""
    full: dict[str, bool] = {}
    found: dict[int, int] = {}
    if not state.counts[QUEUED]:
        return found
    for job in state.jobs.values():
        if job.state != QUEUED or job.parent is None:
            continue
        parent = state.jobs.get(job.parent)
        if parent is None or parent.state != RUNNING:
            continue
        if job.queue not in full:
            full[job.queue] = bool(full_for(state, rules, job.queue))
        if full[job.queue]:
            found.setdefault(job.parent, job.id)
    return found


def estimate_s(state: State, full: Full, job: Job, ahead: int, now: Now) -> float | None:
    """About how long until the job gets a place of ``full``, with ``ahead`` others before it.

    Each is taken to need what the last successful attempts of its function took; None if there were none.
    """
    holders = [state.jobs[job_id] for job_id in full.holders]
    usual = _usual_s(state, {job.ref, *(holder.ref for holder in holders)})
    if job.ref not in usual or not all(holder.ref in usual for holder in holders):
        return None
    free_in = [max(0.0, usual[one.ref] - (now.wall - one.attempts[-1].started_at)) for one in holders]
    heapq.heapify(free_in)
    for _ in range(ahead):
        heapq.heapreplace(free_in, free_in[0] + usual[job.ref])
    return free_in[0]


def _usual_s(state: State, refs: set[str]) -> dict[str, float]:
    """Mean duration of successful attempts by function, from the newest finished jobs."""
    found: dict[str, list[float]] = {}
    for job_id in itertools.islice(reversed(state.finished), SAMPLE_JOBS):
        job = state.jobs[job_id]
        if job.ref in refs and job.state == SUCCEEDED:
            took, last = found.setdefault(job.ref, []), job.attempts[-1]
            if len(took) < SAMPLE_ATTEMPTS and last.ended_at is not None:
                took.append(max(0.0, last.ended_at - last.started_at))
    return {ref: sum(took) / len(took) for ref, took in found.items() if took}


def _running(state: State) -> list[Job]:
    return [state.jobs[job_id] for job_id in state.children.values()]
