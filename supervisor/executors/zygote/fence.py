"""Making sure that a zygote and everything it ever started are dead, also when nobody is left to ask.

Owns the proof. It rests on three things: the zygote's identity (pid, start time, boot), the identities of its children,
and a mark in the environment that everything below them inherits. A file that is missing proves nothing.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterable

from .kill import freeze_and_kill, kill_with_group
from .limits import boot_id
from .procs import Search, start_time, stat

MARK = "JOBYARD_ZYGOTE"  # environment variable with the zygote's uuid
LIMIT_S = 2.0
_DEATH_S = 0.1


def fence(
    uuid: str,
    pid: int,
    pid_started: int,
    boot: str | None,
    children: Iterable[tuple[int, int]] = (),
    limit_s: float = LIMIT_S,
) -> bool:
    """Kill a zygote and all that is left of it, within ``limit_s`` seconds; True if nothing is left.

    Args:
        pid, pid_started, boot: the zygote's process, its start in clock ticks since boot, and the boot's id, None for
            this boot.
        children: pid and start of processes that it is known to have forked.
    """
    known: dict[int, int] = {pid: pid_started, **dict(children)}
    search = Search(f"{MARK}={uuid}")

    def find() -> set[int]:
        living = {pid for pid, started in known.items() if pid > 0 and started and _lives(pid, started)}
        return living | set(search.find())

    try:
        if boot is not None and boot != boot_id():
            return True
        known.update(_kill_zygote(pid, pid_started))
        return not _kill_all(find, limit_s)
    except OSError:  # it could not look everywhere: nothing is proven
        return False


def kill_marked(mark: str) -> list[int]:
    """Kill every process with this mark until none is left; returns those that are left after ``LIMIT_S`` seconds.

    Raises:
        OSError: as for ``Search.find``.
    """
    search = Search(mark)
    return list(_kill_all(lambda: set(search.find()), LIMIT_S))


def _kill_all(find: Callable[[], set[int]], limit_s: float) -> set[int]:
    """Kill what ``find`` finds until it finds nothing; returns what is left after ``limit_s`` seconds."""
    until = time.monotonic() + limit_s
    while found := find() - {os.getpid()}:
        if time.monotonic() >= until:
            return found
        _kill_and_wait(found, min(until, time.monotonic() + _DEATH_S))
    return set()


def _kill_zygote(pid: int, pid_started: int) -> dict[int, int]:
    """Stop it first, so that nothing below it can get away, then kill the tree; returns its pids and their starts."""
    if pid <= 0 or pid == os.getpid():
        return {}
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return {}
    try:
        if start_time(pid) != pid_started:
            return {}
        signal.pidfd_send_signal(process, signal.SIGSTOP)
        return identities(freeze_and_kill([pid]))
    except ProcessLookupError:
        return {}  # it has ended meanwhile
    finally:
        os.close(process)


def identities(pids: list[int]) -> dict[int, int]:
    """Each pid with the start time that makes it unique."""
    return {pid: start_time(pid) for pid in pids}


def _lives(pid: int, started: int) -> bool:
    found = stat(f"/proc/{pid}")
    return found is not None and found.started == started and not found.dead


def _kill_and_wait(pids: Iterable[int], until: float) -> None:
    waiting: dict[int, int] = {}
    for pid in pids:
        try:
            process = os.pidfd_open(pid)
        except OSError:
            continue
        waiting[process] = pid
        kill_with_group(pid, os.getpgrp())
    poll = select.poll()
    for process in waiting:
        poll.register(process, select.POLLIN)
    while waiting and (left_s := until - time.monotonic()) > 0:
        for process, _ in poll.poll(left_s * 1000):
            poll.unregister(process)
            os.close(process)
            del waiting[process]
    for process in waiting:
        os.close(process)
