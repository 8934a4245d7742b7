"""What ``doctor`` looks at on the machine and in the config, with or without a supervisor. Changes nothing."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ...conf import paths as conf_paths
from ...conf.settings import MIB, Settings
from ...protocol.errors import InvalidConfig
from .checkup import fail, ok, warn
from .context import Context
from .render import counted, size

if TYPE_CHECKING:
    from .shapes import Check

FREE_BYTES_FAIL, FREE_BYTES_WARN = 64 * MIB, 512 * MIB
FREE_FILES_WARN = 10_000
_FILES_PER_JOB = 16  # pipes, sockets and pidfds that supervisor and zygote hold for one running job
_FILES_BESIDE = 256
_CLOCK_SLACK_S = 60.0
_PIDFD_KERNEL = (5, 4)  # the first with waitid on a pidfd


def machine() -> Iterator[Check]:
    yield ok("python", f"{platform.python_version()} ({sys.executable})")
    yield _platform()
    yield _proc()
    yield _cgroup()


def _platform() -> Check:
    system = os.uname()
    text = f"{system.sysname} {system.release} on {system.machine}"
    numbers = tuple(int(part) for part in system.release.split("-")[0].split(".")[:2] if part.isdigit())
    if system.sysname != "Linux":
        return fail("platform", text, "run jobyard on Linux; docs/platforms.md says what is missing elsewhere")
    if numbers < _PIDFD_KERNEL:
        return fail("platform", f"{text}: the kernel is too old", "use Linux 5.4 or newer")
    return ok("platform", text)


def _proc() -> Check:
    thread = os.getpid()
    for name in (f"/proc/self/task/{thread}/children", "/proc/self/environ", "/proc/self/statm"):
        if not os.access(name, os.R_OK):
            advice = "mount /proc without hidepid, on a kernel with CONFIG_PROC_CHILDREN"
            return fail("proc", f"{name} cannot be read: a job's processes could not be found to stop them", advice)
    return ok("proc", "processes and their children can be seen")


def _cgroup() -> Check:
    try:
        entry = next(line for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
        group = Path("/sys/fs/cgroup") / entry[3:].lstrip("/")
    except (OSError, StopIteration):
        return ok("cgroup", "no cgroup v2: memory_max limits each process of a job, not all together")
    if os.access(group / "cgroup.procs", os.W_OK) and os.geteuid() != 0:
        return ok("cgroup", f"{group} is delegated to this user")
    return ok("cgroup", f"{group} is not delegated: memory_max limits each process of a job, not all together")


def config(context: Context) -> Iterator[Check]:
    """The config; what follows from it is looked at only when it has no mistakes."""
    try:
        loaded = context.loaded
        places = context.paths
    except InvalidConfig as error:
        problems = error.details.get("problems")
        text = "\n".join(map(str, problems)) if isinstance(problems, list) else error.message
        yield fail("config", text, error.hint or "correct the file; jobctl config check says whether it is good")
        return
    settings = loaded.settings
    yield ok("config", f"{settings.file}, environment {settings.env}")
    for warning in loaded.warnings:
        text, _, advice = warning.rstrip(")").partition(" (try: ")
        yield warn("config", text, advice or "jobctl config check")
    yield from directories(places)
    yield from _disks(places)
    yield from _limits(settings)
    yield _clock(places)


def directories(places: conf_paths.Paths) -> Iterator[Check]:
    named = (
        ("state dir", places.state_dir, 0o700),
        ("output dir", places.output_dir, conf_paths.OUTPUT_MODE),
        ("runtime dir", places.runtime_dir, 0o700),
    )
    for name, path, allowed in named:
        yield _directory(name, path, allowed)
    yield _socket(places)


def _directory(name: str, path: Path, allowed: int) -> Check:
    try:
        found = path.lstat()
    except FileNotFoundError:
        parent = next(one for one in path.parents if one.exists())
        if not os.access(parent, os.W_OK | os.X_OK):
            return fail(name, f"{path} is not there, and {parent} is not writable", f"sudo chown {_me()} {parent}")
        return ok(name, f"{path} will be made by jobctl up")
    except OSError as error:
        return fail(name, f"{path}: {error.strerror}", "set another directory in the config")
    if not stat.S_ISDIR(found.st_mode):
        return fail(name, f"{path} is not a directory", f"mv {path} {path}.old")
    if found.st_uid != os.geteuid():
        owner = conf_paths.user_name(found.st_uid)
        return fail(name, f"{path} belongs to {owner}", conf_paths.be_user(found.st_uid))
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o777 & ~(conf_paths.GROUP_MODE | allowed):
        return fail(name, f"{path} is open to other users (mode {mode:04o})", f"chmod {allowed:o} {path}")
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return fail(name, f"{path} is on a read-only disk", "make it writable, or set another directory in the config")
    return ok(name, f"{path} (mode {mode:04o}, owner {conf_paths.user_name(found.st_uid)})")


def _socket(places: conf_paths.Paths) -> Check:
    if places.tcp:
        there = "is there" if places.own_key.exists() else "is not there: no supervisor listens"
        return ok("socket", f"over TCP; the key of this user's own clients, {places.own_key}, {there}")
    try:
        found = places.socket.lstat()
    except OSError:
        return ok("socket", f"{places.socket} is not there: no supervisor listens")
    if not stat.S_ISSOCK(found.st_mode):
        return fail("socket", f"{places.socket} is not a socket", f"mv {places.socket} {places.socket}.old")
    return ok("socket", f"{places.socket} ({len(os.fsencode(places.socket))} bytes long)")


def _disks(places: conf_paths.Paths) -> Iterator[Check]:
    seen: set[int] = set()
    for path in (places.state_dir, places.output_dir):
        there = next(one for one in (path, *path.parents) if one.exists())
        device = there.stat().st_dev
        if device not in seen:
            seen.add(device)
            yield _disk(there)


def _disk(path: Path) -> Check:
    room = os.statvfs(path)
    free = room.f_bavail * room.f_frsize
    text = f"{size(free)} free at {path}"
    advice = "free space there, or set [supervisor] state_dir to a directory on another disk"
    if free < FREE_BYTES_FAIL:
        return fail("disk", f"{text}: soon nothing new may be accepted", advice)
    if free < FREE_BYTES_WARN:
        return warn("disk", text, advice)
    if room.f_files and room.f_favail < FREE_FILES_WARN:
        return warn("disk", f"{text}, but room for only {room.f_favail:,} more files", "remove old output")
    return ok("disk", text)


def _limits(settings: Settings) -> Iterator[Check]:
    slots = sum(pool.concurrency for pool in settings.pools.values())
    needed = _FILES_BESIDE + _FILES_PER_JOB * slots
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"{soft:,} open files, at most {_limit(hard)}; {counted(slots, 'slot')} may need {needed:,}"
    if hard != resource.RLIM_INFINITY and hard < needed:
        yield fail(
            "files", text, f"ulimit -Hn {needed}, or LimitNOFILE={needed} in the service, or a lower concurrency"
        )
    else:
        yield ok("files", text)
    processes = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    text = f"{_limit(processes)} processes for this user"
    if processes != resource.RLIM_INFINITY and processes < 4 * slots + 64 and os.geteuid() != 0:
        yield warn("processes", text, f"ulimit -u {8 * slots + 256}, or TasksMax in the service")
    else:
        yield ok("processes", text)


def _limit(value: int) -> str:
    return "no limit of" if value == resource.RLIM_INFINITY else f"{value:,}"


def _clock(places: conf_paths.Paths) -> Check:
    """The journal's files carry the times of writes: one in the future means that the clock was set back."""
    import time

    now = time.time()
    stamps = []
    for path in places.journal_dir.glob("*"):
        with contextlib.suppress(FileNotFoundError):  # a supervisor that runs removes what it needs no more
            stamps.append(path.stat().st_mtime)
    ahead = max(stamps, default=now) - now
    shown = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(now))
    if ahead > _CLOCK_SLACK_S:
        return warn("clock", f"{shown} is {ahead:.0f} s before the last write to the journal", "set the clock")
    return ok("clock", shown)


def _me() -> str:
    return conf_paths.user_name(os.geteuid())
