"""Control groups (version 2), where a part of them is delegated to this service: a tree of processes bounded as one.

Owns the layout and the files. The delegated group may hold no process itself, so the supervisor moves into ``own``
below it; the attempts of pools that need a bound have a group each below ``jobs``. Without a delegated group, or with
anything amiss, there are no groups, and limits hold for each process alone.

So it is under a service manager as well. It puts the next supervisor into the delegated group itself, which the kernel
refuses while there are groups with limits below: no supervisor could start before the last running job has ended.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Protocol

ROOT = "/sys/fs/cgroup"
OWN, JOBS = "own", "jobs"
_CONTROLLERS = ("memory", "pids")


class Files(Protocol):
    """The kernel's file system of groups; paths are absolute. All methods raise OSError."""

    def read(self, path: str) -> str: ...
    def write(self, path: str, text: str) -> None: ...
    def mkdir(self, path: str) -> None: ...
    def rmdir(self, path: str) -> None: ...


class Kernel:
    """The real one."""

    def read(self, path: str) -> str:
        with open(path, encoding="ascii") as file:
            return file.read()

    def write(self, path: str, text: str) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)

    def mkdir(self, path: str) -> None:
        os.mkdir(path)

    def rmdir(self, path: str) -> None:
        os.rmdir(path)


def settle(files: Files, family: set[int], environ: Mapping[str, str], root: str = ROOT) -> str | None:
    """Make the layout below the group of this process; gives the directory of the attempts' groups.

    None if there is no group that is ours alone: one that holds a process which is not of the ``family`` belongs to
    somebody else as well, and is left as it is.
    """
    if "NOTIFY_SOCKET" in environ:
        return None
    try:
        entry = next(line for line in files.read("/proc/self/cgroup").splitlines() if line.startswith("0::/"))
        group = f"{root}/{entry[4:]}".rstrip("/")
        if group == root or "memory" not in files.read(f"{group}/cgroup.controllers").split():
            return None
        if os.path.basename(group) == OWN:  # a supervisor before this one has done it
            return f"{os.path.dirname(group)}/{JOBS}"
        members = files.read(f"{group}/cgroup.procs").split()
        if not set(map(int, members)) <= family:
            return None
        for name in (OWN, JOBS):
            files.mkdir(f"{group}/{name}")
        for pid in members:
            files.write(f"{group}/{OWN}/cgroup.procs", pid)
        for directory in (group, f"{group}/{JOBS}"):
            files.write(f"{directory}/cgroup.subtree_control", " ".join(f"+{name}" for name in _CONTROLLERS))
    except (OSError, StopIteration):
        return None
    return f"{group}/{JOBS}"


class Group:
    """The group of one attempt."""

    def __init__(self, files: Files, path: str) -> None:
        self._files = files
        self._path = path

    def kill(self) -> None:
        """Kill every process in it, at once and whatever they do."""
        try:
            self._files.write(f"{self._path}/cgroup.kill", "1")
        except OSError:  # a kernel before 5.14: they are found one by one
            return

    def ran_out(self) -> bool:
        """Whether the kernel has killed in it for want of memory."""
        try:
            events = dict(line.split() for line in self._files.read(f"{self._path}/memory.events").splitlines())
        except OSError:
            return False
        return int(events.get("oom_kill", 0)) > 0

    def remove(self) -> None:
        """Nothing is in it any more; one that cannot be removed stays, empty."""
        try:
            self._files.rmdir(self._path)
        except OSError:
            return


class Groups:
    """Makes the groups of a pool's attempts in ``directory``; ``name`` tells this zygote from others."""

    def __init__(
        self, files: Files, directory: str, name: str, memory_bytes: int | None, processes: int | None
    ) -> None:
        self._files = files
        self._prefix = f"{directory}/{name}"
        self._limits = [("memory.oom.group", "1")]
        if memory_bytes is not None:
            self._limits += [("memory.max", str(memory_bytes)), ("memory.swap.max", "0")]
        if processes is not None:
            self._limits.append(("pids.max", str(processes)))

    def make(self, kid: int, pid: int) -> Group | None:
        """A group with ``pid`` in it, which does nothing yet; None if that cannot be had."""
        path = f"{self._prefix}.{kid}"
        try:
            self._files.mkdir(path)
        except OSError:
            return None
        group = Group(self._files, path)
        try:
            for name, value in self._limits:
                self._limit(path, name, value)
            self._files.write(f"{path}/cgroup.procs", str(pid))
        except OSError:
            group.remove()
            return None
        return group

    def _limit(self, path: str, name: str, value: str) -> None:
        try:
            self._files.write(f"{path}/{name}", value)
        except FileNotFoundError:  # a machine without swap has no limit of it
            if name != "memory.swap.max":
                raise
