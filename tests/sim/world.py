"""A seeded world around the real machine and the real outbox: clients, children, a disk that forgets, a clock.

Everything random comes from one seed. The world records what clients were told and what children did, and checks after
every step that the two fit the state: acknowledged jobs are there, attempts never overlap, nothing starts before its
record is durable, and the state is what a replay of the journal gives.
"""

from __future__ import annotations

import random
import re
from typing import Any

import msgpack
from jobyard.protocol import messages as m
from jobyard.protocol.errors import JobyardError
from jobyard.protocol.job import ErrorInfo, Policy, RetryPolicy
from jobyard.protocol.states import FINISHED, UNFINISHED
from jobyard.supervisor.core import effects as f
from jobyard.supervisor.core import events as e
from jobyard.supervisor.core import records as r
from jobyard.supervisor.core.check import check
from jobyard.supervisor.core.machine import Machine
from jobyard.supervisor.core.rules import Limits, PoolRule, QueueRule, Rules
from jobyard.supervisor.core.state import State
from jobyard.supervisor.core.upkeep import prunable
from jobyard.supervisor.outbox import Outbox

RULES = Rules(
    queues={
        "default": QueueRule(),
        "mail": QueueRule(concurrency=2),
        "slow": QueueRule(pool="other"),
        "off": QueueRule(paused=True),
    },
    pools={"default": PoolRule(concurrency=3, spare=1), "other": PoolRule(concurrency=1, spare=0)},
    limits=Limits(unfinished_jobs=60, finished_jobs=15, unarchived_bytes=30_000, kept_attempts=5),
)
_ADDRESS = re.compile(r"token=<.*?>, ")
POLICIES = [
    Policy(),
    Policy(retry=RetryPolicy(max_attempts=1)),
    Policy(retry=RetryPolicy(max_attempts=4, delays_s=(0.0,))),
    Policy(retry=RetryPolicy(max_attempts=3, delays_s=(1.0, 7.0), backoff=2.0, jitter=0.3), on_lost="fail"),
    Policy(retry=RetryPolicy(max_attempts=2, give_up_on=("ValueError",)), timeout_s=5.0),
]


class Disk:
    """Groups of records; a crash keeps the synced ones and a random prefix of the rest."""

    def __init__(self) -> None:
        self.snapshot: list[Any] = []
        self.groups: list[list[bytes]] = []
        self.synced = 0
        self.base = 0

    def append(self, group: list[bytes]) -> int:
        self.groups.append(group)
        return self.base + len(self.groups)

    def crash(self, rng: random.Random) -> None:
        keep = rng.randint(self.synced - self.base, len(self.groups))
        del self.groups[keep:]
        self.synced = self.base + keep

    def replay(self) -> State:
        state = State(RULES.limits.kept_attempts)
        for chunk in self.snapshot:
            state.load(msgpack.unpackb(chunk))
        for group in self.groups:
            for record in group:
                state.apply(r.from_wire(msgpack.unpackb(record)))
        return state

    def compact(self, state: State) -> None:
        """Everything up to here becomes a snapshot; only when all is synced."""
        self.snapshot = [msgpack.packb(chunk) for chunk in state.dump()]
        self.base += len(self.groups)
        self.groups = []


class World:
    """``step`` does one random thing. ``story`` is what happened, for a failing seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.story: list[str] = []
        self.now = e.Now(1000.0, 1_800_000_000.0)
        self.boot = 1
        self.disk = Disk()
        self.acked: dict[str, int] = {}
        self.sent: dict[str, e.Wanted] = {}
        self.unknown: list[str] = []
        self.live: dict[tuple[str, int], tuple[int, int] | None] = {}  # child -> attempt that it runs
        self.waiting: list[e.Event] = []  # what executors will tell
        self.unacked: dict[tuple[str, int], e.ChildExited] = {}
        self.runs: dict[int, int] = {}
        self.uncounted: dict[int, int] = {}
        self.finals: dict[int, str] = {}
        self.zygotes: dict[str, str] = {}
        self.count = 0
        self.disk_ok = True
        self.machine = self._start()

    # -- the supervisor ------------------------------------------------------------------------------------------------

    def _start(self) -> Machine:
        state = self.disk.replay()
        check(state)
        self.machine = Machine(state, RULES)
        self.outbox = Outbox(self._perform)
        self.ticket = self.disk.base + len(self.disk.groups)
        self.disk.synced = self.ticket
        gone = [e.ZygoteGone(zygote.pool, uuid) for uuid, zygote in state.zygotes.items()]
        for uuid in list(self.zygotes):
            self._kill_zygote(uuid)
        self._commit(self.machine.begin(self.now, f"boot{self.boot}"))
        self._commit(self.machine.step(self.now, gone))
        self.sync()
        for pool in RULES.pools:
            self._zygote(pool)
        return self.machine

    def _zygote(self, pool: str) -> None:
        self.count += 1
        uuid = f"z{self.count}"
        self.zygotes[uuid] = pool
        self.tell(e.ZygoteUp(pool, uuid, self.count, 1, f"boot{self.boot}"))

    def tell(self, *events: e.Event) -> None:
        for event in events:
            self.story.append(f"{self.now.boot:.2f} {_ADDRESS.sub('', str(event))[:160]}")
        self._commit(self.machine.step(self.now, events))

    def _commit(self, effects: f.Effects) -> None:
        self._note(effects.records)
        for prepare in effects.prepare:
            self._perform(prepare)
        if effects.records:
            self.ticket = self.disk.append([msgpack.packb(r.to_wire(record)) for record in effects.records])
        for reply in effects.early:
            self._perform(reply)
        self.outbox.add(effects.durable, self.ticket, self.disk.synced)
        self.outbox.add_kills(effects.kills, self.ticket, self.disk.synced, self.now.boot)
        if self.disk_ok and self.rng.random() < 0.6:
            self.sync()

    def _note(self, records: list[r.Record]) -> None:
        for record in records:
            self.story.append(f"{self.now.boot:.2f}    {str(record)[:160]}")
            if isinstance(record, r.Started):
                self._check_order(record)
                self._check_parents(record.id)
            if isinstance(record, r.Requeued):
                self.finals.pop(record.id, None)
                self.runs[record.id] = self.uncounted[record.id] = 0
            if isinstance(record, r.Ended):
                self.uncounted[record.id] = self.uncounted.get(record.id, 0) + (not record.counted)
                if record.state in FINISHED:
                    self.finals[record.id] = record.state
            if isinstance(record, r.Cancelled):
                self.finals.update(dict.fromkeys(record.ids, "cancelled"))

    def _check_order(self, record: r.Started) -> None:
        """Nothing queued in the same queue should have come before."""
        job = self.machine.state.jobs[record.id]
        ahead = [
            other.id
            for other in self.machine.state.jobs.values()
            if other.queue == job.queue
            and other.state == "queued"
            and (-other.priority, other.id) < (-job.priority, job.id)
        ]
        assert not ahead, f"job {job.id} started before {ahead}"
        assert job.queue != "off" or self.machine.state.queue("off").mode in ("open", "draining")

    def _check_parents(self, job_id: int) -> None:
        """What the job waited for had ended; when it was let go, that is: somebody may have retried a parent since."""
        job = self.machine.state.jobs[job_id]
        assert None not in job.parents.values(), f"job {job_id} started before its parents ended: {job.parents}"
        assert job.failed_parent is None, f"job {job_id} started though {job.failed_parent} had failed"

    def sync(self) -> None:
        self.disk.synced = self.disk.base + len(self.disk.groups)
        self.outbox.release(self.disk.synced)

    def crash(self) -> None:
        """kill -9 of the supervisor, or of the whole machine."""
        self.story.append(f"{self.now.boot:.2f} CRASH")
        self.disk.crash(self.rng)
        if self.rng.random() < 0.2:
            self.boot += 1
            self.now = e.Now(self.rng.uniform(0, 50), self.now.wall + self.rng.uniform(-5, 100))
        self.waiting.clear()
        self.unacked.clear()
        self._start()
        durable = self.machine.state
        acked = set(self.acked.values())
        forgotten = {job_id: final for job_id, final in self.finals.items() if job_id in acked - durable.jobs.keys()}
        self.finals = forgotten | {job_id: durable.jobs[job_id].state for job_id in durable.finished}
        for uid, job_id in self.acked.items():
            assert durable.uids.get(uid) == job_id or job_id in self.finals, f"job {job_id} lost"

    # -- executors -----------------------------------------------------------------------------------------------------

    def _perform(self, effect: Any) -> None:
        match effect:
            case f.Reply():
                effect.token(effect.reply)
            case f.Prepare() if effect.zygote in self.zygotes:
                for _ in range(effect.count):
                    self._prepare(effect)
            case f.Go():
                self._go(effect)
            case f.Discard():
                self._exit(effect.child, e.Exit(self.now.wall, exit_code=0), None)
            case f.Kill():
                if self.live.get((effect.child.zygote, effect.child.kid)) is not None:
                    signal = self.rng.choice(["SIGTERM", "SIGKILL"])
                    self._exit(effect.child, e.Exit(self.now.wall, signal=signal, killed=effect.kind), None)
            case f.AckExit():
                self.unacked.pop((effect.child.zygote, effect.child.kid), None)

    def _prepare(self, effect: f.Prepare) -> None:
        if self.rng.random() < 0.1:
            self.waiting.append(e.PrepareFailed(effect.pool, effect.zygote, 1, "EAGAIN"))
            return
        self.count += 1
        child = e.Child(effect.pool, effect.zygote, self.count, self.count, self.count)
        self.live[effect.zygote, child.kid] = None
        self.waiting.append(e.ChildReady(child))

    def _go(self, effect: f.Go) -> None:
        order, key = effect.order, (effect.child.zygote, effect.child.kid)
        if key not in self.live:
            return
        assert self.live[key] is None, "a child was given two attempts"
        assert order.job_id not in [one[0] for one in self.live.values() if one], f"two attempts of job {order.job_id}"
        durable = self.disk.replay().jobs[order.job_id]
        assert durable.attempt >= order.attempt, f"job {order.job_id} runs before its start is durable"
        self.live[key] = (order.job_id, order.attempt)
        self.runs[order.job_id] = self.runs.get(order.job_id, 0) + 1
        job = self.machine.state.jobs[order.job_id]
        bound = job.policy.retry.max_attempts + self.uncounted.get(job.id, 0)
        assert self.runs[job.id] <= bound + 1, f"job {job.id} ran {self.runs[job.id]} times"

    def _exit(self, child: e.Child, exit: e.Exit, end: e.End | None) -> None:
        key = (child.zygote, child.kid)
        if key not in self.live:
            return
        del self.live[key]
        event = e.ChildExited(child, self.count, exit, end)
        self.unacked[key] = event
        self.waiting.append(event)

    def _kill_zygote(self, uuid: str) -> None:
        self.zygotes.pop(uuid, None)
        for key in [key for key in self.live if key[0] == uuid]:
            del self.live[key]
        self.waiting = [event for event in self.waiting if _zygote_of(event) != uuid]

    def finish_one(self) -> None:
        """A random running child ends in a random way."""
        running = [(key, attempt) for key, attempt in self.live.items() if attempt]
        if not running:
            return
        (zygote, kid), attempt = self.rng.choice(running)
        assert attempt is not None
        job = self.machine.state.jobs.get(attempt[0])
        child = e.Child(self.zygotes[zygote], zygote, kid, kid, kid)
        error = ErrorInfo("app.Oops", "no", "", ("app.Oops", "builtins.ValueError"))
        ends: list[tuple[e.Exit, e.End | None]] = [
            (e.Exit(self.now.wall, exit_code=0), e.End("ok", result=b"1")),
            (e.Exit(self.now.wall, exit_code=0), e.End("ok", result=b"2")),
            (e.Exit(self.now.wall, exit_code=1), e.End("error", error=error)),
            (e.Exit(self.now.wall, exit_code=1), e.End("give_up", error=error)),
            (e.Exit(self.now.wall, exit_code=1), e.End("final", error=error)),
            (
                e.Exit(self.now.wall, exit_code=1),
                e.End("retry_later", error=error, delay_s=self.rng.choice([None, 0.0, 3.0])),
            ),
            (e.Exit(self.now.wall, exit_code=1), e.End("retry_later", error=error, count=True)),
            (e.Exit(self.now.wall, signal="SIGSEGV"), None),
            (e.Exit(self.now.wall, exit_code=7), None),
            (e.Exit(self.now.wall, exit_code=0, killed="timeout"), e.End("stopped")),
            (e.Exit(self.now.wall, signal="SIGKILL", survivors=1, killed="timeout"), None),
        ]
        exit, end = self.rng.choice(ends)
        if job is None or job.attempt != attempt[1]:
            exit, end = ends[0]
        self._exit(child, exit, end)

    # -- clients -------------------------------------------------------------------------------------------------------

    def submit(self) -> None:
        if self.unknown and self.rng.random() < 0.5:
            uid = self.unknown.pop(self.rng.randrange(len(self.unknown)))
            self._send([e.Wanted(**{**_fields(self.sent[uid]), "resent": True})])
            return
        self._send([self._wanted() for _ in range(self.rng.choice([1, 1, 1, 3]))])

    def _wanted(self) -> e.Wanted:
        rng = self.rng
        self.count += 1
        uid = f"{int(self.now.wall * 1000):012x}{self.count:020x}"
        gone = self._gone_jobs() if rng.random() < 0.1 else {}
        want = e.Wanted(
            uid=uid,
            ref="app:f",
            name="f",
            payload=b"x" * rng.randint(0, 9),
            queue=rng.choice(list(RULES.queues)),
            priority=rng.choice([-10, 0, 0, 0, 10]),
            policy=rng.choice(POLICIES),
            delay_s=rng.choice([0.0, 0.0, 0.0, 2.0, 30.0]),
            expires_s=rng.choice([None, None, None, 20.0]),
            key=rng.choice([None, None, None, "a", "b"]),
            on_duplicate=rng.choice(["return", "raise", "replace"]),
            after=[*gone, *(self._some_jobs() if rng.random() < 0.3 else [])],
            on_parent_failure=rng.choice(["cancel", "run"]),
            archived_parents=gone,
        )
        self.sent[uid] = want
        return want

    def _some_jobs(self) -> list[int]:
        """Jobs in memory, the newest most likely, so that there are chains; now and then one that is not there."""
        jobs = list(self.machine.state.jobs)
        if not jobs or self.rng.random() < 0.05:
            return [10**9]
        return self.rng.sample(jobs[-6:], min(len(jobs[-6:]), self.rng.choice([1, 1, 2, 4])))

    def _gone_jobs(self) -> dict[int, str]:
        """One that has left memory, with its end."""
        gone = [job_id for job_id in self.finals if job_id not in self.machine.state.jobs]
        return {job_id: self.finals[job_id] for job_id in self.rng.sample(gone, min(1, len(gone)))}

    def _send(self, wanted: list[e.Wanted]) -> None:
        uids = [want.uid for want in wanted]
        self.unknown += uids

        def answered(reply: Any) -> None:
            for uid in uids:
                if uid in self.unknown:
                    self.unknown.remove(uid)
            if isinstance(reply, JobyardError):
                return
            for accepted in reply.jobs:
                if not accepted.existing:
                    stored = self.disk.replay().uids.get(accepted.uid) == accepted.id
                    ended = accepted.id in self.finals  # and may be pruned by now
                    assert stored or ended or durability != "fsync", "acknowledged before it was stored"
                    if durability == "fsync":
                        self.acked[accepted.uid] = accepted.id

        durability = self.rng.choice(["fsync", "fsync", "fsync", "memory"])
        self.tell(e.SubmitAsked(answered, wanted, durability))

    def meddle(self) -> None:
        """Cancel, retry, change, remove or pause something."""
        jobs = list(self.machine.state.jobs)
        choice = self.rng.randrange(7)
        if choice == 0 and jobs:
            ids = self.rng.sample(jobs, min(len(jobs), self.rng.choice([1, 1, 3])))
            self.tell(e.CancelAsked(_ignore, ids, "somebody", "because", self.rng.choice([None, 0.0, 5.0])))
        elif choice == 1 and jobs:
            self.tell(e.RetryAsked(_ignore, self.rng.choice(jobs), "somebody"))
        elif choice == 2:
            name = self.rng.choice(list(RULES.queues))
            self.tell(e.QueueSetAsked(_ignore, [name], self.rng.choice(["open", "open", "paused", "draining"])))
        elif choice == 3 and jobs:
            self.tell(self._change(self.rng.sample(jobs, min(len(jobs), 4))))
        elif choice == 4 and jobs:
            self.tell(e.RemoveAsked(_ignore, self.rng.sample(jobs, min(len(jobs), 2))))
        elif choice == 5:
            states = self.rng.choice([[], ["cancelled"], ["failed", "succeeded"]])
            before = self.now.wall - self.rng.choice([0.0, 5.0, 60.0])
            self.tell(e.PruneAsked(_ignore, list(prunable(self.machine.state, before, states))))
        else:
            self.tell(e.ClockStepped())

    def _change(self, ids: list[int]) -> e.SetAsked:
        rng = self.rng
        return e.SetAsked(
            _ignore,
            ids,
            "somebody",
            priority=rng.choice([None, -10, 0, 10]),
            queue=rng.choice([None, None, *RULES.queues]),
            delay_s=rng.choice([None, 0.0, 2.0, 30.0]),
            limited=rng.random() < 0.3,
            timeout_s=rng.choice([None, 5.0]),
        )

    # -- everything ----------------------------------------------------------------------------------------------------

    def deliver(self, count: int) -> None:
        """Let the machine hear of up to ``count`` things that executors have to tell, some of them twice."""
        for _ in range(min(count, len(self.waiting))):
            event = self.waiting.pop(self.rng.randrange(len(self.waiting)))
            self.tell(*([event, event] if isinstance(event, e.ChildExited) and self.rng.random() < 0.1 else [event]))

    def pass_time(self, seconds: float) -> None:
        self.now = e.Now(self.now.boot + seconds, self.now.wall + seconds)
        self.tell(e.Tick())
        for job in self.machine.state.jobs.values():
            assert job.id not in self.machine.state.dependencies.settled, f"job {job.id} need not be blocked"
            assert job.state != "scheduled" or job.due_boot is None or job.due_boot > self.now.boot, (
                f"job {job.id} overslept"
            )

    def step(self) -> None:
        """One random thing."""
        choice = self.rng.random()
        if choice < 0.25:
            self.submit()
        elif choice < 0.45:
            self.finish_one()
        elif choice < 0.70:
            self.deliver(self.rng.randint(1, 4))
        elif choice < 0.82:
            self.pass_time(self.rng.choice([0.01, 0.5, 3.0, 15.0]))
        elif choice < 0.90:
            self.meddle()
        elif choice < 0.93:
            self.disk_ok = not self.disk_ok
        elif choice < 0.96:
            self.lose_zygote()
        elif choice < 0.98 and self.disk.synced == self.disk.base + len(self.disk.groups):
            state = self.machine.state
            self.disk.compact(state)
            self.tell(e.Archived(state.finish_count, state.finish_bytes))
        elif choice >= 0.98:
            self.crash()
        self.check()

    def lose_zygote(self) -> None:
        uuid = self.rng.choice(list(self.zygotes))
        pool = self.zygotes[uuid]
        if self.rng.random() < 0.3:
            self._zygote(pool)  # a reload: the old one is retired
            return
        self._kill_zygote(uuid)
        self.tell(e.ZygoteGone(pool, uuid))
        if self.machine.pools.get(pool).zygote is None:
            self._zygote(pool)

    def check(self) -> None:
        state = self.machine.state
        check(state)
        assert list(self.disk.replay().dump()) == list(state.dump()), "a replay gives another state"
        for uid in state.uids:
            assert uid in self.sent, "a job that nobody submitted"
        for uid, job_id in self.acked.items():
            job = state.jobs.get(job_id)
            if job is None:
                assert job_id in self.finals, f"job {job_id} vanished"
            else:
                assert job.uid == uid
        for job_id, final in self.finals.items():
            assert job_id not in state.jobs or state.jobs[job_id].state == final, f"job {job_id} was {final}"

    def settle(self) -> None:
        """Let everything run to its end: quiescence is reached."""
        self.disk_ok = True
        self.tell(e.QueueSetAsked(_ignore, list(RULES.queues), "open"))
        for _ in range(3000):
            self.sync()
            self.deliver(10)
            self.finish_one()
            self.pass_time(1.0)
            if not any(job.state in UNFINISHED for job in self.machine.state.jobs.values()):
                break
        left = [f"{job.id} {job.state}" for job in self.machine.state.jobs.values() if job.state in UNFINISHED]
        assert not left, f"never finished: {left}"
        self.sync()
        self.check()


def _ignore(reply: Any) -> None:
    assert isinstance(reply, JobyardError | m.Cancelled | m.Requeued | m.QueuesSet | m.Changed | m.Removed | m.Pruned)


def _zygote_of(event: Any) -> str:
    return str(event.child.zygote if hasattr(event, "child") else event.zygote)


def _fields(want: e.Wanted) -> dict[str, Any]:
    return {name: getattr(want, name) for name in want.__slots__}
