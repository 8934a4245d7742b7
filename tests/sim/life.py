"""One life of a supervisor: the real driver, front, desk, office, machine, outbox and stream, with simulated edges.

Everything between the sockets is the product's own code. Replaced are clocks, the poller, signals, the journal's bytes,
the sockets, processes and the files of the config. The driver's loop is turned from outside, a pass at a time, whenever
something that it waits for is ready.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

from archive import SimCompaction, SimHistoryLink
from clock import SimStepWatch, SimTimer
from disk import SimJournal
from jobyard.conf.catalog import Built, Catalog
from jobyard.conf.loader import Loaded
from jobyard.conf.paths import paths_for
from jobyard.conf.settings import LimitSettings, PoolSettings, QueueSettings, Settings
from jobyard.protocol.messages import CatalogEntry
from jobyard.supervisor import admission, clock, compaction, driver, front, office, stream, unfenced
from jobyard.supervisor.admission import Admission
from jobyard.supervisor.core import events as e
from jobyard.supervisor.core.machine import Machine
from jobyard.supervisor.driver import Driver
from jobyard.supervisor.executors.base import PoolSpec
from jobyard.supervisor.front import Front
from jobyard.supervisor.office import Office, Options
from jobyard.supervisor.recovery import make_durable
from jobyard.supervisor.sites import Sites
from jobyard.supervisor.stream import Stream
from net import UID, SimPublisher, SimSocket
from procs import SimExecutor

if TYPE_CHECKING:
    from world import World

LIMITS = LimitSettings(kept_notices=60, unsent_notices=6, parked_requests=200, connection_requests=4)
SETTINGS = Settings(
    file=Path("/simulated/jobyard.toml"),
    allow=("app:*",),
    queues={
        "default": QueueSettings(),
        "mail": QueueSettings(),
        "slow": QueueSettings(pool="other"),
        "off": QueueSettings(),
    },
    pools={"default": PoolSettings(concurrency=3), "other": PoolSettings(concurrency=1)},
    limits=LIMITS,
    redact=("secret",),
)
LOADED = Loaded(SETTINGS, {}, [])
PATHS = paths_for(SETTINGS, {})
SPECS = {pool: PoolSpec(pool, "python", "/", [], {}, [], "/", "/") for pool in SETTINGS.pools}
REF = "app:work"
ENTRIES = {pool: [CatalogEntry(REF, pool, [])] for pool in SPECS}
BUILD_S = 60.0
WOKEN_PER_S = 20  # few follow a topic here, and still there is a pause after each message
LATE_S = 1e-6  # sums of times are not exact: when it is looked at then, it is due
TIRED_CHANCE = 0.1  # that a request takes so long that the others have to wait for another turn


class SimBuild:
    """As ``supervisor.catalog_build.CatalogBuild``: the catalogue of one pool, after a moment."""

    def __init__(self, spec: PoolSpec) -> None:
        life = _lives[-1]
        scheduler = life.world.scheduler
        self.deadline = clock.now().boot + BUILD_S
        self._done_at = scheduler.clock.t + scheduler.delay(0.1)
        self._clock = scheduler.clock
        self._pool = spec.name
        self._fd = life.fd(self._is_done)
        scheduler.at(self._done_at, life.look)

    def fileno(self) -> int:
        return self._fd

    def poll(self) -> Built | None:
        return Built(self._pool, ENTRIES[self._pool], []) if self._is_done() else None

    def close(self) -> None:
        pass

    def _is_done(self) -> bool:
        return self._clock.t >= self._done_at


class SimPoller:
    """As ``zmq.Poller``: of what is ready, some, in any order."""

    def __init__(self, life: Life) -> None:
        self.sources: dict[Any, None] = {}
        self._life = life

    def register(self, source: Any, flags: int) -> None:
        self.sources[source] = None

    def unregister(self, source: Any) -> None:
        self.sources.pop(source, None)

    def ready(self) -> list[Any]:
        readable = self._life.readable
        return [source for source in self.sources if readable[source]()]

    def poll(self, timeout: float | None) -> list[tuple[Any, int]]:
        ready, rng = self.ready(), self._life.world.scheduler.rng
        if len(ready) > 1:
            rng.shuffle(ready)
        return [(source, 1) for source in ready]


class Killed(BaseException):
    """The supervisor died while its code was running."""


class Life:
    """From start to death. ``turns`` counts passes of the loop."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.dead = False
        self.turns = 0
        self.began_at = world.clock.t
        self.readable: dict[Any, Callable[[], bool]] = {}
        self.still_until = 0.0
        self._looks_at = 0.0  # for what the stream holds
        self.publisher: SimPublisher | None = None
        self._mortal: list[Any] = []  # what dies with it
        self._scheduled = True  # until it begins
        self._later: list[Callable[[], None]] = []
        self._count = 0

    def compose(self) -> None:
        """Replay, adoption, and all parts put together."""
        with current(self):
            self.driver = self._compose()

    # -- putting it together -------------------------------------------------------------------------------------------

    def fd(self, ready: Callable[[], bool]) -> int:
        self._count += 1
        self.readable[self._count] = ready
        return self._count

    def _compose(self) -> Driver:
        world = self.world
        now = world.clock.now()
        state = world.recover()
        self.journal = SimJournal(
            world.disk,
            world.scheduler,
            self.fd(lambda: self.journal.woken),
            world.scale,
            world.oracle.decided,
            world.oracle.durable,
            self.point,
            self.look,
        )
        self._mortal.append(self.journal)
        machine = Machine(state, world.rules)
        make_durable(self.journal, machine.begin(now, world.clock.boot_id).records)  # type: ignore[arg-type]
        taken = world.take_over(self, state)
        publisher = SimPublisher(world.net, LIMITS.unsent_notices, self.look)
        self.publisher = publisher
        self.readable[publisher.socket] = lambda: bool(publisher.news)
        self.socket = SimSocket(world.net, self.look, self.point)
        self.readable[self.socket.socket] = lambda: bool(self.socket.inbox)
        addresses: Any = SimpleNamespace(admission=Admission(frozenset(), None, _requests_max), close=lambda: None)
        front_ = Front(self.socket, [], addresses, _requests_max)  # type: ignore[arg-type]
        sites = Sites(self._executor)
        self.compaction = SimCompaction(
            self.journal,
            machine,
            world.disk,
            world.history,
            world.scheduler,
            self.fd(lambda: self.compaction.done),
            self.point,
            self.look,
        )
        self.history = SimHistoryLink(world.history, world.scheduler, self.later)
        self._mortal += [self.compaction, self.history, self.socket, publisher]
        stream_ = Stream(machine, publisher, LIMITS)  # type: ignore[arg-type]
        office_ = Office(lambda: LOADED, LOADED, PATHS, Options(), lambda warnings: None)
        parts: Any = machine, self.journal, front_, sites, office_, self.compaction, self.history, stream_
        made = Driver(*parts)
        made.watch(self.fd(lambda: bool(self._later)), self._do_later)
        made.begin(taken, now)
        return made

    def _executor(self, pool: PoolSpec) -> SimExecutor:
        return self.executor(pool.name, self.world.procs.new_uuid())

    def executor(self, pool: str, uuid: str) -> SimExecutor:
        executor = SimExecutor(
            self.world.procs, pool, uuid, self.fd(lambda: bool(executor.inbox)), self.look, self.point
        )
        return executor

    def timer(self, clock: int = clock.BOOTTIME) -> SimTimer:
        scheduler = self.world.scheduler
        timer = SimTimer(self.world.clock, self.fd(lambda: timer.ready()), lambda t: scheduler.at(t, self.look))
        return timer

    def step_watch(self) -> SimStepWatch:
        watch = SimStepWatch(self.fd(lambda: watch.ready()))
        self.world.clock.stepped = lambda: setattr(watch, "stepped", True)
        return watch

    # -- turning the loop ----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        with current(self):
            self.driver.office.start(self.driver)
            self.driver._turn()
        self.world.net.server, self.world.net.publisher = self.socket, self.publisher
        self._scheduled = False
        self.look()

    def later(self, call: Callable[[], None]) -> None:
        """Have the loop call it."""
        self._later.append(call)
        self.look()

    def _do_later(self) -> None:
        calls, self._later = self._later, []
        for call in calls:
            call()

    def look(self) -> None:
        """Something may be ready: let the loop come to it in a moment."""
        if self._scheduled or self.dead:
            return
        driver, scheduler = self.driver, self.world.scheduler
        with current(self):
            untold_s = driver.stream.wait_s()
        if driver._poller.ready() or untold_s == 0 or driver.front.busy:
            self._scheduled = True
            scheduler.at(max(self.still_until, scheduler.clock.t + scheduler.delay(0.0001)), self._pass)
        elif untold_s is not None and self._looks_at <= scheduler.clock.t:
            self._looks_at = scheduler.clock.t + untold_s + LATE_S
            scheduler.at(self._looks_at, self.look)

    def _pass(self) -> None:
        """What ``Driver.run`` does again and again."""
        self._scheduled = False
        if self.dead:
            return
        self.turns += 1
        driver = self.driver
        with current(self), contextlib.suppress(Killed):
            driver._wait()
            if driver._turn_due or driver._events:
                driver._turn()
                self.world.turned()
            if driver._gone():
                driver._close()
                self.die()
                self.world.stopped()
                return
        self.look()

    # -- the end -------------------------------------------------------------------------------------------------------

    def point(self, where: str) -> None:
        """Here it may die."""
        if not self.dead and (victim := self.world.victim(where)) is not None:
            self.world.dies(self, where, victim)
            if self in _lives:
                raise Killed

    def die(self) -> None:
        """kill -9, or the end of an orderly stop."""
        self.dead = True
        for one in self._mortal:
            one.dead = True
        world = self.world
        if self.publisher is not None:
            self.publisher.close()
        world.net.publisher = None
        world.net.supervisor_died()
        world.clock.stepped = lambda: None
        world.procs.supervisor_died()


_lives: list[Life] = []


@contextlib.contextmanager
def current(life: Life) -> Iterator[None]:
    """Clocks and descriptors that are made meanwhile belong to this life."""
    _lives.append(life)
    try:
        yield
    finally:
        _lives.pop()


class _Quiet:
    """In place of signals and of what removes old output: never has anything to do."""

    def __init__(self, *_: object) -> None:
        self._fd = _lives[-1].fd(lambda: False)

    def fileno(self) -> int:
        return self._fd

    def attempt_ended(self) -> None:
        pass

    def close(self) -> None:
        pass


def _sim_now() -> e.Now:
    return _lives[-1].world.clock.now()


def _requests_max() -> int:
    return LIMITS.connection_requests


def _tiring() -> float:
    """A clock for the front: mostly no time passes, but now and then its turn is over."""
    tired = _lives[-1].world.scheduler.rng.random() < TIRED_CHANCE
    return _sim_now().boot + (front.TURN_S if tired else 0.0)


@functools.cache
def _catalog(pools: tuple[str, ...]) -> Catalog:
    return Catalog(SETTINGS, [Built(pool, ENTRIES[pool], []) for pool in pools])


@contextlib.contextmanager
def simulated() -> Iterator[None]:
    """The product's edges are those of the simulation meanwhile."""
    sim_time = SimpleNamespace(monotonic=lambda: _sim_now().boot, time=lambda: _sim_now().wall)
    zmq = SimpleNamespace(Poller=lambda: SimPoller(_lives[-1]), POLLIN=1, POLLOUT=4)
    patches: list[Any] = [
        mock.patch.multiple(
            clock,
            now=_sim_now,
            Timer=lambda clock=clock.BOOTTIME: _lives[-1].timer(clock),
            StepWatch=lambda: _lives[-1].step_watch(),
        ),
        mock.patch.multiple(driver, zmq=zmq, Signals=_Quiet, Retention=_Quiet, os=SimpleNamespace(environ={})),
        mock.patch.multiple(
            office,
            os=SimpleNamespace(environ={}),
            logs=mock.DEFAULT,
            CatalogBuild=SimBuild,
            Catalog=lambda settings, built: _catalog(tuple(sorted(one.pool for one in built))),
            rules=lambda settings: _lives[-1].world.new_rules(),
            pool_spec=lambda settings, paths, name: SPECS[name],
        ),
        mock.patch.object(admission, "os", SimpleNamespace(geteuid=lambda: UID)),
        mock.patch.object(front, "time", SimpleNamespace(monotonic=_tiring)),
        mock.patch.object(stream, "time", sim_time),
        mock.patch.object(stream, "WOKEN_PER_S", WOKEN_PER_S),
        mock.patch.object(compaction, "SLACK_JOBS", 3),
        mock.patch.object(
            unfenced, "fence_zygote", lambda state, zygote, *_: _lives[-1].world.procs.fence(zygote.uuid)
        ),
    ]
    with contextlib.ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch)
        logging.disable()
        stack.callback(logging.disable, logging.NOTSET)
        yield
