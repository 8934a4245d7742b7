"""The machine: events in, effects out. Pure: no clock, no I/O, no randomness; the moment comes with each step.

``step`` takes what happened, lets the ``decide_*`` function of each event make records (applied at once), then
dispatches. The driver appends the records as one group, and performs the effects in the order of ``effects.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from ...protocol.errors import DuplicateJob, WrongState
from ...protocol.job import JobInfo, Parent, Progress
from ...protocol.messages import Cancelled as CancelledReply
from ...protocol.messages import QueuesSet, Stopping
from ...protocol.messages import Requeued as RequeuedReply
from ...protocol.notices import QUEUE_KINDS
from ...protocol.states import FINISHED, RUNNING, SCHEDULED, WAITING
from . import attempts, submit, unblock, upkeep
from . import events as e
from .effects import Effects, Stopped
from .eviction import Eviction
from .pools import Pools, queue_mode
from .records import Began, Cancelled, CancelRequested, Promoted, QueueSet, Requeued, Restored
from .rules import QueueRule, Rules
from .snapshot import job_from_wire
from .state import Job, State
from .timers import EXPIRE, HOLD, MORE, PROMOTE, Timers
from .turn import Turn, describe, due_at, no_such_job

UNBLOCK_BATCH = 500
STOPPING = ("wait", "keep", "now")  # the ways to stop; once asked for, none gives way to one before it
TIMERS_PER_JOB, TIMERS_SLACK = 4, 10_000


class Machine:
    """Owns the state, the deadlines, and what is known of the pools.

    Attributes:
        state: durable facts; replaced by nothing, changed by records only.
        eviction: which finished jobs may leave memory.
        stopping: None, or how it is stopping, one of ``STOPPING``.
    """

    def __init__(self, state: State, rules: Rules) -> None:
        self.state = state
        self.rules = rules
        self.timers = Timers()
        self.eviction = Eviction(state)
        self.pools = Pools(self.timers)
        self.stopping: str | None = None
        self.progress: dict[int, Progress] = {}
        self._next_id = max(state.last_id, state.reserved_id) + 1
        self._stopped = False
        self._expiries: dict[int, float] = {}  # by boot time, so that no clock step makes a job expire

    def begin(self, now: e.Now, boot_id: str) -> Effects:
        """The first step of a generation."""
        turn = Turn(self.state, self.rules, now)
        turn.record(Began(self.state.generation + 1, boot_id, now.wall))
        self._rearm(now)
        return turn.effects

    def step(self, now: e.Now, events: Iterable[e.Event]) -> Effects:
        """Take in what happened; everything that follows from it."""
        turn = Turn(self.state, self.rules, now)
        for event in events:
            self._decide(turn, event)
        self._due(turn)
        self._unblock(turn)
        if self.stopping is None:
            self.pools.dispatch(turn)
        else:
            self._stop(turn)
        if self.eviction.evict(turn):
            self._go_on(turn)
        return turn.effects

    def wake_at(self) -> float | None:
        """Boot time at which a step is due even if nothing happens."""
        return self.timers.next()

    def info(self, job: Job) -> JobInfo:
        """A job as clients see it."""
        rule = self.rules.queues.get(job.queue)
        parents = [Parent(one, ended or self.state.jobs[one].state) for one, ended in job.parents.items()]
        children = self.state.dependencies.children.get(job.id, ())
        info = describe(job, rule.pool if rule else "", parents, len(children))
        progress = self.progress.get(job.id)
        if progress is not None:
            object.__setattr__(info, "progress", progress)
        return info

    def _decide(self, turn: Turn, event: e.Event) -> None:
        match event:
            case e.SubmitAsked():
                self._submit(turn, event)
            case e.ChildExited():
                self._exited(turn, event)
            case e.ChildReady():
                self.pools.decide_ready(turn, event)
            case e.CancelAsked():
                self._cancel(turn, event)
            case e.RetryAsked():
                self._retry(turn, event)
            case e.SetAsked():
                for job in upkeep.decide_set(turn, event):
                    self._arm(job, turn.now)
            case e.RemoveAsked():
                upkeep.decide_remove(turn, event)
            case e.PruneAsked():
                upkeep.decide_prune(turn, event)
            case e.Archived():
                self.eviction.archived(event)
            case e.HistoryLost():
                self.eviction.history_lost()
            case e.QueueSetAsked():
                self._set_queues(turn, event)
            case e.StopAsked():
                self._stop_asked(turn, event)
            case e.ZygoteUp():
                self.pools.decide_up(turn, event)
            case e.ZygoteAdopted():
                self.pools.decide_adopted(turn, event)
            case e.ZygoteGone():
                self._gone(turn, event)
            case e.PrepareFailed():
                self.pools.decide_prepare_failed(turn, event)
            case e.Progressed():
                self._progressed(turn, event)
            case e.Configured():
                self.rules = turn.rules = event.rules
                self.pools.decide_configured(turn)
            case e.ClockStepped():
                self._rearm(turn.now)
            case e.Tick():
                pass
            case _:
                assert_never(event)

    # -- what clients ask ----------------------------------------------------------------------------------------------

    def _submit(self, turn: Turn, event: e.SubmitAsked) -> None:
        first = self._next_id
        self._next_id = submit.decide_submit(turn, event, first)
        for job_id in range(first, self._next_id):
            self._arm(self.state.jobs[job_id], turn.now)

    def _cancel(self, turn: Turn, event: e.CancelAsked) -> None:
        unknown = [job_id for job_id in event.ids if job_id not in self.state.jobs]
        if unknown:
            turn.reply(event.token, no_such_job(self.state, unknown[0]))
            return
        waiting, finished = [], []
        for job in (self.state.jobs[job_id] for job_id in dict.fromkeys(event.ids)):
            if job.state in FINISHED:
                finished.append(job.id)
            elif job.state == RUNNING:
                self._cancel_running(turn, job, event)
            else:
                waiting.append(job.id)
        if waiting:
            turn.record(Cancelled(waiting, turn.now.wall, event.by, event.reason))
            for job_id in waiting:
                turn.notify(self.state.jobs[job_id], "cancelled")
        cancelled = [job_id for job_id in dict.fromkeys(event.ids) if job_id not in set(finished)]
        turn.reply(event.token, CancelledReply(cancelled, [*finished, *event.archived], event.more))

    def _cancel_running(self, turn: Turn, job: Job, event: e.CancelAsked) -> None:
        """Asked again, the wish is the newer one's: a second cancel may shorten the grace time."""
        turn.record(CancelRequested(job.id, turn.now.wall, event.by, event.reason, event.grace_s))
        attempts.kill(turn, job, "cancel", event.grace_s, event.reason)

    def _retry(self, turn: Turn, event: e.RetryAsked) -> None:
        job = self.state.jobs.get(event.id)
        if job is None and event.archived is not None:
            job = job_from_wire(event.archived)
        if job is None:
            turn.reply(event.token, no_such_job(self.state, event.id))
        elif job.state not in FINISHED:
            turn.reply(event.token, WrongState(f"job {job.id} is {job.state}; only a finished job can be retried"))
        elif not job.has_arguments:
            turn.reply(
                event.token,
                WrongState(
                    f"job {job.id} cannot run again: the hidden values among its arguments were dropped when it ended",
                    hint="submit it anew; to a job that is to be retried by hand, give the id of a secret",
                ),
            )
        elif job.key is not None and job.key in self.state.keys:
            other = self.state.keys[job.key]
            turn.reply(event.token, DuplicateJob(f"job {other} with the same key {job.key!r} is not finished yet"))
        else:
            if job.id not in self.state.jobs and event.archived is not None:
                turn.record(Restored(event.archived))
            turn.record(Requeued(job.id, turn.now.wall, event.by))
            turn.notify(self.state.jobs[job.id], "requeued")
            turn.reply(event.token, RequeuedReply(job.id))

    def _set_queues(self, turn: Turn, event: e.QueueSetAsked) -> None:
        for name in event.queues:
            rule = self.rules.queues.get(name, QueueRule())  # a reload may just have removed it
            if queue_mode(self.state.queue(name), rule) != event.mode:
                turn.record(QueueSet(name, event.mode))
                turn.announce(QUEUE_KINDS[event.mode], queue=name)
        turn.reply(event.token, QueuesSet(event.queues))

    # -- what executors tell -------------------------------------------------------------------------------------------

    def _exited(self, turn: Turn, event: e.ChildExited) -> None:
        job_id = self.state.children.get((event.child.zygote, event.child.kid))
        attempts.decide_exit(turn, event)
        if job_id is None:
            self.pools.decide_idle_exit(turn, event.child)
        else:
            if event.exit.void:
                self.pools.decide_void_exit(turn, event.child)
            elif event.end is not None:
                self.pools.proven(event.child.pool)
            self.progress.pop(job_id, None)
            self._arm(self.state.jobs[job_id], turn.now)

    def _gone(self, turn: Turn, event: e.ZygoteGone) -> None:
        if event.fenced:
            for job in self.state.running_in(event.uuid):
                self.progress.pop(job.id, None)
        self.pools.decide_gone(turn, event)

    def _progressed(self, turn: Turn, event: e.Progressed) -> None:
        job_id = self.state.children.get((event.child.zygote, event.child.kid))
        if job_id is not None:
            self.progress[job_id] = event.progress
            turn.notify(self.state.jobs[job_id], "progress")

    # -- time ----------------------------------------------------------------------------------------------------------

    def _arm(self, job: Job, now: e.Now) -> None:
        if job.state == SCHEDULED:
            self.timers.add(due_at(job, now), PROMOTE, job.id)
        if job.expires_at is not None and job.state in WAITING and job.attempt == 0:
            due = self._expiries.setdefault(job.id, now.boot + (job.expires_at - now.wall))
            self.timers.add(due, EXPIRE, job.id)

    def _rearm(self, now: e.Now) -> None:
        self._expiries = {job_id: due for job_id, due in self._expiries.items() if job_id in self.state.jobs}
        holds = [pool.name for pool in self.pools.held()]
        self.timers.clear()
        for job in self.state.jobs.values():
            self._arm(job, now)
        for name in holds:
            self.timers.add(now.boot, HOLD, name)

    def _due(self, turn: Turn) -> None:
        if len(self.timers) > TIMERS_PER_JOB * self.state.unfinished_count + TIMERS_SLACK:
            self._rearm(turn.now)  # most of them belong to jobs that are over
        promoted: dict[int, None] = {}  # a job whose time was changed may have several deadlines
        expired: dict[int, None] = {}
        for kind, subject in self.timers.due(turn.now.boot):
            if kind == HOLD:
                self.pools.release(str(subject))
                continue
            job = self.state.jobs.get(int(subject))
            if job is None:
                continue
            if kind == PROMOTE and job.state == SCHEDULED and due_at(job, turn.now) <= turn.now.boot:
                promoted[job.id] = None
            elif kind == EXPIRE and job.state in WAITING and job.attempt == 0 and job.expires_at is not None:
                expired[job.id] = None
                self._expiries.pop(job.id, None)
        if expired:
            turn.record(Cancelled(list(expired), turn.now.wall, "jobyard", "expired before it could start"))
            for job_id in expired:
                turn.notify(self.state.jobs[job_id], "cancelled")
        if due := [job_id for job_id in promoted if job_id not in expired]:
            turn.record(Promoted(due))

    def _unblock(self, turn: Turn) -> None:
        for job in unblock.decide_unblock(turn, UNBLOCK_BATCH):
            self._arm(job, turn.now)
        if self.state.dependencies.settled:
            self._go_on(turn)

    def _go_on(self, turn: Turn) -> None:
        """There is more to do than one step may: take the next one at once."""
        self.timers.add(turn.now.boot, MORE, 0)

    # -- stopping ------------------------------------------------------------------------------------------------------

    def _stop_asked(self, turn: Turn, event: e.StopAsked) -> None:
        self.stopping = max(event.mode, self.stopping or event.mode, key=STOPPING.index)
        awaited = self._awaited()
        if self.stopping != "wait":
            for job in awaited:
                attempts.kill(turn, job, "stop", None, "the supervisor stops")
        running = len(self.state.children)
        turn.reply(event.token, Stopping(running - len(awaited) if self.stopping == "keep" else running))

    def _stop(self, turn: Turn) -> None:
        if self.stopping != "keep":
            self.pools.empty(turn)
        if not self._stopped and not self._awaited():
            self._stopped = True
            turn.durable(Stopped())

    def _awaited(self) -> list[Job]:
        """The running jobs that must end before this supervisor may."""
        left = self.pools.unfenced
        if self.stopping == "keep":
            left = left | {zygote.uuid for zygote in self.state.zygotes.values() if zygote.socket}
        return [self.state.jobs[job_id] for (zygote, _), job_id in self.state.children.items() if zygote not in left]
