"""Jobs that do what they should not: each has its outcome, frees its slot, leaves no process, and the next one runs."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import tiers
from jobyard.supervisor.sites import RESTART_MAX_S
from live import Yard, wait_for

TIMEOUT_S, GRACE_S = 1.0, 0.3
LONG_S = 30.0  # of those that end by themselves
FREED_S = GRACE_S + 1.0 + 6.0  # the last for a busy machine
GROWTH_BYTES = 5 << 20
ROUNDS = tiers.size(3, 100, 1000)
CONFIG = """
[output]
max_job_bytes = "1MiB"
[pools.default]
concurrency = 1
cwd = "work"
path = ["."]
memory_max = "128MiB"
nofile = 1024
cpu = 30
"""
HOSTILE: list[tuple[str, tuple[Any, ...], str]] = [
    ("crash", (), "signalled"),
    ("leave", (), "exited"),
    ("kill_itself", (), "signalled"),
    ("close_all", (), "exited"),
    ("become_another", (), "exited"),
    ("kill_zygote", (), "lost"),
    ("stop_itself", (), "timeout"),
    ("hold_the_gil", (), "timeout"),
    ("block_all_signals", (), "timeout"),
    ("swallow_everything", (), "timeout"),
    ("relay", (), "timeout"),
    ("flood", (), "timeout"),
    ("burn", (), "timeout"),
    ("daemons", (), "ok"),
    ("leave_threads", (), "ok"),
    ("leave_many_processes", (), "ok"),
    ("eat_memory", (), "error"),
    ("open_many", (), "error"),
    ("raise_awkward", (), "error"),
    ("raise_long", (), "error"),
    ("return_object", (), "error"),
    ("return_much", (), "error"),
    ("return_deep", (), "error"),
    ("print_garbage", (), "ok"),
    ("delete_directory", (), "ok"),
    ("delete_own_output", ("output",), "ok"),
    ("reopen_descriptors", (), "ok"),
    ("write_into_its_socket", (), "ok"),
]
STATES = {"ok": "succeeded"}


class Ground:
    """One supervisor for all of them, and how large it was when the first began."""

    def __init__(self, yard: Yard) -> None:
        self.yard = yard
        self.client = yard.client()
        self.client.submit("jobs:add", 1, 1).result(timeout=30)
        self.size = self._size()

    def _size(self) -> int:
        size: int = psutil.Process(self.yard.pid).memory_info().rss
        return size

    def grown(self) -> int:
        return self._size() - self.size

    def strays(self) -> list[str]:
        """Processes of this yard that are neither the supervisor nor a child of it or of a zygote."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if self._is_ours(process) and not self._is_known(process):
                    found.append(f"{process.pid} {process.cmdline()}")
        return found

    def _is_ours(self, process: psutil.Process) -> bool:
        return process.pid != os.getpid() and process.cwd().startswith(str(self.yard.directory))

    def _is_known(self, process: psutil.Process) -> bool:
        parents = [parent.pid for parent in process.parents()[:2]]
        return process.pid == self.yard.pid or self.yard.pid in parents


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    directory = tmp_path_factory.mktemp("ground")
    (directory / "work").mkdir()
    yard = Yard(directory, Path(__file__).parent / "hostile_jobs.py", CONFIG)
    try:
        yard.start()
        yield Ground(yard)
    finally:
        yard.close()


def test_process_that_is_left_would_be_seen(ground: Ground) -> None:
    job = ground.client.submit("jobs:linger")
    wait_for("its daemons", lambda: len(ground.strays()) >= 2)
    job.cancel(grace=0)
    assert job.wait(20) and not ground.strays()


@pytest.mark.tier("T9")
@pytest.mark.parametrize(("job", "args", "outcome"), HOSTILE, ids=[name for name, _, _ in HOSTILE])
def test_hostile_job_hurts_only_itself(ground: Ground, job: str, args: tuple[Any, ...], outcome: str) -> None:
    timeout_s = TIMEOUT_S if outcome == "timeout" else LONG_S
    client = ground.client.options(timeout=timeout_s, grace=GRACE_S, retries=0, on_lost="fail")
    freed_s = FREED_S + (RESTART_MAX_S if outcome == "lost" else 0.0)  # zygotes come after pauses
    if args == ("output",):
        args = (str(ground.yard.path(".jobyard/output")),)
    slowest_s = 0.0
    for _ in range(ROUNDS):
        submitted_at = time.monotonic()
        hostile, following = client.submit(f"jobs:{job}", *args), ground.client.submit("jobs:add", 1, 2)
        assert following.result(timeout=60) == 3, "the slot was freed, and the next job runs"
        slowest_s = max(slowest_s, time.monotonic() - submitted_at - TIMEOUT_S)
        info = hostile.info()
        assert [attempt.outcome for attempt in info.attempts] == [outcome]
        assert info.state == STATES.get(outcome, "failed")
        wait_for("no process to be left", lambda: not ground.strays(), 5.0)
    assert slowest_s <= freed_s
    tiers.report("T9", job, rounds=ROUNDS, outcome=outcome, freed_after_s=round(max(0.0, slowest_s), 3), left=0)


@pytest.mark.tier("T9")
def test_supervisor_has_not_grown_from_all_that(ground: Ground) -> None:
    grown = ground.grown()
    tiers.report("T9", "memory of the supervisor", jobs=ROUNDS * len(HOSTILE), grown_bytes=grown)
    assert grown <= GROWTH_BYTES + ROUNDS * len(HOSTILE) * 20_000  # what is remembered of each
