"""Jobs that the integration tests run: well-behaved ones first, then those that are not."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from jobyard import GiveUp, RetryLater, SoftTimeout, current_job, task


def add(a, b=0):
    return a + b


def echo(*args, **kwargs):
    return [list(args), kwargs]


async def add_slowly(a, b):
    import asyncio

    await asyncio.sleep(0.01)
    return a + b


class Greeter:
    """A class whose methods may be run."""

    def __init__(self):
        self.word = "hello"

    def greet(self, name):
        return f"{self.word} {name}"

    def _secret(self):
        return "secret"


def ledger(path, ident, seconds=0.0):
    """Leave a mark at the beginning and the end: O_APPEND writes of one line are atomic."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(fd, f"{ident} begin {time.monotonic_ns()}\n".encode())
    time.sleep(seconds)
    os.write(fd, f"{ident} end {time.monotonic_ns()}\n".encode())
    os.close(fd)
    return ident


def who():
    job = current_job()
    return {"id": job.id, "attempt": job.attempt, "tags": job.tags, "pid": os.getpid(), "max": job.max_attempts}


def talk():
    print("on stdout")
    print("on stderr", file=sys.stderr)
    current_job().log("by its log")
    subprocess.run(["echo", "from a subprocess"], check=True)


def fail(message="no"):
    raise ValueError(message)


@task(retries=0)
def fail_once_and_for_all():
    raise ValueError("no retries by its own wish")


def fail_until(path, attempt):
    """Fails before that attempt."""
    with open(path, "a") as file:
        file.write(f"{current_job().attempt}\n")
    if current_job().attempt < attempt:
        raise ValueError(f"attempt {current_job().attempt}")
    return current_job().attempt


def give_up():
    raise GiveUp("it would not help")


def retry_later(path):
    if not Path(path).exists():
        Path(path).touch()
        raise RetryLater(0.1)
    return current_job().attempt


def sleep(seconds):
    time.sleep(seconds)
    return seconds


def sleep_softly(path):
    try:
        time.sleep(60)
    except SoftTimeout:
        Path(path).write_text("cleaned up")
        return "soft"


def clean_up(path):
    try:
        print("begun", flush=True)
        time.sleep(60)
    finally:
        Path(path).write_text("cleaned up")


def count_up(total):
    job = current_job()
    for done in range(total):
        job.progress(done + 1, total, "counting")
        time.sleep(0.02)


def end_when_told(path, how):
    """Prints, waits until the file is there, prints again, and ends as ``how`` says."""
    print(f"begun {how}", flush=True)
    while not os.path.exists(path):
        time.sleep(0.02)
    print(f"told {how}", flush=True)
    match how:
        case "fail":
            raise ValueError("told to fail")
        case "exit":
            os._exit(7)
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
    return how


def begin_and_sleep(path, seconds):
    """Leaves one line for every time that it is run."""
    with open(path, "a") as file:
        file.write(f"{current_job().id} {current_job().attempt} {os.getpid()}\n")
    time.sleep(seconds)
    return seconds


def return_and_linger(returned, path):
    """Returns at once; that it has is told only when the second file is there. Leaves a line for each time."""
    sys.stdout = _Lingering(returned, path)
    return "returned"


class _Lingering:
    """A stream that is flushed when a file is there."""

    def __init__(self, asked, path):
        self.asked, self.path = asked, path

    def flush(self):
        with open(self.asked, "a") as file:
            file.write("asked\n")
        while not os.path.exists(self.path):
            time.sleep(0.02)


def call_itself(a, b):
    from jobyard import Client

    with Client() as client:
        return client.submit("jobs:add", a, b).result(timeout=20)


def parents():
    """How the jobs it waited for ended, and what the good ones returned."""
    from jobyard import Client

    with Client() as client:
        return {
            parent: (state, client.get(parent).result(timeout=20) if state == "succeeded" else None)
            for parent, state in current_job().parents.items()
        }


# -- those that are not well-behaved -----------------------------------------------------------------------------------


def stubborn(pids):
    """Ignores SIGTERM, has grandchildren in sessions of their own that do too, and holds the GIL in C."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            with open(pids, "a") as file:
                file.write(f"{os.getpid()}\n")
            while True:
                time.sleep(1000)
        os._exit(0)
    os.wait()
    with open(pids, "a") as file:
        file.write(f"{os.getpid()}\n")
    while True:
        ctypes.PyDLL(None).sleep(1000)


def segfault():
    ctypes.string_at(0)


def exit_hard(code):
    os._exit(code)


def exit_politely(code):
    sys.exit(code)


def kill_itself():
    os.kill(os.getpid(), signal.SIGKILL)


def close_descriptors():
    os.closerange(0, 1000)
    return "fine"


def shout(megabytes):
    block = b"x" * 99 + b"\n"
    for _ in range(megabytes * 10):
        os.write(1, block * 1000)
    return "done"


def unpackable():
    return object()


def large(size):
    return b"x" * size


class Awkward(Exception):
    def __str__(self):
        raise RuntimeError("no string for you")

    __repr__ = __str__


def raise_awkward():
    raise Awkward(object())


def allocate(megabytes):
    block = bytearray(megabytes << 20)
    block[::4096] = b"x" * len(block[::4096])
    return len(block)


def print_until(path):
    """Numbered lines with the number of the attempt, until the file is there."""
    number = 0
    while not os.path.exists(path):
        os.write(1, f"{current_job().attempt} {number}\n".encode())  # whole or not at all
        number += 1
        time.sleep(0.0005)
    os.write(1, f"{current_job().attempt} done\n".encode())
    return number


def print_lines(count):
    """In one write each time, so that a line has one time and one place."""
    for number in range(count):
        os.write(1, b"%d\n" % number)
