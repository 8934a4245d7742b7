"""A real supervisor on a disk that is full, read-only, slow or broken: T4 and T5 of the plan, from end to end."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import jobyard
import psutil
import pytest
import tiers
from jobyard import Client
from jobyard.supervisor.journal.lock import DirectoryLock
from live import Yard, wait_for
from small_disk import SmallDisk, failing_calls, needs_root, needs_strace

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
CONFIG = "[defaults]\ngrace = 0.2\nretries = 0\n[pools.default]\nconcurrency = 4\n[queues.full]\n"
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
        client.options(delay=3600, queue="full").submit("jobs:add", word)
    except REFUSALS:
        return time.monotonic() - began
    return None


def fill_by_submits(client: Client) -> list[int]:
    """Ids of those that were acknowledged, until one is refused."""
    acked: list[int] = []
    while True:
        try:
            acked.append(client.options(delay=3600, queue="full").submit("jobs:add", WORD).id)
        except REFUSALS:
            return acked


# -- a full disk -------------------------------------------------------------------------------------------------------


@dataclass
class Cycle:
    """What became of one time of a full disk, in seconds."""

    refused: list[float] = field(default_factory=list)
    well_again: float = 0.0


def run_full(yard: Yard, gate: Path, fill: Callable[[], object], release: Callable[[], object]) -> Cycle:
    """Jobs that run while the disk is full are recorded, what is new is refused, and it is well again by itself."""
    client, cycle = yard.client(), Cycle()
    running = [client.submit("jobs:hold", str(gate)) for _ in range(3)]
    wait_for("the jobs to run", lambda: all(job.state == "running" for job in running))
    fill()
    wait_for("a refusal", lambda: refused_s(client) is not None)
    for _ in range(10):
        taken = refused_s(client, b"x")
        assert taken is not None
        cycle.refused.append(taken)
    gate.touch()
    assert [job.result(timeout=20) for job in running] == ["held"] * 3
    assert client.status().warnings
    began = time.monotonic()
    release()
    wait_for("it to be well again", lambda: refused_s(client) is None)
    cycle.well_again = time.monotonic() - began
    assert client.status().durable
    yard.restart()
    assert [yard.client().get(job.id).result(timeout=20) for job in running] == ["held"] * 3
    return cycle


def give_up_what_waits(client: Client) -> int:
    client.cancel(queue="full")
    return client.prune(older=0, state="cancelled")


def filled_by_a_file(yard: Yard, disk: SmallDisk, number: int) -> Cycle:
    def fill() -> None:
        disk.fill()
        client = yard.client()
        wait_for("the reserve to be used", lambda: refused_s(client, WORD) is not None)
        disk.fill()

    cycle = run_full(yard, yard.path(f"gate{number}"), fill, disk.release)
    give_up_what_waits(yard.client())
    return cycle


def filled_by_submits(yard: Yard, disk: SmallDisk, number: int) -> Cycle:
    acked: list[int] = []

    def fill() -> None:
        acked.extend(fill_by_submits(yard.client()))
        assert len(acked) * len(WORD) > disk.size / 3

    def release() -> None:
        """Nobody but jobyard itself has taken the space: when the jobs are gone, it gives it back."""
        assert give_up_what_waits(yard.client()) == len(acked)

    cycle = run_full(yard, yard.path(f"gate{number}"), fill, release)
    assert acked
    return cycle


@needs_root
@pytest.mark.tier("T5")
@pytest.mark.timeout(tiers.size(120, 1_800, 9_000))
def test_full_disk_refuses_at_once_records_what_runs_and_is_well_again_when_there_is_room(
    small_yard: Yard, disk: SmallDisk
) -> None:
    cycles = []
    for number in range(tiers.size(2, 20, 100)):
        kind = filled_by_submits if number % 2 else filled_by_a_file
        cycles.append(kind(small_yard, disk, number))
    refused = [taken for cycle in cycles for taken in cycle.refused]
    well = [cycle.well_again for cycle in cycles]
    tiers.report(
        "T5", "a full disk of 64 MiB", cycles=len(cycles), lost=0,
        refused_ms_max=round(max(refused) * 1000, 1), well_again_s_max=round(max(well), 2),
    )  # fmt: skip


@needs_root
def test_supervisor_that_is_killed_while_the_disk_is_full_starts_again_and_has_everything(
    small_yard: Yard, disk: SmallDisk
) -> None:
    yard = small_yard
    acked = fill_by_submits(yard.client())
    disk.fill()
    yard.restart()
    client = yard.client()
    assert {job.id for job in client.list(limit=None)} == set(acked)
    assert refused_s(client) is not None
    assert client.status().warnings
    disk.release()
    wait_for("the journal to go on", lambda: client.status().durable)
    give_up_what_waits(client)
    wait_for("it to be well again", lambda: refused_s(client) is None)
    assert "Traceback" not in yard.log


# -- a disk that cannot be written -------------------------------------------------------------------------------------


@needs_root
def test_read_only_disk_is_named_at_the_start_and_its_journal_can_be_looked_at(
    small_yard: Yard, disk: SmallDisk
) -> None:
    yard = small_yard
    job = yard.client().options(delay=3600).submit("jobs:add", 1)
    yard.stop()
    for process in yard.left():
        process.wait(10)
    disk.read_only(True)
    said = yard.start()
    assert yard.process is not None and yard.process.wait(10) == 5
    assert "Read-only file system" in said["error"]["message"] and str(disk.path) in said["error"]["message"]
    assert (yard.jobctl("journal", "check").returncode, yard.jobctl("journal", "dump").returncode) == (0, 0)
    for verb in ("repair", "compact"):
        refused = yard.jobctl("journal", verb)
        assert (refused.returncode, refused.stdout) == (3, ""), verb
        assert refused.stderr.startswith("error: ") and "Read-only file system" in refused.stderr
    disk.read_only(False)
    assert "pid" in yard.start()
    assert yard.client().get(job.id).state == "scheduled"
    assert "Traceback" not in yard.log


FAULTS = {
    "a sync that fails": "fdatasync:error=EIO",
    "a read-only disk": "pwrite64,openat:error=EROFS",
    "a quota": "pwrite64:error=EDQUOT",
    "a write that fails": "pwrite64:error=EIO",
    "half a disk": "fdatasync:error=EIO:when=1+2",
}
IN_TURN = [*FAULTS] * tiers.size(1, 12, 120)


@needs_strace
@pytest.mark.tier("T4")
@pytest.mark.parametrize("what", IN_TURN[: tiers.size(3, 60, 600)])
def test_broken_disk_refuses_lets_run_what_runs_and_is_well_again_by_itself(
    make_yard: Callable[..., Yard], what: str
) -> None:
    yard = make_yard(CONFIG, JOBS)
    client, gate = yard.client(), yard.path("gate")
    kept = client.options(delay=3600).submit("jobs:add", 1)
    running = client.submit("jobs:hold", str(gate))
    wait_for("the job to run", lambda: running.state == "running")
    with failing_calls(yard.pid, FAULTS[what]):
        wait_for("a refusal", lambda: refused_s(client) is not None)
        wait_for("word of it", lambda: not client.status().durable)
        gate.touch()
        wait_for("the end to be seen", lambda: running.info().state == "succeeded")
    wait_for("it to be well again", lambda: refused_s(client) is None)
    assert running.result(timeout=20) == "held"
    yard.restart()
    again = yard.client()
    assert (again.get(kept.id).state, again.get(running.id).result(timeout=20)) == ("scheduled", "held")
    assert "Traceback" not in yard.log
    tiers.report("T4", f"end to end: {what}", faults=1, lost=0, stuck=0)


# -- a slow disk -------------------------------------------------------------------------------------------------------


@needs_strace
def test_slow_disk_holds_up_neither_status_nor_kills_nor_the_recording_of_ends(make_yard: Callable[..., Yard]) -> None:
    """While one sync takes many seconds the loop goes on."""
    yard = make_yard(CONFIG, JOBS)
    client, path = yard.client(timeout=60), yard.path("pid")
    job = client.submit("jobs:pid", str(path))
    pid = int(wait_for("the job to run", lambda: path.exists() and path.read_text()))
    with failing_calls(yard.pid, "fdatasync:delay_enter=8000000"):
        cancelling = threading.Thread(target=job.cancel)
        cancelling.start()
        wait_for("its process to be gone", lambda: not psutil.pid_exists(pid))
        assert cancelling.is_alive(), "the wish is not on disk yet"
        slow = wait_for("word of it", lambda: [text for text in yard.client().status().warnings if "slow" in text])
        assert "one sync has taken" in slow[0]
        assert cancelling.is_alive(), "status has waited for the disk"
    cancelling.join()
    assert job.wait(30)
    assert job.state == "cancelled"
    assert client.status().warnings == []


# -- compact -----------------------------------------------------------------------------------------------------------


def test_compact_while_jobs_are_submitted_and_run_loses_none(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard(CONFIG, JOBS)
    client, stop = yard.client(timeout=60), threading.Event()
    acked: list[int] = []

    def load() -> None:
        while not stop.is_set():
            job = client.submit("jobs:add", len(acked))
            acked.append(job.id)
            job.wait()

    thread = threading.Thread(target=load)
    thread.start()
    try:
        told = []
        for count in (20, 40, 60):
            wait_for("jobs", lambda count=count: len(acked) > count)
            done = yard.jobctl("journal", "compact", "--json")
            assert done.returncode == 0, done.stderr
            told.append(json.loads(done.stdout))
    finally:
        stop.set()
        thread.join()
    assert [one["trouble"] for one in told] == [None] * 3
    assert [one["upto"] for one in told] == [1, 2, 3]
    yard.restart()
    client = yard.client(timeout=60)
    wait_for("all to have run", lambda: client.status().counts["succeeded"] == len(acked), 60)
    assert [client.get(one).result() for one in acked] == list(range(len(acked)))


def test_compact_without_a_supervisor_does_the_same_and_only_for_one_at_a_time(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard(CONFIG, JOBS)
    client = yard.client()
    jobs = [client.submit("jobs:add", number) for number in range(30)]
    assert [job.result(timeout=20) for job in jobs] == list(range(30))
    yard.stop()
    done = yard.jobctl("journal", "compact")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("compacted: ") and "30 jobs went into the history" in done.stdout
    assert yard.jobctl("journal", "check").stdout == "ok: a snapshot, 1 segment, 0 records\n"
    with DirectoryLock(yard.path(".jobyard")):
        busy = yard.jobctl("journal", "compact")
    assert (busy.returncode, busy.stdout) == (3, "")
    assert f"in use by process {os.getpid()}" in busy.stderr
    yard.start()
    assert [yard.client().get(job.id).result() for job in jobs] == list(range(30))


def test_compact_of_a_damaged_or_absent_journal_says_so(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard(CONFIG, JOBS)
    for number in range(5):
        yard.client().submit("jobs:add", number).wait(20)
    yard.stop()
    segment = yard.segment()
    content = bytearray(segment.read_bytes())
    content[len(content) // 3] ^= 1
    segment.write_bytes(content)
    damaged = yard.jobctl("journal", "compact")
    assert (damaged.returncode, damaged.stdout) == (2, "")
    assert "the journal is damaged" in damaged.stderr and "jobctl journal repair" in damaged.stderr
    assert segment.read_bytes() == content
    for file in segment.parent.iterdir():
        file.unlink()
    absent = yard.jobctl("journal", "compact")
    assert (absent.returncode, absent.stdout) == (3, "")
    assert absent.stderr == f"error: there is no journal in {segment.parent}\n"
