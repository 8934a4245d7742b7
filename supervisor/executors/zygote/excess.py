"""Which limit of its pool an attempt went over, in words that name the key which raises it.

Owns the words, and how much must be known before they are said: a limit that merely may have been the cause is named as
a fact beside the error, never as its cause.
"""

from __future__ import annotations

import errno
import signal

from ....protocol import failure
from .channel import Boot
from .limits import CPU_IGNORED_S

_NO_THREAD = "can't start new thread"
_CPU_SLACK_S = 0.5  # the kernel looks at ticks, and tells of more exact times


def of_error(error: BaseException, boot: Boot) -> str | None:
    """The message of an error with the limit that belongs to it; None if there is none."""
    limit = _limit(error, boot)
    if limit is None:
        return None
    said = failure.text_of(error)
    return f"{said}; {limit}" if said else limit


def _limit(error: BaseException, boot: Boot) -> str | None:
    match error:
        case MemoryError() if boot.memory_max_bytes is not None:
            return f"jobs of {_pool(boot)} may take {_mebibytes(boot.memory_max_bytes)} {_key(boot, 'memory_max')}"
        case OSError(errno=errno.EMFILE) if boot.nofile is not None:
            return f"a process of {_pool(boot)} may have {boot.nofile:,} files open {_key(boot, 'nofile')}"
        case OSError(errno=errno.EAGAIN) | RuntimeError() if boot.nproc is not None and _is_about_processes(error):
            return f"the user of {_pool(boot)} may have {boot.nproc:,} processes and threads {_key(boot, 'nproc')}"
    return None


def _is_about_processes(error: BaseException) -> bool:
    return isinstance(error, OSError) or failure.text_of(error) == _NO_THREAD


def of_memory(boot: Boot) -> str | None:
    """What the kernel has killed an attempt for."""
    if boot.memory_max_bytes is None:
        return None
    return f"its processes took more than {_mebibytes(boot.memory_max_bytes)} {_key(boot, 'memory_max')}"


def of_exit(boot: Boot, code: int, used_s: float) -> str | None:
    """What ended a process, or None: its exit code, negative for a signal, and the processor time that it had used."""
    if boot.cpu_s is None:
        return None
    needed_s = {-signal.SIGXCPU: boot.cpu_s, -signal.SIGKILL: boot.cpu_s + CPU_IGNORED_S}.get(code)
    if needed_s is None or used_s < needed_s - _CPU_SLACK_S:
        return None
    return f"used more than {boot.cpu_s} s of processor time {_key(boot, 'cpu')}"


def _pool(boot: Boot) -> str:
    return f"the pool {boot.pool}"


def _key(boot: Boot, key: str) -> str:
    return f"([pools.{boot.pool}] {key})"


def _mebibytes(size: int) -> str:
    return f"{size / (1 << 20):,.6g} MiB"
