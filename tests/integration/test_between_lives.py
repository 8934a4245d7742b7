"""A guard whose supervisor is down: what it does about it, and what those who ask meanwhile are told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import psutil
import pytest
from jobyard.client.guard_lock import OUTPUT_NAME, Guarded, last_guarded
from live import Yard, wait_for


@pytest.fixture
def guarded(make_yard: Callable[..., Yard]) -> Iterator[Yard]:
    """A yard whose supervisor has a guard in the background."""
    yard = make_yard(start=False)
    assert jobctl(yard, "up", "-d").wait() == 0
    yield yard
    os.kill(owner(yard).guard, signal.SIGCONT)
    jobctl(yard, "down", "--now").wait()


def jobctl(yard: Yard, *words: str) -> subprocess.Popen[str]:
    """It writes both of its streams into the file ``jobctl.out``."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    with yard.path("jobctl.out").open("a") as out:
        command = [sys.executable, "-m", "jobyard", "--config", str(yard.config), *words]
        return subprocess.Popen(command, stdout=out, stderr=out, cwd=yard.directory, env=environment)


def said(yard: Yard) -> str:
    """What jobctl has said since the last look."""
    text = yard.path("jobctl.out").read_text()
    yard.path("jobctl.out").write_text("")
    return text


def owner(yard: Yard) -> Guarded:
    found = last_guarded(yard.path(".jobyard"))
    assert found is not None
    return found


def kill_supervisor(yard: Yard) -> int:
    pid = owner(yard).supervisor
    os.kill(pid, signal.SIGKILL)
    wait_for("its end", lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    return pid


def test_config_that_is_broken_at_a_crash_is_tried_until_it_is_mended(guarded: Yard) -> None:
    job = guarded.client().submit("jobs:begin_and_sleep", str(guarded.path("begun")), 600)
    wait_for("it to run", guarded.path("begun").exists)
    good, output = guarded.config.read_text(), guarded.path(".jobyard") / OUTPUT_NAME
    guarded.config.write_text(good + "colour = [")
    former = kill_supervisor(guarded)
    wait_for("the second try", lambda: output.read_text().count("starting it again") >= 2)
    assert "error: not valid TOML" in output.read_text()
    assert jobctl(guarded, "up", "-d").wait() == 2, "a first start with this config fails at once"
    guarded.config.write_text(good)
    client = guarded.client(timeout=60)
    assert client.status().pid != former
    assert [attempt.outcome for attempt in client.get(job.id).info().attempts] == [None], "it was taken over"


def test_who_asks_between_two_lives_is_told_that_there_will_be_another(guarded: Yard) -> None:
    guard = owner(guarded).guard
    os.kill(guard, signal.SIGSTOP)
    kill_supervisor(guarded)
    said(guarded)
    assert jobctl(guarded, "status").wait() == 3
    told = said(guarded)
    assert f"its jobctl up (pid {guard}) starts another supervisor" in told and f"/{OUTPUT_NAME}" in told
    assert jobctl(guarded, "up", "-d").wait() == 5
    assert f"its jobctl up (pid {guard}) starts another supervisor" in said(guarded)


def test_restarts_at_the_same_time_all_end_with_a_new_supervisor(guarded: Yard) -> None:
    former = owner(guarded).supervisor
    restarts = [jobctl(guarded, "restart") for _ in range(3)]
    assert [one.wait() for one in restarts] == [0, 0, 0], said(guarded)
    assert guarded.client().status().pid not in (former, None)


def test_restart_waits_for_a_supervisor_that_is_on_its_way(guarded: Yard) -> None:
    """Longer than a request does."""
    guard = owner(guarded).guard
    os.kill(guard, signal.SIGSTOP)
    former = kill_supervisor(guarded)
    restart = jobctl(guarded, "restart")
    with pytest.raises(subprocess.TimeoutExpired):
        restart.wait(7)
    os.kill(guard, signal.SIGCONT)
    assert restart.wait() == 0, said(guarded)
    assert f"in the place of {former}" not in said(guarded), "that one was not restarted but had died"
