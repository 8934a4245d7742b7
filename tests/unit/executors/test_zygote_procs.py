"""What can be known of other processes, also while they come and go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jobyard.supervisor.executors.zygote import fence, kill, limits, procs

# Its first thread ends, and another goes on.
HEADLESS = """
import ctypes, os, threading, time
def go_on():
    while open(f"/proc/{os.getpid()}/stat").read().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.001)
    print("alone", flush=True)
    time.sleep(60)
threading.Thread(target=go_on).start()
ctypes.CDLL(None).pthread_exit(None)
"""


@pytest.fixture
def uuid() -> str:
    return os.urandom(8).hex()


@pytest.fixture
def headless(uuid: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HEADLESS], env={**os.environ, fence.MARK: uuid}, stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline() == b"alone\n"
    yield process
    process.kill()
    process.wait(10)
    process.stdout.close()


def test_process_whose_first_thread_has_ended_is_neither_dead_nor_still(
    headless: subprocess.Popen[bytes], uuid: str
) -> None:
    assert not procs.is_dead(headless.pid) and not procs.is_still(headless.pid)
    assert procs.Search(f"{fence.MARK}={uuid}").find() == [headless.pid]
    assert kill.freeze([headless.pid]) == [headless.pid] and procs.is_still(headless.pid)


@pytest.mark.parametrize("known", [True, False])
def test_fence_ends_a_process_whose_first_thread_has_ended(
    headless: subprocess.Popen[bytes], uuid: str, known: bool
) -> None:
    children = [(headless.pid, procs.start_time(headless.pid))] if known else []
    assert fence.fence("another" if known else uuid, 0, 0, limits.boot_id(), children)
    assert headless.poll() == -signal.SIGKILL


def test_process_that_replaces_itself_all_the_time_is_seen_by_every_look(tmp_path: Path, uuid: str) -> None:
    script = tmp_path / "again"
    script.write_text('#!/bin/sh\nexec "$0"\n')
    script.chmod(0o700)
    mark = f"{fence.MARK}={uuid}"
    with subprocess.Popen([script], env={fence.MARK: uuid}) as process:
        try:
            missed = sum(procs.Search(mark).find() != [process.pid] for _ in range(300))
        finally:
            process.kill()
    assert missed == 0


# Each of a row of processes starts the next and ends.
RELAY = """
import os, time
until = time.monotonic() + 30  # one that gets away ends by itself
def run():
    while time.monotonic() < until:
        if os.fork():
            os._exit(0)
        time.sleep(0.0005)
run()
"""


def test_row_of_processes_that_each_start_the_next_is_seen_and_ended(uuid: str) -> None:
    mark = f"{fence.MARK}={uuid}"
    subprocess.run([sys.executable, "-c", RELAY], env={**os.environ, fence.MARK: uuid}, check=True, timeout=60)
    try:
        missed = sum(not procs.Search(mark).find() for _ in range(100))
    finally:
        ended = any(fence.fence(uuid, 0, 0, limits.boot_id()) for _ in range(10))  # it is a race; no is no lie
    assert missed == 0 and ended
    assert procs.Search(mark).find() == []


def test_zombie_is_dead_and_has_no_mark(uuid: str) -> None:
    process = subprocess.Popen(["/bin/true"], env={fence.MARK: uuid})
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert procs.is_dead(process.pid) and procs.is_still(process.pid) and procs.start_time(process.pid) > 0
    assert procs.Search(f"{fence.MARK}={uuid}").find() == []
    process.wait(10)
    assert procs.is_dead(process.pid) and procs.is_still(process.pid) and procs.start_time(process.pid) == 0


def test_process_without_any_environment_is_told_at_once() -> None:
    with subprocess.Popen(["/bin/sleep", "60"], env={}) as process:
        try:
            assert process.pid not in procs.Search(f"{fence.MARK}=").find()
        finally:
            process.kill()


def test_process_that_has_taken_the_environment_out_of_its_memory_holds_up_nobody(uuid: str) -> None:
    hide = """
import ctypes, os, time
libc = ctypes.CDLL(None, use_errno=True)
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
fields = open("/proc/self/stat").read().rpartition(")")[2].split()
start, end = int(fields[47]) & ~4095, int(fields[48]) + 4095 & ~4095
assert libc.munmap(start, end - start) == 0
os.write(1, b"hidden\\n")
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", hide], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"hidden\n"
        try:
            assert fence.fence(uuid, 0, 0, limits.boot_id()), "nothing has this mark, and that is known"
        finally:
            process.kill()
