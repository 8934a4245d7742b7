"""From what lies on disk to a machine that may begin: replay the journal, take over what an earlier supervisor left.

A zygote that lives and answers is adopted, with all that runs in it. Any other is fenced: it and all that it ever
started are killed and waited for before any of its jobs may run once more. One that answers and will not be adopted
stops the start, because to end its jobs is for people to decide.
"""

from __future__ import annotations

import logging
import select
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import msgpack

from ..conf.settings import JournalSettings
from ..protocol.errors import JobyardError
from .core import attempts
from .core import events as e
from .core import records as r
from .core.state import State
from .core.transitions import IllegalRecord
from .executors.base import PoolSpec
from .executors.launch import digest
from .executors.zygote.executor import NO_ROOM, SUPERVISOR_FULL, ZygoteExecutor
from .executors.zygote.process import Found
from .journal.journal import Journal
from .journal.replay import replay
from .unfenced import fence_zygote

log = logging.getLogger("jobyard")
ADOPT_S = 5.0  # a zygote answers in milliseconds; one that has not by then hangs
_HINT_FULL = "raise it, and start again: running jobs go on meanwhile"


@dataclass(frozen=True, slots=True)
class Recovered:
    state: State
    journal: Journal


def recover(directory: Path, settings: JournalSettings, kept_attempts: int) -> Recovered:
    """Replay what is there and open the journal for more.

    Raises:
        JournalDamaged, BadRecord, IllegalRecord, OSError: it cannot be trusted, or not be read; nothing was changed.
    """
    recovery = Journal.open(directory, settings)
    state = State(kept_attempts)
    replayed = replay(recovery, recovery.groups(), state, r.from_wire, IllegalRecord)
    if replayed.skipped:
        log.error("journal: it was repaired; %d records that rest on lost ones are left out", replayed.skipped)
    journal = recovery.begin()
    for note in recovery.notes:
        log.warning("journal: %s", note)
    if state.jobs:
        log.info("journal: %d jobs, %d of them unfinished", len(state.jobs), state.unfinished_count)
    return Recovered(state, journal)


def sweep_sockets(directory: Path) -> None:
    """Remove the sockets of zygotes that have ended, which a supervisor that was killed could not do."""
    for path in directory.glob("z-*"):
        if not path.is_socket():
            continue
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
            probe.setblocking(False)
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)
            except OSError:
                pass  # somebody listens, with whom we have nothing to do


class AdoptionRefused(JobyardError):
    """A zygote with running jobs cannot be taken over."""

    code: ClassVar[str] = "adoption_refused"


@dataclass(slots=True)
class TakenOver:
    """``executors`` are adopted, or have ended while they were; their events tell. ``gone`` are the others."""

    executors: list[ZygoteExecutor] = field(default_factory=list)
    gone: list[e.ZygoteGone] = field(default_factory=list)

    @property
    def uuids(self) -> set[str]:
        """Of those that are adopted, or of which something is left that cannot be killed."""
        return {one.uuid for one in self.executors} | {one.uuid for one in self.gone if not one.fenced}


def make_durable(journal: Journal, records: list[r.Record]) -> None:
    """Have these records on disk before anything else is done.

    Raises:
        OSError: it cannot be written.
    """
    journal.append([msgpack.packb(r.to_wire(record)) for record in records])
    journal.flush()
    if journal.failed is not None:
        raise journal.failed


def take_over(
    state: State, specs: Mapping[str, PoolSpec], make: Callable[[Found], ZygoteExecutor], *, fence: bool
) -> TakenOver:
    """Adopt or fence every zygote that the journal knows.

    Args:
        specs: the pools as the config has them now.
        fence: adopt none.

    Raises:
        AdoptionRefused: one lives, answers, and cannot be adopted. No job was harmed.
    """
    found = TakenOver()
    for zygote in state.zygotes.values():
        executor = None if fence or not zygote.socket else _ask(state, zygote, specs, make)
        if executor is not None:
            found.executors.append(executor)
    _await(found.executors)
    refusing = [executor for executor in found.executors if executor.objection is not None]
    if refusing:
        for executor in found.executors:
            executor.leave()
        raise _refusal(state, refusing)
    for executor in [one for one in found.executors if not one.settled]:
        log.error("zygote %d of pool %s did not answer for %g s", executor.pid, executor.pool, ADOPT_S)
        executor.leave()
        found.executors.remove(executor)
    for executor in found.executors:
        if running := len(state.running_in(executor.uuid)):
            log.info("zygote %d of pool %s is taken over; running jobs: %d", executor.pid, executor.pool, running)
    taken = {executor.uuid for executor in found.executors}
    found.gone = [_fenced(state, zygote) for zygote in list(state.zygotes.values()) if zygote.uuid not in taken]
    return found


def _ask(
    state: State, zygote: r.ZygoteStarted, specs: Mapping[str, PoolSpec], make: Callable[[Found], ZygoteExecutor]
) -> ZygoteExecutor | None:
    """Begin to adopt a zygote, or have an objection to that; None if it has ended or cannot be reached."""
    spec = specs.get(zygote.pool)
    executor = make(
        Found(
            pool=zygote.pool,
            uuid=zygote.uuid,
            pid=zygote.pid,
            pid_started=zygote.pid_started,
            boot_id=zygote.boot_id,
            socket=zygote.socket,
            output_dir="" if spec is None else spec.output_dir,
            current=spec is not None and spec.start == "fork" and digest(spec) == zygote.digest,
            running=tuple(attempts.child_of(job) for job in state.running_in(zygote.uuid)),
        )
    )
    try:
        executor.start()
    except OSError as error:
        if error.errno in NO_ROOM:  # which says nothing of the zygote
            executor.objection = SUPERVISOR_FULL
            return executor
        if not isinstance(error, ProcessLookupError):
            log.error("zygote %d of pool %s cannot be reached: %s", zygote.pid, zygote.pool, error.strerror or error)
        executor.leave()
        return None
    return executor


def _await(executors: list[ZygoteExecutor]) -> None:
    """Until each has told everything, or that it cannot be adopted, at most ``ADOPT_S`` seconds."""
    until = time.monotonic() + ADOPT_S
    waiting = {executor.fileno(): executor for executor in executors if executor.objection is None}
    poll = select.poll()
    for fd in waiting:
        poll.register(fd, select.POLLIN)
    while waiting and (left_s := until - time.monotonic()) > 0:
        for fd, _ in poll.poll(left_s * 1000):
            waiting[fd].work()
            if waiting[fd].settled or waiting[fd].objection is not None:
                poll.unregister(fd)
                del waiting[fd]


def _refusal(state: State, refusing: list[ZygoteExecutor]) -> AdoptionRefused:
    first = refusing[0]
    pids = [state.zygotes[executor.uuid].pid for executor in refusing]
    running = sum(len(state.running_in(executor.uuid)) for executor in refusing)
    return AdoptionRefused(
        f"{running} running jobs cannot be taken over: zygote {pids[0]} of pool {first.pool}: {first.objection}",
        hint=_HINT_FULL if first.objection == SUPERVISOR_FULL else "jobctl up --fence ends them; queued jobs stay",
        details={"pids": pids, "running": running},
    )


def _fenced(state: State, zygote: r.ZygoteStarted) -> e.ZygoteGone:
    running = len(state.running_in(zygote.uuid))
    if running:
        log.warning("zygote %d of pool %s was left behind with %d jobs: ending them", zygote.pid, zygote.pool, running)
    fenced = fence_zygote(state, zygote)
    return e.ZygoteGone(zygote.pool, zygote.uuid, fenced, "left behind by a dead supervisor")
