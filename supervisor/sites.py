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
from .executors.base import Executor, ExecutorEvent, PoolSpec

log = logging.getLogger("jobyard.pools")
RESTART_FIRST_S, RESTART_MAX_S = 0.1, 30.0


@dataclass(slots=True)
class Site:
    """One pool's present executor, and when to start the next one if it has none."""

    spec: PoolSpec
    executor: Executor | None = None
    state: str = "starting"
    problem: str | None = None
    pid: int | None = None
    restart_at: float | None = None
    restart_s: float = RESTART_FIRST_S


@dataclass(slots=True)
class Sites:
    """``make`` builds an executor; ``watch`` and ``unwatch``, set by the driver, tell the loop of descriptors."""

    make: Callable[[PoolSpec], Executor]
    watch: Callable[[int], None] = field(init=False)
    unwatch: Callable[[int], None] = field(init=False)
    pools: dict[str, Site] = field(default_factory=dict)
    executors: dict[str, Executor] = field(default_factory=dict)
    stopping: bool = False
    _by_fd: dict[int, Executor] = field(default_factory=dict)

    # -- life ----------------------------------------------------------------------------------------------------------

    def configure(self, specs: dict[str, PoolSpec]) -> None:
        """Start a fresh executor for every pool; those of pools that are gone are retired."""
        for name in set(self.pools) - set(specs):
            site = self.pools.pop(name)
            if site.executor is not None:
                site.executor.retire()
        for name, spec in specs.items():
            site = self.pools.setdefault(name, Site(spec))
            site.spec, site.restart_at, site.restart_s = spec, None, RESTART_FIRST_S
            self._start(site)

    def restart_due(self, now: float) -> None:
        """Start the executors whose time for another try has come."""
        for site in self.pools.values():
            if site.restart_at is not None and site.restart_at <= now:
                site.restart_at = None
                self._start(site)

    def wake_at(self) -> float | None:
        return min((site.restart_at for site in self.pools.values() if site.restart_at is not None), default=None)

    def retire_all(self) -> None:
        """The end: every executor finishes what it has, and none takes its place."""
        self.stopping = True
        for site in self.pools.values():
            site.restart_at = None
        for executor in self.executors.values():
            executor.retire()

    def close(self) -> None:
        for executor in list(self.executors.values()):
            executor.close()
            self._forget(executor)

    def _start(self, site: Site) -> None:
        executor = self.make(site.spec)
        self.executors[executor.uuid] = executor
        site.executor, site.state, site.pid = executor, "starting", None
        executor.start()
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

    def events(self, fd: int, now: float) -> list[ExecutorEvent]:
        """What the executor behind ``fd`` has to tell."""
        executor = self._by_fd.get(fd)
        if executor is None:
            return []
        found = executor.events()
        for event in found:
            if isinstance(event, e.ZygoteUp):
                self._up(event)
            elif isinstance(event, e.ZygoteGone):
                self._gone(executor, event, now)
        return found

    def _up(self, event: e.ZygoteUp) -> None:
        site = self.pools.get(event.pool)
        if site is not None and site.executor is not None and site.executor.uuid == event.uuid:
            site.state, site.problem, site.pid, site.restart_s = "up", None, event.pid, RESTART_FIRST_S

    def _gone(self, executor: Executor, event: e.ZygoteGone, now: float) -> None:
        site = self.pools.get(event.pool)
        if site is not None and site.executor is executor:
            site.executor, site.state, site.pid = None, "failed", None
            site.problem = event.why or "its zygote ended"
            if not self.stopping:
                site.restart_at = now + site.restart_s
                log.error("pool %s: %s; next try in %g s", event.pool, site.problem, site.restart_s)
                site.restart_s = min(RESTART_MAX_S, site.restart_s * 2)
        if event.fenced:
            executor.close()
            self._forget(executor)

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
