"""What /proc tells of other processes: whether they live, since when, their children, their environment.

Owns how each of these can look while a process is on its way in or out. Kills nothing.
"""

from __future__ import annotations

import os
import time
from typing import NamedTuple

LOOK_S = 1.0  # how long to look for the last of them
TAKEN_OUT_LOOKS = 10  # at the same place where nothing is to be read: no exec, or very many at very odd moments
EXEC_S = 0.2  # how long a process may be in the middle of an exec


class Stat(NamedTuple):
    """Part of /proc/PID/stat. Times are in clock ticks, ``started`` since boot; addresses are 0 where there is no
    memory."""

    state: str
    parent: int
    used: int
    threads: int
    started: int
    memory: int
    environment_start: int
    environment_end: int

    @property
    def dead(self) -> bool:
        """Nothing of it runs. One whose first thread alone has ended looks like a zombie too, but has others."""
        return self.state in "ZX" and self.threads <= 1


def stat(path: str) -> Stat | None:
    """Of the process or thread with this directory; None if it is gone."""
    data = _read(f"{path}/stat")
    if data is None:
        return None
    fields = data[data.rindex(b")") + 2 :].split()
    used = int(fields[11]) + int(fields[12])
    return Stat(
        fields[0].decode(),
        int(fields[1]),
        used,
        *map(int, (fields[17], fields[19], fields[20], fields[47], fields[48])),
    )


def start_time(pid: int) -> int:
    """When the process started, in clock ticks since boot; with its pid this names it for ever. 0 if it is gone."""
    found = stat(f"/proc/{pid}")
    return found.started if found is not None else 0


def start_below(pid: int, parent: int) -> int:
    """As ``start_time``, but 0 as well if it is no child of ``parent``: whoever says so is not believed."""
    found = stat(f"/proc/{pid}")
    return found.started if found is not None and found.parent == parent else 0


def user_of(pid: int) -> tuple[int, int]:
    """Its real user and group. The owner of its directory in /proc is root's where it has forbidden to be traced.

    Raises:
        ProcessLookupError: it is gone.
    """
    data = _read(f"/proc/{pid}/status")
    if data is None:
        raise ProcessLookupError
    ids = dict(line.split(b":", 1) for line in data.splitlines() if line.startswith((b"Uid:", b"Gid:")))
    return int(ids[b"Uid"].split()[0]), int(ids[b"Gid"].split()[0])


def cpu_s(pid: int) -> float:
    """Processor time that the process has used, without that of its children; also of one that is not reaped yet. 0 if
    it is gone, or no descriptor is free to look."""
    try:
        found = stat(f"/proc/{pid}")
    except OSError:
        return 0.0
    return found.used / os.sysconf("SC_CLK_TCK") if found is not None else 0.0


def is_dead(pid: int) -> bool:
    """Whether it is gone, or just waits to be reaped."""
    found = stat(f"/proc/{pid}")
    return found is None or found.dead


def is_still(pid: int) -> bool:
    """Whether each of its threads is stopped or dead."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except (FileNotFoundError, ProcessLookupError):
        return True
    found = (stat(f"/proc/{pid}/task/{thread}") for thread in threads)
    return all(one is None or one.state in "TtZX" for one in found)


def children_of(pid: int) -> list[int]:
    """The children of all its threads."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            found += map(int, (_read(f"/proc/{pid}/task/{thread}/children") or b"").split())
    except (FileNotFoundError, ProcessLookupError):
        pass  # it ended meanwhile; what it had has gone to its reaper
    return found


class Search:
    """Finds the processes that have a variable in their environment, as far as this user may look.

    Those that do not have it are looked at once: it is inherited, so nobody gets it later. A search that goes on is
    therefore fast enough to catch up with a row of processes that each start the next and end.

    Args:
        mark: ``NAME=value``.
    """

    def __init__(self, mark: str) -> None:
        self._mark = mark.encode()
        self._others: set[tuple[str, int]] = set()

    def find(self) -> list[int]:
        """Some that are there now; none if there is none.

        If one has ended before it could be looked at, it may have started another since the listing; then there is one
        more listing. So whoever is alive in the end is one that was looked at, or comes of one.

        Raises:
            OSError: no descriptor is free; or it cannot be told, because processes come and go too fast, or one stays
                in the middle of an exec, where its environment is not to be seen.
        """
        until = time.monotonic() + LOOK_S
        while True:
            found, missed = self._look()
            if found or not missed:
                return found
            if time.monotonic() >= until:
                raise TimeoutError("processes come and go too fast to look at them all")

    def _look(self) -> tuple[list[int], bool]:
        """Those of the unknown that have the mark, and whether one of them had ended before it was looked at."""
        found, missed = [], False
        for pid, inode in self._unknown():
            environment = _environment(pid)
            missed = missed or environment is None
            if environment is not None and self._mark in environment.split(b"\0"):
                found.append(int(pid))
            else:
                self._others.add((pid, inode))
        return found, missed

    def _unknown(self) -> list[tuple[str, int]]:
        """Each with its inode, which tells it from a later process with the same pid."""
        with os.scandir("/proc") as entries:
            listed = [(entry.name, entry.inode()) for entry in entries if entry.name.isdecimal()]
        return [one for one in listed if one not in self._others]


def _environment(pid: str) -> bytes | None:
    """Empty for one of another user; None for one that has no memory any more, so that it runs no code."""
    try:
        found = _environment_at(f"/proc/{pid}")
        if found is not None:
            return found
        threads = os.listdir(f"/proc/{pid}/task")
        for thread in threads if len(threads) > 1 else ():  # the first one alone may have ended
            found = _environment_at(f"/proc/{pid}/task/{thread}")
            if found is not None:
                return found
    except PermissionError:
        return b""
    except (FileNotFoundError, ProcessLookupError):
        pass
    return None


def _environment_at(path: str) -> bytes | None:
    """None if there is no memory; empty if the process has taken it out of its memory, as anybody may."""
    until = time.monotonic() + EXEC_S
    place: tuple[int, int] | None = None
    looks = 0
    while True:
        if data := _read(f"{path}/environ"):
            return data
        found = stat(path)
        if found is None or not found.memory:
            return None
        if found.environment_start == found.environment_end != 0:
            return b""
        before, place = place, (found.environment_start, found.environment_end)
        looks = looks + 1 if found.environment_end and place == before else 0  # an exec begins without, and elsewhere
        if looks == TAKEN_OUT_LOOKS:
            return b""
        if time.monotonic() >= until:
            raise TimeoutError(f"{path} stays in the middle of an exec")


def _read(path: str) -> bytes | None:
    """None if the process is gone."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
