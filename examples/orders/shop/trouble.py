"""Jobs that misbehave, each in its own way. What becomes of them is what this example is about."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

PIDS_GLOB = "stubborn-*.pids"
MIB = 1 << 20


def never_ends() -> NoReturn:
    """Works for ever; the timeout in jobyard.toml ends it."""
    started = time.monotonic()
    while True:
        time.sleep(0.5)
        print(f"still at it after {time.monotonic() - started:.1f} s")


def stubborn(daemons: int = 2) -> NoReturn:
    """Refuses every request to stop, and starts daemons that have left its session and its process group.

    Writes the pids and birth times of all its processes to ``stubborn-<pid>.pids``.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pids = [os.getpid(), *(_daemon() for _ in range(daemons))]
    note = "".join(f"{pid} {birth(pid)}\n" for pid in pids)
    unfinished = Path(f"stubborn-{os.getpid()}.part")
    unfinished.write_text(note, encoding="ascii")
    os.replace(unfinished, unfinished.with_suffix(".pids"))
    print(f"here to stay: {pids}")
    while True:
        try:
            time.sleep(60)
        except BaseException as error:  # the request to stop arrives as an exception, and is refused like the signal
            print(f"{type(error).__name__}? no.", file=sys.stderr)


def hungry(megabytes: int = 80) -> int:
    """Holds this much memory for a moment; returns the number of bytes."""
    block = b"x" * (megabytes * MIB)
    time.sleep(0.2)
    return len(block)


def birth(pid: int) -> str | None:
    """When this process started, in the kernel's ticks; None if there is none, or only its exit status is left.

    With the pid it names one process for as long as the machine is up.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()  # the name in brackets may hold anything
    return None if fields[0] in "ZX" else fields[19]


def _daemon() -> int:
    """Fork twice with a new session in between, as daemons do; returns the pid of the grandchild."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.setsid()
        if os.fork() != 0:
            os._exit(0)
        os.write(writer, str(os.getpid()).encode())
        while True:
            signal.pause()
    os.close(writer)
    os.waitpid(child, 0)
    pid = int(os.read(reader, 32))
    os.close(reader)
    return pid
