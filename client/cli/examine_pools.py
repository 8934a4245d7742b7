"""What ``doctor`` looks at in a supervisor that runs, or in its absence: guard, pools, code, zygotes left behind."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import __version__
from ...conf.settings import MIB
from ...protocol import messages
from ...protocol.errors import InvalidConfig, JobyardError, SupervisorUnavailable
from ..guard_lock import guarded, has_ended, has_lost_guard
from .checkup import fail, ok, warn
from .context import Context
from .render import counted, size

if TYPE_CHECKING:
    from .shapes import Check

PRELOAD_BYTES_WARN = 50 * MIB
STARTING_S = 3.0
_REPORTED_ELSEWHERE = re.compile(r"is allowed but cannot be used|^the guard is gone")


def supervisor(context: Context) -> Iterator[Check]:
    try:
        status = _status(context)
    except SupervisorUnavailable as error:
        yield from _without(context, error)
    except InvalidConfig:  # told where the config was looked at
        return
    except JobyardError as error:
        yield fail("supervisor", error.message, error.hint)
    else:
        yield from _with(context, status)


def _status(context: Context) -> messages.SupervisorStatus:
    """Once every pool is up or has failed, or has taken its time."""
    deadline = time.monotonic() + STARTING_S
    while True:
        status: messages.SupervisorStatus = context.request(messages.Status())
        if time.monotonic() >= deadline or all(pool.state != "starting" for pool in status.pools):
            return status
        time.sleep(0.05)


def _with(context: Context, status: messages.SupervisorStatus) -> Iterator[Check]:
    text = f"pid {status.pid}, version {status.version}"
    if status.version != __version__:
        yield warn("supervisor", f"{text}, but jobctl is {__version__}", "jobctl restart")
    elif status.stopping:
        yield warn("supervisor", f"{text}, stopping", "jobctl up when it has ended")
    else:
        yield ok("supervisor", text)
    state_dir = Path(status.state_dir)
    owner = guarded(state_dir)
    if has_lost_guard(state_dir, status.pid):
        yield warn(
            "guard", "it is gone: nothing would start a crashed supervisor again", "jobctl down --keep, then jobctl up"
        )
    elif owner is None:
        yield ok("guard", "none: whatever started the supervisor is to start it again")
    else:
        yield ok("guard", f"pid {owner.guard}")
    for warning in status.warnings:
        if not _REPORTED_ELSEWHERE.search(warning):
            yield _warning(warning, status.durable)
    for pool in status.pools:
        yield from _pool(pool)
    catalog: messages.CatalogReply = context.request(messages.Catalog())
    problems = [(one.pool, one.what, one.why) for one in catalog.problems]
    yield from _code(len(catalog.entries), problems)


def _warning(text: str, durable: bool) -> Check:
    what, _, advice = text.rstrip(")").partition(" (try: ")
    return (warn if durable else fail)("supervisor", what, advice or "jobctl status")


def _pool(pool: messages.PoolStatus) -> Iterator[Check]:
    name = f"pool {pool.name}"
    if pool.state == "starting":
        yield warn(name, "its zygote is being started", "jobctl doctor in a moment")
    elif pool.state != "up" or pool.pid is None:
        yield fail(name, pool.problem or f"it is {pool.state}", f"correct [pools.{pool.name}], then jobctl reload")
    else:
        yield _zygote(name, pool.pid)
    if pool.retiring:
        text = f"{counted(pool.retiring, 'older zygote')} left with running jobs"
        yield warn(name, text, "jobctl top shows which jobs; they end with them")


def _zygote(name: str, pid: int) -> Check:
    """A fork costs what the zygote has mapped, and threads do not survive it."""
    try:
        facts = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
        held, threads = int(facts["VmRSS"].split()[0]) * 1024, int(facts["Threads"])
    except (OSError, KeyError, ValueError):
        if has_ended(pid):  # a reload has retired it, say
            return warn(name, f"its zygote (pid {pid}) has ended since it was named", "jobctl doctor in a moment")
        return warn(name, f"its zygote (pid {pid}) cannot be looked at from here", "run this as the supervisor's user")
    text = f"up, zygote pid {pid} holds {size(held)} in {counted(threads, 'thread')}"
    if threads > 1:
        return warn(name, text, "keep modules that start threads out of preload and setup")
    if held > PRELOAD_BYTES_WARN:
        return warn(name, f"{text}: every job starts slower for it", "preload less")
    return ok(name, text)


def _code(entries: int, problems: list[tuple[str, str, str]]) -> Iterator[Check]:
    for pool, what, why in problems:
        yield fail("code", f"{what} (pool {pool}) cannot be used:\n{why.strip()}", "correct it, then jobctl reload")
    if not problems:
        yield ok("code", f"{counted(entries, 'callable')} may be submitted")


def _without(context: Context, error: SupervisorUnavailable) -> Iterator[Check]:
    yield warn("supervisor", error.message, error.hint or "jobctl up")
    try:
        settings, places = context.loaded.settings, context.paths
    except JobyardError:
        return
    owner = guarded(places.state_dir)
    if owner is not None and owner.guard:
        yield warn("guard", f"pid {owner.guard} is starting a supervisor", "jobctl status in a moment")
    left = zygotes(str(places.address))
    if left:
        text = f"{counted(len(left), 'zygote')} left by an earlier supervisor (pid {', '.join(map(str, left))})"
        yield warn("zygotes", text, "jobctl up takes over the jobs that run there")
    yield from _preflight(context, str(settings.file))


def zygotes(socket: str) -> list[int]:
    """Pids of this user's zygotes that serve the supervisor at ``socket``; their children bear the same marks."""
    found: dict[bytes, int] = {}
    for entry in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            marks = Path(f"/proc/{entry}/environ").read_bytes().split(b"\0")
        except OSError:  # it has ended, or is not ours
            continue
        mark = next((one for one in marks if one.startswith(b"JOBYARD_ZYGOTE=")), None)
        if mark is not None and b"JOBYARD_SOCKET=" + os.fsencode(socket) in marks:
            found.setdefault(mark, entry)  # the oldest of them is the zygote
    return list(found.values())


def _preflight(context: Context, file: str) -> Iterator[Check]:
    """What the supervisor's own program finds in pools and code."""
    command = [sys.executable, "-P", "-m", "jobyard.supervisor.preflight", "--config", file]
    if context.args.env:
        command += ["--env", context.args.env]
    for override in context.args.set:
        command += ["--set", override]
    ended = subprocess.run(command, capture_output=True, text=True, errors="backslashreplace", check=False)
    if ended.returncode:
        yield fail("code", f"it could not be examined: {ended.stderr.strip()}", "jobctl config check")
        return
    pools: list[dict[str, Any]] = json.loads(ended.stdout)
    problems = [(pool["pool"], one["what"], one["why"]) for pool in pools for one in pool["problems"]]
    yield from _code(sum(pool["entries"] for pool in pools), problems)
