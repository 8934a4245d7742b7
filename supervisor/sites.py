"""The executors of all pools: started, watched, replaced when they die, retired on reload.

Knows executors only through the port. Which jobs they run is the machine's business.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from .core import effects as f
from .core import events as e
from .core.events import Child
from .executors.base import Executor, LoopEvent, PoolSpec
from .unwritten import Unwritten

log = logging.getLogger("jobyard.pools")
RESTART_FIRST_S, RESTART_MAX_S = 0.1, 30.0
UP_S = 120.0  # a zygote imports its preload before it is up
STEADY_S = 10.0  # one that was up for less is started again after a longer pause than the last


@dataclass(slots=True)
class Site:
    """One pool's present executor, until when it has to come up, and when to start the next one if there is none.

    ``up_since``: of the executor that is up, or was last. ``short``: it is up, and could not make a process when it
    was last asked to; ``problem`` says why.
    """

    spec: PoolSpec
    executor: Executor | None = None
    state: str = "starting"
    problem: str | None = None
    pid: int | None = None
    restart_at: float | None = None
    up_by: float | None = None
    up_since: float | None = None
    restart_s: float = RESTART_FIRST_S
    short: bool = False


@dataclass(slots=True)
class Sites:
    """``make`` builds an executor; ``watch`` and ``unwatch``, set by the driver, tell the loop of descriptors."""

    make: Callable[[PoolSpec], Executor]
    watch: Callable[[int], None] = field(init=False)
    unwatch: Callable[[int], None] = field(init=False)
    pools: dict[str, Site] = field(default_factory=dict)
    executors: dict[str, Executor] = field(default_factory=dict)
    unwritten: Unwritten = field(default_factory=Unwritten)
    stopping: bool = False
    _by_fd: dict[int, Executor] = field(default_factory=dict)
    _adopted: dict[str, e.ZygoteAdopted] = field(default_factory=dict)  # by pool, until ``begin``

    # -- life ----------------------------------------------------------------------------------------------------------

    def adopt(self, executor: Executor) -> None:
        """One that an earlier supervisor has started. What it has to tell is told by ``events``."""
        self._keep(executor)

    def begin(self, specs: dict[str, PoolSpec], now: float) -> None:
        """Start an executor for every pool that has not adopted one."""
        for name, spec in specs.items():
            site = self.pools[name] = Site(spec)
            adopted = self._adopted.pop(name, None)
            if adopted is not None and adopted.uuid in self.executors:
                site.executor, site.state, site.pid = self.executors[adopted.uuid], "up", adopted.pid
                site.up_since = now
            else:
                self._start(site, now)

    def configure(self, specs: dict[str, PoolSpec], now: float) -> None:
        """Start a fresh executor for every pool. The machine retires those that have come up before."""
        for name in set(self.pools) - set(specs):
            self._abandon(self.pools.pop(name))
        if self.stopping:
            return
        for name, spec in specs.items():
            self.pools.setdefault(name, Site(spec)).spec = spec
            self.recycle(name, now)

    def recycle(self, name: str, now: float) -> bool:
        """Start a fresh executor for one pool; False if there is no such pool. While stopping nothing is started."""
        site = self.pools.get(name)
        if site is not None and not self.stopping:
            self._abandon(site)
            site.restart_s, site.up_since = RESTART_FIRST_S, None
            self._start(site, now)
        return site is not None

    @property
    def starting(self) -> bool:
        """Whether the executor of some pool is not up yet, and was not given up either."""
        return any(site.state == "starting" for site in self.pools.values())

    def mind_deadlines(self, now: float) -> None:
        """Give up executors that do not come up; start those whose time for another try has come."""
        for site in self.pools.values():
            if site.up_by is not None and site.up_by <= now:
                self._abandon(site)
                self._failed(site, f"it is not up after {UP_S:g} s: its preload or setup hangs", now)
            if site.restart_at is not None and site.restart_at <= now:
                self._start(site, now)

    def wake_at(self) -> float | None:
        times = (time for site in self.pools.values() for time in (site.restart_at, site.up_by))
        return min((time for time in times if time is not None), default=None)

    def retire_all(self) -> None:
        """The end: every executor finishes what it has, and none takes its place."""
        self.stopping = True
        for site in self.pools.values():
            site.restart_at = site.up_by = None
        for executor in self.executors.values():
            executor.retire()

    def release(self, uuid: str) -> None:
        """Nothing is left of this executor."""
        if executor := self.executors.get(uuid):
            executor.close()
            self._forget(executor)

    def leave(self) -> None:
        """Let go of all executors; those that can go on without this process do."""
        for executor in list(self.executors.values()):
            executor.leave()
            self._forget(executor)

    def close(self) -> None:
        for uuid in list(self.executors):
            self.release(uuid)

    def _start(self, site: Site, now: float) -> None:
        site.executor, site.state, site.pid, site.restart_at, site.up_by = None, "starting", None, None, now + UP_S
        try:
            executor = self.make(site.spec)
            site.executor = executor
            self._keep(executor)
            executor.start()
        except OSError as error:
            self._abandon(site)
            self._failed(site, f"its zygote cannot be started: {error.strerror or error}", now)

    def _abandon(self, site: Site) -> None:
        """An executor that is not up has nothing to finish, and must not come up after its successor."""
        if site.executor is not None and site.state == "starting":
            self.release(site.executor.uuid)
        site.restart_at = site.up_by = None

    def _failed(self, site: Site, why: str, now: float) -> None:
        site.executor, site.state, site.pid, site.up_by, site.problem = None, "failed", None, None, why
        if not self.stopping:
            if site.up_since is not None and now - site.up_since >= STEADY_S:
                site.restart_s = RESTART_FIRST_S
            site.up_since = None
            site.restart_at = now + site.restart_s
            log.error("pool %s: %s; next try in %g s", site.spec.name, why, site.restart_s)
            site.restart_s = min(RESTART_MAX_S, site.restart_s * 2)

    def _keep(self, executor: Executor) -> None:
        self.executors[executor.uuid] = executor
        self._by_fd[executor.fileno()] = executor
        self.watch(executor.fileno())

    def _forget(self, executor: Executor) -> None:
        self.executors.pop(executor.uuid, None)
        fd = executor.fileno()
        if self._by_fd.pop(fd, None) is not None:
            self.unwatch(fd)

    # -- events --------------------------------------------------------------------------------------------------------

    def owns(self, fd: int) -> bool:
        return fd in self._by_fd

    def events(self, fd: int, now: float) -> list[LoopEvent]:
        """What the executor behind ``fd`` has to tell to the loop."""
        executor = self._by_fd.get(fd)
        if executor is None:
            return []
        found = executor.events()
        for event in found:
            if isinstance(event, e.ZygoteUp):
                self._up(event, now)
            elif isinstance(event, e.ZygoteAdopted) and event.current:
                self._adopted[event.pool] = event
            elif isinstance(event, e.ZygoteGone):
                self._gone(executor, event, now)
            elif isinstance(event, e.ChildReady):
                self._made(event.child)
            elif isinstance(event, e.PrepareFailed):
                self._not_made(event)
            elif isinstance(event, e.OutputRefused):
                self.unwritten.note(event, now)
        return [event for event in found if not isinstance(event, e.OutputRefused)]

    def _site(self, pool: str, uuid: str) -> Site | None:
        """The site whose present executor this is; None for one that only finishes what it has."""
        site = self.pools.get(pool)
        return site if site is not None and site.executor is not None and site.executor.uuid == uuid else None

    def _up(self, event: e.ZygoteUp, now: float) -> None:
        site = self._site(event.pool, event.uuid)
        if site is not None:
            site.state, site.problem, site.pid = "up", None, event.pid
            site.up_since, site.up_by = now, None
            site.short = False

    def _not_made(self, event: e.PrepareFailed) -> None:
        """No process can be made: said once, until one can."""
        site = self._site(event.pool, event.zygote)
        if site is not None and site.state == "up":
            if not site.short:
                log.warning("pool %s: %s; its jobs wait, and it is tried again", event.pool, event.why)
            site.short, site.problem = True, event.why

    def _made(self, child: Child) -> None:
        site = self._site(child.pool, child.zygote)
        if site is not None and site.short:
            site.short, site.problem = False, None
            log.info("pool %s: processes can be made again", site.spec.name)

    def _gone(self, executor: Executor, event: e.ZygoteGone, now: float) -> None:
        site = self._site(event.pool, event.uuid)
        if site is not None:
            self._failed(site, event.why or "its zygote ended", now)
        if event.fenced:
            self.release(executor.uuid)

    # -- effects -------------------------------------------------------------------------------------------------------

    def perform(self, effect: f.Prepare | f.Go | f.Discard | f.Kill | f.AckExit | f.Retire) -> None:
        """Hand one effect to its executor; one that is gone has nothing to do any more."""
        match effect:
            case f.Prepare():
                if executor := self.executors.get(effect.zygote):
                    executor.prepare(effect.count)
            case f.Retire():
                if executor := self.executors.get(effect.zygote):
                    executor.retire()
            case f.Go():
                if executor := self._of(effect.child):
                    executor.go(effect.child, effect.order)
            case f.Discard():
                if executor := self._of(effect.child):
                    executor.discard(effect.child)
            case f.Kill():
                if executor := self._of(effect.child):
                    executor.kill(effect.child, effect.kind, effect.grace_s, effect.reason)
            case f.AckExit():
                if executor := self._of(effect.child):
                    executor.ack(effect.child, effect.seq)

    def follow(self, child: Child, size: int) -> None:
        if executor := self._of(child):
            executor.follow(child, size)

    def retiring(self, pool: str) -> int:
        """How many executors of this pool only finish what they have."""
        current = self.pools[pool].executor if pool in self.pools else None
        return sum(1 for one in self.executors.values() if one.pool == pool and one is not current)

    def _of(self, child: Child) -> Executor | None:
        return self.executors.get(child.zygote)
