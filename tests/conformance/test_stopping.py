"""Cancel, timeouts, grace and escalation: the slot is always freed, and nobody else is hit."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from yard import Attempt, Yard, is_alive

SLACK_S = 3.0  # for a busy machine


def began(yard: Yard, path: Path, function: str, *args: Any, **options: Any) -> Attempt:
    attempt = yard.begin(function, str(path), *args, options=options)
    yard.wait(lambda: path.exists() and path.read_text(), f"{function} to begin")
    return attempt


def assert_stopped(attempt: Attempt, kind: str) -> None:
    assert attempt.exit is not None and attempt.exit.killed == kind and attempt.exit.survivors == 0
    assert attempt.end is not None and attempt.end.kind == "stopped", attempt
    assert attempt.exit.exit_code == 0


def assert_killed(attempt: Attempt, kind: str) -> None:
    assert attempt.exit is not None and attempt.exit.killed == kind and attempt.exit.survivors == 0
    assert attempt.exit.signal == "SIGKILL" and attempt.end is None, attempt
    assert not is_alive(attempt.child.pid)


def test_cancel_lets_the_job_unwind_and_tells_it_why(yard: Yard, tmp_path: Path) -> None:
    path = tmp_path / "marks"
    attempt = began(yard, path, "unwind")
    yard.kill(attempt, "cancel", reason="not wanted any more")
    assert_stopped(yard.finish(attempt), "cancel")
    assert path.read_text().splitlines() == ["began", "unwound: not wanted any more, cancelled: True", "finally"]


def test_cancel_of_an_async_job_cancels_its_task(yard: Yard, tmp_path: Path) -> None:
    path = tmp_path / "marks"
    attempt = began(yard, path, "async_unwind")
    yard.kill(attempt, "stop")
    assert_stopped(yard.finish(attempt), "stop")
    assert path.read_text().splitlines() == ["began", "finally"]


def test_job_that_asks_learns_that_it_was_cancelled(yard: Yard, tmp_path: Path) -> None:
    attempt = began(yard, tmp_path / "marks", "ask_whether_cancelled")
    yard.kill(attempt)
    assert_stopped(yard.finish(attempt), "cancel")


def test_job_that_swallows_the_request_is_killed_after_grace(yard: Yard, tmp_path: Path) -> None:
    path = tmp_path / "marks"
    attempt = began(yard, path, "swallow")
    asked_at = time.monotonic()
    yard.kill(attempt, grace_s=0.5)
    assert_killed(yard.finish(attempt), "cancel")
    assert 0.5 <= time.monotonic() - asked_at < 0.5 + SLACK_S
    assert "swallowed" in path.read_text()


def test_job_that_ends_well_within_grace_has_succeeded(yard: Yard, tmp_path: Path) -> None:
    attempt = began(yard, tmp_path / "marks", "swallow", 0.1)
    yard.kill(attempt)
    assert yard.finish(attempt).value == "went on"
    assert attempt.exit is not None and attempt.exit.killed == "cancel"


def test_job_that_holds_the_gil_and_ignores_sigterm_is_killed(yard: Yard) -> None:
    attempt = yard.begin("hold_the_gil", options={"timeout_s": 0.5, "grace_s": 0.3})
    assert_killed(yard.finish(attempt), "timeout")


def test_kill_without_grace_is_immediate(yard: Yard, tmp_path: Path) -> None:
    path = tmp_path / "marks"
    attempt = began(yard, path, "unwind")
    yard.kill(attempt, grace_s=0.0)
    assert_killed(yard.finish(attempt), "cancel")
    assert path.read_text() == "began\n"


def test_shorter_grace_wins_and_longer_does_not(yard: Yard, tmp_path: Path) -> None:
    path = tmp_path / "marks"
    attempt = began(yard, path, "swallow")
    yard.kill(attempt, grace_s=60.0)
    yard.wait_for_text(path, "swallowed")
    yard.kill(attempt, "stop", grace_s=0.2)
    yard.kill(attempt, grace_s=60.0)
    assert_killed(yard.finish(attempt), "cancel")


def test_kill_right_after_go_ends_the_job(yard: Yard) -> None:
    attempt = yard.begin("sleep", 60)
    yard.kill(attempt)
    assert_stopped(yard.finish(attempt), "cancel")


def test_timeout_stops_the_job(yard: Yard, tmp_path: Path) -> None:
    path = tmp_path / "marks"
    attempt = began(yard, path, "unwind", timeout_s=0.5, grace_s=10.0)
    assert_stopped(yard.finish(attempt), "timeout")
    assert "timeout of 0.5 s" in path.read_text()


def test_timeout_holds_for_a_stopped_process(yard: Yard, tmp_path: Path) -> None:
    path = tmp_path / "marks"
    attempt = began(yard, path, "stop_self", timeout_s=0.5, grace_s=10.0)
    assert_stopped(yard.finish(attempt), "timeout")


def test_job_that_is_done_in_time_is_not_stopped(yard: Yard) -> None:
    attempt = yard.run("sleep", 0.05, options={"timeout_s": 20.0, "soft_timeout_s": 10.0, "stall_timeout_s": 10.0})
    assert attempt.value == "slept" and attempt.exit is not None and attempt.exit.killed is None


def test_timeout_may_be_farther_away_than_the_system_can_be_told(yard: Yard) -> None:
    century_s = 100 * 365 * 86400.0
    options = {"timeout_s": century_s, "soft_timeout_s": century_s, "stall_timeout_s": century_s}
    assert yard.run("sleep", 0.2, options=options).value == "slept"
    assert yard.gone is None


def test_soft_timeout_lets_the_job_save_its_work(yard: Yard, tmp_path: Path) -> None:
    path = tmp_path / "marks"
    attempt = began(yard, path, "soften", soft_timeout_s=0.3)
    assert yard.finish(attempt).value == "saved"
    assert attempt.exit is not None and attempt.exit.killed is None
    assert "soft timeout of 0.3 s" in path.read_text()


@pytest.mark.parametrize("function", ["sleep", "async_unwind"])
def test_soft_timeout_that_escapes_is_an_error(yard: Yard, tmp_path: Path, function: str) -> None:
    args = (60,) if function == "sleep" else (str(tmp_path / "marks"),)
    attempt = yard.run(function, *args, options={"soft_timeout_s": 0.3})
    assert attempt.end is not None and attempt.end.kind == "error" and attempt.end.error is not None
    assert attempt.end.error.type == "jobyard.protocol.errors.SoftTimeout"
    assert attempt.exit is not None and attempt.exit.killed is None


def test_hard_timeout_follows_a_soft_one_that_was_swallowed(yard: Yard, tmp_path: Path) -> None:
    options = {"soft_timeout_s": 0.2, "timeout_s": 0.6, "grace_s": 10.0}
    attempt = yard.run("sleep_through_soft", options=options)
    assert_stopped(attempt, "timeout")


def test_job_without_sign_of_life_is_stopped(yard: Yard) -> None:
    began_at = time.monotonic()
    attempt = yard.run("beat", 5, 0.2, options={"stall_timeout_s": 0.6, "grace_s": 10.0})
    assert_stopped(attempt, "stall")
    assert time.monotonic() - began_at >= 0.8 + 0.6, "each beat has put it off"


def test_sigterm_from_outside_lets_the_job_unwind(yard: Yard, tmp_path: Path) -> None:
    path = tmp_path / "marks"
    attempt = began(yard, path, "unwind")
    os.kill(attempt.child.pid, signal.SIGTERM)
    yard.finish(attempt)
    assert attempt.exit is not None and attempt.exit.killed is None
    assert attempt.end is not None and attempt.end.kind == "stopped"
    assert "received SIGTERM" in path.read_text()


def with_daemons(yard: Yard, path: Path) -> Attempt:
    """A job that waits; the pids of its daemons are in the file."""
    attempt = began(yard, path, "daemons", "wait")
    yard.wait(lambda: path.read_text().count("\n") == 3, "its daemons")
    return attempt


def test_whole_tree_is_killed_and_nobody_else(yard: Yard, tmp_path: Path) -> None:
    others = []
    for number in range(2):
        path = tmp_path / f"other{number}"
        other = with_daemons(yard, path)
        others.append((other, path))
    for number in range(3):
        path = tmp_path / f"victim{number}"
        victim = with_daemons(yard, path)
        yard.kill(victim, grace_s=0.0)
        assert_killed(yard.finish(victim), "cancel")
        assert not [pid for pid in map(int, path.read_text().split()[:2]) if is_alive(pid)]
    for other, path in others:
        assert other.exit is None and is_alive(other.child.pid)
        assert all(is_alive(pid) for pid in map(int, path.read_text().split()[:2]))


def test_fork_bomb_is_killed(yard: Yard, tmp_path: Path) -> None:
    # Where no zygote inherits what a job leaves behind, the job must not end by itself first: it is not asked to.
    grace_s = 0.2 if yard.kind == "zygote" else 0.0
    attempt = began(yard, tmp_path / "marks", "fork_bomb")
    yard.kill(attempt, grace_s=grace_s)
    asked_at = time.monotonic()
    yard.finish(attempt)
    assert attempt.exit is not None and attempt.exit.killed == "cancel" and attempt.exit.survivors == 0
    assert time.monotonic() - asked_at < grace_s + 1 + SLACK_S
    assert [pid for pid in yard.marked() if pid not in known_pids(yard)] == []


def known_pids(yard: Yard) -> set[int]:
    """The zygote, its log writer, and the children that wait."""
    parents = {yard.up.pid} if yard.up else set()
    return parents | {pid for pid in yard.marked() if int(parent_of(pid)) in parents}


def parent_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
    except (FileNotFoundError, ProcessLookupError):
        return "0"
