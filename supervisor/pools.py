"""What the config says of pools and queues, in the terms of those who run them: executors and the machine.

Owns the environment that jobs get. Starts nothing.
"""

from __future__ import annotations

import os
import pwd
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from ..conf.allow import pool_allows
from ..conf.env_file import read_env_file
from ..conf.paths import Paths
from ..conf.settings import PoolSettings, Settings
from ..protocol.errors import InvalidConfig
from .core.rules import Limits, PoolRule, QueueRule, Rules
from .executors.base import PoolSpec
from .executors.run_as import User

# Variables that change how a program is loaded, that were meant for this process alone, or that are our own.
_DROPPED_PREFIXES = ("LD_", "DYLD_", "JOBYARD_", "LISTEN_", "WATCHDOG_")
_DROPPED = frozenset(
    {"GCONV_PATH", "NOTIFY_SOCKET", "PYTHONHOME", "PYTHONINSPECT", "PYTHONSTARTUP", "__PYVENV_LAUNCHER__"}
)


def pool_spec(settings: Settings, paths: Paths, name: str, environ: Mapping[str, str] = os.environ) -> PoolSpec:
    """All that an executor needs to know of the pool ``name``.

    Args:
        environ: the environment to start from.

    Raises:
        InvalidConfig: its interpreter, directory or env_file is not there or not usable.
    """
    pool = settings.pools[name]
    user = pool_user(pool, name)
    return PoolSpec(
        name=name,
        python=_python(settings, pool, name, environ),
        cwd=_cwd(settings, pool, name, environ),
        path=[str(settings.absolute(entry, environ)) for entry in pool.path],
        env=_environment(settings, paths, pool, environ, user),
        allow=pool_allows(settings, name),
        runtime_dir=str(paths.runtime_dir),
        output_dir=str(paths.output_dir),
        preload=list(pool.preload),
        setup=pool.setup,
        child_setup=pool.child_setup,
        start=pool.start,
        nofile=pool.nofile,
        nproc=pool.nproc,
        cpu_s=pool.cpu_s,
        nice=pool.nice,
        stack_dump=pool.stack_dump,
        user=user,
        memory_max_bytes=pool.memory_max_bytes,
        result_bytes=settings.limits.result_bytes,
        traceback_bytes=settings.limits.traceback_bytes,
        max_job_bytes=settings.output.max_job_bytes,
    )


def rules(settings: Settings) -> Rules:
    """The part of the config that the machine decides by."""
    limits = settings.limits
    return Rules(
        queues={
            name: QueueRule(pool=queue.pool, concurrency=queue.concurrency, paused=queue.paused)
            for name, queue in settings.queues.items()
        },
        pools={
            name: PoolRule(concurrency=pool.concurrency, spare=min(pool.spare_children, pool.concurrency))
            for name, pool in settings.pools.items()
        },
        limits=Limits(
            unfinished_jobs=limits.unfinished_jobs,
            unfinished_bytes=limits.unfinished_bytes,
            finished_jobs=limits.finished_jobs,
            finished_bytes=limits.finished_bytes,
            unarchived_bytes=limits.unarchived_bytes,
            losses=limits.losses,
            kept_attempts=limits.kept_attempts,
            parents=limits.parents,
        ),
    )


def _python(settings: Settings, pool: PoolSettings, name: str, environ: Mapping[str, str]) -> str:
    if pool.python is None:
        return sys.executable
    given = pool.python
    if "/" in given or given.startswith("~"):
        path: str | None = str(settings.absolute(given, environ))
    else:
        path = shutil.which(given, path=environ.get("PATH"))
    if path is None or not os.path.isfile(path) or not os.access(path, os.X_OK):
        where = path if path is not None else "no such program on PATH"
        raise _refused(f"pools.{name}.python = {given!r} is not an interpreter ({where})", "give the path of a python")
    return path


def _cwd(settings: Settings, pool: PoolSettings, name: str, environ: Mapping[str, str]) -> str:
    directory = settings.absolute(pool.cwd, environ) if pool.cwd else settings.directory
    if not directory.is_dir():
        raise _refused(f"pools.{name}.cwd = {pool.cwd!r} is not a directory ({directory})", f"mkdir -p {directory}")
    return str(directory)


def pool_user(pool: PoolSettings, name: str) -> User | None:
    """Whom the pool runs as, if that is another user than this process.

    Raises:
        InvalidConfig: there is no such user, or this process cannot become it.
    """
    if pool.user is None:
        return None
    try:
        entry = pwd.getpwnam(pool.user)
    except KeyError:
        raise _refused(
            f"pools.{name}.user = {pool.user!r} is no user of this system", "give a name as in id -un"
        ) from None
    if entry.pw_uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        message = f"pools.{name}.user = {pool.user!r} is another user, which only root can become"
        raise _refused(message, "start the supervisor as root or as that user")
    if pool.start != "fork":
        raise _refused(f'pools.{name}.user needs start = "fork"', 'leave start = "spawn" out')
    groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid, groups, entry.pw_dir)


def _environment(
    settings: Settings, paths: Paths, pool: PoolSettings, environ: Mapping[str, str], user: User | None
) -> dict[str, str]:
    """What is inherited, less what is not for jobs, then who they are, env_file, env, and the way back to us."""
    found = {
        key: value for key, value in environ.items() if not key.startswith(_DROPPED_PREFIXES) and key not in _DROPPED
    }
    if user is not None:
        found.update(user.environment())
    if pool.env_file:
        found.update(read_env_file(Path(settings.absolute(pool.env_file, environ))))
    found.update(pool.env)
    found["JOBYARD_SOCKET"] = str(paths.address)
    return found


def _refused(message: str, hint: str) -> InvalidConfig:
    return InvalidConfig(message, hint=hint, details={"problems": [message]})
