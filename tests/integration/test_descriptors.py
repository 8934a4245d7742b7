"""S6 and R25: too many connections for the descriptors there are, and libzmq ending the process all the same."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import psutil
import pytest
import tiers
from jobyard import Client
from live import Yard, wait_for

JOBS = """
import time

def rest(seconds):
    time.sleep(seconds)
    return seconds
"""
DESCRIPTORS = 512
FLOOD = tiers.size(2_000, 20_000, 200_000)
AT_ONCE = 20
TOO_FEW = (  # the most that may be open, exit code, what is said
    (14, 5, "60 running jobs cannot be taken over"),  # not enough to ask a zygote
    (24, 5, "60 running jobs cannot be taken over"),  # nor for what it tells
    (120, 2, "the supervisor may open 120 files, which is too few"),
)
ABORTS = tiers.size(3, 50, 500)


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS // 2, DESCRIPTORS))


def connect(path: Path) -> socket.socket | None:
    """A connection that says nothing; None if the queue of those who want one is full."""
    made = socket.socket(socket.AF_UNIX)
    made.setblocking(False)
    try:
        made.connect(str(path))
    except BlockingIOError:
        made.close()
        return None
    return made


def test_start_with_too_few_descriptors_says_so_and_harms_no_running_job(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard("[pools.default]\nconcurrency = 60\n", JOBS)
    jobs = [yard.client().submit("jobs:rest", 600) for _ in range(60)]
    wait_for("all to run", lambda: yard.client().status().counts["running"] == len(jobs))
    yard.kill()
    for most, code, why in TOO_FEW:
        said = yard.start(preexec_fn=lambda most=most: resource.setrlimit(resource.RLIMIT_NOFILE, (most, most)))
        assert yard.process is not None and yard.process.wait(20) == code
        assert why in said["error"]["message"] and "ulimit -n" in str(said["error"])
        assert "--fence" not in said["error"]["hint"]
    assert "pid" in yard.start()
    assert {len(job.info().attempts) for job in yard.client().list(state="running")} == {1}
    assert yard.client().status().counts["running"] == len(jobs)


@pytest.mark.tier("T11")
@pytest.mark.parametrize("name", ["socket", "events"])
def test_more_connections_than_descriptors_do_not_end_the_supervisor(make_yard: Callable[..., Yard], name: str) -> None:
    yard = make_yard(start=False)
    assert "pid" in yard.start(preexec_fn=limited)
    client = yard.client()
    job = client.submit("jobs:add", 1, 2)
    most = 0
    with ExitStack() as opened:
        for _ in range(0, FLOOD, AT_ONCE):
            for _ in range(AT_ONCE):
                if (made := connect(yard.path(".jobyard/run") / name)) is not None:
                    opened.enter_context(closing(made))
            assert client.ping().pid == yard.pid, "requests are answered meanwhile, if over another connection"
            most = max(most, psutil.Process(yard.pid).num_fds())
            if len(yard.log.split("all its connections were closed")) > 2:
                break
    assert most < DESCRIPTORS
    assert "is the most that may be; all its connections were closed" in yard.log
    wait_for("connections to be taken again", lambda: "connections are taken again" in yard.log)
    assert job.result(timeout=20) == 3
    assert any("all connections were closed" in warning for warning in client.status().warnings)
    tiers.report("T11", f"descriptors run out ({name})", limit=DESCRIPTORS, most=most, crashes=0)


def test_connections_over_their_limit_are_closed_and_who_wants_something_comes_back(
    make_yard: Callable[..., Yard],
) -> None:
    yard = make_yard("[limits]\nconnections = 16\n")
    client = yard.client()
    waiting = client.submit("jobs:sleep", 1.5)
    with ExitStack() as opened:
        for _ in range(17):
            made = connect(yard.path(".jobyard/run/socket"))
            assert made is not None
            opened.enter_context(closing(made))
        waiting.result(timeout=20)
        assert "there are more than 16 connections ([limits] connections)" in yard.log
        assert client.submit("jobs:add", 1, 2).result(timeout=20) == 3


@pytest.mark.tier("T11")
def test_a_supervisor_that_libzmq_aborts_is_back_and_nothing_acknowledged_is_lost(
    make_yard: Callable[..., Yard],
) -> None:
    yard = make_yard(jobs=JOBS, start=False)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("JOBYARD_")}
    said = subprocess.run(
        [sys.executable, "-m", "jobyard", "up", "-d", "--json"],
        cwd=yard.directory, env=environ, capture_output=True, text=True, timeout=60, check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
    )  # fmt: skip
    pid = int(json.loads(said.stdout)["pid"])
    try:
        with Client(config=str(yard.config), timeout=30.0) as client:
            jobs = []
            for _ in range(ABORTS):
                jobs += [client.submit("jobs:rest", 0.1) for _ in range(5)]
                os.kill(pid, signal.SIGABRT)
                jobs += [client.submit("jobs:rest", 0.1) for _ in range(5)]
                before, pid = pid, client.ping().pid
                assert pid != before
            assert [job.result(timeout=60) for job in jobs] == [0.1] * len(jobs)
            assert len({job.id for job in jobs}) == len(jobs)
            assert sum(client.status().counts.values()) == len(jobs), "nothing was stored twice"
    finally:
        subprocess.run([sys.executable, "-m", "jobyard", "down", "--now"], cwd=yard.directory, env=environ, check=False)
    tiers.report("T11", "SIGABRT of the supervisor", aborts=ABORTS, acknowledged=len(jobs), lost=0)
