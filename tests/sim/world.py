"""A whole machine in one process, from one seed: clocks, disk, processes, network, clients, and a real supervisor.

How it works, on one page:

- ``clock.py``, ``disk.py``, ``procs.py``, ``net.py`` and ``archive.py`` are the machine. Each keeps what outlives a
  process: what is written and what is synced, zygotes and their children, sockets, the history.
- ``life.py`` is one supervisor from start to death: the product's own ``Driver``, ``Front``, ``Desk``, ``Office``,
  ``Machine``, ``Outbox``, ``Storage``, ``Stream``, ``Sites``, ``Compaction``, on the edges above. A world has one life
  after another.
- ``clients.py`` has real sessions and followers; ``users.py`` decides what they ask.
- ``scheduler.py`` is the agenda and the only source of chance. All that takes time is an entry of it; two entries of
  one moment come in any order. It also draws the mix of faults: each seed has some kinds of faults, at its own rates.
- ``oracle.py`` judges everything at once: what clients were told, the records (with ``model.py``, which knows the rules
  but not the code), and the ledger of what ran. It raises ``Violation``; any other exception fails the seed as well.
- ``story.py`` keeps what happened. A failure prints the seed, the mix, and the story of the job concerned.
- ``bugs.py`` breaks the product on purpose, to prove that the judge is awake.

A run has two parts. In the first, users ask and faults strike. Then the faults end: every job must come to an end,
every request to an answer, and after that the supervisor must sleep. The same seed gives the same story, to the byte.

To add a kind of fault: a line in ``EVENTS`` or ``CHANCES`` of ``scheduler.py``; then, for the former, a case in
``World._strike``, for the latter, a ``strikes("...")`` where the operation is. Points at which the supervisor may die
are ``point("...")`` at the edges; ``run(seed, doom=(point, victim))`` has it die at this one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from archive import History
from clients import Op, SimClient, SimFollower
from clock import SimClock
from disk import SimDisk
from jobyard.protocol import messages as m
from jobyard.protocol.states import UNFINISHED
from jobyard.supervisor.core import events as e
from jobyard.supervisor.core.check import check
from jobyard.supervisor.core.rules import Limits, PoolRule, QueueRule, Rules
from jobyard.supervisor.core.state import State
from jobyard.supervisor.core.turn import due_at
from jobyard.supervisor.recovery import TakenOver
from life import Killed, Life, simulated
from net import Net
from oracle import Oracle
from procs import Procs
from scheduler import Scheduler
from story import Story, Violation
from users import Users

CHECK_EVERY = 20  # turns
COMPARE_EVERY = 5  # checks
TIDY_EVERY_S = 15.0
STUCK_AFTER_S, END_AFTER_S = 240.0, 300.0
IDLE_S, IDLE_TURNS_MAX = 600.0, 4
BURST_CHANCE = 0.3  # of a request to follow at once
ACTIONS_MAX = 60_000
STORY_LINES_MAX = 100
DOOMS_MAX, DOOM_CHANCE = 3, 0.3
VICTIMS = ("supervisor", "supervisor and zygotes", "power")


class World:
    """``run`` is the whole of it; the rest is for its parts."""

    def __init__(self, seed: int, doom: tuple[str, str] | None = None) -> None:
        """``doom``: at this point of the supervisor's work this one dies, beside the faults that the world draws."""
        self.seed = seed
        self.clock = SimClock()
        self.scheduler = Scheduler(seed, self.clock)
        self.doom = doom
        self.struck = 0
        self.story = Story()
        self.rules = self._first_rules()
        self.scale = self.scheduler.rng.choice([1, 2_000, 20_000])
        self.disk = SimDisk()
        self.history = History()
        self.oracle = Oracle(self)
        self.procs = Procs(self.scheduler, self.oracle)
        self.net = Net(self.scheduler)
        self.net.overheard = self.oracle.overheard
        self.life: Life | None = None
        self.users = Users(self)
        self.clients: list[SimClient] = []
        self.followers: list[SimFollower] = []
        self._turns = 0
        self._client_count = 0
        self._settling = False
        self.mix = str(self.scheduler.faults)

    # -- the run -------------------------------------------------------------------------------------------------------

    def run(self) -> float:
        """The whole life of the world; how many seconds it took there."""
        with simulated():
            self._start()
            rng = self.scheduler.rng
            for _ in range(rng.randint(1, 3)):
                self._add_client()
            self._follow()
            for kind, mean in self.scheduler.faults.every.items():
                self._arm(kind, mean)
            until = rng.choice([30.0, 60.0, 120.0])
            self._users_ask(until / rng.choice([15, 30, 45]))
            self._pass(until)
            self._settle()
            took = self.clock.t
            self._rest()
        return took

    def _pass(self, until: float, done: Callable[[], bool] = lambda: False) -> bool:
        """Let things happen until that time, or until it is done."""
        self.scheduler.at(until, lambda: None)
        for _ in range(ACTIONS_MAX):
            if self.clock.t >= until or done():
                return done()
            self.scheduler.next()
        raise Violation(f"{ACTIONS_MAX} things happened before {until} s: something spins")

    def _settle(self) -> None:
        """No more faults: everything comes to an end in bounded time."""
        self._settling = True
        self.tell("fault", "the faults end")
        self.scheduler.faults.end()
        self.disk.refuses = self.disk.full = False
        begun = self.clock.t
        admin = self._add_client()
        self._tidy(admin)
        if not self._pass(begun + STUCK_AFTER_S, self._is_over):
            self._check_stuck()
            self._insist(admin, m.Cancel(None, m.Filter(states=sorted(UNFINISHED))))
            if not self._pass(begun + END_AFTER_S, self._is_over):
                raise Violation(f"not everything ends: {self._what_is_left()}")
        assert self.life is not None
        self.oracle.check_live(self.life.driver.machine.state)
        self._check_all()

    def _insist(self, admin: SimClient, request: Any) -> None:
        """Ask until it is done."""

        def again(op: Op) -> None:
            if op.outcome != "ok":
                self.scheduler.after(1.0, lambda: self._insist(admin, request))

        admin.ask(request, then=again)

    def _tidy(self, admin: SimClient) -> None:
        """What hangs ends only if somebody has it killed; and requests that are late may have closed a queue."""
        if not self._is_over():
            admin.ask(m.SetQueue("open"), 1e6)
            admin.ask(m.Cancel(None, m.Filter(states=["running"]), 1.0), 1e6)
            admin.ask(m.Compact(), 1e6)
            self.scheduler.after(TIDY_EVERY_S, lambda: self._tidy(admin))

    def _is_over(self) -> bool:
        return not self._what_is_left()

    def _what_is_left(self) -> list[str]:
        life = self.life
        if life is None or life.driver.machine.stopping is not None:
            return ["the supervisor is down"]
        state = life.driver.machine.state
        if state.unfinished_count:
            jobs = [job for job in state.jobs.values() if job.state in UNFINISHED]
            return [f"job {job.id} is {job.state}" for job in jobs[:9]]
        left = [f"client {one.name} waits" for one in self.clients if one.busy and not one.dead]
        left += [f"{uuid} has exits" for uuid, one in self.procs.zygotes.items() if one.unacked]
        left += [] if life.journal.idle else ["the journal is busy"]
        head = life.driver.stream._ring.epoch, life.driver.stream._ring.head
        left += [f"a follower is at {one.position}, not {head}" for one in self.followers if one.position != head]
        return left

    def _check_stuck(self) -> None:
        """What is not over by now waits for a time that has not come, or for such a job."""
        life = self.life
        if life is None:
            raise Violation("the supervisor does not come back")
        machine, now = life.driver.machine, self.clock.now()
        for job in machine.state.jobs.values():
            pool = machine.rules.queues[job.queue].pool
            if job.state == "queued" and not machine.state.pool_running.get(pool):
                raise Violation(f"job {job.id} is queued, its pool is free, and it does not start", job.id)
            if job.state == "running" and job.cancel is not None and now.wall - job.cancel.at > TIDY_EVERY_S:
                raise Violation(f"job {job.id} was cancelled long ago and still runs", job.id)
            if job.state == "scheduled" and due_at(job, now) < now.boot - 1.0:
                raise Violation(f"job {job.id} oversleeps", job.id)

    def _rest(self) -> None:
        """When there is nothing to do, nothing is done."""
        life = self.life
        assert life is not None
        self._pass(self.clock.t + 60.0)
        turns = life.turns
        self._pass(self.clock.t + IDLE_S)
        if life.turns - turns > IDLE_TURNS_MAX:
            raise Violation(f"the idle supervisor woke up {life.turns - turns} times in {IDLE_S:.0f} s")
        self.oracle.check_forgotten()

    # -- the config ----------------------------------------------------------------------------------------------------

    def _first_rules(self) -> Rules:
        rng = self.scheduler.rng
        limits = Limits(
            unfinished_jobs=rng.choice([15, 60]),
            finished_jobs=rng.choice([3, 15, 60]),
            unarchived_bytes=1 << 17,
            kept_attempts=rng.choice([2, 5]),
        )
        queues = {
            "default": QueueRule(),
            "mail": QueueRule(concurrency=rng.choice([1, 2])),
            "slow": QueueRule(pool="other"),
            "off": QueueRule(paused=True),
        }
        pools = {
            "default": PoolRule(rng.choice([1, 3]), rng.choice([0, 1, 2])),
            "other": PoolRule(1, rng.choice([0, 1])),
        }
        return Rules(queues, pools, limits)

    def new_rules(self) -> Rules:
        """The config was edited."""
        rng = self.scheduler.rng
        pools = {name: PoolRule(rng.randint(1, 3), rng.choice([0, 1, 2])) for name in self.rules.pools}
        mail = QueueRule(concurrency=rng.choice([None, 1, 2]), paused=rng.random() < 0.2)
        self.rules = dataclasses.replace(self.rules, queues={**self.rules.queues, "mail": mail}, pools=pools)
        return self.rules

    @property
    def rules_in_force(self) -> Rules:
        return self.rules if self.life is None else self.life.driver.machine.rules

    # -- the supervisor ------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        if self.life is None:
            self.tell("fault", f"a supervisor starts on {self.clock.boot_id}")
            life = Life(self)
            try:
                life.compose()
                self.life = life
                life.begin()
            except OSError as error:  # of the journal: the guard tries again
                self.tell("fault", f"the supervisor cannot start: {error}")
                life.die()
                self._restart_later()
            except Killed:
                pass

    def _restart_later(self) -> None:
        long = self.scheduler.rng.random() < 0.2
        self.scheduler.after(self.scheduler.delay(10.0 if long else 0.2), self._start)

    def recover(self) -> State:
        """What the disk gives, judged."""
        self.oracle.crashed(self.disk.settle())
        state = self.disk.replay(self.rules.limits.kept_attempts)
        self.oracle.check_replay(state)
        self.oracle.check_acked(state)
        return state

    def take_over(self, life: Life, state: State) -> TakenOver:
        """What becomes of the zygotes of the life before: those that live and answer are adopted, all others fenced."""
        for uuid, zygote in list(self.procs.zygotes.items()):
            if uuid not in state.zygotes:
                self.oracle.check_unknown(zygote)
                zygote.die()
        taken = TakenOver()
        for uuid, known in list(state.zygotes.items()):
            zygote = self.procs.zygotes.get(uuid)
            if zygote is None or self.scheduler.strikes("no adoption"):
                taken.gone.append(e.ZygoteGone(known.pool, uuid, self.procs.fence(uuid)))
                continue
            executor = life.executor(known.pool, uuid)
            executor.adopt(zygote)
            taken.executors.append(executor)  # type: ignore[arg-type]
        return taken

    def stopped(self) -> None:
        """It has ended as it was asked to."""
        self.tell("fault", "the supervisor has stopped")
        self.life = None
        self._restart_later()

    def turned(self) -> None:
        """The loop has made a turn."""
        self._turns += 1
        if self._turns % CHECK_EVERY == 0:
            self._check_all()

    def _check_all(self) -> None:
        assert self.life is not None
        machine = self.life.driver.machine
        check(machine.state)
        self.oracle.check_acked(machine.state)
        if self._turns % (CHECK_EVERY * COMPARE_EVERY) == 0:
            self.oracle.check_live(machine.state)
        self.oracle.check_freed(self.life)
        now = self.clock.now()
        for job in machine.state.jobs.values():
            if job.state == "scheduled" and due_at(job, now) < now.boot - 1e-6 and self.life.driver.degraded is None:
                raise Violation(f"job {job.id} overslept: it was due at {job.due_boot}, {job.run_at}", job.id)

    # -- clients -------------------------------------------------------------------------------------------------------

    def _add_client(self) -> SimClient:
        self._client_count += 1
        client = SimClient(f"c{self._client_count}", self.net, self.scheduler, self._op_begins, self._op_ended)
        self.clients.append(client)
        return client

    def _follow(self) -> None:
        client = self._add_client()
        self.clients.remove(client)
        follower = SimFollower(client, self.net, self.scheduler, self.oracle.noticed)
        self.followers.append(follower)

    def _op_begins(self, op: Op) -> None:
        self.oracle.asked(op)
        self.tell("asks", dataclasses.replace(op))

    def _op_ended(self, op: Op) -> None:
        self.tell("told", op)
        self.oracle.answered(op)

    def _users_ask(self, mean_s: float) -> None:
        def ask() -> None:
            if self._settling:
                return
            self.users.ask(self.scheduler.rng.choice(self.clients))
            at_once = self.scheduler.rng.random() < BURST_CHANCE
            self.scheduler.after(self.scheduler.gap(0.001 if at_once else mean_s), ask)

        ask()

    # -- faults --------------------------------------------------------------------------------------------------------

    def _arm(self, kind: str, mean_s: float) -> None:
        def strike() -> None:
            if not self._settling:
                self.tell("fault", kind)
                self._strike(kind)
                self._arm(kind, mean_s)

        self.scheduler.after(self.scheduler.gap(mean_s), strike)

    def _strike(self, kind: str) -> None:
        rng = self.scheduler.rng
        match kind:
            case "kill supervisor":
                self._kill()
            case "power loss":
                self._lose_power()
            case "stop and start":
                self._stop()
            case "kill zygote":
                self._with_any(list(self.procs.zygotes.values()), lambda zygote: zygote.die())
            case "recycle pool":
                self._with_any(self.clients, lambda one: one.ask(m.RecyclePool(rng.choice(["default", "other"]))))
            case "reload config":
                self._with_any(self.clients, lambda one: one.ask(m.Reload(), 60.0))
            case "idle child dies":
                idle = [one for z in self.procs.zygotes.values() for one in z.children.values() if one.order is None]
                self._with_any(idle, self._child_dies)
            case "disk refuses":
                self._for_a_while("refuses")
                if rng.random() < 0.3:  # people try to make room
                    self._with_any(self.clients, lambda one: one.ask(m.Compact(), 60.0))
            case "disk full":
                self._for_a_while("full")
            case "wall clock set":
                self.clock.step_wall(rng.choice([-3600.0, -10.0, -1.0, 1.0, 10.0, 3600.0]))
                if self.life is not None:
                    self.life.look()
            case "connection lost":
                self._with_any(self.clients, lambda one: one.lose_connection())
            case "client dies":
                self._with_any(self.clients, self._replace_client)
            case "client stands still":
                for follower in self.followers:
                    follower.still_until = self.clock.t + rng.uniform(1.0, 20.0)
            case "supervisor stands still":
                if self.life is not None:
                    self.life.still_until = self.clock.t + rng.uniform(0.1, 8.0)

    def _with_any(self, several: list[Any], act: Callable[[Any], Any]) -> None:
        if several:
            act(self.scheduler.rng.choice(several))

    def _kill(self) -> None:
        if self.life is not None:
            self.life.die()
            self.life = None
            self._restart_later()

    def victim(self, where: str) -> str | None:
        """Who dies at this point of the supervisor's work, if anybody does."""
        rng = self.scheduler.rng
        doomed = self.doom is not None and where == self.doom[0] and not self._settling and self.struck < DOOMS_MAX
        if self.doom is not None and doomed and rng.random() < DOOM_CHANCE:
            self.struck += 1
            return self.doom[1]
        return rng.choice(VICTIMS) if self.scheduler.strikes("dies at a point") else None

    def dies(self, life: Life, where: str, victim: str) -> None:
        """The supervisor dies at this very point; maybe not alone."""
        self.tell("fault", f"{where}: {victim} dies")
        self.life = life
        if victim == "power":
            self._lose_power()
            return
        self._kill()
        if victim == "supervisor and zygotes":
            for zygote in list(self.procs.zygotes.values()):
                zygote.die()

    def _lose_power(self) -> None:
        self._kill()
        self.disk.lose_power(self.scheduler)
        self.procs.lose_power()
        for client in list(self.clients):
            self._replace_client(client)
        rng = self.scheduler.rng
        self.clock.reboot(rng.uniform(1.0, 50.0))
        self.clock.step_wall(rng.choice([0.0, 0.0, -100.0, 1000.0]))

    def _stop(self) -> None:
        client = self.clients[0]
        client.ask(m.Stop(self.scheduler.rng.choice(["wait", "now", "keep"])))
        self.scheduler.after(self.scheduler.delay(10.0), lambda: self._stop_now(client))

    def _stop_now(self, client: SimClient) -> None:
        if self.life is not None and self.life.driver.machine.stopping is not None and not client.dead:
            client.ask(m.Stop("now"))

    def _child_dies(self, child: Any) -> None:
        zygote = self.procs.zygotes[child.id.zygote]
        zygote.exited(child, e.Exit(self.clock.wall, signal="SIGKILL"))

    def _for_a_while(self, what: str) -> None:
        setattr(self.disk, what, True)
        self.scheduler.after(self.scheduler.delay(5.0), lambda: setattr(self.disk, what, False))

    def _replace_client(self, client: SimClient) -> None:
        if client in self.clients:
            self.clients.remove(client)
            client.die()
            self._add_client()

    # -- the story -----------------------------------------------------------------------------------------------------

    def tell(self, kind: str, what: Any) -> None:
        self.story.add(self.clock.t, kind, what)


class Failed(AssertionError):
    """A seed that does not pass, with its story."""


def run(seed: int, doom: tuple[str, str] | None = None) -> World:
    """One world from beginning to end.

    Raises:
        Failed: an invariant does not hold, or the product raised an error.
    """
    world = World(seed, doom)
    try:
        world.took = world.run()
    except Exception as error:
        raise Failed(_report(world, error)) from error
    return world


def _report(world: World, error: Exception) -> str:
    job_id, model = getattr(error, "job_id", None), world.oracle.model
    uid = next((uid for uid, one in model.uids.items() if one == job_id), world.oracle.told.get(job_id or 0))
    lines = list(world.story.lines(job_id, uid))[-STORY_LINES_MAX:]
    whose = "the story" if job_id is None else f"the story of job {job_id}"
    head = f"seed {world.seed}: {type(error).__name__}: {error}\nfaults: {world.mix}\n{whose}:"
    again = f"pytest tests/sim --seed {world.seed}" if world.doom is None else f"run({world.seed}, {world.doom})"
    return "\n".join([head, *lines, f"again: {again}"])
