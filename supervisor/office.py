"""The config in force, the catalogue made from it, and how both are replaced while jobs run.

A reload reads the config again, starts fresh executors, and rebuilds the catalogue in throw-away processes; the loop
goes on meanwhile. A bad config changes nothing.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..conf.catalog import Built, Catalog
from ..conf.loader import Loaded
from ..conf.paths import Paths, paths_for
from ..conf.settings import Settings
from ..protocol.errors import BadArguments, InvalidConfig, JobyardError
from ..protocol.messages import PoolStatus, Reloaded, SupervisorStatus
from ..protocol.options import LOG_FORMATS, nearest_hint
from . import clock, logs, reads
from .catalog_build import CatalogBuild
from .core.events import Configured
from .executors.base import PoolSpec
from .lag import behind
from .pools import pool_spec, rules
from .room import Room
from .token import Token
from .unfenced import TROUBLE

if TYPE_CHECKING:
    from .driver import Driver

log = logging.getLogger("jobyard")
POOLS_UP_S = 10.0  # for so long a reload waits for its pools


@dataclass(frozen=True, slots=True)
class Options:
    """How the supervisor was started.

    Attributes:
        dev: take in changed code and config before each submit. quiet: log to the files only.
        nofile: the limit of open files that it began with, which jobs get back.
        until_idle: end when nothing is due.
        fence: end the jobs that an earlier supervisor has left running, instead of taking them over.
        cgroup: directory for the control groups of attempts, if there is one.
    """

    dev: bool = False
    quiet: bool = False
    nofile: int | None = None
    until_idle: bool = False
    fence: bool = False
    cgroup: str | None = None


@dataclass(slots=True)
class _Rebuild:
    """One catalogue in the making: builds that still run, outputs that are there, and who waits for it.

    ``up_by``: until when its pools are waited for.
    """

    builds: dict[str, CatalogBuild]
    up_by: float
    outputs: list[Built] = field(default_factory=list)
    tokens: list[Token] = field(default_factory=list)


class Office:
    """One per supervisor.

    Attributes:
        settings: the config in force.
        catalog: what may be submitted; None until the first build is done.
        log_format: the format of the supervisor's log in force.
        room: what is to be said of the journal's disk.
        specs: the pools of the config in force.
    """

    def __init__(
        self,
        read: Callable[[], Loaded],
        loaded: Loaded,
        paths: Paths,
        options: Options,
        ready: Callable[[list[str]], None],
    ) -> None:
        self._read = read
        self._warnings = loaded.warnings
        self.settings: Settings = loaded.settings
        self.paths = paths
        self.log_format = self.settings.logging.format
        self.catalog: Catalog | None = None
        self.room = Room(paths.journal_dir)
        self._options = options
        self.specs = self._specs(loaded.settings)
        self._ready = ready
        self._rebuild: _Rebuild | None = None
        self._again: list[Token] | None = None  # a reload that was asked for during one
        self._stamps: dict[str, int] = {}
        self._driver: Driver
        self._started_at = time.time()

    def start(self, driver: Driver) -> None:
        self._driver = driver
        self._driver.sites.begin(self.specs, clock.now().boot)
        self._build([])

    # -- reload --------------------------------------------------------------------------------------------------------

    def reload(self, token: Token | None) -> None:
        """Read the config and build everything anew; ``token`` is answered when that is done."""
        if self._rebuild is not None and self._rebuild.builds:
            self._again = [*(self._again or ()), *([token] if token else ())]
            return
        try:
            loaded = self._read()
            paths = paths_for(loaded.settings, os.environ)
            self._refuse_moves(loaded.settings, paths)
            specs = self._specs(loaded.settings)
            self._driver.story.write()  # what was told before is written as it was to be
            logs.set_up(loaded.settings.logging, paths, env=loaded.settings.env, quiet=self._options.quiet)
        except (JobyardError, OSError) as error:
            if isinstance(error, OSError) and not isinstance(error, JobyardError):
                error = InvalidConfig(f"{error.filename}: {error.strerror}")
            log.error("reload: the config is not good, the old one stays in force: %s", error)
            self._answer(token, error)
            return
        self.settings, self.paths, self._warnings = loaded.settings, paths, loaded.warnings
        self.log_format = self.settings.logging.format
        log.info("reload: the config is in force")
        self._driver.take_in(Configured(rules(self.settings)))
        self.specs = specs
        self._driver.sites.configure(specs, clock.now().boot)
        waiting = [] if self._rebuild is None else self._rebuild.tokens  # for pools that this reload begins anew
        self._build([*waiting, *([token] if token else ())])

    def _refuse_moves(self, settings: Settings, paths: Paths) -> None:
        now, then = settings.supervisor, self.settings.supervisor
        moved = [
            name
            for name in ("state_dir", "journal_dir", "output_dir", "runtime_dir", "socket", "tcp")
            if getattr(paths, name) != getattr(self.paths, name)
        ]
        moved += [name for name in ("host", "port", "clients") if getattr(now, name) != getattr(then, name)]
        for name in moved:
            name = "transport" if name == "tcp" else name
            raise InvalidConfig(f"{name} cannot change while the supervisor runs", hint="jobctl down, then jobctl up")

    def _specs(self, settings: Settings) -> dict[str, PoolSpec]:
        specs = {name: pool_spec(settings, self.paths, name) for name in settings.pools}
        nofile, cgroup = self._options.nofile, self._options.cgroup
        return {
            name: dataclasses.replace(spec, nofile=spec.nofile or nofile, cgroup=cgroup) for name, spec in specs.items()
        }

    def _build(self, tokens: list[Token]) -> None:
        self._stamps = self._stamp()
        builds = {name: CatalogBuild(spec) for name, spec in self.specs.items()}
        self._rebuild = _Rebuild(builds, clock.now().boot + POOLS_UP_S, tokens=tokens)
        for build in self._rebuild.builds.values():
            self._driver.watch(build.fileno(), self._poll)

    def _poll(self) -> None:
        """Take in the builds that are done."""
        rebuild = self._rebuild
        if rebuild is None:  # a descriptor of the same batch
            return
        for name, build in list(rebuild.builds.items()):
            fd = build.fileno()
            output = build.poll()
            if output is not None:
                self._driver.unwatch(fd)
                del rebuild.builds[name]
                rebuild.outputs.append(output)
        self._conclude()

    def _conclude(self) -> None:
        """A reload is over when its pools are up as well, so that whatever is submitted after it runs the new code."""
        rebuild = self._rebuild
        if rebuild is None or rebuild.builds:
            return
        waits = self.catalog is not None and self._driver.sites.starting and clock.now().boot < rebuild.up_by
        if not waits or self._driver.sites.stopping:
            self._rebuild = None
            self._built(rebuild)

    def _built(self, rebuild: _Rebuild) -> None:
        first = self.catalog is None
        self.catalog = Catalog(self.settings, rebuild.outputs)
        self._stamps = {**self._stamp(), **self._stamps}  # what was there when the build began counts
        for problem in self.catalog.problems:
            log.error("catalogue: %s (pool %s): %s", problem.what, problem.pool, _last(problem.why))
        warnings = [f"{problem.what}: {problem.why}" for problem in self.catalog.problems]
        if not first and self._driver.sites.starting:
            warnings.append(f"a pool is not up after {POOLS_UP_S:g} s: until it is, its jobs run the code of before")
        for token in rebuild.tokens:
            self._answer(token, Reloaded(True, [*self._warnings, *warnings]))
        for event in self._driver.desk.catalog_ready():
            self._driver.take_in(event)
        if first:
            self._ready([*self._warnings, *warnings, *self._around(self._driver)])
        if self._again is not None:
            tokens, self._again = self._again, None
            self.reload(tokens[0] if tokens else None)
            if self._rebuild is not None:
                self._rebuild.tokens.extend(tokens[1:])

    def _answer(self, token: Token | None, reply: object) -> None:
        if token is not None:
            self._driver.answer_at_once(token, reply)

    @property
    def settled(self) -> bool:
        """Whether the catalogue is there and no other is made."""
        return self.catalog is not None and self._rebuild is None

    @property
    def may_end(self) -> bool:
        """Whether to end as soon as nothing is due; not while a catalogue is made, for which submits may wait."""
        return self._options.until_idle and self.settled

    # -- the log -------------------------------------------------------------------------------------------------------

    def use_log_format(self, name: str | None) -> str:
        """Write the log in this format until the next reload; the one in force. None changes nothing.

        Raises:
            BadArguments: there is no such format.
        """
        if name is not None:
            if name not in LOG_FORMATS:
                raise BadArguments(f"there is no log format {name!r:.100}", hint=nearest_hint(name, LOG_FORMATS))
            self._driver.story.write()  # what was told before is written as it was to be
            logs.use_format(name, self.settings.env)
            self.log_format = name
        return self.log_format

    # -- development ---------------------------------------------------------------------------------------------------

    def refreshing(self) -> bool:
        """With ``--dev``: whether a submit has to wait for a rebuild; starts one if a source or the config is new."""
        if not self._options.dev:
            return False
        if self._rebuild is None and (self._changed() or (self.catalog is not None and self.catalog.problems)):
            self.reload(None)
        return self._rebuild is not None

    def _changed(self) -> list[str]:
        now = self._stamp()
        return sorted(path for path, stamp in now.items() if self._stamps.get(path, stamp) != stamp)

    def _stamp(self) -> dict[str, int]:
        paths = {str(self.settings.file)}
        if self.catalog is not None:
            paths |= {entry.module_file for entry in self.catalog.entries if entry.module_file}
        return {path: _modified(path) for path in paths}

    # -- time ----------------------------------------------------------------------------------------------------------

    def wake_at(self) -> float | None:
        """Boot time at which a build, or a pool, has taken too long."""
        if self._rebuild is None:
            return None
        return min((build.deadline for build in self._rebuild.builds.values()), default=self._rebuild.up_by)

    def mind_deadlines(self, now: float) -> None:
        if self._driver.degraded is None:  # otherwise worse was told
            self.room.mind(self._driver.low_space)
        deadline = self.wake_at()
        if deadline is not None and now >= deadline:
            self._poll()
        self._conclude()

    def close(self) -> None:
        if self._rebuild is not None:
            for build in self._rebuild.builds.values():
                build.close()

    # -- status --------------------------------------------------------------------------------------------------------

    def status(self, driver: Driver) -> SupervisorStatus:
        state = driver.machine.state
        return SupervisorStatus(
            pid=os.getpid(),
            version=__version__,
            generation=state.generation,
            started_at=self._started_at,
            config=str(self.settings.file),
            state_dir=str(self.paths.state_dir),
            socket=driver.front.requests.told,
            stopping=driver.machine.stopping is not None,
            durable=driver.degraded is None,
            counts=dict(state.counts),
            refused=driver.refusals.count,
            queues=reads.queues(driver.machine),
            pools=self._pool_status(driver),
            journal_bytes=driver.journal.size,
            warnings=self._status_warnings(driver),
        )

    def _pool_status(self, driver: Driver) -> list[PoolStatus]:
        found = []
        for name, site in sorted(driver.sites.pools.items()):
            rule = driver.machine.rules.pools.get(name)
            found.append(
                PoolStatus(
                    name=name,
                    state=site.state,
                    concurrency=rule.concurrency if rule else 0,
                    running=driver.machine.state.pool_running.get(name, 0),
                    spare=len(driver.machine.pools.get(name).free),
                    pid=site.pid,
                    retiring=driver.sites.retiring(name),
                    problem=site.problem,
                )
            )
        return found

    def _status_warnings(self, driver: Driver) -> list[str]:
        warnings = [*self._warnings, *self._around(driver)]
        for pool in driver.unfenced.pools():
            warnings.append(f"pool {pool}: {TROUBLE}")
        if self.catalog is not None:
            warnings += [f"{one.what} is allowed but cannot be used: {_last(one.why)}" for one in self.catalog.problems]
        changed = self._changed()
        if changed:
            warnings.append(f"changed since it was read: {', '.join(changed[:3])} (try: jobctl reload)")
        undeclared = [one.name for one in reads.queues(driver.machine) if one.mode == "undeclared"]
        if undeclared:
            warnings.append(f"jobs wait in queues that the config does not declare: {', '.join(undeclared)}")
        return warnings

    def _around(self, driver: Driver) -> list[str]:
        """What is wrong with disks and clock."""
        warnings = []
        if driver.degraded is not None:
            warnings.append(f"the journal cannot be written ({driver.degraded}): nothing new is accepted")
        elif driver.low_space:
            warnings.append(self.room.shortage())
        if slow_s := driver.storage.slow_s:
            warnings.append(f"the journal's disk is slow: one sync has taken {slow_s:.0f} s so far; what is new waits")
        if driver.compaction.trouble is not None:
            warnings.append(
                f"the history cannot be written ({driver.compaction.trouble}): finished jobs stay in memory"
            )
        lost = driver.sites.unwritten.warning(clock.now().boot)
        if lost is not None:
            warnings.append(lost)
        warnings += driver.front.warnings(clock.now().boot)
        late = behind(driver.machine.state.wall)
        if late is not None:
            warnings.append(late)
        return warnings


def _modified(path: str) -> int:
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return 0


def _last(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else text
