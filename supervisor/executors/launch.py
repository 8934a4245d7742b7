"""Starting a process of ours with a pool's interpreter, and telling it what it must know.

Owns the system call and the descriptors that cross it. Nothing secret is on the command line: the pool's description
goes through an anonymous file.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import sys
from dataclasses import asdict, dataclass

import msgpack

from ... import __version__
from . import run_as
from .base import PoolSpec
from .orphans import note_own
from .zygote import channel
from .zygote.channel import Boot
from .zygote.procs import start_time

_FIRST_FREE_FD = 10  # above every number that a started process is given
_ERROR_TAIL_BYTES = 4096
_ERROR_LINES = 12
_DIGEST_DIGITS = 32
# Variables that shells and systemd set anew for every program: they tell nothing of a pool.
_OF_ONE_START = frozenset({"_", "OLDPWD", "SHLVL", "INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID"})


@dataclass(frozen=True, slots=True)
class Launched:
    """A process that was started, when (see ``start_time``), its pidfd, and the anonymous file behind its stderr; the
    caller closes both."""

    pid: int
    started: int
    pidfd: int
    errors: int


def digest(spec: PoolSpec) -> str:
    """Names a pool's description: a process that was started with an equal one need not be started again."""
    described = asdict(spec)
    described["env"] = sorted((key, value) for key, value in spec.env.items() if key not in _OF_ONE_START)
    packed: bytes = msgpack.packb([__version__, sorted(described.items())], unicode_errors="surrogateescape")
    return hashlib.sha256(packed).hexdigest()[:_DIGEST_DIGITS]


def boot_message(spec: PoolSpec, uuid: str) -> Boot:
    return Boot(
        uuid=uuid,
        pool=spec.name,
        cwd=spec.cwd,
        path=spec.path,
        allow=spec.allow,
        output_dir=spec.output_dir,
        scratch_root=scratch_root(spec, uuid),
        preload=spec.preload,
        setup=spec.setup,
        child_setup=spec.child_setup,
        nofile=spec.nofile,
        nproc=spec.nproc,
        nice=spec.nice,
        memory_max_bytes=spec.memory_max_bytes,
        result_bytes=spec.result_bytes,
        traceback_bytes=spec.traceback_bytes,
        max_job_bytes=spec.max_job_bytes,
        cpu_s=spec.cpu_s,
        stack_dump=spec.stack_dump,
        cgroup=spec.cgroup if spec.user is None else None,
        output_fd=channel.OUTPUT_FD if spec.user is not None else None,
    )


def scratch_root(spec: PoolSpec, uuid: str) -> str:
    """Where the scratch directories of this executor's attempts lie."""
    return os.path.join(spec.env.get("TMPDIR") or "/tmp", scratch_name(uuid))


def scratch_name(uuid: str) -> str:
    """The last part of ``scratch_root``."""
    return f"jobyard-{uuid[:16]}"


def launch(
    spec: PoolSpec, boot: Boot, module: str, arguments: list[str], mark: dict[str, str], fds: list[int]
) -> Launched:
    """Start ``module`` in a session of its own, with ``boot`` on its stdin and ``fds`` as descriptors 3, 4...

    Raises:
        OSError: there is no such interpreter, or no room for a process.
        ValueError: a name or value of the pool's environment cannot be passed on.
    """
    opened: list[int] = []
    errors = os.memfd_create("jobyard-errors", os.MFD_CLOEXEC)
    fcntl.fcntl(errors, fcntl.F_SETFL, os.O_APPEND)
    try:
        stdin = channel.file_of(channel.encode(boot), "jobyard-boot")
        opened.append(stdin)
        actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = []
        given = [(0, stdin), (2, errors), *enumerate(fds, 3)]
        if spec.user is not None:
            opened.append(os.open(spec.output_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
            given.append((channel.OUTPUT_FD, opened[-1]))
        for number, fd in given:
            opened.append(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE_FD))
            actions.append((os.POSIX_SPAWN_DUP2, opened[-1], number))
        actions.append((os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0))
        command = run_as.command(spec.user, [spec.python, "-P", "-m", module, *arguments])
        environment = run_as.environment(spec.user, {**spec.env, **mark})
        pid = os.posix_spawn(command[0], command, environment, file_actions=actions, setsid=True)
        return _held(pid, errors)
    except BaseException:
        os.close(errors)
        raise
    finally:
        channel.close_all(opened)


def _held(pid: int, errors: int) -> Launched:
    """The process that was just started; one that cannot be held on to is ended, since nobody else knows of it."""
    try:
        note_own(pid)
        return Launched(pid, start_time(pid), os.pidfd_open(pid), errors)
    except OSError:  # no descriptor is free
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def last_errors(errors: int) -> str:
    """The last lines that the process wrote to its stderr."""
    size = os.fstat(errors).st_size
    data = os.pread(errors, _ERROR_TAIL_BYTES, max(0, size - _ERROR_TAIL_BYTES))
    return "\n".join(data.decode("utf-8", "replace").strip().splitlines()[-_ERROR_LINES:])


def cannot_start(spec: PoolSpec, error: Exception) -> str:
    """Why ``launch`` failed, for people."""
    what = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    if isinstance(error, FileNotFoundError | PermissionError | NotADirectoryError):
        return f"cannot run the pool's interpreter {spec.python!r}: {what}; try: python = {sys.executable!r}"
    return f"cannot start a process of pool {spec.name}: {what}"
