"""What /proc tells of other processes: whether they live, since when, their children, their environment.

Owns how each of these can look while a process is on its way in or out. Kills nothing.
"""

from __future__ import annotations

import os
import time
from typing import NamedTuple

LOOK_S = 1.0  # how long to look for the last of them
EXEC_S = 0.2  # how long a process may be in the middle of an exec


class Stat(NamedTuple):
    """Part of /proc/PID/stat. ``started`` is in clock ticks since boot; addresses are 0 where there is no memory."""

    state: str
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
    return Stat(fields[0].decode(), *map(int, (fields[17], fields[19], fields[20], fields[47], fields[48])))


def start_time(pid: int) -> int:
    """When the process started, in clock ticks since boot; with its pid this names it for ever. 0 if it is gone."""
    found = stat(f"/proc/{pid}")
    return found.started if found is not None else 0


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


def marked(mark: str) -> list[int]:
    """Processes that have this variable in their environment, as far as this user may look; none if there is none.

    A row of processes that each start the next and end could stay ahead of one look. So what has come up meanwhile is
    looked at too, until nothing has: whoever is alive then was there when the last listing began, or comes of one that
    was.

    Raises:
        OSError: no descriptor is free; or it cannot be told, because processes come and go too fast, or one stays in
            the middle of an exec, where its environment is not to be seen.
    """
    wanted = mark.encode()
    until = time.monotonic() + LOOK_S
    seen: set[str] = set()
    while new := [name for name in os.listdir("/proc") if name.isdecimal() and name not in seen]:
        found = [int(pid) for pid in new if wanted in _environment(pid).split(b"\0")]
        if found:
            return found
        if time.monotonic() >= until:
            raise TimeoutError("processes come and go too fast to look at them all")
        seen.update(new)
    return []


def _environment(pid: str) -> bytes:
    """Empty for one that has no memory any more, so that it runs no code; and for one of another user."""
    try:
        found = _environment_at(f"/proc/{pid}")
        if found is not None:
            return found
        threads = os.listdir(f"/proc/{pid}/task")
        for thread in threads if len(threads) > 1 else ():  # the first one alone may have ended
            found = _environment_at(f"/proc/{pid}/task/{thread}")
            if found is not None:
                return found
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        pass
    return b""


def _environment_at(path: str) -> bytes | None:
    """None if there is no memory."""
    until = time.monotonic() + EXEC_S
    while True:
        if data := _read(f"{path}/environ"):
            return data
        found = stat(path)
        if found is None or not found.memory:
            return None
        if found.environment_start == found.environment_end != 0:
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
