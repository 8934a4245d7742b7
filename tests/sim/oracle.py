"""The judge: compares what clients were told, what the records say, and what really ran.

Three sources are kept apart: the log of operations (``clients.py``), the records in the order in which they were
decided and became durable, and the ledger of attempts that ``procs.py`` reports. The invariants: I1 what was
acknowledged is there, once; I2 nothing is there that nobody sent; I3 attempts never overlap; I4 none but the allowed
ones are made; I5 states follow the graph; and nothing is seen before it is durable.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgpack
from clients import Op
from jobyard.protocol import messages as m
from jobyard.protocol import notices as n
from jobyard.protocol.errors import JobNotFound
from jobyard.protocol.retry import LONGEST_S
from jobyard.supervisor.core import events as e
from jobyard.supervisor.core import records as r
from jobyard.supervisor.core.effects import Order
from jobyard.supervisor.core.state import State
from model import DONE, Known, Model, Moment
from story import Violation

if TYPE_CHECKING:
    from life import Life
    from procs import SimChild, SimZygote
    from world import World

SECRET = b"hush-"  # hidden values begin with it
FREED_SLACK_S = 15.0  # a supervisor may stand still for half of it


@dataclass(slots=True)
class Attempt:
    """What the ledger knows of one attempt: the truth, whoever heard of it."""

    order: Order
    began_at: float
    how: e.Exit | None = None
    end: e.End | None = None


class Oracle:
    """One per world. ``shadow`` is the replay of all that is durable, ``model`` a second opinion on what is decided."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.shadow = State(world.rules.limits.kept_attempts)
        self.model = Model()
        self.sent: dict[str, m.Submission] = {}
        self.batches: dict[str, list[str]] = {}  # by uid: the uids that were sent with it
        self.acked: dict[str, int] = {}
        self.told: dict[int, str] = {}
        self.refused: set[str] = set()
        self.removable: set[int] = set()
        self.prunes = 0
        self.attempts: dict[tuple[str, int], Attempt] = {}
        self.started: set[tuple[int, int]] = set()  # attempts whose start is durable
        self.made: set[tuple[int, int]] = set()
        self.cancelled_at: dict[int, float] = {}
        self.idle_exits: dict[tuple[str, int], e.Exit] = {}
        self.to_compact: dict[tuple[str, int], int] = {}  # by request: the last segment that it is about
        self.alive: dict[int, tuple[str, int]] = {}
        self._durable: list[tuple[r.Record, Moment]] = []
        self._pending: deque[tuple[r.Record, Moment]] = deque()
        self._stream: tuple[int, int] | None = None

    # -- records -------------------------------------------------------------------------------------------------------

    def decided(self, packed: list[bytes]) -> None:
        at = Moment(self.world.clock.now(), self.world.clock.boot_id, self.world.rules_in_force)
        for one in packed:
            record = r.from_wire(msgpack.unpackb(one))
            self.world.tell("record", record)
            self._judge(record)
            self.model.apply(record, at)
            self._pending.append((record, at))

    def durable(self, count: int) -> None:
        for _ in range(count):
            record, at = self._pending.popleft()
            self.shadow.apply(record)
            if isinstance(record, r.Started):
                self.started.add((record.id, record.attempt))
            self._durable.append((record, at))

    def crashed(self, kept: int) -> None:
        """The supervisor is dead; so many records that had not been synced are on disk nevertheless."""
        self.durable(kept)
        self._pending.clear()
        self.model = Model()
        for record, at in self._durable:
            self.model.apply(record, at)
        jobs = self.shadow.jobs
        self.cancelled_at = {
            one: at for one, at in self.cancelled_at.items() if one in jobs and jobs[one].cancel is not None
        }

    def check_replay(self, state: State) -> None:
        """What was read from the snapshot and what follows it is what all records since the beginning give."""
        if list(state.dump()) != list(self.shadow.dump()):
            raise Violation(f"the journal gives another state than its records: {_difference(state, self.shadow)}")

    def check_live(self, state: State) -> None:
        if not self._pending and list(state.dump()) != list(self.shadow.dump()):
            raise Violation(f"memory is not what its records give: {_difference(state, self.shadow)}")

    def _judge(self, record: r.Record) -> None:
        match record:
            case r.Submitted():
                for new in record.jobs:
                    self._judge_new(new)
            case r.CancelRequested():
                self.cancelled_at.setdefault(record.id, self.world.clock.t)
            case r.Ended():
                self._judge_end(record)
                self.cancelled_at.pop(record.id, None)
            case r.Pruned():
                for job_id in record.ids:
                    kept = job_id in self.world.history.jobs or job_id in self.removable or self.prunes
                    if not kept:
                        raise Violation(f"job {job_id} leaves memory, and no history has it", job_id)

    def _judge_new(self, new: r.NewJob) -> None:
        if new.uid not in self.sent:
            raise Violation(f"I2: nobody sent job {new.id} ({new.uid})", new.id)
        for other in self.batches[new.uid] if new.key is not None else ():
            if other in self.model.uids and self.sent[other].options.get("key") == new.key:
                raise Violation(f"job {new.id} has the key of another job that was sent with it", new.id)

    def _judge_end(self, record: r.Ended) -> None:
        job = self.model.job(record.id)
        assert job.child is not None
        if record.outcome == "lost":
            if self.alive.get(job.id) == job.child:
                raise Violation(f"job {job.id} is called lost while its process lives", job.id)
            state, counted, delay_s = _after_loss(job, self.world.rules_in_force.limits.losses)
        elif job.child in self.idle_exits:  # it died before it could begin
            state, counted, delay_s = ("cancelled", True, 0.0) if job.cancel else ("again", False, 0.0)
        else:
            attempt = self.attempts.get(job.child)
            if attempt is None or attempt.how is None:
                raise Violation(f"job {job.id} is said to have ended, but {job.child} never did", job.id)
            if (record.exit_code, record.at) != (attempt.how.exit_code, attempt.how.at):
                raise Violation(f"attempt {record.attempt} of job {job.id} ended otherwise: {attempt.how}", job.id)
            state, counted, delay_s = _after_end(job, attempt.how, attempt.end)
            ok = attempt.end is not None and attempt.end.kind == "ok"
            if record.result != (attempt.end.result if ok and attempt.end else None):
                raise Violation(f"job {job.id} has the result {record.result!r} of nobody", job.id)
        said = record.state if record.state in DONE else "again"
        if (said, record.counted) != (state, counted):
            wanted = f"{state}, counted={counted}"
            raise Violation(
                f"job {job.id} is {record.state}, counted={record.counted} after its end; not {wanted}", job.id
            )
        if said == "again" and record.run_at < self.world.clock.wall + delay_s - 1e-3:
            raise Violation(f"job {job.id} is to run again too early", job.id)

    # -- processes -----------------------------------------------------------------------------------------------------

    def check_prepare(self, uuid: str) -> None:
        if uuid not in self.shadow.zygotes:
            raise Violation(f"zygote {uuid} makes children before it is on disk")

    def check_unknown(self, zygote: SimZygote) -> None:
        """Nothing runs in a zygote of which the journal does not know."""
        for child in zygote.children.values():
            if child.order is not None:
                job_id = child.order.job_id
                raise Violation(f"job {job_id} runs in {child.name}, of which no record tells", job_id)

    def check_go(self, child: e.Child, order: Order) -> None:
        if (order.job_id, order.attempt) not in self.started:
            raise Violation(f"job {order.job_id} is let go in {child} before its start is durable", order.job_id)

    def check_same_order(self, child: SimChild, order: Order) -> None:
        assert child.order is not None
        if (child.order.job_id, child.order.attempt) != (order.job_id, order.attempt):
            raise Violation(f"{child.name} is given job {order.job_id} while it has {child.order.job_id}", order.job_id)

    def began(self, child: SimChild) -> None:
        order = child.order
        assert order is not None
        job_id, key = order.job_id, (child.id.zygote, child.id.kid)
        self.world.tell("child", f"job {job_id} attempt {order.attempt} begins in {child.name}")
        if job_id in self.alive:
            raise Violation(f"I3: job {job_id} begins in {child.name} while {self.alive[job_id]} runs it", job_id)
        if (job_id, order.attempt) in self.made:
            raise Violation(f"I4: attempt {order.attempt} of job {job_id} is made twice", job_id)
        if order.payload != self.sent[order.uid].payload:
            raise Violation(f"attempt {order.attempt} of job {job_id} is given {order.payload!r}", job_id)
        self.made.add((job_id, order.attempt))
        self.alive[job_id] = key
        self.attempts[key] = Attempt(order, self.world.clock.t)

    def ended(self, child: SimChild, how: e.Exit, timed: bool = False) -> None:
        """``timed``: its zygote was there to keep its deadline."""
        order = child.order
        if order is None:
            self.idle_exits[child.id.zygote, child.id.kid] = how
            return
        text = f"job {order.job_id} attempt {order.attempt} ends in {child.name}: {how}, {child.result}"
        self.world.tell("child", text)
        key = (child.id.zygote, child.id.kid)
        self.attempts[key].how, self.attempts[key].end = how, child.result
        if self.alive.get(order.job_id) == key:
            del self.alive[order.job_id]
        limit, took = order.timeout_s, self.world.clock.t - self.attempts[key].began_at
        if timed and limit is not None and took > limit + order.grace_s + 2.0:
            raise Violation(f"job {order.job_id} ran for {took:.1f} s, its timeout is {limit} s", order.job_id)

    def ran(self, child: e.Child) -> bool:
        return (child.zygote, child.kid) in self.attempts

    def check_ack(self, event: e.ChildExited) -> None:
        job_id = self.shadow.children.get((event.child.zygote, event.child.kid))
        if job_id is not None:
            raise Violation(f"the exit of job {job_id} is acknowledged before its end is durable", job_id)

    # -- clients -------------------------------------------------------------------------------------------------------

    def asked(self, op: Op) -> None:
        match op.request:
            case m.Submit():
                self.sent.update((one.uid, one) for one in op.request.jobs)
                uids = [one.uid for one in op.request.jobs]
                for uid in uids:
                    self.batches.setdefault(uid, uids)
            case m.Remove():
                self.removable.update(op.request.ids)
            case m.Prune():
                self.prunes += 1
            case m.Compact():
                filled = (number for number, one in self.world.disk.segments.items() if one.synced)
                self.to_compact[op.client, op.number] = max(filled, default=0)

    def answered(self, op: Op) -> None:
        if op.outcome == "refused" and isinstance(op.reply, JobNotFound):
            self._check_not_found(op)
        if op.outcome == "refused" and isinstance(op.request, m.Submit):
            self._check_refused(op.request)
        if op.outcome == "ok":
            match op.reply:
                case m.Submitted():
                    self._check_submitted(op.request, op.reply)
                case m.Jobs():
                    self._check_jobs(op)
                case m.Cancelled():
                    self._check_cancelled(op.reply)
                case m.Compacted():
                    self._check_compacted(op)
                case m.Requeued():
                    if not any(type(one) is r.Requeued and one.id == op.reply.id for one, _ in self._durable):
                        raise Violation(f"the retry of job {op.reply.id} is confirmed and not durable", op.reply.id)

    def _check_refused(self, request: m.Submit) -> None:
        for one in request.jobs:
            if one.uid in self.model.uids:
                job_id = self.model.uids[one.uid]
                raise Violation(f"the submit of job {job_id} was refused, and it is there", job_id)
            self.refused.add(one.uid)

    def _check_submitted(self, request: m.Submit, reply: m.Submitted) -> None:
        levels = {one.options.get("durability", "fsync") for one in request.jobs}
        for one, accepted in zip(request.jobs, reply.jobs, strict=True):
            if accepted.uid != one.uid:
                raise Violation(f"a submit of {one.uid} was answered for {accepted.uid}", accepted.id)
            if accepted.existing and self.model.uids.get(one.uid) != accepted.id:
                self._check_stands_for(one, accepted.id)
                continue
            if self.told.setdefault(accepted.id, one.uid) != one.uid:
                raise Violation(f"id {accepted.id} was told for two submits", accepted.id)
            if levels == {"memory"}:
                continue
            if not self._is_stored(one.uid, accepted.id):
                raise Violation(f"I1: job {accepted.id} is acknowledged before it is durable", accepted.id)
            self.acked[one.uid] = accepted.id

    def _check_stands_for(self, one: m.Submission, job_id: int) -> None:
        """Another job may be given for a submit only if it has its key."""
        job = self.model.jobs.get(job_id)
        if "key" not in one.options or (job is not None and job.key != one.options["key"]):
            raise Violation(f"a submit of {one.uid} was answered with job {job_id}, which is another", job_id)

    def _is_stored(self, uid: str, job_id: int) -> bool:
        return self.shadow.uids.get(uid) == job_id or job_id in self.model.finals or self._was_forgotten(job_id)

    def _was_forgotten(self, job_id: int) -> bool:
        return job_id in self.removable or (self.prunes > 0 and job_id in self.model.finals)

    def _check_not_found(self, op: Op) -> None:
        job_id = op.reply.details["id"]
        if self.told.get(job_id) in self.acked and not self._was_forgotten(job_id):
            raise Violation(f"job {job_id} was acknowledged, and now there is none", job_id)

    def _check_jobs(self, op: Op) -> None:
        for info in op.reply.jobs:
            if not getattr(info, "durable", True):
                continue
            known = self.shadow.jobs.get(info.id)
            if known is not None and (info.attempt > known.attempt or _is_ahead(info.state, info.attempt, known)):
                raise Violation(f"job {info.id} is told to be {info.state} before that is durable", info.id)
            if info.state == "succeeded":
                self._check_result(info)
            if isinstance(op.request, m.Wait) and info.state not in DONE:
                raise Violation(f"a wait for job {info.id} is answered while it is {info.state}", info.id)

    def _check_result(self, info: Any) -> None:
        ends = [
            one.end
            for one in self.attempts.values()
            if (one.order.job_id, one.order.attempt) == (info.id, info.attempt)
        ]
        if not any(end is not None and end.kind == "ok" and end.result == info.result_payload for end in ends):
            raise Violation(f"job {info.id} is told to have a result that no attempt gave", info.id)

    def _check_cancelled(self, reply: m.Cancelled) -> None:
        for job_id in reply.cancelled:
            job = self.shadow.jobs.get(job_id)
            if job is not None and job.state in ("queued", "scheduled", "blocked") and not self._again(job_id):
                raise Violation(f"the cancel of job {job_id} is confirmed, and it is {job.state}", job_id)

    def _check_compacted(self, op: Op) -> None:
        """All that was there when it was asked for is in a snapshot now."""
        first, wanted = min(self.world.disk.segments), self.to_compact[op.client, op.number]
        if first <= wanted and "segments" not in (op.reply.trouble or ""):
            raise Violation(f"the journal is said to be compacted, and segment {first} of {wanted} is there")

    def _again(self, job_id: int) -> bool:
        return any(type(one) is r.Requeued and one.id == job_id for one, _ in self._durable)

    # -- the stream ----------------------------------------------------------------------------------------------------

    def noticed(self, notice: n.Notice) -> None:
        before, self._stream = self._stream, notice.position
        if notice.kind == n.PROGRESS:
            self._stream = before
            return
        if (
            before is not None
            and before[0] == notice.epoch
            and notice.kind != n.TRUNCATED
            and notice.seq != before[1] + 1
        ):
            raise Violation(f"the stream goes from {before} to {notice.position}", notice.job_id)
        job = self.shadow.jobs.get(notice.job_id or 0)
        if job is not None and notice.attempt > job.attempt:
            raise Violation(f"job {notice.job_id}: {notice.kind} is told before it is durable", notice.job_id)

    # -- hidden values -------------------------------------------------------------------------------------------------

    def overheard(self, data: bytes) -> None:
        if SECRET in data:
            at = data.index(SECRET)
            raise Violation(f"a hidden value is told: {data[max(0, at - 200) : at + 20]!r}")

    def check_forgotten(self) -> None:
        """All jobs have ended, long ago: nothing has their hidden values any more."""
        if self.world.disk.holds(SECRET):
            raise Violation("the journal still has hidden values of jobs that have ended")
        for job_id, wire in self.world.history.jobs.items():
            if SECRET in msgpack.packb(wire):
                raise Violation(f"the history has the hidden value of job {job_id}", job_id)

    # -- at any time ---------------------------------------------------------------------------------------------------

    def check_acked(self, state: State) -> None:
        """I1: what was acknowledged is there, in memory or in the history, unless somebody had it removed."""
        for uid, job_id in self.acked.items():
            job = state.jobs.get(job_id)
            if job is not None:
                if job.uid != uid:
                    raise Violation(f"I1: job {job_id} was acknowledged as {uid} and is {job.uid}", job_id)
            elif job_id not in self.world.history.jobs and not self._was_forgotten(job_id):
                raise Violation(
                    f"I1: job {job_id} was acknowledged, and is neither in memory nor in the history", job_id
                )
        for uid in state.uids:
            if uid in self.refused:
                raise Violation(f"the submit of job {state.uids[uid]} was refused, and it is there", state.uids[uid])

    def check_freed(self, life: Life) -> None:
        """A cancel frees the slot in bounded time, counted from when a supervisor is there to see to it."""
        machine = life.driver.machine
        for (uuid, _), job_id in machine.state.children.items():
            job = machine.state.jobs[job_id]
            if job.cancel is not None and uuid not in machine.pools.unfenced:
                since = max(life.began_at, self.cancelled_at.get(job_id, life.began_at))
                grace_s = job.policy.grace_s if job.cancel.grace_s is None else job.cancel.grace_s
                if self.world.clock.t - since > max(grace_s, job.policy.grace_s) + FREED_SLACK_S:
                    raise Violation(f"job {job_id} was cancelled, and its slot is not freed", job_id)


def _after_loss(job: Known, losses_max: int) -> tuple[str, bool, float]:
    if job.cancel:
        return "cancelled", False, 0.0
    if job.policy.on_lost == "fail" or job.losses + 1 >= losses_max:
        return "failed", False, 0.0
    return "again", False, 0.0


def _after_end(job: Known, how: e.Exit, end: e.End | None) -> tuple[str, bool, float]:
    """What is promised: the state ("again" if it is tried once more), whether that counts, and the wait."""
    kind = end.kind if end is not None else None
    spent, retry = job.spent + 1, job.policy.retry
    if kind == "ok":
        return "succeeded", True, 0.0
    if job.cancel:
        return "cancelled", True, 0.0
    if how.survivors:
        return "failed", True, 0.0
    if how.killed == "stop" and kind in (None, "stopped"):
        return "again", False, 0.0
    if kind in ("give_up", "final"):
        return "failed", True, 0.0
    if end is not None and kind == "retry_later" and not end.counted:
        return "again", False, _asked_for(job, end, spent)
    given_up = end is not None and end.error is not None and {"app.Oops", "ValueError"} & set(retry.give_up_on)
    if spent >= retry.max_attempts or given_up:
        return "failed", True, 0.0
    if end is not None and kind == "retry_later":
        return "again", True, _asked_for(job, end, spent)
    return "again", True, _wait_s(job, spent)


def _asked_for(job: Known, end: e.End, spent: int) -> float:
    if end.delay_s is None:
        return _wait_s(job, spent)
    return min(max(0.0, end.delay_s), LONGEST_S)


def _wait_s(job: Known, spent: int) -> float:
    """The shortest that the policy allows."""
    retry = job.policy.retry
    listed = retry.delays_s
    wait = listed[min(spent, len(listed)) - 1]
    wait *= retry.backoff ** max(0, spent - len(listed))
    return wait * (1 - retry.jitter)


def _is_ahead(state: str, attempt: int, known: Any) -> bool:
    return state in DONE and known.state == "running" and attempt >= known.attempt


def _difference(one: State, other: State) -> str:
    for left, right in zip(one.dump(), other.dump(), strict=False):
        if left != right:
            return f"{left!r:.500} and {right!r:.500}"
    return "one has more"
