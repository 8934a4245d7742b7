"""Pools and dispatch: which children stand ready, and which job gets the next one.

What is here is volatile: it is learned from the executors and gone with the supervisor. The jobs themselves are in
``State``.
"""

from __future__ import annotations

from collections import deque

from . import attempts
from .effects import Prepare, Retire
from .events import Child, ChildReady, PrepareFailed, ZygoteAdopted, ZygoteGone, ZygoteUp
from .records import ZygoteEnded, ZygoteStarted
from .rules import PoolRule, QueueRule
from .state import Job, Queue
from .timers import HOLD, Timers
from .turn import Turn

HOLD_FIRST_S, HOLD_MAX_S = 0.1, 4.0
AHEAD, AHEAD_PER_SLOT = 7, 2  # children that are made ahead of need while jobs wait: a row of forks is cheaper


class Pool:
    """One pool: its current zygote, the children that wait for a job, and how many more were asked for."""

    __slots__ = ("asked", "free", "held", "hold_s", "name", "zygote")

    def __init__(self, name: str) -> None:
        self.name = name
        self.zygote: str | None = None
        self.free: deque[Child] = deque()
        self.asked = 0
        self.held = False
        self.hold_s = HOLD_FIRST_S


class Pools:
    """All pools, and the dispatch of queued jobs to their children.

    Attributes:
        unfenced: zygotes that ended, but not all that they started; their jobs can neither go on nor be tried again.
    """

    def __init__(self, timers: Timers) -> None:
        self.unfenced: set[str] = set()
        self._pools: dict[str, Pool] = {}
        self._timers = timers
        self._unproven: set[str] = set()  # zygotes that were not heard of since they are up: that may not be on disk

    def get(self, name: str) -> Pool:
        pool = self._pools.get(name)
        if pool is None:
            pool = self._pools[name] = Pool(name)
        return pool

    # -- events --------------------------------------------------------------------------------------------------------

    def decide_up(self, turn: Turn, event: ZygoteUp) -> None:
        turn.record(
            ZygoteStarted(
                event.uuid,
                event.pool,
                event.pid,
                event.pid_started,
                event.boot_id,
                turn.now.wall,
                event.socket,
                event.digest,
                event.code_version,
            )
        )
        self._replace(turn, event)
        self._unproven.add(event.uuid)

    def decide_adopted(self, turn: Turn, event: ZygoteAdopted) -> None:
        """Go on with what the journal says runs there: whatever is asked for twice is done once."""
        for job in turn.state.running_in(event.uuid):
            if attempts.child_of(job).kid in event.kids:
                attempts.go_on(turn, job)
            else:
                attempts.decide_lost(turn, job)
        if event.current:
            self._replace(turn, event)
        else:  # after that: one that retires ends its children that were not let go
            turn.durable(Retire(event.pool, event.uuid))

    def _replace(self, turn: Turn, event: ZygoteUp | ZygoteAdopted) -> None:
        """This zygote is its pool's current one; the one before takes no new work."""
        pool = self.get(event.pool)
        if pool.zygote is not None:
            self._empty(turn, pool)
            turn.durable(Retire(pool.name, pool.zygote))
        pool.zygote, pool.asked, pool.held, pool.hold_s = event.uuid, 0, False, HOLD_FIRST_S

    def decide_configured(self, turn: Turn) -> None:
        """A pool that the config no longer has takes no new work. What was started in it goes first, in order."""
        for pool in self._pools.values():
            if pool.name not in turn.rules.pools and pool.zygote is not None:
                self._empty(turn, pool)
                turn.durable(Retire(pool.name, pool.zygote))
                pool.zygote, pool.asked = None, 0

    def decide_gone(self, turn: Turn, event: ZygoteGone) -> None:
        pool = self.get(event.pool)
        pool.free = deque(child for child in pool.free if child.zygote != event.uuid)
        if pool.zygote == event.uuid:
            pool.zygote, pool.asked = None, 0
        if not event.fenced:
            self.unfenced.add(event.uuid)
            return
        self.unfenced.discard(event.uuid)
        self._unproven.discard(event.uuid)
        if event.uuid in turn.state.zygotes:
            for job in turn.state.running_in(event.uuid):
                attempts.decide_lost(turn, job, void=attempts.child_of(job).kid in event.void)
            turn.record(ZygoteEnded(event.uuid))

    def decide_ready(self, turn: Turn, event: ChildReady) -> None:
        pool = self.get(event.child.pool)
        self._unproven.discard(event.child.zygote)
        if (event.child.zygote, event.child.kid) in turn.state.children:
            return  # an adopted one whose attempt was recorded, and never reached it until now
        if event.child.zygote != pool.zygote:
            attempts.discard(turn, event.child)
            return
        pool.asked = max(0, pool.asked - 1)
        pool.free.append(event.child)

    def decide_prepare_failed(self, turn: Turn, event: PrepareFailed) -> None:
        """No attempt is spent; try again after a wait that doubles."""
        pool = self.get(event.pool)
        self._unproven.discard(event.zygote)
        if event.zygote != pool.zygote:
            return
        pool.asked = max(0, pool.asked - event.count)
        self._hold(turn, pool)

    def decide_idle_exit(self, turn: Turn, child: Child) -> None:
        """A child that had no job is gone. If nobody sent it away, the next one may well end in the same way."""
        pool = self.get(child.pool)
        if child in pool.free:
            pool.free.remove(child)
            self._hold(turn, pool)

    def decide_void_exit(self, turn: Turn, child: Child) -> None:
        """One that had a job is gone before it could begin: likewise."""
        self._hold(turn, self.get(child.pool))

    def _hold(self, turn: Turn, pool: Pool) -> None:
        if not pool.held:
            pool.held = True
            self._timers.add(turn.now.boot + pool.hold_s, HOLD, pool.name)
            pool.hold_s = min(HOLD_MAX_S, pool.hold_s * 2)

    def proven(self, name: str) -> None:
        """A child of this pool has run an attempt to an end that it could tell."""
        self.get(name).hold_s = HOLD_FIRST_S

    def release(self, name: str) -> None:
        self.get(name).held = False

    def held(self) -> list[Pool]:
        """Pools that wait before they ask for children again."""
        return [pool for pool in self._pools.values() if pool.held]

    def empty(self, turn: Turn) -> None:
        """Let every waiting child go."""
        for pool in self._pools.values():
            self._empty(turn, pool)

    def _empty(self, turn: Turn, pool: Pool) -> None:
        while pool.free:
            attempts.discard(turn, pool.free.popleft())

    # -- dispatch ------------------------------------------------------------------------------------------------------

    def dispatch(self, turn: Turn) -> None:
        """Start what can start, then ask for the children that are missing."""
        for name, rule in turn.rules.pools.items():
            pool = self.get(name)
            if pool.zygote is not None:
                self._dispatch_pool(turn, pool, rule)

    def _dispatch_pool(self, turn: Turn, pool: Pool, rule: PoolRule) -> None:
        queues = _open_queues(turn, pool.name)
        running = turn.state.pool_running.get(pool.name, 0)
        while pool.free and running < rule.concurrency:
            job = _first(turn, queues)
            if job is None:
                break
            attempts.start(turn, job, pool.free.popleft())
            running += 1
        self._ask(turn, pool, rule, running, _startable(queues))

    def _ask(self, turn: Turn, pool: Pool, rule: PoolRule, running: int, startable: int) -> None:
        room = max(0, rule.concurrency - running)
        wanted = min(room, startable) + rule.spare
        missing = wanted - len(pool.free) - pool.asked
        if missing <= 0 or pool.held or pool.zygote is None:
            return
        if rule.spare:  # otherwise none is to be made ahead of need
            missing += min(AHEAD, AHEAD_PER_SLOT * rule.concurrency, max(0, startable - room))
        pool.asked += missing
        effect = Prepare(pool.name, pool.zygote, missing)
        if pool.zygote in self._unproven:
            turn.durable(effect)  # its identity is on disk before its first child exists
        else:
            turn.prepare(effect)


def queue_mode(queue: Queue, rule: QueueRule) -> str:
    """ "open", "paused" or "draining"."""
    return queue.mode or ("paused" if rule.paused else "open")


def _open_queues(turn: Turn, pool: str) -> list[tuple[Queue, QueueRule]]:
    found = []
    for name, rule in turn.rules.queues.items():
        if rule.pool == pool:
            queue = turn.state.queue(name)
            if queue.counts["queued"] and queue_mode(queue, rule) != "paused":
                found.append((queue, rule))
    return found


def _room(queue: Queue, rule: QueueRule) -> int:
    return 1 << 30 if rule.concurrency is None else rule.concurrency - queue.counts["running"]


def _startable(queues: list[tuple[Queue, QueueRule]]) -> int:
    return sum(max(0, min(queue.counts["queued"], _room(queue, rule))) for queue, rule in queues)


def _first(turn: Turn, queues: list[tuple[Queue, QueueRule]]) -> Job | None:
    """The first job by priority, then submission, among queues with room."""
    best: tuple[int, int] | None = None
    for queue, rule in queues:
        if _room(queue, rule) > 0:
            top = queue.heap.top()
            if top is not None and (best is None or top < best):
                best = top
    return turn.state.jobs[best[1]] if best else None
