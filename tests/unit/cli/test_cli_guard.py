"""The guard, with a small program in the supervisor's place: what is started again, what not, what is passed on."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import pytest
from jobyard.client import guard_lock
from jobyard.client.cli import guard
from jobyard.client.guard_lock import AlreadyGuarded, Guarded, GuardLock, guarded
from jobyard.client.processes import Process
from jobyard.protocol.errors import InvalidConfig

DEADLINE_S = 20.0

# Takes the next line of the plan at each life: what to say on the ready descriptor, and how to end.
SUPERVISOR = """
import json, os, signal, sys
plan, lives = sys.argv[1], sys.argv[2]
fd = int(sys.argv[sys.argv.index("--ready-fd") + 1])
watched = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
signal.pthread_sigmask(signal.SIG_BLOCK, watched)
with open(lives, "a+") as file:
    file.seek(0)
    life = len(file.read().splitlines())
    file.write(f"{os.getpid()}\\n")
steps = open(plan).read().splitlines()[life].split()
print(f"life {os.getpid()} {os.getsid(0)}", *sys.argv[3:-2], flush=True)
for step in steps:
    word, _, value = step.partition(":")
    if word == "ready":
        os.write(fd, json.dumps({"pid": os.getpid(), "socket": "/s"}).encode() + b"\\n")
    elif word == "error":
        code = {"full": "storage_unavailable", "busy": "already_locked"}.get(value, "invalid_config")
        error = {"code": code, "message": value, "hint": "", "details": {}}
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
        print("signal", int(signal.sigwait(watched)), flush=True)
"""


class Guarding:
    """A guard as a process, over a plan of lives. Guard and supervisors write to one pipe."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.process: subprocess.Popen[str] | None = None

    def begin(self, *plan: str, stderr: IO[str] | int = subprocess.STDOUT, options: Sequence[str] = ()) -> int:
        """Start it; gives the descriptor on which it will report."""
        (self.directory / "supervisor.py").write_text(SUPERVISOR)
        (self.directory / "plan").write_text("\n".join(plan))
        reader, writer = os.pipe()
        lock = self.directory / guard_lock.FILE_NAME
        program = [sys.executable, "-m", guard.__name__, "--ready-fd", str(writer), "--lock", lock, *options, "--"]
        supervisor = [sys.executable, self.directory / "supervisor.py", self.directory / "plan", self.lives_file]
        self.process = subprocess.Popen(
            [*program, *supervisor],
            pass_fds=[writer],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )
        os.close(writer)
        return reader

    def start(
        self, *plan: str, stderr: IO[str] | int = subprocess.STDOUT, options: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Start it and return the first thing it reports."""
        with open(self.begin(*plan, stderr=stderr, options=options), "rb") as said:
            line = said.readline()
        return json.loads(line) if line else {}

    def expect(self, text: str) -> str:
        """The next line of output with ``text`` in it."""
        assert self.process is not None
        assert self.process.stdout is not None
        seen = []
        while line := self.process.stdout.readline():
            if text in line:
                return line
            seen.append(line)
        raise AssertionError(f"{text!r} was never written, only {seen}")

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(DEADLINE_S)

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    @property
    def lives_file(self) -> Path:
        return self.directory / "lives"

    @property
    def lives(self) -> list[int]:
        """The pid of every supervisor that was started."""
        return [int(line) for line in self.lives_file.read_text().splitlines()] if self.lives_file.exists() else []

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()
        for pid in self.lives:
            with Process(pid) as left:
                if not left.ended(0):
                    os.kill(pid, signal.SIGKILL)


@pytest.fixture
def guarding(tmp_path: Path) -> Iterator[Guarding]:
    """A guard that does not ignore SIGHUP, even if these tests run under ``nohup``."""
    made = Guarding(tmp_path)
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield made
    signal.signal(signal.SIGHUP, before)
    made.close()


@pytest.mark.parametrize("code", [0, 2, 5])
def test_a_supervisor_that_ended_by_itself_is_not_started_again(guarding: Guarding, code: int) -> None:
    said = guarding.start(f"ready exit:{code}")
    assert said == {"pid": guarding.lives[0], "socket": "/s"}
    assert guarding.wait() == code
    assert len(guarding.lives) == 1


def test_a_supervisor_that_gave_up_is_not_started_again_and_its_error_is_passed_on(guarding: Guarding) -> None:
    said = guarding.start("error:damaged exit:6")
    assert said["error"]["message"] == "damaged"
    assert guarding.wait() == 6
    assert len(guarding.lives) == 1


@pytest.mark.parametrize("why", ["full", "busy"])
def test_a_supervisor_that_found_its_directory_full_or_in_use_when_it_was_started_again_is_not_the_last(
    guarding: Guarding, why: str
) -> None:
    """It may be in use for a moment by somebody who compacts the journal, thinking that no supervisor is there."""
    killed = f"die:{int(signal.SIGKILL)}"
    guarding.start(f"ready {killed}", f"error:{why} exit:5", killed, "ready exit:0")
    assert guarding.wait() == 0
    assert len(guarding.lives) == 4


def test_a_supervisor_that_found_the_config_broken_when_it_was_started_again_is_not_the_last(
    guarding: Guarding,
) -> None:
    bad = "error:no_such_key exit:2"
    guarding.start("ready exit:1", bad, bad, "ready wait exit:0")
    guarding.expect("the supervisor gave up: no_such_key")
    guarding.expect("starting it again in 0.4 s")
    guarding.expect("the supervisor gave up: no_such_key")
    guarding.expect("starting it again in 0.8 s")
    guarding.expect("life ")
    guarding.signal(signal.SIGTERM)
    assert guarding.wait() == 0


def test_a_guard_that_waits_for_a_better_config_ends_when_it_is_told_to(guarding: Guarding) -> None:
    guarding.start("ready exit:1", *["error:no_such_key exit:2"] * 9)
    guarding.expect("starting it again in 1.6 s")
    guarding.signal(guard.KEEP)
    assert guarding.wait() == 0


@pytest.mark.parametrize(
    "lives",
    [["error:full exit:5"], ["error:busy exit:5"], ["error:no_such_key exit:2"], ["ready exit:1", "error:full exit:6"]],
)
def test_what_it_finds_at_the_first_start_and_a_damaged_journal_are_final(guarding: Guarding, lives: list[str]) -> None:
    guarding.start(*lives, "ready exit:0")
    assert guarding.wait() == int(lives[-1][-1])
    assert len(guarding.lives) == len(lives)


@pytest.mark.parametrize(
    "end",
    ["exit:1", "exit:70", f"die:{signal.SIGKILL:d}", f"die:{signal.SIGTERM:d}", f"die:{signal.SIGRTMIN + 1:d}"],
)
def test_a_supervisor_that_crashed_is_started_again(guarding: Guarding, end: str) -> None:
    guarding.start(f"ready {end}", f"{end}", "ready exit:0")
    assert guarding.wait() == 0
    assert len(guarding.lives) == 3
    guarding.expect("starting it again in 0.2 s")
    guarding.expect("starting it again in 0.4 s")


def test_a_guard_that_cannot_say_so_starts_a_crashed_supervisor_again_all_the_same(guarding: Guarding) -> None:
    with open("/dev/full", "w") as full:
        guarding.start("ready exit:1", "exit:1", "ready exit:0", stderr=full)
    assert guarding.wait() == 0
    assert len(guarding.lives) == 3


def test_a_supervisor_killed_before_it_was_ready_is_started_again(guarding: Guarding) -> None:
    said = guarding.start(f"die:{int(signal.SIGKILL)}", "ready exit:0")
    assert said["pid"] == guarding.lives[1]
    assert guarding.wait() == 0


def test_a_supervisor_that_is_never_ready_is_given_up(guarding: Guarding) -> None:
    said = guarding.start(*["exit:1"] * 9)
    assert (
        said["error"]["message"]
        == "the supervisor ended 5 times before it was ready; the last one ended with exit code 1"
    )
    assert guarding.wait() == 3
    assert len(guarding.lives) == guard.TRIES_MAX


@pytest.mark.parametrize("words", ["junk", "close"])
def test_odd_words_on_the_ready_descriptor_do_no_harm(guarding: Guarding, words: str) -> None:
    os.close(guarding.begin(f"{words} wait exit:0"))
    guarding.expect("life ")
    guarding.signal(signal.SIGTERM)
    assert guarding.wait() == 0


def test_a_starter_that_has_gone_does_no_harm(guarding: Guarding) -> None:
    os.close(guarding.begin("ready wait exit:0"))
    guarding.expect("whoever started this has gone")
    guarding.signal(signal.SIGTERM)
    assert guarding.wait() == 0


def test_signals_are_passed_on_and_a_stop_is_final(guarding: Guarding) -> None:
    guarding.start("ready wait wait exit:0")
    guarding.signal(signal.SIGHUP)
    guarding.expect(f"signal {int(signal.SIGHUP)}\n")
    guarding.signal(signal.SIGTERM)
    guarding.expect(f"signal {int(signal.SIGTERM)}\n")
    assert guarding.wait() == 0
    assert len(guarding.lives) == 1


def test_a_restart_leaves_the_jobs_to_another_supervisor_at_once(guarding: Guarding) -> None:
    guarding.start("ready wait exit:0", "ready wait exit:0")
    guarding.signal(guard.RESTART)
    guarding.expect(f"signal {int(signal.SIGUSR1)}\n")
    guarding.expect("life ")
    assert len(guarding.lives) == 2
    guarding.signal(guard.KEEP)
    guarding.expect(f"signal {int(signal.SIGUSR1)}\n")
    assert guarding.wait() == 0
    assert len(guarding.lives) == 2, "whoever wants the jobs kept wants no other supervisor now"


def test_a_supervisor_that_crashes_over_a_restart_is_followed_by_another(guarding: Guarding) -> None:
    guarding.start(f"ready wait die:{int(signal.SIGUSR1)}", "ready wait exit:0")
    guarding.signal(guard.RESTART)
    guarding.expect(f"life {guarding.lives[0]}")
    guarding.expect("life ")
    guarding.signal(signal.SIGTERM)
    assert guarding.wait() == 0


def test_a_restart_that_finds_a_bad_config_says_so_and_tries_again(guarding: Guarding) -> None:
    guarding.start("ready wait exit:0", "error:no_such_key exit:2", "ready wait exit:0")
    guarding.signal(guard.RESTART)
    guarding.expect("the supervisor gave up: no_such_key")
    guarding.expect("life ")
    guarding.signal(signal.SIGTERM)
    assert guarding.wait() == 0


def test_what_holds_for_the_first_start_does_not_hold_for_the_others(guarding: Guarding) -> None:
    guarding.start("exit:1", "ready exit:1", "ready wait exit:0", options=["--first=--fence"])
    assert guarding.expect("life ").endswith(" --fence\n")
    assert guarding.expect("life ").endswith(" --fence\n"), "the one before was never ready"
    assert not guarding.expect("life ").endswith(" --fence\n")
    guarding.signal(signal.SIGTERM)
    assert guarding.wait() == 0


def test_a_stop_that_a_supervisor_dies_over_is_passed_on_to_one_more(guarding: Guarding) -> None:
    die = f"ready wait die:{int(signal.SIGSEGV)}"
    guarding.start(die, die, "ready wait")
    guarding.signal(signal.SIGTERM)
    assert guarding.wait() == 0
    assert len(guarding.lives) == 2


def test_a_stop_that_leaves_the_jobs_ends_the_pause_before_a_restart(guarding: Guarding) -> None:
    guarding.start("ready exit:1", *["exit:1"] * 5)
    guarding.expect("starting it again in 1.6 s")
    lives = len(guarding.lives)
    guarding.signal(signal.SIGUSR1)
    assert guarding.wait() == 0
    assert len(guarding.lives) == lives


def test_a_stop_in_the_pause_is_for_one_more_supervisor_which_knows_what_still_runs(guarding: Guarding) -> None:
    guarding.start("ready exit:1", *["exit:1"] * 3, "ready wait exit:0")
    guarding.expect("starting it again in 1.6 s")
    guarding.signal(signal.SIGTERM)
    assert guarding.expect("signal ") == f"signal {int(signal.SIGTERM)}\n"
    assert guarding.wait() == 0
    assert len(guarding.lives) == 5


def test_the_supervisor_has_a_session_of_its_own(guarding: Guarding) -> None:
    guarding.start("ready wait exit:0")
    assert guarding.expect("life ") == f"life {guarding.lives[0]} {guarding.lives[0]}\n"
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
    assert guarding.expect("signal ") == f"signal {int(signal.SIGTERM)}\n"
    assert guarding.wait() == 0


def test_a_second_guard_names_the_first_one_s_supervisor(guarding: Guarding, tmp_path: Path) -> None:
    said = guarding.start("ready wait exit:0")
    assert guarding.process is not None
    assert guarded(tmp_path) == Guarded(guarding.process.pid, said["pid"])
    second = Guarding(tmp_path)
    refused = second.start("ready")["error"]
    assert refused["code"] == "already_running"
    assert refused["details"] == {"pid": said["pid"]}
    assert second.wait() == 5
    second.close()
    guarding.signal(signal.SIGTERM)
    guarding.wait()
    assert guarded(tmp_path) is None


def test_the_lock_of_a_killed_guard_is_free_although_its_supervisor_lives(guarding: Guarding, tmp_path: Path) -> None:
    guarding.start("ready wait exit:0")
    guarding.signal(signal.SIGKILL)
    assert guarding.wait() == -signal.SIGKILL
    assert guarded(tmp_path) is None
    with Process(guarding.lives[0]) as supervisor:
        assert not supervisor.ended(0)
        supervisor.send(signal.SIGTERM)
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


def test_somebody_who_looks_at_the_lock_at_this_moment_keeps_no_guard_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As jobctl doctor does, at any time."""
    path = tmp_path / guard_lock.FILE_NAME
    path.touch()
    flock, looks = fcntl.flock, [path.open("rb") for _ in range(2)]

    def looked_at(fd: int, how: int) -> None:
        if how & fcntl.LOCK_EX and looks:
            with looks.pop() as look:
                flock(look, fcntl.LOCK_SH)
                flock(fd, how)
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", looked_at)
    with GuardLock(path):
        assert not looks
        assert guarded(tmp_path) == Guarded(os.getpid(), 0)


def test_a_lock_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / guard_lock.FILE_NAME).symlink_to(tmp_path / "elsewhere")
    with (
        pytest.raises(InvalidConfig, match=r"guard\.lock cannot be used: Too many"),
        GuardLock(tmp_path / "guard.lock"),
    ):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_a_guard_sleeps_while_its_supervisor_lives(guarding: Guarding) -> None:
    guarding.start("ready close wait exit:0")
    assert guarding.process is not None and guarding.process.stdout is not None
    status, output = Path(f"/proc/{guarding.process.pid}/status"), guarding.process.stdout

    def is_quiet() -> bool:
        """Whether it wrote nothing and did not wake up in a fifth of a second."""
        before = _switches(status)
        assert not select.select([output], [], [], 0.2)[0]
        return _switches(status) == before

    guarding.expect("life ")
    assert any(is_quiet() for _ in range(10))
    guarding.signal(signal.SIGTERM)
    guarding.wait()


def _switches(status: Path) -> int:
    return int(status.read_text().split("\nvoluntary_ctxt_switches:\t")[1].split()[0])


def test_a_process_that_is_gone_counts_as_ended() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    with Process(child.pid) as process:
        assert process.ended(0)
        process.send(signal.SIGTERM)


def test_a_process_may_be_waited_for_longer_than_a_poll_takes() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with Process(child.pid) as process:
        child.communicate()
        assert process.ended(100 * 365 * 86400.0)


def test_waiting_for_a_process_ends_when_its_time_is_over() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with Process(child.pid) as process:
        assert not process.ended(0.01)
        process.send(signal.SIGTERM)
        assert process.ended(DEADLINE_S)
    assert child.stdin is not None
    child.stdin.close()
    child.wait()
