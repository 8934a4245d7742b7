"""Jobs that go over a limit of their pool, or sit still in a way that can be told afterwards."""

from __future__ import annotations

import asyncio
import collections
import ctypes
import itertools
import os
import signal
import subprocess
import sys
import threading
import time


def burn(ignoring: bool = False) -> None:
    """Compute for ever."""
    if ignoring:
        signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    while True:
        pass


def burn_in_a_subprocess() -> int:
    return subprocess.run([sys.executable, "-S", "-c", "while True: pass"], check=False).returncode


def send_oneself(number: int) -> None:
    os.kill(os.getpid(), number)


def open_files(count: int) -> int:
    opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(count)]
    return len(opened)


def niceness() -> int:
    return os.nice(0)


def say(times: int, every_s: float) -> None:
    """Print now and then, and nothing any more after that."""
    for number in range(times):
        print(number, flush=True)
        time.sleep(every_s)
    time.sleep(60)


def sit_in_c_code() -> None:
    """As C code does that neither returns nor lets the GIL go."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    collections.deque(itertools.repeat(None), maxlen=0)


def read_in_c_code() -> int:
    """From a pipe into which nobody writes, without the help of Python, which would read again."""
    read, _ = os.pipe()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return int(ctypes.CDLL(None).read(read, ctypes.create_string_buffer(1), 1))


def sit_beside_a_thread() -> None:
    threading.Thread(target=in_the_thread, daemon=True).start()
    time.sleep(60)


def in_the_thread() -> None:
    time.sleep(60)


def become_another_program() -> None:
    os.execvp("sleep", ["sleep", "60"])


def crash() -> None:
    ctypes.string_at(0)


async def wait_in_tasks() -> None:
    await asyncio.gather(wait_outside())


async def wait_without_stderr() -> None:
    sys.stderr.close()
    await wait_inside()


async def wait_outside() -> None:
    await wait_inside()


async def wait_inside() -> None:
    await asyncio.sleep(60)
