"""The guard, with a small program in the supervisor's place: what is started again, what not, what is passed on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jobyard.client.cli import guard, guard_lock
from jobyard.client.cli.guard_lock import AlreadyGuarded, Guarded, GuardLock, guarded
from jobyard.client.cli.processes import Process

DEADLINE_S = 20.0

# Takes the next line of the plan at each life: what to say on the ready descriptor, and how to end.
SUPERVISOR = """
import json, os, signal, sys
plan, lives = sys.argv[1], sys.argv[2]
fd = int(sys.argv[sys.argv.index("--ready-fd") + 1])
with open(lives, "a+") as file:
    file.seek(0)
    life = len(file.read().splitlines())
    steps = open(plan).read().splitlines()[life].split()
    watched = (signal.SIGTERM, signal.SIGHUP)
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    file.write(f"{os.getpid()} {os.getsid(0)}\\n")
for step in steps:
    word, _, value = step.partition(":")
    if word == "ready":
        os.write(fd, json.dumps({"pid": os.getpid(), "socket": "/s"}).encode() + b"\\n")
    elif word == "error":
        error = {"code": "invalid_config", "message": value, "hint": "", "details": {}}
        os.write(fd, json.dumps({"error": error}).encode() + b"\\n")
    elif word == "junk":
        os.write(fd, b"\\xff{not json\\n")
    elif word == "close":
        os.close(fd)
    elif word == "exit":
        sys.exit(int(value))
    elif word == "die":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, watched)
        os.kill(os.getpid(), int(value))
    elif word == "wait":
        number = signal.sigwait(watched)
        with open(lives + ".signals", "a") as file:
            file.write(f"{int(number)}\\n")
"""


class Guarding:
    """A guard as a process, over a plan of lives."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.lives_file = directory / "lives"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *plan: str) -> dict[str, Any]:
        """Start it and return the first thing it reports."""
        (self.directory / "supervisor.py").write_text(SUPERVISOR)
        (self.directory / "plan").write_text("\n".join(plan))
        reader, writer = os.pipe()
        command = [sys.executable, self.directory / "supervisor.py", self.directory / "plan", self.lives_file]
        lock = self.directory / guard_lock.FILE_NAME
        with open(self.directory / "err", "wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", guard.__name__, "--ready-fd", str(writer), "--lock", lock, "--", *command],
                pass_fds=[writer],
                stderr=err,
                start_new_session=True,
            )
        os.close(writer)
        with open(reader, "rb") as said:
            line = said.readline()
        return json.loads(line) if line else {}

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(DEADLINE_S)

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    @property
    def lives(self) -> list[list[int]]:
        """Pid and session of every supervisor that was started."""
        if not self.lives_file.exists():
            return []
        return [[int(word) for word in line.split()] for line in self.lives_file.read_text().splitlines()]

    @property
    def err(self) -> str:
        return (self.directory / "err").read_text()

    def signals(self) -> list[int]:
        file = Path(f"{self.lives_file}.signals")
        return [int(line) for line in file.read_text().splitlines()] if file.exists() else []

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid, _ in self.lives:
            with Process(pid) as left:
                if not left.ended(0):
                    os.kill(pid, signal.SIGKILL)


@pytest.fixture
def guarding(tmp_path: Path) -> Iterator[Guarding]:
    made = Guarding(tmp_path)
    yield made
    made.close()


def until(observe: Callable[[], Any], wanted: Any) -> None:
    """Wait for an observation; the last one is in the failure."""
    end = time.monotonic() + DEADLINE_S
    while (seen := observe()) != wanted:
        assert time.monotonic() < end, f"still {seen!r}, not {wanted!r}"
        time.sleep(0.01)


@pytest.mark.parametrize("code", [0, 2, 5])
def test_a_supervisor_that_ended_by_itself_is_not_started_again(guarding: Guarding, code: int) -> None:
    said = guarding.start(f"ready exit:{code}")
    assert said == {"pid": guarding.lives[0][0], "socket": "/s"}
    assert guarding.wait() == code
    assert len(guarding.lives) == 1


def test_a_supervisor_that_gave_up_is_not_started_again_and_its_error_is_passed_on(guarding: Guarding) -> None:
    said = guarding.start("error:damaged exit:6")
    assert said["error"]["message"] == "damaged"
    assert guarding.wait() == 6
    assert len(guarding.lives) == 1


@pytest.mark.parametrize("end", ["exit:1", "exit:70", f"die:{int(signal.SIGKILL)}", f"die:{int(signal.SIGTERM)}"])
def test_a_supervisor_that_crashed_is_started_again(guarding: Guarding, end: str) -> None:
    guarding.start(f"ready {end}", f"{end}", "ready exit:0")
    assert guarding.wait() == 0
    assert len(guarding.lives) == 3
    assert "starting it again in 0.2 s" in guarding.err
    assert "starting it again in 0.4 s" in guarding.err


def test_a_supervisor_killed_before_it_was_ready_is_started_again(guarding: Guarding) -> None:
    said = guarding.start(f"die:{int(signal.SIGKILL)}", "ready exit:0")
    assert said["pid"] == guarding.lives[1][0]
    assert guarding.wait() == 0


def test_a_supervisor_that_is_never_ready_is_given_up(guarding: Guarding) -> None:
    said = guarding.start(*["exit:1"] * 9)
    assert (
        said["error"]["message"]
        == "the supervisor ended 5 times before it was ready; the last one ended with exit code 1"
    )
    assert guarding.wait() == 3
    assert len(guarding.lives) == guard.TRIES_MAX


@pytest.mark.parametrize("start", ["junk ready wait exit:0", "close wait exit:0"])
def test_odd_words_on_the_ready_descriptor_do_no_harm(guarding: Guarding, tmp_path: Path, start: str) -> None:
    (tmp_path / "supervisor.py").write_text(SUPERVISOR)
    (tmp_path / "plan").write_text(start)
    command = [sys.executable, tmp_path / "supervisor.py", tmp_path / "plan", guarding.lives_file]
    lock = tmp_path / guard_lock.FILE_NAME
    guarding.process = subprocess.Popen(
        [sys.executable, "-m", guard.__name__, "--ready-fd", "1", "--lock", lock, "--", *command],
        stdout=subprocess.DEVNULL,
    )
    until(lambda: len(guarding.lives), 1)
    guarding.signal(signal.SIGTERM)
    assert guarding.wait() == 0


def test_signals_are_passed_on_and_a_stop_is_final(guarding: Guarding) -> None:
    guarding.start("ready wait wait exit:0")
    guarding.signal(signal.SIGHUP)
    until(guarding.signals, [signal.SIGHUP])
    guarding.signal(signal.SIGTERM)
    assert guarding.wait() == 0
    assert guarding.signals() == [signal.SIGHUP, signal.SIGTERM]
    assert len(guarding.lives) == 1


def test_a_supervisor_that_crashes_while_it_stops_is_not_started_again(guarding: Guarding) -> None:
    guarding.start(f"ready wait die:{int(signal.SIGSEGV)}", "ready wait")
    guarding.signal(signal.SIGTERM)
    assert guarding.wait() == 0
    assert len(guarding.lives) == 1


def test_a_stop_ends_the_pause_before_a_restart(guarding: Guarding) -> None:
    guarding.start("ready exit:1", *["exit:1"] * 5)
    until(lambda: "starting it again in 1.6 s" in guarding.err, True)
    lives = len(guarding.lives)
    guarding.signal(signal.SIGTERM)
    assert guarding.wait() == 0
    assert len(guarding.lives) == lives


def test_the_supervisor_has_a_session_of_its_own(guarding: Guarding) -> None:
    guarding.start("ready wait exit:0")
    pid, session = guarding.lives[0]
    assert session == pid
    guarding.signal(signal.SIGTERM)
    guarding.wait()


def test_a_hangup_that_was_ignored_at_the_start_stays_ignored(guarding: Guarding) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        guarding.start("ready wait exit:0")
    finally:
        signal.signal(signal.SIGHUP, before)
    guarding.signal(signal.SIGHUP)
    guarding.signal(signal.SIGTERM)
    assert guarding.wait() == 0
    assert guarding.signals() == [signal.SIGTERM]


def test_a_second_guard_names_the_first_one_s_supervisor(guarding: Guarding, tmp_path: Path) -> None:
    said = guarding.start("ready wait exit:0")
    assert guarding.process is not None
    assert guarded(tmp_path) == Guarded(guarding.process.pid, said["pid"])
    second = Guarding(tmp_path)
    refused = second.start("ready")["error"]
    assert refused["code"] == "already_running"
    assert refused["details"] == {"pid": said["pid"]}
    assert second.wait() == 5
    guarding.signal(signal.SIGTERM)
    guarding.wait()
    assert guarded(tmp_path) is None


def test_the_lock_of_a_killed_guard_is_free_although_its_supervisor_lives(guarding: Guarding, tmp_path: Path) -> None:
    guarding.start("ready wait exit:0")
    guarding.signal(signal.SIGKILL)
    assert guarding.wait() == -signal.SIGKILL
    assert guarded(tmp_path) is None
    with Process(guarding.lives[0][0]) as supervisor:
        assert not supervisor.ended(0)
        supervisor.stop()
        assert supervisor.ended(DEADLINE_S)


def test_the_lock_is_exclusive_and_survives_garbage_in_its_file(tmp_path: Path) -> None:
    path = tmp_path / guard_lock.FILE_NAME
    path.write_bytes(b"\xff garbage " * 100)
    with GuardLock(path) as lock:
        lock.name(7)
        assert guarded(tmp_path) == Guarded(os.getpid(), 7)
        with pytest.raises(AlreadyGuarded, match=r"\(pid 7\)"), GuardLock(path):
            pass
    assert guarded(tmp_path) is None


def test_a_lock_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / guard_lock.FILE_NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError), GuardLock(tmp_path / guard_lock.FILE_NAME):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_a_guard_sleeps_while_its_supervisor_lives(guarding: Guarding) -> None:
    guarding.start("ready close wait exit:0")
    assert guarding.process is not None
    status = Path(f"/proc/{guarding.process.pid}/status")

    def switches() -> int:
        return int(status.read_text().split("voluntary_ctxt_switches:\t")[1].split()[0])

    until(lambda: status.read_text().split("State:\t")[1][0], "S")
    before = switches()
    time.sleep(0.5)  # the observation itself: nothing happens in this time
    assert switches() == before
    guarding.signal(signal.SIGTERM)
    guarding.wait()


def test_a_process_that_is_gone_counts_as_ended() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    with Process(child.pid) as process:
        assert process.ended(0)
        process.stop()


def test_waiting_for_a_process_ends_when_its_time_is_over() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with Process(child.pid) as process:
        assert not process.ended(0.01)
        process.stop()
        assert process.ended(DEADLINE_S)
    assert child.stdin is not None
    child.stdin.close()
    child.wait()
