"""Planted bugs of the core: attempts, retries, queues, keys, times, dependencies, eviction."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any
from unittest import mock

from archive import History
from jobyard.protocol import retry
from jobyard.supervisor.archive_desk import ArchiveDesk
from jobyard.supervisor.core import attempts, pools, submit, unblock, upkeep
from jobyard.supervisor.core import events as e
from jobyard.supervisor.core import machine as machines
from jobyard.supervisor.core import records as r
from jobyard.supervisor.core import state as states
from jobyard.supervisor.core.dependencies import Dependencies
from jobyard.supervisor.core.eviction import Eviction
from jobyard.supervisor.core.machine import Machine
from jobyard.supervisor.core.pools import Pools
from jobyard.supervisor.core.state import State
from jobyard.supervisor.core.timers import Timers
from planting import Patch, bug, instead

# -- attempts and retries ----------------------------------------------------------------------------------------------


def _record(cls: type, change: Callable[[State, Any], Any]) -> list[Patch]:
    """Apply another record than the one that is written, live and in replay."""

    def wrong(self: State, record: Any) -> None:
        original(self, change(self, record))

    original = states._APPLY[cls]
    return [mock.patch.dict(states._APPLY, {cls: wrong})]


@bug("attempts", "a retry forgets the attempts before it")
def attempts_not_counted() -> list[Patch]:
    return _record(r.Ended, lambda state, one: dataclasses.replace(one, counted=one.counted and one.state == "failed"))


@bug("attempts", "RetryLater spends an attempt, though it is not to count")
def retry_later_counts() -> list[Patch]:
    return [instead(attempts, "_again", lambda again: lambda delay_s, counted=True: again(delay_s, True))]


@bug("attempts", "a job that was cancelled while it ran, and failed, is tried again")
def cancel_forgotten_on_failure() -> list[Patch]:
    def make(judge: Any) -> Any:
        def wrong(job: Any, outcome: str, exit: e.Exit, end: e.End | None) -> Any:
            if outcome == "error":
                job = mock.Mock(wraps=job, cancel=None, policy=job.policy, spent=job.spent, uid=job.uid)
            return judge(job, outcome, exit, end)

        return wrong

    return [instead(attempts, "judge", make)]


@bug("attempts", "an attempt that could not begin counts")
def void_attempts_count() -> list[Patch]:
    def make(judge: Any) -> Any:
        def wrong(job: Any, outcome: str, exit: e.Exit, end: e.End | None) -> Any:
            verdict = judge(job, outcome, exit, end)
            return dataclasses.replace(verdict, counted=True) if exit.void else verdict

        return wrong

    return [instead(attempts, "judge", make)]


@bug("attempts", "losses have no bound")
def losses_not_bounded() -> list[Patch]:
    return _record(
        r.Ended, lambda state, one: dataclasses.replace(one, outcome="error") if one.outcome == "lost" else one
    )


@bug("attempts", "on_lost = fail is not looked at")
def on_lost_ignored() -> list[Patch]:
    def make(after_loss: Any) -> Any:
        def wrong(turn: Any, job: Any) -> Any:
            policy = dataclasses.replace(job.policy, on_lost="retry")
            return after_loss(turn, mock.Mock(cancel=job.cancel, policy=policy, losses=job.losses))

        return wrong

    return [instead(attempts, "_after_loss", make)]


@bug("retry", "the second wait of a list of delays is the first again")
def first_delay_repeats() -> list[Patch]:
    def make(delay_s: Any) -> Any:
        return lambda policy, uid, failure: delay_s(policy, uid, 1)

    return [instead(retry, "delay_s", make)]


@bug("pools", "the jobs of a zygote are called lost before all its processes are dead")
def lost_without_fence() -> list[Patch]:
    def make(gone: Any) -> Any:
        return lambda self, turn, event: gone(self, turn, dataclasses.replace(event, fenced=True))

    return [instead(Pools, "decide_gone", make)]


@bug("pools", "children that could not be made are waited for for ever")
def concurrency_leak() -> list[Patch]:
    def make(failed: Any) -> Any:
        def wrong(self: Pools, turn: Any, event: e.PrepareFailed) -> None:
            asked = self.get(event.pool).asked
            failed(self, turn, event)
            self.get(event.pool).asked = asked

        return wrong

    return [instead(Pools, "decide_prepare_failed", make)]


@bug("pools", "a pool that holds back is not let go when the clock is set")
def hold_lost_on_clock_step() -> list[Patch]:
    return [mock.patch.object(Pools, "held", return_value=[])]


@bug("pools", "children are made before their zygote is on disk")
def children_before_zygote() -> list[Patch]:
    def make(dispatch: Any) -> Any:
        def wrong(self: Pools, turn: Any) -> None:
            self._unproven.clear()
            dispatch(self, turn)

        return wrong

    return [instead(Pools, "dispatch", make)]


@bug("pools", "a paused queue still starts jobs that are tried again")
def pause_ignored_for_retries() -> list[Patch]:
    def make(open_queues: Any) -> Any:
        def wrong(turn: Any, pool: str) -> Any:
            found = open_queues(turn, pool)
            names = {id(queue) for queue, _ in found}
            for name, rule in turn.rules.queues.items():
                queue = turn.state.queue(name)
                top = queue.heap.top()
                if rule.pool == pool and id(queue) not in names and top and turn.state.jobs[top[1]].attempt:
                    found.append((queue, rule))
            return found

        return wrong

    return [instead(pools, "_open_queues", make)]


@bug("pools", "the limit of a queue is one too high")
def queue_limit_off_by_one() -> list[Patch]:
    return [instead(pools, "_room", lambda room: lambda queue, rule: room(queue, rule) + 1)]


# -- queues, keys, time ------------------------------------------------------------------------------------------------


@bug("state", "a job that is cancelled keeps its place in the heap")
def cancelled_stays_in_heap() -> list[Patch]:
    def wrong(self: State, queue: str, job_id: int, priority: int) -> bool:
        job = self.jobs.get(job_id)
        return (
            job is not None and job.state in ("queued", "cancelled") and job.priority == priority and job.queue == queue
        )

    return [mock.patch.object(State, "_stands", wrong)]


@bug("state", "a job with another priority keeps its old place too")
def old_place_in_heap() -> list[Patch]:
    def wrong(self: State, queue: str, job_id: int, priority: int) -> bool:
        job = self.jobs.get(job_id)
        return job is not None and job.state == "queued" and job.queue == queue

    return [mock.patch.object(State, "_stands", wrong)]


@bug("state", "the key of a job that is cancelled before it starts is not freed")
def key_not_freed() -> list[Patch]:
    def make(finish: Any) -> Any:
        def wrong(self: State, job: Any, at: float) -> None:
            kept = job.key if job.attempt == 0 else None
            finish(self, job, at)
            if kept is not None:
                self.keys.setdefault(kept, job.id)

        return wrong

    return [instead(State, "_finish", make)]


@bug("submit", "ids that may have been told are given again after a crash")
def ids_given_again() -> list[Patch]:
    def make(init: Any) -> Any:
        def wrong(self: Machine, state: State, rules: Any) -> None:
            init(self, state, rules)
            self._next_id = state.last_id + 1

        return wrong

    return [instead(Machine, "__init__", make)]


@bug("submit", "a queue that drains still takes jobs")
def drain_ignored() -> list[Patch]:
    return [mock.patch.object(submit, "queue_mode", return_value="open")]


@bug("archive_desk", "a submit that is sent again is not looked for in the history")
def archived_uid_not_found() -> list[Patch]:
    def make(ask: Any) -> Any:
        return lambda self, event: False

    def no_guard(refuse: Any) -> Any:
        return lambda turn, want: refuse(turn, dataclasses.replace(want, resent=False))

    return [instead(ArchiveDesk, "submit", make), instead(submit, "_refuse", no_guard)]


@bug("archive_desk", "a job that leaves memory while the history is asked for others is not found")
def left_memory_meanwhile() -> list[Patch]:
    def wrong(self: ArchiveDesk, token: Any, verb: str, ids: list[int], then: Any) -> bool:
        absent = self.absent(ids)
        if absent:
            self.ask(token, verb, absent, lambda found: then(absent, found))
        return bool(absent)

    return [mock.patch.object(ArchiveDesk, "_look_up", wrong)]


@bug("machine", "deadlines go by the wall clock, as it was when they were armed")
def early_after_clock_step() -> list[Patch]:
    def wrong(job: Any, now: e.Now) -> float:
        return float(now.boot + (job.run_at - now.wall))

    return [mock.patch.object(one, "due_at", wrong) for one in (machines, unblock)]


@bug("state", "boot times of an earlier boot are still believed")
def old_boot_believed() -> list[Patch]:
    def make(began: Any) -> Any:
        def wrong(self: State, record: r.Began) -> None:
            self.boot_id = record.boot_id
            began(self, record)

        return wrong

    return [mock.patch.dict(states._APPLY, {r.Began: make(states._APPLY[r.Began])})]


@bug("timers", "of deadlines at one moment only the first is taken")
def one_deadline_a_time() -> list[Patch]:
    def make(due: Any) -> Any:
        def wrong(self: Timers, now: float) -> Any:
            return due(self, now)[:1]

        return wrong

    return [instead(Timers, "due", make)]


# -- dependencies, upkeep, history -------------------------------------------------------------------------------------


@bug("dependencies", "a job goes on as soon as one of its parents has ended")
def one_parent_is_enough() -> list[Patch]:
    def wrong(self: Dependencies, job: Any) -> None:
        if job.state == "blocked" and (job.failed_parent is not None or any(job.parents.values())):
            self.settled[job.id] = None
        else:
            self.settled.pop(job.id, None)

    return [mock.patch.object(Dependencies, "settle", wrong)]


@bug("dependencies", "a job that was let go is let go again when the next parent ends")
def unblocked_twice() -> list[Patch]:
    def make(settle: Any) -> Any:
        def wrong(self: Dependencies, job: Any) -> None:
            settle(self, job)
            if job.state == "queued" and job.parents and job.attempt == 0:
                self.settled[job.id] = None

        return wrong

    return [instead(Dependencies, "settle", make)]


@bug("dependencies", "a parent that failed does not cancel those that wait for it")
def failed_parent_ignored() -> list[Patch]:
    def wrong(self: Dependencies, child: Any, parent_id: int, ended: str) -> None:
        child.parents[parent_id] = ended

    return [mock.patch.object(Dependencies, "_note", wrong)]


@bug("eviction", "jobs leave memory before the history has them")
def evicted_before_archived() -> list[Patch]:
    def make(evict: Any) -> Any:
        def wrong(self: Eviction, turn: Any) -> Any:
            self.upto = self._state.finish_count
            return evict(self, turn)

        return wrong

    return [instead(Eviction, "evict", make)]


@bug("archivist", "jobs that finished while the archivist was at work count as archived")
def archived_too_much() -> list[Patch]:
    def make(archive: Any) -> Any:
        def wrong(self: History, state: State) -> int:
            kept = dict(state.finished)
            while len(state.finished) > 1 and len(state.finished) > len(kept) - 1:
                state.finished.popitem()
            stored = archive(self, state)
            state.finished = kept
            return int(stored)

        return wrong

    return [instead(History, "archive", make)]


@bug("upkeep", "prune forgets jobs that were put back meanwhile")
def pruned_though_put_back() -> list[Patch]:
    def make(prune: Any) -> Any:
        def wrong(turn: Any, event: e.PruneAsked) -> None:
            finished = [job_id for job_id in event.ids if job_id in turn.state.jobs]
            upkeep._forget(turn, finished, finished)

        return wrong

    return [instead(upkeep, "decide_prune", make)]
