"""The jobs of the conformance suite: well-behaved, broken, and hostile ones."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import ctypes
import datetime
import decimal
import multiprocessing
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import msgpack
from jobyard.protocol.current import CURRENT
from jobyard.protocol.errors import CancelRequested, GiveUp, NotAllowed, RetryLater, SoftTimeout
from jobyard.protocol.running import RunningJob
from jobyard.supervisor.executors.zygote.page import SLOTS

VALUES = [
    None,
    True,
    2**80,
    -1.5,
    float("inf"),
    "text ü",
    b"\x00\xff",
    (1, [2, {3: "x"}]),
    {1, 2},
    datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
    timedelta(seconds=1.5),
    decimal.Decimal("1.10"),
    uuid.UUID(int=7),
    Path("/a/b"),
]


def here() -> RunningJob:
    job = CURRENT.get()
    assert job is not None
    return job


def mark(path: str, text: str) -> None:
    """Tell the test something: one line, whole."""
    with open(path, "a") as file:
        file.write(text + "\n")


# -- values ------------------------------------------------------------------------------------------------------------


def add(left: Any, right: Any) -> Any:
    return left + right


def same(*args: Any, **kwargs: Any) -> Any:
    return [list(args), kwargs]


def size_of(data: bytes) -> int:
    return len(data)


def large(size: int) -> bytes:
    return b"x" * size


def nothing() -> None:
    return None


def not_serializable() -> Any:
    return {"inner": [object()]}


def generator() -> Generator[int, None, None]:
    yield 1


def surrogate() -> str:
    return "\udcff"


class Greeter:
    def __init__(self) -> None:
        self.word = "hello"

    def greet(self, name: str) -> str:
        return f"{self.word} {name}"

    def _hidden(self) -> str:
        return "hidden"

    not_callable = 1


OrderedDict = collections.OrderedDict
constant = 7


async def async_add(left: int, right: int) -> int:
    await asyncio.sleep(0)
    return left + right + here().id * 0


# -- what a job sees ---------------------------------------------------------------------------------------------------


def about() -> dict[str, Any]:
    job = here()
    return {
        "id": job.id,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "deadline": job.deadline,
        "tags": dict(job.tags),
        "meta": dict(job.meta),
        "cancelled": job.is_cancelled(),
    }


def confinement() -> dict[str, Any]:
    import resource

    null = os.stat("/dev/null")
    stdin = os.fstat(0)
    return {
        "pid": os.getpid(),
        "sid": os.getsid(0),
        "pgid": os.getpgid(0),
        "umask": os.umask(0o077),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "nofile": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "oom": int(Path("/proc/self/oom_score_adj").read_text()),
        "stdin_is_null": stdin.st_rdev == null.st_rdev,
        "fds": sorted(int(name) for name in os.listdir("/proc/self/fd")),
        "blocked": Path("/proc/self/status").read_text().split("SigBlk:")[1].split()[0],
        "cwd": os.getcwd(),
        "threads": threading.active_count(),
    }


def scratch(leave: bool) -> str:
    directory = here().scratch
    (directory / "file").write_text("x" * 1000)
    assert directory == here().scratch
    if not leave:
        (directory / "file").unlink()
    return str(directory)


def tell_progress(count: int, then_s: float) -> int:
    for done in range(1, count + 1):
        here().progress(done, count, f"step {done}")
    time.sleep(then_s)
    return count


def tell_progress_slowly(count: int, every_s: float) -> None:
    for done in range(1, count + 1):
        here().progress(done, count)
        time.sleep(every_s)


def progress_nonsense() -> None:
    here().progress("much")  # type: ignore[arg-type]


def scratch_and_crash(path: str) -> None:
    mark(path, str(here().scratch))
    (here().scratch / "file").write_text("left")
    os._exit(1)


def write_garbage() -> str:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=os.dup(3))
    for data in (b"\xff\x00garbage", b"\x91\xa3End", msgpack.packb(["End", "ok", 5, None, None, 1, "x"])):
        sock.send(data)
    with open("/dev/null") as null:
        socket.send_fds(sock, [msgpack.packb(["Large", 10])], [null.fileno()])
    sock.close()
    return "still heard"


def scribble_over_the_page(life: float, base: int, then_s: float) -> str:
    """Write the first fields of every slot of the page that is shared with whoever watches this job."""
    with open("/proc/self/maps") as maps:
        start = next(int(line.split("-")[0], 16) for line in maps if "jobyard-page" in line)
    with open("/proc/self/mem", "r+b", buffering=0) as memory:
        for slot in range(SLOTS):
            memory.seek(start + slot * 512)
            memory.write(struct.pack("=dQ", life, base))
    time.sleep(then_s)
    return "written"


def track(count: int) -> int:
    return sum(here().track(range(count), "tracking"))


def allocate(size: int) -> int:
    data = bytearray(size)
    for position in range(0, size, 4096):
        data[position] = 1
    return len(data)


def burn(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


# -- errors ------------------------------------------------------------------------------------------------------------


class Broken(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Special(ValueError):
    pass


def fail(kind: str) -> NoReturn:
    secret = "local value that must not be told"
    assert secret
    match kind:
        case "special":
            raise Special("it went wrong")
        case "broken":
            raise Broken
        case "huge":
            raise ValueError("h" * 100_000_000 + "tail")
        case "surrogate":
            raise ValueError("bad \udcff text")
        case "exit":
            sys.exit(3)
        case "interrupt":
            raise KeyboardInterrupt
        case "give_up":
            raise GiveUp("never again")
        case "later":
            raise RetryLater(2.5, count=True)
        case "later_text":
            raise RetryLater("15m")  # type: ignore[arg-type]
        case "later_bad":
            raise RetryLater("soonish")  # type: ignore[arg-type]
        case "own_not_allowed":
            raise NotAllowed("raised by the job itself")
        case "own_cancel":
            raise CancelRequested("raised by the job itself")
        case "group":
            raise ExceptionGroup("several", [ValueError("one"), TypeError("two")])
        case "memory":
            raise MemoryError
    raise AssertionError(kind)


async def async_fail() -> None:
    await asyncio.sleep(0)
    raise ValueError("it went wrong")


def cause_chain() -> None:
    try:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ValueError("second") from error
    except ValueError:
        raise RuntimeError("third")


def circular_cause() -> None:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    raise one


def recurse(depth: int = 0) -> int:
    return recurse(depth + 1) + 1


# -- ends --------------------------------------------------------------------------------------------------------------


def exit_now(code: int) -> None:
    os._exit(code)


def kill_self(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(60)


def segfault() -> None:
    ctypes.string_at(0)


def close_descriptors() -> str:
    os.closerange(0, 1000)
    return "closed"


def open_all_descriptors() -> bytes:
    with contextlib.suppress(OSError):
        while True:
            os.dup(0)
    return b"x" * 100_000


def fork_and_return(path: str) -> str:
    if os.fork() == 0:
        mark(path, str(os.getpid()))
        return "from the copy"
    os.wait()
    return "from the job"


def leave_thread() -> str:
    threading.Thread(target=time.sleep, args=(60,)).start()
    return "done"


def use_multiprocessing() -> int:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return sum(pool.map(abs, [-1, -2, 3]))


def end_forked_processes_at_once(count: int) -> list[int]:
    """Fork processes that would run for ever, and end each at once by SIGTERM."""
    statuses = []
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            while True:
                time.sleep(60)
        os.kill(pid, signal.SIGTERM)
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    return sorted(set(statuses))


# -- being stopped -----------------------------------------------------------------------------------------------------


def sleep(seconds: float, path: str | None = None) -> str:
    if path:
        mark(path, str(os.getpid()))
    time.sleep(seconds)
    return "slept"


async def async_sleep(seconds: float) -> None:
    await asyncio.sleep(seconds)


def append_and_sleep(path: str, seconds: float, *more: Any) -> None:
    """Leaves a line for each time that it is run."""
    with open(path, "a") as file:
        file.write("run\n")
    time.sleep(seconds)


def unwind(path: str) -> None:
    mark(path, "began")
    try:
        time.sleep(60)
    except CancelRequested as stop:
        mark(path, f"unwound: {stop}, cancelled: {here().is_cancelled()}")
        raise
    finally:
        mark(path, "finally")


def swallow(path: str, seconds: float = 60) -> str:
    mark(path, "began")
    try:
        time.sleep(60)
    except CancelRequested:
        mark(path, "swallowed")
    time.sleep(seconds)
    return "went on"


def soften(path: str) -> str:
    mark(path, "began")
    try:
        time.sleep(60)
    except SoftTimeout as stop:
        mark(path, str(stop))
    return "saved"


def sleep_through_soft() -> None:
    with contextlib.suppress(SoftTimeout):
        time.sleep(60)
    time.sleep(60)


async def async_unwind(path: str) -> None:
    mark(path, "began")
    try:
        await asyncio.sleep(60)
    finally:
        mark(path, "finally")


def ask_whether_cancelled(path: str) -> None:
    mark(path, "began")
    with contextlib.suppress(CancelRequested):
        time.sleep(60)
    here().check_cancelled()


def hold_the_gil() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        ctypes.PyDLL(None).usleep(60_000_000)


def daemons(path: str, end: str) -> None:
    """A daemon with a session of its own, and one that has cleaned its environment; both ignore SIGTERM."""
    script = "trap '' TERM HUP; echo $$ >> " + path + "; while :; do sleep 1; done"
    for count, env in enumerate((None, {"PATH": os.environ["PATH"]}), 1):
        subprocess.Popen(["setsid", "-f", "sh", "-c", script], env=env)
        until = time.monotonic() + 20
        while not os.path.exists(path) or Path(path).read_text().count("\n") < count:
            assert time.monotonic() < until
            time.sleep(0.01)
    if end == "crash":
        os._exit(5)
    if end == "wait":
        mark(path, "0")
        time.sleep(60)


def fork_bomb(path: str) -> None:
    """A process that forks without end, and never stays the same one; one that gets away ends after a while."""
    until = time.monotonic() + 20
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for _ in range(3):
            os.fork()
        while time.monotonic() < until:
            if os.fork():
                os._exit(0)
            time.sleep(0.002)
        os._exit(0)
    time.sleep(0.2)
    mark(path, "began")
    time.sleep(60)


def beat(times: int, every_s: float) -> None:
    for _ in range(times):
        here().heartbeat()
        time.sleep(every_s)
    time.sleep(60)


def stop_self(path: str) -> None:
    mark(path, "began")
    os.kill(os.getpid(), signal.SIGSTOP)
    mark(path, "continued")
    time.sleep(60)
