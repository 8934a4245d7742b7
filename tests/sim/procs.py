"""Simulated processes: zygotes and children, and the executor through which a supervisor speaks with a zygote.

They outlive the supervisor, as real ones do: a zygote keeps deadlines and unacknowledged exits, children go on, results
wait. What a job does is drawn when it begins. The oracle is told of every beginning and end, whoever else hears of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from jobyard.protocol.job import ErrorInfo, Progress
from jobyard.supervisor.core import events as e
from jobyard.supervisor.core.effects import Order
from jobyard.supervisor.executors.base import Caps, ExecutorEvent
from scheduler import Scheduler

if TYPE_CHECKING:
    from oracle import Oracle

OOPS = ErrorInfo("app.Oops", "no", "", ("app.Oops", "ValueError"))
HANGS_S = 1e9
GRACE_SLACK_S = 1.0


class SimChild:
    """One process: idle, then running ``order``, then gone. ``stuck`` until it can be killed (in the kernel)."""

    def __init__(self, zygote: SimZygote, kid: int) -> None:
        self.id = e.Child(zygote.pool, zygote.uuid, kid, 1000 + kid, zygote.number * 1000 + kid)
        self.order: Order | None = None
        self.began_at = 0.0
        self.killed: str | None = None
        self.kill_at = HANGS_S
        self.result: e.End | None = None
        self.stuck = False
        self.gone = False

    @property
    def name(self) -> str:
        return f"child {self.id.kid} of {self.id.zygote}"


class SimZygote:
    """Parent of its children. ``line`` is the executor that is connected, None while there is none."""

    def __init__(self, procs: Procs, number: int, pool: str) -> None:
        self.procs = procs
        self.number = number
        self.pool = pool
        self.uuid = f"z{number}"
        self.alive = True
        self.retiring = False
        self.line: SimExecutor | None = None
        self.children: dict[int, SimChild] = {}
        self.unacked: dict[int, e.ChildExited] = {}
        self.unread: deque[Callable[[], None]] = deque()  # what it was sent
        self._kids = 0
        self._seq = 0

    # -- what it is told -----------------------------------------------------------------------------------------------

    def take(self) -> None:
        """Take in one message."""
        if self.alive and self.unread:
            self.unread.popleft()()

    def drain(self) -> None:
        """Take in all that was sent before the sender went."""
        while self.alive and self.unread:
            self.take()

    def prepare(self, count: int) -> None:
        self.procs.oracle.check_prepare(self.uuid)
        for _ in range(count):
            self.procs.scheduler.after(self.procs.scheduler.delay(0.002), self._fork)

    def _fork(self) -> None:
        if not self.alive:
            return
        if self.procs.scheduler.strikes("no child"):
            self.tell(e.PrepareFailed(self.pool, self.uuid, 1, "EAGAIN"))
            return
        self._kids += 1
        child = self.children[self._kids] = SimChild(self, self._kids)
        self.tell(e.ChildReady(child.id))

    def go(self, kid: int, order: Order) -> None:
        child = self.children.get(kid)
        if child is None:
            return
        if child.order is not None:
            self.procs.oracle.check_same_order(child, order)
            return
        child.order, child.began_at = order, self.procs.scheduler.clock.t
        self.procs.oracle.began(child)
        if order.timeout_s is not None:
            self.procs.scheduler.after(order.timeout_s, lambda: self.kill(kid, "timeout", order.grace_s))
        self._play(child, order)

    def discard(self, kid: int) -> None:
        child = self.children.get(kid)
        if child is not None and child.order is None:
            self.exited(child, e.Exit(self._wall, exit_code=0))

    def ack(self, kid: int, seq: int) -> None:
        if kid in self.unacked and self.unacked[kid].seq == seq:
            self.procs.oracle.check_ack(self.unacked[kid])
            del self.unacked[kid]
            self._mind_end()

    def retire(self) -> None:
        self.retiring = True
        for child in list(self.children.values()):
            if child.order is None:
                self.discard(child.id.kid)
        self._mind_end()

    def kill(self, kid: int, kind: str, grace_s: float) -> None:
        """Ask, wait, kill. A second one may shorten the grace time."""
        child = self.children.get(kid)
        if child is None or child.order is None or child.gone:
            return
        scheduler = self.procs.scheduler
        first = child.killed is None
        child.killed = child.killed or kind
        child.kill_at = min(child.kill_at, scheduler.clock.t + grace_s)
        scheduler.at(child.kill_at, lambda: self._kill_hard(child))
        if first and scheduler.rng.random() < 0.6:
            code = scheduler.rng.choice([None, 0, 1])
            wait = scheduler.rng.uniform(0.0, grace_s)
            scheduler.after(wait, lambda: self._unwound(child, code))

    def _unwound(self, child: SimChild, code: int | None) -> None:
        if code is None:
            self.exited(child, e.Exit(self._wall, signal="SIGTERM", killed=child.killed))
        else:
            child.result = child.result or e.End("stopped")
            self.exited(child, e.Exit(self._wall, exit_code=code, killed=child.killed))

    def _kill_hard(self, child: SimChild) -> None:
        if child.gone or self.procs.scheduler.clock.t < child.kill_at:
            return
        if self.procs.scheduler.strikes("unkillable"):
            child.stuck = True
            self.procs.unstick_later(child)
            self.procs.scheduler.after(
                GRACE_SLACK_S,
                lambda: self.exited(child, e.Exit(self._wall, signal="SIGKILL", killed=child.killed, survivors=1)),
            )
            return
        self.exited(child, e.Exit(self._wall, signal="SIGKILL", killed=child.killed))

    # -- what a job does -----------------------------------------------------------------------------------------------

    def _play(self, child: SimChild, order: Order) -> None:
        rng, scheduler = self.procs.scheduler.rng, self.procs.scheduler
        if rng.random() < 0.1:
            return  # it hangs until it is killed
        seconds = rng.choice([0.01, 0.1, 0.1, 1.0, 10.0]) * rng.uniform(0.2, 3.0)
        end = self._end(rng.random(), replace(OOPS, message=repr(order.payload)))  # people do that
        if scheduler.strikes("talkative"):
            for part in range(3):
                self.procs.scheduler.after(seconds * part / 3, lambda: self._progress(child))
        if end is None:
            exit_ = {"signal": "SIGSEGV"} if rng.random() < 0.5 else {"exit_code": rng.choice([0, 7])}
            scheduler.after(seconds, lambda: self.exited(child, e.Exit(self._wall, killed=child.killed, **exit_)))
            return
        scheduler.after(seconds, lambda: self._answered(child, end))

    def _end(self, chance: float, oops: ErrorInfo) -> e.End | None:
        rng = self.procs.scheduler.rng
        if chance < 0.5:
            return e.End("ok", result=rng.randbytes(2))
        if chance < 0.7:
            return e.End("error", error=oops)
        if chance < 0.76:
            return e.End(rng.choice(["give_up", "final"]), error=oops)
        if chance < 0.88:
            delay_s = rng.choice([None, 0.0, 3.0, 20.0, -1.0, float("nan")])
            return e.End("retry_later", error=oops, delay_s=delay_s, counted=rng.random() < 0.4)
        return None

    def _progress(self, child: SimChild) -> None:
        if not child.gone and self.alive:
            self.tell(e.Progressed(child.id, Progress(1.0, 2.0, "half")))

    def _answered(self, child: SimChild, end: e.End) -> None:
        """The result is in the socket; the process ends a little later."""
        if child.gone or child.stuck or child.result is not None:
            return
        child.result = end
        code = 0 if end.kind == "ok" else 1
        wait = self.procs.scheduler.delay(0.002)
        self.procs.scheduler.after(wait, lambda: self.exited(child, e.Exit(self._wall, code, killed=child.killed)))

    def exited(self, child: SimChild, how: e.Exit) -> None:
        """A process is gone, with its whole tree."""
        if child.gone:
            return
        child.gone = True
        how = replace(how, void=child.order is None)
        self.procs.oracle.ended(child, how, timed=self.alive)
        if not self.alive:
            return
        del self.children[child.id.kid]
        self._seq += 1
        event = e.ChildExited(child.id, self._seq, how, child.result)
        self.unacked[child.id.kid] = event
        self.tell(event)
        if self.procs.scheduler.strikes("exit told twice"):
            self.tell(event)

    # -- life ----------------------------------------------------------------------------------------------------------

    @property
    def kids(self) -> frozenset[int]:
        """All children that it has not forgotten."""
        return frozenset({*self.children, *self.unacked})

    def greet(self) -> None:
        """A new supervisor is connected: tell it of the children that wait, and of exits that nobody acknowledged."""
        for child in self.children.values():
            if child.order is None:
                self.tell(e.ChildReady(child.id))
        for event in self.unacked.values():
            self.tell(event)

    @property
    def _wall(self) -> float:
        return self.procs.scheduler.clock.wall

    def tell(self, event: ExecutorEvent) -> None:
        if self.line is not None:
            self.line.hear(event)

    def _mind_end(self) -> None:
        if self.retiring and not self.children and not self.unacked and self.alive:
            self.die()

    def die(self) -> None:
        """It is gone; its children go with it, but for some that only a fence will find."""
        self.alive = False
        for child in self.children.values():
            if child.order is not None and not child.stuck and self.procs.scheduler.strikes("unkillable"):
                child.stuck = True
                self.procs.unstick_later(child)
            if child.stuck or self.procs.scheduler.strikes("orphans"):
                self.procs.orphans.setdefault(self.uuid, []).append(child)
            else:
                self.exited(child, e.Exit(self._wall, signal="SIGKILL"))
        self.children.clear()
        self.procs.zygotes.pop(self.uuid, None)
        if self.line is not None:
            self.line.lost()


class SimExecutor:
    """The executor port in front of one zygote; it dies with its supervisor."""

    caps = Caps(survives_supervisor=True, splits_streams=True)

    def __init__(
        self,
        procs: Procs,
        pool: str,
        uuid: str,
        fd: int,
        changed: Callable[[], None],
        point: Callable[[str], None],
    ) -> None:
        self.pool = pool
        self.uuid = uuid
        self._point = point
        self.dead = False
        self.inbox: list[ExecutorEvent] = []
        self._procs = procs
        self._fd = fd
        self._changed = changed
        self._zygote: SimZygote | None = None
        self._waiting: set[int] = set()  # children that were not told to begin anything
        self._let_go: set[int] = set()
        self._sent_at = 0.0
        self._heard_at = 0.0

    # -- the port ------------------------------------------------------------------------------------------------------

    def fileno(self) -> int:
        return self._fd

    def start(self) -> None:
        scheduler = self._procs.scheduler
        self._zygote = self._procs.start(self)
        if scheduler.strikes("no zygote"):
            scheduler.after(scheduler.delay(0.05), self._zygote.die)
            return
        zygote = self._zygote
        up = e.ZygoteUp(
            self.pool, self.uuid, zygote.number, zygote.number, scheduler.clock.boot_id, socket=self.uuid, digest="d"
        )
        scheduler.after(scheduler.delay(0.05), lambda: self.hear(up) if zygote.alive else None)

    def adopt(self, zygote: SimZygote) -> None:
        """Take over a zygote that an earlier supervisor has started; what it has to tell follows."""
        self._zygote = zygote
        zygote.drain()
        zygote.line = self
        self._waiting = {kid for kid, child in zygote.children.items() if child.order is None}
        self.inbox.append(e.ZygoteAdopted(self.pool, self.uuid, not zygote.retiring, zygote.kids))
        zygote.greet()

    def prepare(self, count: int) -> None:
        self._send(lambda zygote: zygote.prepare(count))

    def go(self, child: e.Child, order: Order) -> None:
        self._procs.oracle.check_go(child, order)
        self._point("start synced, go not sent")
        self._waiting.discard(child.kid)
        self._let_go.add(child.kid)
        self._send(lambda zygote: zygote.go(child.kid, order))

    def discard(self, child: e.Child) -> None:
        self._send(lambda zygote: zygote.discard(child.kid))

    def kill(self, child: e.Child, kind: str, grace_s: float, reason: str | None) -> None:
        self._point(f"{kind} decided, kill not sent")
        self._send(lambda zygote: zygote.kill(child.kid, kind, grace_s))

    def ack(self, child: e.Child, seq: int) -> None:
        self._point("end synced, not acknowledged")
        self._send(lambda zygote: zygote.ack(child.kid, seq))

    def follow(self, child: e.Child, size: int) -> None:
        pass

    def retire(self) -> None:
        self._send(lambda zygote: zygote.retire())

    def leave(self) -> None:
        self.dead = True
        if self._zygote is not None:
            self._zygote.line = None

    def close(self) -> None:
        self.dead = True
        self._procs.fence(self.uuid)

    def events(self) -> list[ExecutorEvent]:
        count = self._procs.scheduler.rng.randint(1, len(self.inbox)) if self.inbox else 0
        taken, self.inbox = self.inbox[:count], self.inbox[count:]
        return taken

    # -- the line ------------------------------------------------------------------------------------------------------

    def _send(self, act: Callable[[SimZygote], None]) -> None:
        """In order. What was sent arrives, even if the sender is dead by then."""
        scheduler, zygote = self._procs.scheduler, self._zygote
        self._sent_at = max(self._sent_at, scheduler.clock.t + scheduler.delay(0.0003))
        if zygote is not None:
            zygote.unread.append(lambda: act(zygote))
            scheduler.at(self._sent_at, zygote.take)
        self._sent_at += 1e-9

    def hear(self, event: ExecutorEvent) -> None:
        scheduler = self._procs.scheduler
        self._heard_at = max(self._heard_at, scheduler.clock.t + scheduler.delay(0.0003))
        scheduler.at(self._heard_at, lambda: self._arrived(event))
        self._heard_at += 1e-9

    def _arrived(self, event: ExecutorEvent) -> None:
        if not self.dead:
            if isinstance(event, e.ChildReady) and event.child.kid not in self._let_go:
                self._waiting.add(event.child.kid)
            self.inbox.append(event)
            self._changed()

    def lost(self) -> None:
        """The zygote hung up: make sure that nothing of it is left, then say so."""
        scheduler = self._procs.scheduler
        self._heard_at = max(self._heard_at, scheduler.clock.t + scheduler.delay(0.002))
        scheduler.at(self._heard_at, self._fence)

    def _fence(self) -> None:
        if not self.dead:
            fenced, void = self._procs.fence(self.uuid), frozenset(self._waiting)
            self._arrived(e.ZygoteGone(self.pool, self.uuid, fenced, "it ended", void))


class Procs:
    """The machine's process table.

    Attributes:
        orphans: children whose zygote is dead, by its uuid.
    """

    def __init__(self, scheduler: Scheduler, oracle: Oracle) -> None:
        self.scheduler = scheduler
        self.oracle = oracle
        self.zygotes: dict[str, SimZygote] = {}
        self.orphans: dict[str, list[SimChild]] = {}
        self._count = 0

    def new_uuid(self) -> str:
        self._count += 1
        return f"z{self._count}"

    def start(self, line: SimExecutor) -> SimZygote:
        zygote = self.zygotes[line.uuid] = SimZygote(self, int(line.uuid[1:]), line.pool)
        zygote.line = line
        return zygote

    def supervisor_died(self) -> None:
        """Nobody is connected any more; zygotes and children go on."""
        for zygote in list(self.zygotes.values()):
            if zygote.line is not None:
                zygote.line.dead = True
                zygote.line = None

    def fence(self, uuid: str) -> bool:
        """Kill a zygote and all that it ever started; False if something is left."""
        zygote = self.zygotes.get(uuid)
        if zygote is not None:
            zygote.line = None
            zygote.die()
        left = self.orphans.pop(uuid, [])
        for child in left:
            if not child.stuck and not child.gone:
                child.gone = True
                self.oracle.ended(child, e.Exit(self.scheduler.clock.wall, signal="SIGKILL"))
        stuck = [child for child in left if not child.gone]
        if stuck:
            self.orphans[uuid] = stuck
        return not stuck

    def unstick_later(self, child: SimChild) -> None:
        def unstick() -> None:
            child.stuck = False
            if child in self.orphans.get(child.id.zygote, ()):
                self.fence(child.id.zygote)

        self.scheduler.after(self.scheduler.delay(30.0), unstick)

    def lose_power(self) -> None:
        for zygote in self.zygotes.values():
            zygote.alive = False
            zygote.line = None
        for child in [*self.running(), *(one for several in self.orphans.values() for one in several)]:
            child.gone = True
            self.oracle.ended(child, e.Exit(self.scheduler.clock.wall, signal="power"))
        self.zygotes.clear()
        self.orphans.clear()

    def running(self) -> list[SimChild]:
        """Children of living zygotes that have an attempt."""
        children = (child for zygote in self.zygotes.values() for child in zygote.children.values())
        return [child for child in children if child.order is not None and not child.gone]
