"""Jobs that are there: changing those that wait, forgetting those that have ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...protocol.errors import QueueDraining, WrongState
from ...protocol.messages import Changed as ChangedReply
from ...protocol.messages import Pruned as PrunedReply
from ...protocol.messages import Removed
from ...protocol.notices import CHANGED, PRUNED
from ...protocol.states import FINISHED, QUEUED, SCHEDULED, WAITING
from .events import PruneAsked, RemoveAsked, SetAsked
from .pools import queue_mode
from .records import Changed, Pruned
from .rules import Limits, QueueRule
from .state import Job, State
from .turn import Turn, no_such_job

PRUNE_BATCH = 500


def decide_set(turn: Turn, event: SetAsked) -> list[Job]:
    """Change what waits; gives those jobs, whose times may be others now."""
    unknown = next((job_id for job_id in event.ids if job_id not in turn.state.jobs), None)
    if unknown is not None:
        turn.reply(event.token, no_such_job(turn.state, unknown))
        return []
    waiting, others = _split(turn.state, event.ids, WAITING)
    if not waiting:
        turn.reply(event.token, _wrong_state(turn.state, event.ids, "does not wait"))
        return []
    rule = turn.rules.queues.get(event.queue or "", QueueRule())
    if event.queue is not None and queue_mode(turn.state.queue(event.queue), rule) == "draining":
        hint = f"jobctl resume {event.queue}"
        turn.reply(event.token, QueueDraining(f"queue {event.queue} is draining: it takes no new jobs", hint=hint))
        return []
    turn.record(_changed(turn, event, waiting))
    jobs = [turn.state.jobs[job_id] for job_id in waiting]
    for job in jobs:
        turn.notify(job, CHANGED)
    turn.reply(event.token, ChangedReply(waiting, others))
    return jobs


def _changed(turn: Turn, event: SetAsked, ids: list[int]) -> Changed:
    now = turn.now
    state: str | None = None
    run_at, due_boot = 0.0, None
    if event.delay_s is not None or event.at is not None:
        run_at = now.wall + (event.delay_s or 0.0) if event.at is None else event.at
        state = SCHEDULED if run_at > now.wall else QUEUED
        run_at = max(run_at, now.wall)
        due_boot = now.boot + event.delay_s if state == SCHEDULED and event.delay_s is not None else None
    return Changed(
        ids, now.wall, event.by, event.priority, event.queue, state, run_at, due_boot, event.limited, event.timeout_s
    )


def decide_remove(turn: Turn, event: RemoveAsked) -> None:
    unknown = next((job_id for job_id in event.ids if job_id not in turn.state.jobs), None)
    if unknown is not None:
        turn.reply(event.token, no_such_job(turn.state, unknown))
        return
    finished, others = _split(turn.state, event.ids, FINISHED)
    if not finished:
        hint = f"jobctl cancel {event.ids[0]}"
        turn.reply(event.token, _wrong_state(turn.state, event.ids, "has not ended", hint))
        return
    _forget(turn, finished)
    turn.reply(event.token, Removed(finished, others))


def decide_prune(turn: Turn, event: PruneAsked, limit: int) -> None:
    """At most ``limit`` jobs; a dry run counts them all."""
    if event.older_s is None and not event.states:
        found = over_limits(turn.state, turn.rules.limits)
    else:
        found = _fitting(turn.state, event, turn.now.wall)
    if event.dry_run:
        turn.reply(event.token, PrunedReply(sum(1 for _ in found)))
        return
    ids = _first(found, limit)
    if ids:
        _forget(turn, ids)
    turn.reply(event.token, PrunedReply(len(ids), more=len(ids) == limit))


def prune_over_limits(turn: Turn) -> bool:
    """Forget the oldest finished jobs over the limits, some at a time; whether there may be more."""
    ids = _first(over_limits(turn.state, turn.rules.limits), PRUNE_BATCH)
    if ids:
        _forget(turn, ids)
    return len(ids) == PRUNE_BATCH


def _forget(turn: Turn, ids: list[int]) -> None:
    turn.record(Pruned(ids))
    turn.announce(PRUNED, ids=ids)


def over_limits(state: State, limits: Limits) -> Iterator[int]:
    """Finished jobs that are too many, or hold too much, oldest first."""
    count, size = len(state.finished), state.finished_bytes
    for job_id in state.finished:
        if count <= limits.finished_jobs and size <= limits.finished_bytes:
            return
        yield job_id
        count -= 1
        size -= state.jobs[job_id].held_bytes


def _fitting(state: State, event: PruneAsked, wall: float) -> Iterator[int]:
    for job_id in state.finished:
        job = state.jobs[job_id]
        assert job.finished_at is not None
        old = event.older_s is None or job.finished_at <= wall - event.older_s
        if old and (not event.states or job.state in event.states):
            yield job_id


def _first(ids: Iterator[int], limit: int) -> list[int]:
    return [job_id for _, job_id in zip(range(limit), ids, strict=False)]


def _split(state: State, ids: Iterable[int], wanted: frozenset[str]) -> tuple[list[int], list[int]]:
    """The ids of jobs in one of these states, and the others, each once."""
    each = list(dict.fromkeys(ids))
    fitting = [job_id for job_id in each if state.jobs[job_id].state in wanted]
    return fitting, [job_id for job_id in each if state.jobs[job_id].state not in wanted]


def _wrong_state(state: State, ids: list[int], why: str, hint: str = "") -> WrongState:
    job = state.jobs[ids[0]]
    return WrongState(
        f"job {job.id} {why}: its state is {job.state}", hint=hint, details={"id": job.id, "state": job.state}
    )
