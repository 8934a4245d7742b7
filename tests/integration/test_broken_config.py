"""A supervisor whose config was broken meanwhile: it is found, asked and stopped all the same."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jobyard.client.guard_lock import last_guarded
from live import Yard, wait_for

MOVED = '[supervisor]\nstate_dir = "moved"\n'
BROKEN = "[queues.mail]\nconcurrency = \n"


@pytest.fixture
def moved(make_yard: Callable[..., Yard]) -> Iterator[Yard]:
    """A yard whose state is where its config says, with a guard in the background."""
    yard = make_yard(start=False)
    yard.config.write_text(yard.config.read_text() + MOVED)
    assert yard.jobctl("up", "-d").returncode == 0
    yield yard
    yard.jobctl("down", "--now")


def test_what_runs_is_seen_cancelled_and_stopped_and_stays_where_a_start_would_fail(moved: Yard) -> None:
    job = moved.jobctl("submit", "jobs:begin_and_sleep", str(moved.path("begun")), "600").stdout.strip()
    wait_for("it to run", moved.path("begun").exists)
    moved.config.write_text(moved.config.read_text() + BROKEN)
    for words in (["status"], ["logs", job], ["cancel", job, "--grace", "0", "--wait"]):
        done = moved.jobctl(*words)
        assert done.returncode == 0, done.stderr
    for verb in ("restart", "reload"):
        done = moved.jobctl(verb)
        assert done.returncode == 2 and "error: not valid TOML" in done.stderr
    assert moved.jobctl("ping").returncode == 0
    done = moved.jobctl("down")
    assert (done.returncode, done.stdout) == (0, "stopped\n"), done.stderr
    done = moved.jobctl("down")
    assert done.returncode == 2 and "error: not valid TOML" in done.stderr


def test_a_guard_that_waits_for_a_better_config_is_stopped(moved: Yard) -> None:
    state_dir = moved.path("moved")
    moved.config.write_text(moved.config.read_text() + BROKEN)
    owner = last_guarded(state_dir)
    assert owner is not None
    os.kill(owner.supervisor, signal.SIGKILL)
    wait_for("a try", lambda: "not valid TOML" in (state_dir / "supervisor.out").read_text())
    (state_dir / "run" / "socket").unlink(missing_ok=True)  # as after a stop in order
    done = moved.jobctl("down")
    assert (done.returncode, done.stdout) == (0, "stopped\n"), done.stderr


def test_down_says_for_whom_it_waits_where_the_supervisor_hangs(moved: Yard) -> None:
    owner = last_guarded(moved.path("moved"))
    assert owner is not None
    os.kill(owner.supervisor, signal.SIGSTOP)
    done = moved.jobctl("down", "--timeout", "2s")
    os.kill(owner.supervisor, signal.SIGCONT)
    assert done.returncode == 124
    assert f"kill -9 {owner.supervisor}" in done.stderr


def test_down_of_another_supervisor_that_is_not_there_leaves_the_one_of_this_config(
    moved: Yard, tmp_path: Path
) -> None:
    done = moved.jobctl("down", "--socket", str(tmp_path / "other" / ".jobyard" / "run" / "socket"))
    assert done.returncode == 3 and "nothing to stop" in done.stderr
    assert moved.jobctl("ping").returncode == 0
