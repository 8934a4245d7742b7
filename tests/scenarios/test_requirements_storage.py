"""What jobs are stored in, and what a full disk does to those that wait, run or are stopped."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import jobyard
import psutil
import pytest
from live import Yard, wait_for
from shops import Shop


def fill_disk(yard: Yard, *, room: bool = False) -> None:
    """The disk is made full for the supervisor alone, by a limit on the size of its files; or has room again."""
    used = len(yard.segment().read_bytes().rstrip(b"\0"))
    limit = resource.RLIM_INFINITY if room else used + 600
    resource.prlimit(yard.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    if not room:
        wait_for("the disk to be full", lambda: refuses(yard.client()))


def refuses(client: jobyard.Client) -> bool:
    try:
        client.submit("jobs:ExampleJob.handle")
    except (jobyard.StorageUnavailable, jobyard.OutcomeUnknown):
        return client.status().durable is False
    return False


def test_yard_at_work_is_made_of_its_own_processes_alone_and_listens_on_no_port(make_shop: Shop) -> None:
    yard = make_shop()
    yard.client().submit("jobs:ExampleJob.handle").result(timeout=20)
    processes = [psutil.Process(yard.pid), *yard.left()]
    assert len(processes) >= 2
    assert {Path(process.exe()).resolve() for process in processes} == {Path(sys.executable).resolve()}
    assert [found for process in processes for found in process.net_connections("inet")] == []


def test_submitted_job_is_on_disk_when_submit_returns(make_shop: Shop) -> None:
    yard = make_shop()
    job = yard.client().options(delay=600).submit("jobs:ExampleJob.handle", "kept")
    assert b"kept" in yard.segment().read_bytes()
    yard.restart()
    assert yard.client().get(job.id).info().args == ("kept",)


def test_job_that_is_due_while_the_disk_is_full_starts_when_there_is_room(make_shop: Shop) -> None:
    yard = make_shop()
    client, path = yard.client(), yard.path("pid")
    job = client.options(delay=1.0).submit("jobs:hold", str(path), 0)
    fill_disk(yard)
    wait_for("its time to come", lambda: job.info().state != "scheduled")
    assert not path.exists()
    fill_disk(yard, room=True)
    assert job.result(timeout=20)
    assert path.exists()


def test_time_limit_holds_and_a_cancel_is_refused_while_the_disk_is_full(make_shop: Shop) -> None:
    yard = make_shop("[defaults]\ngrace = 0.2\nretries = 0\n")
    client, path = yard.client(), yard.path("pid")
    job = client.options(timeout=2.0).submit("jobs:hold", str(path), 600)
    pid = int(wait_for("the job to run", lambda: path.exists() and path.read_text()))
    fill_disk(yard)
    with pytest.raises(jobyard.StorageUnavailable):
        job.cancel()
    wait_for("its process to be gone", lambda: not psutil.pid_exists(pid))
    assert client.status().durable is False
    fill_disk(yard, room=True)
    assert isinstance(job.exception(timeout=20), jobyard.JobTimedOut)
