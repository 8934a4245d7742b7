"""Jobs that are there: changing those that wait, forgetting those that have ended."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from ...protocol.errors import QueueDraining, WrongState
from ...protocol.messages import Changed as ChangedReply
from ...protocol.messages import Pruned as PrunedReply
from ...protocol.messages import Removed
from ...protocol.notices import CHANGED, PRUNED
from ...protocol.states import FINISHED, QUEUED, SCHEDULED, WAITING
from .events import PruneAsked, RemoveAsked, SetAsked
from .pools import queue_mode
from .records import Changed, Pruned
from .rules import QueueRule
from .state import Job, State
from .turn import Turn, no_such_job


def decide_set(turn: Turn, event: SetAsked) -> list[Job]:
    """Change what waits; gives those jobs, whose times may be others now."""
    unknown = next((job_id for job_id in event.ids if job_id not in turn.state.jobs), None)
    if unknown is not None:
        turn.reply(event.token, no_such_job(turn.state, unknown))
        return []
    waiting, others = _split(turn.state, event.ids, WAITING)
    if not waiting:
        turn.reply(event.token, _does_not_wait(turn.state, event))
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
    turn.reply(event.token, ChangedReply(waiting, [*others, *event.archived]))
    return jobs


def _does_not_wait(state: State, event: SetAsked) -> WrongState:
    if event.ids:
        return _wrong_state(state, event.ids, "does not wait")
    return WrongState(f"job {event.archived[0]} does not wait: it has ended", details={"id": event.archived[0]})


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
    archived = set(event.archived)
    unknown = next((one for one in event.ids if one not in turn.state.jobs and one not in archived), None)
    if unknown is not None:
        turn.reply(event.token, no_such_job(turn.state, unknown))
        return
    here = [job_id for job_id in event.ids if job_id in turn.state.jobs]
    ended, others = _split(turn.state, here, FINISHED)
    finished = [job_id for job_id in ended if job_id not in event.kept]
    others += [job_id for job_id in ended if job_id in event.kept]
    gone = [job_id for job_id in dict.fromkeys(event.ids) if job_id not in others]
    if not gone:
        hint = f"jobctl cancel {event.ids[0]}"
        turn.reply(event.token, _wrong_state(turn.state, event.ids, "has not ended", hint))
        return
    _forget(turn, finished, gone)
    turn.reply(event.token, Removed(gone, others))


def decide_prune(turn: Turn, event: PruneAsked) -> None:
    """Those that were put back meanwhile stay: they are not finished any more."""
    finished = [job_id for job_id in event.ids if job_id in turn.state.finished]
    gone = [*finished, *(job_id for job_id in event.archived if job_id not in turn.state.jobs)]
    _forget(turn, finished, gone)
    turn.reply(event.token, PrunedReply(len(gone), event.more))


def _forget(turn: Turn, finished: list[int], gone: list[int]) -> None:
    if finished:
        turn.record(Pruned(finished))
    if gone:
        turn.announce(PRUNED, ids=gone)


def prunable(state: State, before: float, states: Collection[str]) -> Iterator[int]:
    """Jobs in memory that finished by this moment, in one of these states if any are given; oldest first."""
    for job_id in state.finished:
        job = state.jobs[job_id]
        if job.finished_at is not None and job.finished_at <= before and (not states or job.state in states):
            yield job_id


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
