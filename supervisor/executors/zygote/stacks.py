"""Where a job is: its Python stack, written into its own output before it is stopped for being late, or at a crash.

Owns the signal that asks for it. The handlers are set once, before the fork, so no child pays for them. They are C code
that takes no lock, and answer also while other C code holds the GIL.
"""

from __future__ import annotations

import faulthandler
import signal
from collections.abc import Iterable
from typing import Any, TextIO

from .kill import signal_one

SIGNAL = signal.SIGRTMAX - 1  # no job is likely to want it: SIGUSR1 and SIGUSR2 are its own
_STDERR = 2


def install() -> None:
    """From here on this process and those that it forks answer, on their standard error."""
    faulthandler.enable(_STDERR)
    faulthandler.register(SIGNAL, _STDERR)
    signal.siginterrupt(SIGNAL, False)  # C code that reads or writes goes on; only sleeps are cut short


def ask(pid: int) -> bool:
    """Have the process write its stack; False if it would not understand, such as one that has called exec."""
    return _catches(pid) and signal_one(pid, SIGNAL)


def write_tasks(tasks: Iterable[Any], file: TextIO) -> None:
    """Where each asyncio task waits, which no stack of a thread shows."""
    for task in tasks:
        print(f"Task {task.get_name()!r} (most recent call last):", file=file)
        waiting = task.get_coro()
        while (frame := getattr(waiting, "cr_frame", None)) is not None:
            print(f'  File "{frame.f_code.co_filename}", line {frame.f_lineno} in {frame.f_code.co_name}', file=file)
            waiting = waiting.cr_await


def _catches(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            fields = file.read().split(b"\nSigCgt:", 1)
    except OSError:
        return False
    return len(fields) == 2 and bool(int(fields[1].split(None, 1)[0], 16) >> (SIGNAL - 1) & 1)
