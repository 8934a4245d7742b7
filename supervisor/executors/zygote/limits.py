"""What Linux offers to confine a process: parent-death signal, subreaper, resource limits.

Owns the system calls. Knows nothing of pools or jobs.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from collections.abc import Callable, Sequence
from os import _exit, getppid
from resource import RUSAGE_SELF, getrusage

CPU_IGNORED_S = 2  # processor time that a process may use while it ignores SIGXCPU
OOM_SCORE_ADDED = 500  # the kernel takes jobs before the supervisor and the zygote
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER = 1, 4, 36
_libc_prctl = ctypes.CDLL(None).prctl  # bound here: a look-up in each child would cost it 80 copied pages
_SIGKILL = int(signal.SIGKILL)
_setrlimit, _NOFILE = resource.setrlimit, resource.RLIMIT_NOFILE
_open, _write, _close, _O_WRONLY = os.open, os.write, os.close, os.O_WRONLY


def _prctl(option: int, value: int) -> None:
    if _libc_prctl(option, value, 0, 0, 0) != 0:
        raise OSError(f"prctl({option}, {value}) failed")


def become_subreaper() -> None:
    """Orphans below this process become its children."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def make_unreadable() -> None:
    """Other processes of the same user can neither trace this one nor read its memory or environment, until exec."""
    _prctl(_PR_SET_DUMPABLE, 0)


def die_with_parent(parent: int) -> None:
    """Be killed when the process ``parent`` dies; leave at once if it is dead already."""
    if _libc_prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0) != 0 or getppid() != parent:
        _exit(0)


def outlive_parent() -> None:
    """Take back ``die_with_parent``."""
    _prctl(_PR_SET_PDEATHSIG, 0)


def default_signals() -> None:
    """Undo what was inherited: every signal does what it does by default, save those that Python ignores itself."""
    kept = {signal.SIGKILL, signal.SIGSTOP, signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ}
    for number in signal.valid_signals() - kept:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def open_files(wanted: int | None) -> tuple[int, int]:
    """Soft and hard limit of open files for a job: the soft one as it is, or as ``wanted`` if the hard one allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if wanted is not None:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    return soft, hard


def raise_open_files() -> None:
    """Raise the soft limit of open files of this process to the hard one."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def limit_processes(count: int) -> None:
    """Limit the processes of this user; the kernel does not hold root to it."""
    _set_both(resource.RLIMIT_NPROC, count)


def limit_memory(size: int) -> None:
    """Limit the private memory of this process to ``size`` bytes above what it holds now."""
    with open("/proc/self/statm", "rb") as file:
        pages = int(file.read().split()[5])
    _set_both(resource.RLIMIT_DATA, pages * resource.getpagesize() + size)


def limit_cpu(seconds: int) -> None:
    """Let this process use so much processor time: then SIGXCPU ends it, or SIGKILL if it ignores that for a while."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    most = seconds + CPU_IGNORED_S
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, most if hard == resource.RLIM_INFINITY else min(most, hard)))


def no_core_files() -> None:
    _set_both(resource.RLIMIT_CORE, 0)


def _set_both(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


def oom_score(added: int = OOM_SCORE_ADDED) -> bytes:
    """What ``confine`` writes in children of this process."""
    with open("/proc/self/oom_score_adj", "rb") as file:
        return b"%d" % min(1000, int(file.read()) + added)


def confine(open_files: tuple[int, int], oom_score: bytes, more: Sequence[Callable[[], object]]) -> None:
    """What an attempt always runs under, then ``more``: orphans below it become its children, it may open so many
    files, and is killed before others when memory runs out.

    Args:
        open_files: as ``open_files`` gave it.
        oom_score: as ``oom_score`` gave it.
    """
    # One function, and nothing is looked up that can be bound before: each child copies the pages of what it uses.
    if _libc_prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError("prctl(PR_SET_CHILD_SUBREAPER) failed")
    _setrlimit(_NOFILE, open_files)
    fd = _open("/proc/self/oom_score_adj", _O_WRONLY)
    try:
        _write(fd, oom_score)
    finally:
        _close(fd)
    for step in more:
        step()


def boot_id() -> str:
    """Names this boot of the machine."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def peak_since_fork() -> int:
    """The most memory in bytes that this process has held, for one that was forked and has not called exec."""
    _, _, peak = getrusage(RUSAGE_SELF)[:3]
    return peak * 1024


def peak_since_exec() -> int:
    """The same after an exec, where the kernel's own figure may still be that of the process that was replaced.

    Raises:
        OSError: no descriptor is free.
    """
    fd = os.open("/proc/self/status", os.O_RDONLY)
    try:
        data = os.read(fd, 4096)
    finally:
        os.close(fd)
    start = data.find(b"VmHWM:")
    return int(data[start + 6 :].split(None, 1)[0]) * 1024 if start >= 0 else 0
