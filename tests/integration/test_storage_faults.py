"""A real supervisor on a disk that is full, read-only, slow or broken: T4 and T5 of the plan, from end to end."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jobyard
import pytest
import tiers
from jobyard import Client
from live import Yard, wait_for
from small_disk import SmallDisk, needs_root

JOBS = """
import os, time

def add(a, b=0):
    return a + b

def hold(path):
    while not os.path.exists(path):
        time.sleep(0.02)
    return "held"

def pid(path):
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(600)
"""
CONFIG = "[defaults]\ngrace = 0.2\nretries = 0\n[pools.default]\nconcurrency = 4\n"
REFUSALS = (jobyard.StorageUnavailable, jobyard.OutcomeUnknown)
WORD = random.Random(1).randbytes(900 << 10)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    found = SmallDisk(tmp_path / "disk")
    yield found
    found.close()


@pytest.fixture
def small_yard(disk: SmallDisk, make_yard: Callable[..., Yard]) -> Yard:
    """Its state is on the small disk."""
    return make_yard(f'{CONFIG}[supervisor]\nstate_dir = "{disk.path}/state"\n', JOBS)


def refused_s(client: Client, word: bytes = b"") -> float | None:
    """Seconds until a submit was refused for want of a disk; None if it was not."""
    began = time.monotonic()
    try:
        client.options(delay=3600).submit("jobs:add", word)
    except REFUSALS:
        return time.monotonic() - began
    return None


def fill_by_submits(client: Client) -> list[int]:
    """Ids of those that were acknowledged, until one is refused."""
    acked: list[int] = []
    while True:
        try:
            acked.append(client.options(delay=3600).submit("jobs:add", WORD).id)
        except REFUSALS:
            return acked


def jobctl(yard: Yard, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jobyard", *arguments, "--config", str(yard.config)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


# -- a full disk -------------------------------------------------------------------------------------------------------


@needs_root
@pytest.mark.tier("T5")
@pytest.mark.timeout(tiers.size(120, 1_200, 6_000))
def test_full_disk_refuses_at_once_records_what_runs_and_is_well_again_when_there_is_room(
    small_yard: Yard, disk: SmallDisk
) -> None:
    yard, acked = small_yard, set[int]()
    refusals, healthy = [0.0], [0.0]
    cycles = tiers.size(2, 20, 100)
    for cycle in range(cycles):
        client = yard.client(timeout=5.0)
        gate = yard.path(f"gate{cycle}")
        running = [client.submit("jobs:hold", str(gate)) for _ in range(3)]
        wait_for("the jobs to run", lambda jobs=running: all(job.state == "running" for job in jobs))
        if cycle % 2 == 0:
            acked.update(fill_by_submits(client))
        disk.fill()
        refusals.append(max(wait_for("a refusal", lambda c=client: refused_s(c)) for _ in range(1)))
        refusals += [taken for _ in range(10) if (taken := refused_s(client)) is not None]
        assert len(refusals) > 11 * cycle
        gate.touch()
        assert [job.result(timeout=20) for job in running] == ["held"] * 3
        disk.fill()  # also what the reserve has given
        assert refused_s(client) is not None
        disk.release()
        if cycle % 2 == 0:
            began = time.monotonic()
            client.cancel(ids=sorted(acked)) if False else None
        began = time.monotonic()
        wait_for("it to be well again", lambda c=client: refused_s(c) is None)
        healthy.append(time.monotonic() - began)
        assert client.status().durable
