"""Supervisors that jobctl replaces, stops and starts while jobs run."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
import tiers
from jobyard.client import guard_lock
from jobyard.client.processes import Process
from live import MakeYard, Yard, lives, wait_for
from sleepers import WIDE, attempts, begun, sleepers


@pytest.fixture
def guarded(make_yard: MakeYard) -> Iterator[Yard]:
    """A yard whose supervisor has a guard."""
    yard = make_yard(WIDE, start=False)
    assert yard.jobctl("up", "-d").returncode == 0
    yield yard
    yard.jobctl("down", "--now")


def test_restart_under_submits_from_four_clients_shows_no_client_an_error(guarded: Yard) -> None:
    yard = guarded
    (job,) = sleepers(yard, 1)
    stop, errors = threading.Event(), []
    acked: list[int] = []

    def load() -> None:
        client = yard.client(timeout=30)
        while not stop.is_set():
            try:
                acked.append(client.submit("jobs:add", 1, 2).id)
            except Exception as error:
                errors.append(error)
                return

    def wait_for_submits(count: int) -> None:
        wait_for("more submits", lambda: len(acked) > count)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    before = yard.client().status().pid
    try:
        for _ in range(tiers.size(2, 10, 50)):
            wait_for_submits(len(acked) + 50)
            done = yard.jobctl("restart", "--json")
            assert done.returncode == 0, done.stderr
            told = json.loads(done.stdout)
            assert told["former_pid"] == before and told["pid"] != before and told["running"] >= 1
            before = told["pid"]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert errors == []
    client = yard.client(timeout=60)
    assert len(set(acked)) == len(acked)
    wait_for("all to be done", lambda: client.status().counts["succeeded"] == len(acked), 60)
    assert client.status().counts["running"] == 1
    assert [attempt.outcome for attempt in attempts(yard, job)] == [None]
    tiers.report("T1", "jobctl restart under submits", submits=len(acked), errors=0, repeated=0, lost=0)


def test_restart_refuses_a_config_with_mistakes_and_the_supervisor_stays(guarded: Yard) -> None:
    pid = guarded.client().status().pid
    good = guarded.config.read_text()
    guarded.config.write_text(good + "colour = 'red'\n")
    done = guarded.jobctl("restart")
    assert done.returncode == 2 and "colour" in done.stderr
    guarded.config.write_text(good)
    assert guarded.client().status().pid == pid


def test_restart_of_a_supervisor_without_a_guard_says_what_else_to_do(yard: Yard) -> None:
    done = yard.jobctl("restart")
    assert done.returncode == 6
    assert str(yard.pid) in done.stderr and "jobctl down --keep" in done.stderr
    assert yard.client().status().pid == yard.pid


def test_down_keep_leaves_jobs_for_the_next_up(guarded: Yard) -> None:
    (job,) = sleepers(guarded, 1)
    ((_, _, pid),) = begun(guarded)
    done = guarded.jobctl("down", "--keep")
    assert (done.returncode, done.stdout) == (0, "stopped; 1 running job left for the next jobctl up\n")
    assert lives(pid)
    assert guarded.jobctl("status").returncode == 3
    assert guarded.jobctl("up", "-d").returncode == 0
    assert guarded.client().get(job.id).state == "running"
    assert guarded.jobctl("down", "--keep").returncode == 0
    fenced = guarded.jobctl("up", "-d", "--fence")
    assert fenced.returncode == 0, fenced.stderr
    assert not lives(pid)


@pytest.mark.parametrize("late_s", [0.0, 0.3, 0.45])
def test_stop_that_comes_in_the_pause_or_in_the_start_after_a_crash_ends_what_runs(
    guarded: Yard, late_s: float
) -> None:
    sleepers(guarded, 1)
    ((_, _, pid),) = begun(guarded)
    owner = guard_lock.guarded(guarded.path(".jobyard"))
    assert owner is not None
    os.kill(owner.supervisor, signal.SIGKILL)
    wait_for("its death", lambda: not lives(owner.supervisor))
    time.sleep(late_s)  # the pause takes 0.2 s, and the next one begins then
    os.kill(owner.guard, signal.SIGTERM)
    with Process(owner.guard) as guard:
        assert guard.ended(30)
    assert not lives(pid)
    assert "Traceback" not in guarded.path(".jobyard/supervisor.out").read_text()


def test_fence_holds_for_one_start_alone(guarded: Yard) -> None:
    guarded.jobctl("down", "--keep")
    assert guarded.jobctl("up", "-d", "--fence").returncode == 0
    (job,) = sleepers(guarded, 1)
    pid = guarded.client().status().pid
    os.kill(pid, signal.SIGKILL)
    wait_for("the next supervisor", lambda: guarded.client().status().pid != pid)
    assert [attempt.outcome for attempt in attempts(guarded, job)] == [None]
