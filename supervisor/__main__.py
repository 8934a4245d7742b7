"""The supervisor process: ``python -P -m jobyard.supervisor``. The only place where the parts are put together.

Started by ``jobctl up`` or systemd. SIGTERM stops it with its jobs, SIGINT when they have ended; SIGUSR1 stops it and
leaves them running for the next one. Exit codes: 0 stopped, 2 a mistake in config or usage, 5 another supervisor has
the directory, or its disk refuses, or running jobs cannot be taken over, 6 the journal cannot be read, 70 a fault of
its own; the log tells more.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import math
import os
import resource
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from ..conf.find import find_config
from ..conf.loader import Loaded, load
from ..conf.paths import Paths, paths_for, secure_directories, unusable
from ..conf.users import Clients, find_clients
from ..protocol.errors import JobyardError, StorageUnavailable
from . import clock, logs
from .addresses import open_addresses
from .compaction import Compaction
from .core.machine import Machine
from .core.records import BadRecord
from .core.transitions import IllegalRecord
from .driver import Driver
from .executors import slices
from .executors.base import Executor, PoolSpec
from .executors.orphans import become_reaper
from .executors.scratch_removal import remove_left
from .executors.spawn import SpawnExecutor
from .executors.zygote.cgroup import Kernel, settle
from .executors.zygote.executor import ZygoteExecutor
from .executors.zygote.limits import make_unreadable
from .executors.zygote.process import Found
from .front import Front
from .gate import require_descriptors
from .history.link import HistoryLink
from .journal.errors import JournalDamaged, JournalTooNew
from .journal.lock import AlreadyLocked, DirectoryLock
from .lag import Lag
from .office import Office, Options
from .pools import rules
from .publisher import Publisher
from .recovery import AdoptionRefused, make_durable, recover, sweep_sockets, take_over
from .signals import hold_back
from .sites import Sites
from .sockets import RequestSocket
from .stream import Stream

log = logging.getLogger("jobyard")
SWITCH_S = 0.0005  # the journal's thread takes the GIL three times per group; at 5 ms a busy loop would starve it
EXIT_USAGE, EXIT_REFUSED, EXIT_JOURNAL, EXIT_FAULT = 2, 5, 6, 70


def main(arguments: list[str] | None = None) -> int:
    """Run a supervisor until it is stopped; gives the exit code."""
    options = _parser().parse_args(arguments)
    hold_back()
    announce = _Announcer(options.ready_fd)
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # arguments of jobs would be in it
    sys.setswitchinterval(SWITCH_S)
    try:
        return _run(options, announce)
    except (JournalDamaged, JournalTooNew) as error:
        return announce.failed(error, EXIT_JOURNAL)
    except (AlreadyLocked, AdoptionRefused, StorageUnavailable) as error:
        return announce.failed(error, EXIT_REFUSED)
    except JobyardError as error:
        return announce.failed(error, EXIT_USAGE)
    except (BadRecord, IllegalRecord) as error:
        return announce.failed(_journal_error(str(error)), EXIT_JOURNAL)
    except OSError as error:  # the working directory is gone, or a file of the config while it was read
        return announce.failed(JobyardError(str(error)), EXIT_USAGE)


def _run(options: argparse.Namespace, announce: _Announcer) -> int:
    def read() -> Loaded:
        return load(Path(options.config), environ=os.environ, env_name=options.env, overrides=options.set)

    options.config = str(find_config(options.config, Path.cwd(), os.environ))
    loaded = read()
    paths = paths_for(loaded.settings, os.environ)
    clients = find_clients(loaded.settings.supervisor.clients)
    secure_directories(paths, None if clients is None else clients.group)
    try:
        return _serve(read, loaded, paths, clients, options, announce)
    except OSError as error:
        raise unusable(Path(error.filename or paths.state_dir), error) from None


def _serve(
    read: Callable[[], Loaded],
    loaded: Loaded,
    paths: Paths,
    clients: Clients | None,
    options: argparse.Namespace,
    announce: _Announcer,
) -> int:
    cgroup = _confine()
    with DirectoryLock(paths.state_dir):
        logs.set_up(loaded.settings.logging, paths, env=loaded.settings.env, quiet=options.quiet)
        for warning in loaded.warnings:
            log.warning("%s", warning)
        nofile = _raise_descriptor_limit()
        driver = _compose(
            read,
            loaded,
            paths,
            clients,
            Options(options.dev, options.quiet, nofile, options.until_idle, options.fence, cgroup),
            announce,
        )
        log.info("supervisor %d is up: %s", os.getpid(), loaded.settings.file)
        with closing(Lag(driver.machine.state.wall, driver.watch, driver.unwatch)):
            code = _live(driver)
        log.info("supervisor %d stopped", os.getpid())
        return code


def _confine() -> str | None:
    """Take in the orphans of what dies below, let no other process of this user read keys out of this one, be quick.

    Gives the directory for control groups of attempts, if this process and its guard have a group to themselves.
    """
    become_reaper()
    make_unreadable()
    slices.shorten(inherited=True)
    return settle(Kernel(), {os.getpid(), os.getppid()}, os.environ)


def _live(driver: Driver) -> int:
    """The loop, to its end. A fault in it ends the process, so that the next one begins with what is on disk."""
    gc.collect()
    gc.freeze()  # modules, and the jobs of the journal: collections of garbage need not look through them
    try:
        return driver.run()
    except Exception:  # whatever it was: the next one starts from the journal
        log.critical("a fault in jobyard ends supervisor %d; jobs are safe in the journal", os.getpid(), exc_info=True)
        return EXIT_FAULT


def _compose(
    read: Callable[[], Loaded],
    loaded: Loaded,
    paths: Paths,
    clients: Clients | None,
    options: Options,
    announce: _Announcer,
) -> Driver:
    settings = loaded.settings
    recovered = recover(paths.journal_dir, settings.journal, settings.limits.kept_attempts)
    now = clock.now()
    machine = Machine(recovered.state, rules(settings))
    make_durable(recovered.journal, machine.begin(now, clock.boot_id()).records)
    generation, salt = recovered.state.generation, str(paths.journal_dir)

    def make(spec: PoolSpec) -> Executor:
        kind = SpawnExecutor if spec.start == "spawn" else ZygoteExecutor
        return kind(spec, generation=generation, salt=salt)

    def adopt(found: Found) -> ZygoteExecutor:
        return ZygoteExecutor(found, generation=generation, salt=salt)

    office = Office(read, loaded, paths, options, lambda warnings: announce.ready(paths, warnings))

    def requests_max() -> int:
        return office.settings.limits.connection_requests

    addresses = open_addresses(settings, paths, clients, requests_max)
    taken = take_over(recovered.state, office.specs, adopt, fence=options.fence)
    require_descriptors()
    sweep_sockets(paths.runtime_dir)
    remove_left(paths.runtime_dir, taken.uuids)
    stream = Stream(machine, Publisher(addresses.events, settings.limits), settings.limits)
    requests = RequestSocket(addresses.requests, settings.limits.connections)
    slices.shorten(inherited=False)  # all threads have them now; what is started from here on has work to do
    front = Front(requests, [requests.gate, stream.gate], addresses, requests_max)
    sites = Sites(make)

    compaction = Compaction(
        recovered.journal,
        machine,
        paths.journal_dir,
        paths.history,
        retention=lambda: math.inf if (kept_s := office.settings.history.retention) is None else kept_s,
        output_dir=lambda: str(office.paths.output_dir),
        remove_within=lambda: office.settings.history.remove_within,
        hidden_within=lambda: office.settings.journal.hidden_within,
    )
    history = HistoryLink(paths.history, lambda: office.settings.history.answer_within, settings.limits.parked_requests)
    driver = Driver(machine, recovered.journal, front, sites, office, compaction, history, stream)
    driver.begin(taken, clock.now())  # a zygote that hangs was waited for meanwhile
    return driver


class _Announcer:
    """Tells whoever started this process how it went: one line of JSON on the descriptor that it was given."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd

    def ready(self, paths: Paths, warnings: list[str]) -> None:
        self._say({"pid": os.getpid(), "socket": str(paths.address), "warnings": warnings})

    def failed(self, error: JobyardError, code: int) -> int:
        if self._fd is None:
            print(f"error: {error}", file=sys.stderr)
        self._say({"error": error.to_wire()})
        return code

    def _say(self, what: dict[str, Any]) -> None:
        if self._fd is not None:
            try:
                os.write(self._fd, json.dumps(what).encode() + b"\n")
                os.close(self._fd)
            except OSError:
                pass  # nobody listens any more
            self._fd = None


def _journal_error(message: str) -> JobyardError:
    return JobyardError(message, hint="it was written by another version of jobyard: start that one")


def _raise_descriptor_limit() -> int:
    """Take all that the system gives, since libzmq ends the process when it runs out; returns what it was."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m jobyard.supervisor", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", help="the config file; searched for if not given")
    parser.add_argument("--env", help="name of the config overlay to use")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one setting, above all others")
    parser.add_argument("--dev", action="store_true", help="take in changed code and config before each submit")
    parser.add_argument("--until-idle", action="store_true", help="stop when nothing is due")
    parser.add_argument("--fence", action="store_true", help="end what an earlier supervisor left, adopt nothing")
    parser.add_argument("--quiet", action="store_true", help="log to the log files only")
    parser.add_argument("--ready-fd", type=int, help="descriptor to write one line to when ready, or when that failed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
