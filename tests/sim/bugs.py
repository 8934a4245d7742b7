"""Defects that are planted on purpose, to prove that the simulation would find them.

Each is a small change of the product such as somebody might make, as a patch that is in force inside ``with
BUGS[name].planted()``. ``seed`` is one that finds it; after a change of the simulation another may, and
``python tests/sim/bugs.py`` looks for them and prints the table anew.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

from archive import History
from disk import SimDisk, SimJournal
from jobyard.client.events import Follower
from jobyard.client.session import Session
from jobyard.protocol import notices as n
from jobyard.protocol import retry
from jobyard.supervisor.archive_desk import ArchiveDesk
from jobyard.supervisor.core import attempts, pools, submit, unblock, upkeep
from jobyard.supervisor.core import effects as f
from jobyard.supervisor.core import events as e
from jobyard.supervisor.core import machine as machines
from jobyard.supervisor.core import records as r
from jobyard.supervisor.core.dependencies import Dependencies
from jobyard.supervisor.core.eviction import Eviction
from jobyard.supervisor.core.machine import Machine
from jobyard.supervisor.core.pools import Pools
from jobyard.supervisor.core.state import State
from jobyard.supervisor.core.timers import Timers
from jobyard.supervisor.desk import Desk
from jobyard.supervisor.driver import Driver
from jobyard.supervisor.outbox import Outbox
from jobyard.supervisor.parked import Parked
from jobyard.supervisor.ring import Ring
from procs import SimZygote

Patch = Any


@dataclass(frozen=True)
class Bug:
    """``what`` somebody did wrong, where, and the first seed that finds it."""

    name: str
    where: str
    what: str
    patches: Callable[[], list[Patch]]

    @contextlib.contextmanager
    def planted(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for patch in self.patches():
                stack.enter_context(patch)
            yield


BUGS: dict[str, Bug] = {}


def bug(where: str, what: str) -> Callable[[Callable[[], list[Patch]]], None]:
    def add(patches: Callable[[], list[Patch]]) -> None:
        BUGS[patches.__name__] = Bug(patches.__name__, where, what, patches)

    return add


def _instead(owner: Any, name: str, make: Callable[[Any], Any]) -> Patch:
    """Replace a function by what ``make`` makes of it."""
    return mock.patch.object(owner, name, make(getattr(owner, name)))


# -- the outbox and the driver -----------------------------------------------------------------------------------------


def _at_once(kind: type) -> list[Patch]:
    def make(add: Any) -> Any:
        def wrong(self: Outbox, effects: Any, ticket: int, synced: int) -> None:
            for effect in effects:
                if isinstance(effect, kind):
                    self._perform(effect)
                else:
                    add(self, [effect], ticket, synced)

        return wrong

    return [_instead(Outbox, "add", make)]


@bug("outbox", "replies do not wait for the sync")
def reply_before_sync() -> list[Patch]:
    return _at_once(f.Reply)


@bug("outbox", "attempts do not wait for the sync of their start")
def go_before_sync() -> list[Patch]:
    return _at_once(f.Go)


@bug("outbox", "exits are acknowledged before the end is on disk")
def exit_acknowledged_early() -> list[Patch]:
    return _at_once(f.AckExit)


@bug("outbox", "the stream tells what is not on disk yet")
def notice_before_sync() -> list[Patch]:
    return _at_once(f.Notify)


@bug("outbox", "what waits is let go one group too early")
def one_group_too_early() -> list[Patch]:
    return [_instead(Outbox, "release", lambda release: lambda self, synced: release(self, synced + 1))]


@bug("outbox", "a kill overtakes the start of what it is to end")
def kill_overtakes_start() -> list[Patch]:
    def make(add_kills: Any) -> Any:
        def wrong(self: Outbox, kills: Any, ticket: int, synced: int, now: float) -> None:
            for kill in kills:
                self._perform(kill)

        return wrong

    return [_instead(Outbox, "add_kills", make)]


@bug("driver", "ids are told before the block that they are from is on disk")
def ids_told_before_reserved() -> list[Patch]:
    def make(commit: Any) -> Any:
        def wrong(self: Driver, effects: f.Effects, now: e.Now) -> None:
            effects.reserves = False
            commit(self, effects, now)

        return wrong

    return [_instead(Driver, "commit", make)]


@bug("driver", "when the disk works again, what had waited for it is forgotten")
def forgotten_after_probe() -> list[Patch]:
    def make(probe: Any) -> Any:
        def wrong(self: Driver) -> None:
            probe(self)
            if self.degraded is None:
                self.outbox._waiting.clear()

        return wrong

    def no_release(release: Any) -> Any:
        return lambda self, synced: None if self.__dict__.get("lost") else release(self, synced)

    def mark(take: Any) -> Any:
        def wrong(self: Outbox, is_reply: Any) -> Any:
            taken = take(self, is_reply)
            self._waiting = deque()
            return taken

        return wrong

    return [_instead(Outbox, "take_replies", mark)]


@bug("driver", "the disk is not tried again once it has refused")
def no_probe() -> list[Patch]:
    return [mock.patch.object(Driver, "_probe", lambda self: setattr(self, "_probe_at", None))]


@bug("desk", "a submit that is sent again is refused for a full disk, though it was stored the first time")
def refused_though_stored() -> list[Patch]:
    def wrong(self: Desk, request: Any) -> None:
        self._check_storage()
        if self._back.low_space:
            raise submit.QueueFull("the disk is almost full")

    return [mock.patch.object(Desk, "_check_room", wrong)]


@bug("desk", "whoever waits for a job is not woken by its cancel")
def waiter_not_woken_by_cancel() -> list[Patch]:
    def make(notify: Any) -> Any:
        def wrong(self: Driver, notice: f.Notify) -> None:
            with mock.patch.object(self.desk, "job_finished", lambda job_id: None) if notice.kind == "cancelled" else (
                contextlib.nullcontext()
            ):
                notify(self, notice)

        return wrong

    return [_instead(Driver, "_notify", make)]


@bug("parked", "of several that wait for a job only the first is answered")
def one_waiter_only() -> list[Patch]:
    def make(finished: Any) -> Any:
        def wrong(self: Parked, job_id: int, answer: Any) -> None:
            if job_id in self._waits:
                self._waits[job_id] = self._waits[job_id][:1]
            finished(self, job_id, answer)

        return wrong

    return [_instead(Parked, "finished", make)]


# -- the journal -------------------------------------------------------------------------------------------------------


@bug("journal", "the snapshot misses the last group of its segment")
def snapshot_misses_a_group() -> list[Patch]:
    def make(replay: Any) -> Any:
        def wrong(self: SimDisk, kept: int, upto: int | None = None) -> State:
            last = None if upto is None else self.segments[upto].groups
            if not last:
                return replay(self, kept, upto)
            group = last.pop()
            state = replay(self, kept, upto)
            last.append(group)
            return state

        return wrong

    return [_instead(SimDisk, "replay", make)]


@bug("journal", "segments are replayed as their names sort, 10 before 9")
def segments_out_of_order() -> list[Patch]:
    def wrong(self: SimDisk, number: int) -> Any:
        return str(number)

    def make(replay: Any) -> Any:
        def replayed(self: SimDisk, kept: int, upto: int | None = None) -> State:
            tail = sorted(self.segments, reverse=True)
            turned = {number: self.segments[other] for number, other in zip(sorted(self.segments), tail, strict=True)}
            with mock.patch.object(self, "segments", turned):
                return replay(self, kept, upto)

        return replayed

    return [_instead(SimDisk, "replay", make)]


@bug("journal", "after a failure the new file holds what was synced, not what is in memory")
def restart_with_old_state() -> list[Patch]:
    def make(restart: Any) -> Any:
        def wrong(self: SimJournal, chunks: Any) -> None:
            restart(self, list(self._disk.replay(5).dump()))

        return wrong

    return [_instead(SimJournal, "restart", make)]


@bug("journal", "a sync that fails is taken for done")
def failed_sync_ignored() -> list[Patch]:
    def make(sync: Any) -> Any:
        def wrong(self: SimJournal) -> None:
            if self._disk.refuses and self._unsynced:
                items, self._unsynced = self._unsynced, []
                self.synced = items[-1].ticket
                self.woken = True
            else:
                sync(self)

        return wrong

    return [_instead(SimJournal, "_sync", make)]


@bug("state", "a snapshot brings back no uids of finished jobs")
def uids_lost_in_snapshot() -> list[Patch]:
    def make(place: Any) -> Any:
        def wrong(self: State, job: Any) -> None:
            place(self, job)
            if job.finished_at is not None:
                self.uids[job.uid + "x"] = self.uids.pop(job.uid)

        return wrong

    return [_instead(State, "_place", make)]


@bug("state", "a snapshot brings back no keys")
def keys_lost_in_snapshot() -> list[Patch]:
    def make(place: Any) -> Any:
        def wrong(self: State, job: Any) -> None:
            place(self, job)
            if self.keys.get(job.key) == job.id:
                del self.keys[job.key]

        return wrong

    return [_instead(State, "_place", make)]


@bug("snapshot", "a snapshot forgets that a cancel was asked for")
def cancel_lost_in_snapshot() -> list[Patch]:
    from jobyard.supervisor.core import state as states

    def make(to_wire: Any) -> Any:
        def wrong(job: Any) -> list[Any]:
            wire = to_wire(job)
            wire[7] = None
            return list(wire)

        return wrong

    return [_instead(states, "job_to_wire", make)]


# -- attempts and retries ----------------------------------------------------------------------------------------------


def _record(cls: type, change: Callable[[State, Any], Any]) -> list[Patch]:
    """Apply another record than the one that is written, live and in replay."""
    from jobyard.supervisor.core import state as states

    def wrong(self: State, record: Any) -> None:
        original(self, change(self, record))

    original = states._APPLY[cls]
    return [mock.patch.dict(states._APPLY, {cls: wrong})]


@bug("attempts", "a retry forgets the attempts before it")
def attempts_not_counted() -> list[Patch]:
    return _record(r.Ended, lambda state, one: dataclasses.replace(one, counted=one.counted and one.state == "failed"))


@bug("attempts", "RetryLater spends an attempt, though it is not to count")
def retry_later_counts() -> list[Patch]:
    return [_instead(attempts, "_again", lambda again: lambda delay_s, counted=True: again(delay_s, True))]


@bug("attempts", "a job that was cancelled while it ran, and failed, is tried again")
def cancel_forgotten_on_failure() -> list[Patch]:
    def make(judge: Any) -> Any:
        def wrong(job: Any, outcome: str, exit: e.Exit, end: e.End | None) -> Any:
            if outcome == "error":
                job = mock.Mock(wraps=job, cancel=None, policy=job.policy, spent=job.spent, uid=job.uid)
            return judge(job, outcome, exit, end)

        return wrong

    return [_instead(attempts, "judge", make)]


@bug("attempts", "losses have no bound")
def losses_not_bounded() -> list[Patch]:
    return _record(r.Ended, lambda state, one: dataclasses.replace(one, outcome="error") if one.outcome == "lost" else one)


@bug("attempts", "on_lost = fail is not looked at")
def on_lost_ignored() -> list[Patch]:
    def make(after_loss: Any) -> Any:
        def wrong(turn: Any, job: Any) -> Any:
            policy = dataclasses.replace(job.policy, on_lost="retry")
            return after_loss(turn, mock.Mock(cancel=job.cancel, policy=policy, losses=job.losses))

        return wrong

    return [_instead(attempts, "_after_loss", make)]


@bug("retry", "the second wait of a list of delays is the first again")
def first_delay_repeats() -> list[Patch]:
    def make(delay_s: Any) -> Any:
        return lambda policy, uid, failure: delay_s(policy, uid, 1)

    return [_instead(retry, "delay_s", make)]


@bug("pools", "the jobs of a zygote are called lost before all its processes are dead")
def lost_without_fence() -> list[Patch]:
    def make(gone: Any) -> Any:
        return lambda self, turn, event: gone(self, turn, dataclasses.replace(event, fenced=True))

    return [_instead(Pools, "decide_gone", make)]


@bug("pools", "children that could not be made are waited for for ever")
def concurrency_leak() -> list[Patch]:
    def make(failed: Any) -> Any:
        def wrong(self: Pools, turn: Any, event: e.PrepareFailed) -> None:
            asked = self.get(event.pool).asked
            failed(self, turn, event)
            self.get(event.pool).asked = asked

        return wrong

    return [_instead(Pools, "decide_prepare_failed", make)]


@bug("pools", "a pool that holds back is not let go when the clock is set")
def hold_lost_on_clock_step() -> list[Patch]:
    return [mock.patch.object(Pools, "held", lambda self: [])]


@bug("pools", "children are made before their zygote is on disk")
def children_before_zygote() -> list[Patch]:
    def make(dispatch: Any) -> Any:
        def wrong(self: Pools, turn: Any) -> None:
            self._unproven.clear()
            dispatch(self, turn)

        return wrong

    return [_instead(Pools, "dispatch", make)]


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

    return [_instead(pools, "_open_queues", make)]


@bug("pools", "the limit of a queue is one too high")
def queue_limit_off_by_one() -> list[Patch]:
    return [_instead(pools, "_room", lambda room: lambda queue, rule: room(queue, rule) + 1)]


# -- queues, keys, time ------------------------------------------------------------------------------------------------


@bug("state", "a job that is cancelled keeps its place in the heap")
def cancelled_stays_in_heap() -> list[Patch]:
    def wrong(self: State, queue: str, job_id: int, priority: int) -> bool:
        job = self.jobs.get(job_id)
        return job is not None and job.state in ("queued", "cancelled") and job.priority == priority and job.queue == queue

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

    return [_instead(State, "_finish", make)]


@bug("submit", "a batch that is sent again does not know the keys of its own jobs")
def batch_forgets_keys() -> list[Patch]:
    class Forgetful(dict[str, int]):
        pass

    def make(plan: Any) -> Any:
        def wrong(turn: Any, wanted: Any, next_id: int) -> Any:
            known = [want.uid in turn.state.uids for want in wanted]
            changed = [dataclasses.replace(want, key=None) if old else want for want, old in zip(wanted, known, strict=True)]
            return plan(turn, changed, next_id)

        return wrong

    return [_instead(submit, "_plan", make)]


@bug("submit", "ids that may have been told are given again after a crash")
def ids_given_again() -> list[Patch]:
    def make(init: Any) -> Any:
        def wrong(self: Machine, state: State, rules: Any) -> None:
            init(self, state, rules)
            self._next_id = state.last_id + 1

        return wrong

    return [_instead(Machine, "__init__", make)]


@bug("submit", "a queue that drains still takes jobs that were sent again")
def drain_ignored() -> list[Patch]:
    def make(refuse: Any) -> Any:
        def wrong(turn: Any, want: e.Wanted) -> None:
            if not want.priority:
                refuse(turn, want)

        return wrong

    return [_instead(submit, "_refuse", make)]


@bug("archive_desk", "a submit that is sent again is not looked for in the history")
def archived_uid_not_found() -> list[Patch]:
    def make(ask: Any) -> Any:
        return lambda self, event: False

    def no_guard(refuse: Any) -> Any:
        return lambda turn, want: refuse(turn, dataclasses.replace(want, resent=False))

    return [_instead(ArchiveDesk, "submit", make), _instead(submit, "_refuse", no_guard)]


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

    from jobyard.supervisor.core import state as states

    return [mock.patch.dict(states._APPLY, {r.Began: make(states._APPLY[r.Began])})]


@bug("unblock", "a blocked job that is given a time waits for none if the clock was set back")
def blocked_job_early() -> list[Patch]:
    def wrong(job: Any, turn: Any) -> bool:
        return bool(job.run_at > job.created_at and machines.due_at(job, turn.now) > turn.now.boot)

    return [mock.patch.object(unblock, "_is_early", wrong)]


@bug("timers", "of deadlines at one moment only the first is taken")
def one_deadline_a_time() -> list[Patch]:
    def make(due: Any) -> Any:
        def wrong(self: Timers, now: float) -> Any:
            return due(self, now)[:1]

        return wrong

    return [_instead(Timers, "due", make)]


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

    return [_instead(Dependencies, "settle", make)]


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

    return [_instead(Eviction, "evict", make)]


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

    return [_instead(History, "archive", make)]


@bug("upkeep", "prune forgets jobs that were put back meanwhile")
def pruned_though_put_back() -> list[Patch]:
    def make(prune: Any) -> Any:
        def wrong(turn: Any, event: e.PruneAsked) -> None:
            finished = [job_id for job_id in event.ids if job_id in turn.state.jobs]
            upkeep._forget(turn, finished, finished)

        return wrong

    return [_instead(upkeep, "decide_prune", make)]


# -- adoption ----------------------------------------------------------------------------------------------------------


@bug("zygote", "the go of an adopted child is taken for another attempt, which it makes as well")
def adopted_goes_twice() -> list[Patch]:
    def make(go: Any) -> Any:
        def wrong(self: SimZygote, kid: int, order: Any) -> None:
            child = self.children.get(kid)
            if child is not None and child.order is not None:
                child.order = None
            go(self, kid, order)

        return wrong

    return [_instead(SimZygote, "go", make)]


@bug("zygote", "exits that nobody heard of are not told to the next supervisor")
def exits_forgotten() -> list[Patch]:
    def make(greet: Any) -> Any:
        def wrong(self: SimZygote) -> None:
            self.unacked.clear()
            greet(self)

        return wrong

    return [_instead(SimZygote, "greet", make)]


@bug("pools", "children that run in an adopted zygote are called lost")
def adopted_called_lost() -> list[Patch]:
    def make(adopted: Any) -> Any:
        return lambda self, turn, event: adopted(self, turn, dataclasses.replace(event, kids=frozenset()))

    return [_instead(Pools, "decide_adopted", make)]


@bug("attempts", "a start that is on disk is not followed by a go after adoption")
def go_not_sent_again() -> list[Patch]:
    def wrong(turn: Any, job: Any) -> None:
        if job.cancel is not None:
            attempts.kill(turn, job, "cancel", job.cancel.grace_s, job.cancel.reason)

    return [mock.patch.object(attempts, "go_on", wrong)]


@bug("attempts", "a cancel that is on disk is not carried out after adoption")
def kill_not_sent_again() -> list[Patch]:
    def wrong(turn: Any, job: Any) -> None:
        turn.durable(f.Go(attempts.child_of(job), attempts.order(job)))

    return [mock.patch.object(attempts, "go_on", wrong)]


@bug("pools", "an adopted child that was given its attempt is taken for a spare one")
def adopted_taken_for_spare() -> list[Patch]:
    def wrong(self: Pools, turn: Any, event: e.ChildReady) -> None:
        pool = self.get(event.child.pool)
        self._unproven.discard(event.child.zygote)
        if event.child.zygote != pool.zygote:
            attempts.discard(turn, event.child)
            return
        pool.asked = max(0, pool.asked - 1)
        pool.free.append(event.child)

    return [mock.patch.object(Pools, "decide_ready", wrong)]


@bug("zygote", "deadlines end with the supervisor that gave them")
def deadlines_die_with_supervisor() -> list[Patch]:
    def make(kill: Any) -> Any:
        def wrong(self: SimZygote, kid: int, kind: str, grace_s: float) -> None:
            if kind != "timeout" or self.line is not None:
                kill(self, kid, kind, grace_s)

        return wrong

    return [_instead(SimZygote, "kill", make)]


# -- the network and the stream ----------------------------------------------------------------------------------------


@bug("session", "requests that were under way are not sent again after a reconnect")
def not_sent_again() -> list[Patch]:
    def make(connected: Any) -> Any:
        def wrong(self: Session) -> list[bytes]:
            before = {request_id for request_id, entry in self._pending.items() if entry.sent}
            frames = connected(self)
            return [frame for request_id, frame in zip(self._pending, frames, strict=True) if request_id not in before]

        return wrong

    return [_instead(Session, "connected", make)]


@bug("session", "a request that must not be sent twice is sent twice")
def resent_though_not_twice() -> list[Patch]:
    from jobyard.client import session

    return [mock.patch.object(session, "_resent", lambda request: _with_fresh_uids(request))]


def _with_fresh_uids(request: Any) -> Any:
    jobs = getattr(request, "jobs", None)
    if jobs is None:
        return request
    return dataclasses.replace(request, jobs=[dataclasses.replace(one, uid=f"{one.uid[:12]}f{one.uid[13:]}") for one in jobs])


@bug("follower", "gaps in the stream are not noticed")
def gaps_not_noticed() -> list[Patch]:
    def make(published: Any) -> Any:
        def wrong(self: Follower, frames: Any) -> Any:
            if self._seq is not None:
                from jobyard.protocol import topics

                self._seq = max(self._seq, topics.unpack(frames).before)
            return published(self, frames)

        return wrong

    return [_instead(Follower, "published", make)]


@bug("ring", "the oldest notices are gone without a word")
def truncation_not_told() -> list[Patch]:
    def make(answered: Any) -> Any:
        def wrong(self: Follower, reply: Any) -> Any:
            kept = [one for one in reply.notices if one.kind != n.TRUNCATED]
            return answered(self, dataclasses.replace(reply, notices=kept))

        return wrong

    return [_instead(Follower, "answered", make)]


@bug("ring", "an answer to a follower leaves out the first notice that he missed")
def refill_off_by_one() -> list[Patch]:
    return [_instead(Ring, "after", lambda after: lambda self, seq: after(self, seq + 1))]
