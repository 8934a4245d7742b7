"""kill -9 of each process at bad moments: nothing acknowledged is lost, and no two attempts of a job overlap."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable

import jobyard
import psutil
import pytest
from jobyard import Retry
from live import Yard, overlaps, read_ledger, wait_for

FAST = "[pools.default]\nconcurrency = 4\n[limits]\nlosses = 1000\n"


def run_marks(yard: Yard, count: int, killed_at: list[int]) -> None:
    """All of the marks must be in the ledger, none of them twice at the same time."""
    client = yard.client(timeout=60)
    wait_for("all jobs to be done", lambda: client.status().counts["succeeded"] >= count, 90)
    ledger = read_ledger(yard.path("ledger"))
    begun = {ident for ident, what, _ in ledger if what == "begin"}
    assert begun == {str(number) for number in range(count)}
    assert overlaps(ledger, killed_at) == []


def test_supervisor_killed_right_after_a_thousand_acknowledgements_loses_none(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard(FAST)
    client, path = yard.client(), str(yard.path("ledger"))
    for number in range(1000):
        client.submit("jobs:ledger", path, str(number))
    run_marks(yard, 1000, [yard.restart()])


def test_waiting_for_a_result_goes_on_over_a_restart(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard()
    job = yard.client(timeout=60).options(delay=1.0).submit("jobs:add", 1, 2)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(job.result(timeout=60)))
    thread.start()
    yard.restart()
    thread.join()
    assert answers == [3]


def test_killed_zygote_takes_its_jobs_along_and_they_run_again(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard()
    path = str(yard.path("ledger"))
    job = yard.client().submit("jobs:ledger", path, "0", 1.0)
    wait_for("the job runs", lambda: read_ledger(yard.path("ledger")))
    (zygote,) = yard.zygotes()
    os.kill(zygote, signal.SIGKILL)
    killed = time.monotonic_ns()
    assert job.result(timeout=30) == "0"
    assert [info.outcome for info in job.info().attempts] == ["lost", "ok"]
    assert overlaps(read_ledger(yard.path("ledger")), [killed]) == []
    assert yard.zygotes() != [zygote]


def test_restart_after_a_kill_logs_what_is_taken_over_and_removes_a_dead_zygote_s_socket(yard: Yard) -> None:
    (zygote,) = yard.zygotes()
    job = yard.client().submit("jobs:sleep", 1.0)
    wait_for("the job runs", lambda: job.state == "running")
    yard.restart()
    assert f"zygote {zygote} of pool default is taken over; running jobs: 1" in yard.log
    assert yard.client().get(job.id).result(timeout=20) == 1.0
    yard.kill()
    os.kill(zygote, signal.SIGKILL)
    yard.start()
    assert yard.zygotes() != [zygote]
    assert [path.name[:2] for path in sorted(yard.path(".jobyard/run").iterdir())] == ["ev", "sc", "so", "z-"]


def test_killed_child_is_a_crash_with_its_signal_and_is_retried(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard()
    job = yard.client().options(retry=Retry(max_attempts=2, delay=0)).submit("jobs:sleep", 1.0)
    wait_for("the job runs", lambda: job.state == "running")
    os.kill(job.info().attempts[0].pid, signal.SIGKILL)
    assert job.result(timeout=20) == 1.0
    first = job.info().attempts[0]
    assert (first.outcome, first.signal) == ("signalled", "SIGKILL")


def test_retry_that_waits_keeps_its_time_over_a_restart(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard()
    client = yard.client()
    job = client.options(retry=Retry(max_attempts=2, delay=600)).submit("jobs:fail")
    wait_for("the first attempt to fail", lambda: job.state == "scheduled")
    due = job.info().run_at
    yard.restart()
    info = yard.client().get(job.id).info()
    assert (info.state, info.run_at) == ("scheduled", due)


def test_everything_killed_at_once_comes_back(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard(FAST)
    client, path = yard.client(), str(yard.path("ledger"))
    for number in range(50):
        client.submit("jobs:ledger", path, str(number), 0.05)
    for process in [*yard.left()]:
        with contextlib.suppress(psutil.NoSuchProcess):  # with the others
            process.kill()
    run_marks(yard, 50, [yard.restart()])


def test_stop_lets_a_running_job_finish_and_keeps_the_waiting_ones(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard("[pools.default]\nconcurrency = 1\n")
    client = yard.client()
    running, waiting = client.submit("jobs:sleep", 0.5), client.submit("jobs:add", 1, 2)
    wait_for("the first runs", lambda: running.state == "running")
    client.stop()
    assert yard.process is not None
    assert yard.process.wait(20) == 0
    assert yard.start()["pid"]
    again = yard.client()
    assert again.get(running.id).info().state == "succeeded"
    assert again.get(waiting.id).result(timeout=20) == 3


def test_stop_now_ends_a_running_job_which_runs_again_later(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard("[defaults]\ngrace = 0.2\n")
    client, path = yard.client(), yard.path("ledger")
    job = client.submit("jobs:ledger", str(path), "0", 1.0)
    wait_for("the job runs", lambda: read_ledger(path))
    client.stop(now=True)
    assert yard.process is not None
    assert yard.process.wait(20) == 0
    yard.start()
    info = yard.client().get(job.id)
    assert info.result(timeout=20) == "0"
    assert info.info().attempt == 2


def test_second_supervisor_is_refused_and_the_first_goes_on(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard()
    first = yard.process
    said = yard.start()
    assert yard.process is not None
    assert (said["error"]["code"], yard.process.wait(10)) == ("already_locked", 5)
    assert str(first.pid) in said["error"]["message"] if first else False
    yard.process = first
    assert yard.client().submit("jobs:add", 1, 2).result(timeout=20) == 3


def test_damaged_journal_is_refused_with_file_place_and_what_to_do(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard()
    client = yard.client()
    for number in range(20):
        client.submit("jobs:add", number)
    yard.kill()
    segment = yard.segment()
    data = bytearray(segment.read_bytes())
    data[len(data.rstrip(b"\0")) // 3] ^= 0xFF
    segment.write_bytes(data)
    said = yard.start()
    assert yard.process is not None
    assert yard.process.wait(10) == 6
    assert segment.name in said["error"]["message"]
    assert said["error"]["hint"]


@pytest.mark.parametrize("rounds", [3])
def test_wait_of_many_is_answered_when_the_last_is_done(make_yard: Callable[..., Yard], rounds: int) -> None:
    yard = make_yard()
    client = yard.client()
    for _ in range(rounds):
        jobs = [client.submit("jobs:add", number, 1) for number in range(5)]
        done, not_done = jobyard.wait(jobs, timeout=20)
        assert (len(done), len(not_done)) == (5, 0)


def test_zygote_that_hangs_does_not_keep_a_cancelled_job_in_its_slot(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard("[pools.default]\nconcurrency = 1\n")
    job = yard.client().options(grace=0).submit("jobs:sleep", 600)
    wait_for("the job runs", lambda: job.state == "running")
    (zygote,) = yard.zygotes()
    os.kill(zygote, signal.SIGSTOP)
    job.cancel()
    assert job.wait(timeout=40)
    assert job.state == "cancelled"
    assert yard.client().submit("jobs:add", 1, 2).result(timeout=20) == 3
    assert "did not answer" in yard.log
