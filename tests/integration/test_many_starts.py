"""T19: many supervisors start at once, or beside what a dead one left; one wins, and nobody takes its sockets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import tiers
from live import Yard, wait_for

STARTS = tiers.size(20, 200, 2_000)
AT_ONCE = 20


def race(yard: Yard, count: int) -> list[dict[str, Any]]:
    """Start so many at once; what each says first, with its exit code, or None for the one that stays."""
    processes = []
    for _ in range(count):
        read, write = os.pipe()
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "jobyard.supervisor", "--config", str(yard.config), "--ready-fd", str(write)],
            pass_fds=[write], cwd=yard.directory, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(write)
        processes.append((process, read))
    found = []
    for process, read in processes:
        with open(read, "rb") as ready:
            said: dict[str, Any] = json.loads(ready.readline())
        if "pid" in said:
            yard.process = process  # so that it is ended with the yard
        said["code"] = None if "pid" in said else process.wait(60)
        found.append(said)
    return found


def inodes(run: Path) -> dict[str, int]:
    """Of all files there that do not come and go with a zygote."""
    return {path.name: path.stat().st_ino for path in run.iterdir() if not path.name.startswith(("z-", "scratch-"))}


@pytest.mark.tier("T19")
def test_of_many_that_start_at_once_exactly_one_wins(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard(start=False)
    winners = 0
    for _ in range(0, STARTS, AT_ONCE):
        said = race(yard, AT_ONCE)
        won = [one for one in said if "pid" in one]
        assert len(won) == 1, said
        lost = [one for one in said if "error" in one]
        assert {(one["error"]["code"], one["code"]) for one in lost} == {("already_locked", 5)}
        assert yard.client().ping().pid == won[0]["pid"] == yard.pid
        winners += 1
        yard.kill()
    tiers.report("T19", "concurrent starts", starts=STARTS, winners=winners, rounds=STARTS // AT_ONCE)


@pytest.mark.tier("T19")
@pytest.mark.parametrize("transport", ["ipc", "tcp"])
def test_those_that_come_too_late_leave_the_sockets_of_the_first_alone(
    make_yard: Callable[..., Yard], transport: str
) -> None:
    yard = make_yard(f'[supervisor]\ntransport = "{transport}"\n')
    first, process = yard.pid, yard.process
    client = yard.client()
    client.ping()
    run = yard.path(".jobyard/run")
    before = inodes(run)
    said = race(yard, 4)
    assert {one["error"]["details"]["pid"] for one in said} == {first}, "the owner is named"
    after = inodes(run)
    assert (after, yard.process) == (before, process)
    assert client.ping().pid == first
    assert yard.client().submit("jobs:add", 1, 2).result(timeout=20) == 3


_DAEMON = """
import os, time

def leave_a_daemon(path):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            with open(path, "w") as file:
                file.write(str(os.getpid()))
            time.sleep(600)
        os._exit(0)
    os.wait()
    time.sleep(600)

def add(a, b):
    return a + b
"""


@pytest.mark.tier("T19")
def test_processes_that_a_dead_supervisor_left_hold_neither_lock_nor_sockets(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard("", _DAEMON)
    path = yard.path("daemon.pid")
    yard.client().submit("jobs:leave_a_daemon", str(path))
    wait_for("the daemon to be there", lambda: path.exists() and path.read_text())
    daemon = psutil.Process(int(path.read_text()))
    assert not [one for one in daemon.open_files() if ".jobyard/lock" in one.path]
    yard.kill()
    assert "pid" in yard.start(), yard.log
    assert yard.client().submit("jobs:add", 1, 2).result(timeout=20) == 3


@pytest.mark.parametrize("text", ["", "1\n", "99999999\n", "no pid\n", "\0" * 100])
def test_a_lock_file_that_nobody_holds_stops_nobody_whatever_is_in_it(
    make_yard: Callable[..., Yard], text: str
) -> None:
    yard = make_yard(start=False)
    state = yard.path(".jobyard")
    state.mkdir(mode=0o700)
    (state / "lock").write_text(text)
    assert "pid" in yard.start()
    assert (state / "lock").read_text().strip() == str(yard.pid)
