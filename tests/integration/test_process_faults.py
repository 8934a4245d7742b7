"""No room for a process, and processes that are not who they seem: jobs are kept, strangers are left alone."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
import tiers
from jobyard import Job
from jobyard.conf.settings import JournalSettings
from jobyard.supervisor.core import records as r
from jobyard.supervisor.executors.zygote.limits import boot_id
from jobyard.supervisor.executors.zygote.procs import start_time
from jobyard.supervisor.journal.journal import Journal
from live import Yard, wait_for

REFUSED = "cannot make a child"
RECOVERED_S = 5.0 + 3.0  # the second is for a busy machine
FAULTY_FORK = """
import os
real, flag = os.fork, os.path.join(os.getcwd(), "fault")
def fork():
    if os.path.exists(flag):
        number = int(open(flag).read())
        raise OSError(number, os.strerror(number))
    return real()
os.fork = fork
"""


@pytest.fixture
def faulty(make_yard: Callable[..., Yard]) -> Yard:
    """Its zygote cannot fork while there is a file named "fault", with the errno in it."""
    yard = make_yard("[pools.default]\npreload = ['faulty_fork']\nspare_children = 0\n", start=False)
    yard.path("faulty_fork.py").write_text(FAULTY_FORK)
    yard.start()
    yard.zygotes()
    return yard


@pytest.mark.tier("T8")
@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM], ids=["EAGAIN", "ENOMEM"])
def test_job_is_kept_while_nothing_can_be_forked(faulty: Yard, number: int) -> None:
    rounds, slowest_s = tiers.size(2, 250, 2500), 0.0
    for _ in range(rounds):
        with faulty.logging(REFUSED):
            faulty.path("fault").write_text(str(number))
            jobs = faulty.client().submit_many("jobs:add", [(1, 1)] * 5)
        assert {job.state for job in jobs} == {"queued"}
        assert os.strerror(number) in str(faulty.client().status().pools[0].problem)
        faulty.path("fault").unlink()
        slowest_s = max(slowest_s, _time_until_done(jobs))
    assert slowest_s < RECOVERED_S
    tiers.report("T8", os.strerror(number), rounds=rounds, attempts_lost=0, recovered_after_s=round(slowest_s, 3))


@pytest.mark.tier("T8")
def test_job_is_kept_while_its_zygote_has_no_descriptor_left(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard("[pools.default]\nspare_children = 0\n")
    rounds, slowest_s = tiers.size(2, 250, 2500), 0.0
    (zygote,) = yard.zygotes()
    allowed = resource.prlimit(zygote, resource.RLIMIT_NOFILE)
    for _ in range(rounds):
        with yard.logging(REFUSED):
            resource.prlimit(zygote, resource.RLIMIT_NOFILE, (8, allowed[1]))
            jobs = yard.client().submit_many("jobs:add", [(1, 1)] * 5)
        resource.prlimit(zygote, resource.RLIMIT_NOFILE, allowed)
        slowest_s = max(slowest_s, _time_until_done(jobs))
    assert slowest_s < RECOVERED_S
    tiers.report("T8", "EMFILE in the zygote", rounds=rounds, attempts_lost=0, recovered_after_s=round(slowest_s, 3))


def _time_until_done(jobs: list[Job[Any]]) -> float:
    began_at = time.monotonic()
    for job in jobs:
        assert job.result(timeout=20) == 2 and job.info().attempt == 1
    return time.monotonic() - began_at


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


def append(directory: Path, *records: r.Record) -> None:
    """Write records to a journal as the last thing that a supervisor did."""
    recovery = Journal.open(directory, JournalSettings())
    for _ in recovery.groups():
        pass
    journal = recovery.begin()
    ticket = journal.append([msgpack.packb(r.to_wire(record)) for record in records])
    wait_for("the sync", lambda: journal.synced >= ticket)
    journal.close()


@pytest.mark.tier("T19")
@pytest.mark.parametrize("same_boot", [True, False])
def test_process_that_has_the_pid_of_an_old_zygote_is_left_alone(
    make_yard: Callable[..., Yard], bystander: subprocess.Popen[bytes], same_boot: bool
) -> None:
    """A job was running in a zygote and a child whose pids now belong to somebody else."""
    yard = make_yard("[pools.default]\nspare_children = 0\n")
    job = yard.client().submit("jobs:add", 1, 1)
    job.result(timeout=20)
    waiting = yard.client().options(delay=3600).submit("jobs:add", 2, 2)
    yard.kill()
    pid, started = bystander.pid, start_time(bystander.pid)
    boot = boot_id() if same_boot else "another-boot"
    started = started - 1 if same_boot else started
    append(
        yard.path(".jobyard/journal"),
        r.ZygoteStarted("old", "default", pid, started, boot, time.time()),
        r.Promoted([waiting.id]),
        r.Started(waiting.id, 1, time.time(), "old", 1, pid, started),
    )
    assert "pid" in yard.start()
    assert yard.client().get(waiting.id).result(timeout=20) == 4
    info = yard.client().get(waiting.id).info()
    assert [attempt.outcome for attempt in info.attempts] == ["lost", "ok"]
    assert bystander.poll() is None, "it was taken for somebody else"
