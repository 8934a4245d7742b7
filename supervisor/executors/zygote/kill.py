"""Ending whole process trees: a child's group, and everything that its death leaves to this process.

Owns who may be killed. Every child is a subreaper of its own, so what it started stays below it while it lives, and
comes to the zygote when it dies. Hence a child of the zygote that the zygote does not know belongs to a dead attempt,
and may be killed without asking whose it was.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Container

from .procs import children_of, is_dead, is_still

FREEZE_S = 0.2  # one freeze takes no longer
BELOW_S = 0.5  # nor does killing all below a child that stands
_QUIET_PASSES = 3  # a process that dies just after it has forked can hide its child from one pass
_PAGE_FILLED = 4096 - 16  # the kernel hands out a page at a time, of whole entries


def signal_group(pid: int, number: int) -> None:
    """Signal the group that ``pid`` leads, or ``pid`` alone while it leads none. ``pid`` must not be reaped yet."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        signal_one(pid, number)
    except PermissionError:  # none of the group may be signalled: they have all changed their user
        return


def signal_one(pid: int, number: int) -> bool:
    """Signal one process; False if it is gone or belongs to somebody else."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def kill_with_group(pid: int, spared: int) -> None:
    """Kill a process that an attempt has started, and its group unless that is ``spared``.

    Every zygote and every child leads a session, so such a group holds nobody else. One blow ends a row of processes in
    which each starts the next and lives too short to be hit: also one that has ended, but is not reaped, names its
    group.
    """
    try:
        group = os.getpgid(pid)
        if group != spared:
            os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    signal_one(pid, signal.SIGKILL)


class OwnChildren:
    """The children of this process, which has one thread; asked at every exit, so its descriptor stays open."""

    def __init__(self) -> None:
        pid = os.getpid()
        self._fd = os.open(f"/proc/{pid}/task/{pid}/children", os.O_RDONLY)

    def pids(self) -> list[int]:
        data = b""
        while part := os.pread(self._fd, 65536, len(data)):
            data += part
            if len(part) < _PAGE_FILLED:
                break
        return [int(pid) for pid in data.split()]


def sweep(
    children: Callable[[], list[int]], known: Container[int], pause: Callable[[], None], limit_s: float
) -> list[int]:
    """Kill and reap every child that is not ``known``; returns those that are left after ``limit_s`` seconds.

    Args:
        pause: waits a moment, best until a child has ended.
    """
    until = time.monotonic() + limit_s
    while strangers := [pid for pid in children() if pid not in known]:
        for pid in strangers:
            kill_with_group(pid, os.getpgrp())
        left = [pid for pid in strangers if not reap(pid)]
        if left:
            if time.monotonic() >= until:
                return left
            pause()
    return []


def reap(pid: int) -> bool:
    """Collect a child that has ended; False if it has not."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True


def freeze(roots: list[int]) -> list[int]:
    """Stop everything below and including ``roots``, so that nothing can fork any more; returns all that was found."""
    until = time.monotonic() + FREEZE_S
    found: set[int] = set()
    quiet = 0
    while quiet < _QUIET_PASSES and time.monotonic() < until:
        new = [pid for pid in tree(roots) if pid not in found]
        for pid in new:
            signal_one(pid, signal.SIGSTOP)
        found.update(new)
        quiet = 0 if new or not all(is_still(pid) for pid in found) else quiet + 1
    return list(found)


def tree(roots: list[int]) -> list[int]:
    """``roots`` and everything below them."""
    found, todo = dict.fromkeys(roots), list(roots)
    while todo:
        for pid in children_of(todo.pop()):
            if pid not in found:
                found[pid] = None
                todo.append(pid)
    return list(found)


def freeze_and_kill(roots: list[int]) -> list[int]:
    """For trees that fork faster than they can be killed one by one; returns all that were killed."""
    found = freeze(roots)
    for pid in found:
        signal_one(pid, signal.SIGKILL)
    return found


def kill_below(root: int) -> None:
    """Stop ``root`` and kill everything below it, again until nothing is left or ``BELOW_S`` is over.

    For a subreaper whose own death would let its descendants get away.
    """
    until = time.monotonic() + BELOW_S
    signal_one(root, signal.SIGSTOP)
    quiet = 0
    while quiet < _QUIET_PASSES and time.monotonic() < until:
        below = tree([root])[1:]
        for pid in below:
            kill_with_group(pid, root)
        quiet = quiet + 1 if all(map(is_dead, below)) else 0
