"""``up`` and ``down`` with real processes: the real supervisor, or a program that misbehaves in its place."""

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
from jobyard import Client
from jobyard.client.cli.commands import up
from jobyard.client.cli.main import main
from jobyard.client.guard_lock import OUTPUT_NAME, GuardLock, guarded
from jobyard.client.processes import Process
from jobyard.protocol import messages
from jobyard.protocol.errors import OutcomeUnknown, SupervisorUnavailable

DEADLINE_S = 30.0


class Project:
    """A directory with a config, in which jobctl is run as a program."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state = directory / ".jobyard"
        self.left: list[int] = []  # guards that were started by this process and left to themselves

    def jobctl(self, *argv: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "jobyard", *argv]
        return subprocess.run(command, cwd=self.directory, capture_output=True, text=True, timeout=60)

    def pid(self) -> int:
        """Of the supervisor that answers."""
        answer = self.jobctl("ping", "--json")
        return int(json.loads(answer.stdout)["pid"]) if answer.returncode == 0 else 0


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    (tmp_path / "jobyard.toml").write_text('allow = ["jobs:*"]\n')
    (tmp_path / "jobs.py").write_text("def hello(n: int = 1) -> int:\n    print('hello')\n    return n\n")
    made = Project(tmp_path)
    yield made
    owner = guarded(made.state)
    if owner is not None:
        with Process(owner.guard) as guard, Process(owner.supervisor or owner.guard) as supervisor:
            guard.send(signal.SIGTERM)
            if not guard.ended(1):  # its supervisor hangs in its start and hears no signal; the second one kills it
                guard.send(signal.SIGTERM)
            assert guard.ended(DEADLINE_S)
            assert supervisor.ended(DEADLINE_S)
    for pid in made.left:
        if owner is None:  # it may not have come as far as its lock
            os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


def test_up_in_the_background_returns_when_jobs_can_be_run(project: Project) -> None:
    started = project.jobctl("up", "-d", "--json")
    assert (started.returncode, started.stderr) == (0, "")
    said = json.loads(started.stdout)
    assert said["schema"] == "jobctl.up/1"
    assert said["config"] == str(project.directory / "jobyard.toml")
    assert project.pid() == said["pid"]
    ran = project.jobctl("run", "jobs:hello", "7")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "hello\n", "")

    again = project.jobctl("up", "-d")
    assert (again.returncode, again.stdout) == (5, "")
    assert f"already runs for {project.state} (pid {said['pid']})" in again.stderr
    assert project.jobctl("up").returncode == 5

    with Process(said["pid"]) as supervisor:
        stopped = project.jobctl("down")
        assert (stopped.returncode, stopped.stdout) == (0, "stopped\n")
        assert supervisor.ended(0)
    assert guarded(project.state) is None
    assert project.jobctl("down").returncode == 3
    assert project.jobctl("status").returncode == 3


def test_a_killed_supervisor_is_back_and_down_ends_it_for_good(project: Project) -> None:
    assert project.jobctl("up", "-d").returncode == 0
    first = project.pid()
    os.kill(first, signal.SIGKILL)
    with Client(config=project.directory / "jobyard.toml", timeout=DEADLINE_S) as client:
        assert client.ping().pid != first
    assert project.jobctl("down").returncode == 0
    assert guarded(project.state) is None
    assert project.pid() == 0


def test_a_killed_supervisor_is_back_although_nothing_can_be_written_to_the_terminal(project: Project) -> None:
    with open("/dev/full", "w") as full:
        process = subprocess.Popen([sys.executable, "-m", "jobyard", "up"], cwd=project.directory, stderr=full)
    with process, Client(config=project.directory / "jobyard.toml", timeout=DEADLINE_S) as client:
        deadline = time.monotonic() + DEADLINE_S
        while not (first := project.pid()):
            assert time.monotonic() < deadline
        os.kill(first, signal.SIGKILL)
        assert client.ping().pid != first
        assert project.jobctl("down").returncode == 0


@pytest.mark.parametrize(
    "name, argv", [("guard.lock", []), ("guard.lock", ["-d"]), ("supervisor.out", ["-d"]), ("lock", ["-d"])]
)
def test_up_names_the_file_that_cannot_be_written(project: Project, name: str, argv: list[str]) -> None:
    (project.state / name).mkdir(parents=True)
    project.state.chmod(0o700)
    refused = project.jobctl("up", *argv)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert (
        f"error: {project.state}/{name} cannot be used: Is a directory\ntry: set [supervisor] state_dir"
        in refused.stderr
    )


def test_up_in_the_foreground_ends_with_the_supervisor_on_ctrl_c(project: Project) -> None:
    command = [sys.executable, "-m", "jobyard", "up"]
    process = subprocess.Popen(command, cwd=project.directory, stderr=subprocess.PIPE, text=True)
    with process:
        assert process.stderr is not None
        ready = next(line for line in process.stderr if "jobyard is ready" in line)
        assert f"(pid {project.pid()})" in ready
        process.send_signal(signal.SIGINT)
        process.stderr.read()
        assert process.wait(DEADLINE_S) == 0
    assert project.pid() == 0


def test_up_with_a_bad_config_starts_nothing(project: Project) -> None:
    (project.directory / "jobyard.toml").write_text("allow = 7\n")
    for arguments in (["up"], ["up", "-d"]):
        refused = project.jobctl(*arguments)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr.startswith(f"{project.directory}/jobyard.toml:1:")
    assert not project.state.exists()


def test_up_takes_no_socket_and_says_how_to_choose_one(project: Project) -> None:
    refused = project.jobctl("up", "-d", "--socket", "/run/my socket")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "try: jobctl up --set supervisor.socket='/run/my socket'\n" in refused.stderr
    assert not project.state.exists()


def test_status_tells_that_the_guard_is_gone(project: Project) -> None:
    assert project.jobctl("up", "-d").returncode == 0
    assert "guard" not in project.jobctl("status").stdout
    owner = guarded(project.state)
    assert owner is not None
    with Process(owner.guard) as guard, Process(owner.supervisor) as supervisor:
        guard.send(signal.SIGKILL)
        assert guard.ended(DEADLINE_S)
        assert "warning: the guard is gone" in project.jobctl("status").stdout
        assert project.jobctl("down").returncode == 0
        assert supervisor.ended(0)


def test_up_in_a_state_directory_that_is_open_to_others_is_refused(project: Project) -> None:
    project.state.mkdir()
    project.state.chmod(0o755)
    refused = project.jobctl("up", "-d")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"try: chmod 700 {project.state}\n" in refused.stderr


# -- a program in the supervisor's place -------------------------------------------------------------------------------


@pytest.fixture
def in_place(
    project: Project, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """``up`` in this process, with the given Python program as supervisor."""
    leave = up._leave

    def remember(child: subprocess.Popen[bytes]) -> None:
        project.left.append(child.pid)
        leave(child)

    def run(program: str, *argv: str) -> tuple[int, str, str]:
        monkeypatch.chdir(project.directory)
        monkeypatch.setattr(up, "supervisor_command", lambda context: [sys.executable, "-c", program])
        monkeypatch.setattr(up, "_leave", remember)
        code = main(["up", *argv])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run


SAY = "import os, sys, time; os.write(int(sys.argv[-1]), {!r}); "


@pytest.mark.parametrize("argv", [["-d"], []])
def test_the_error_of_a_supervisor_that_gave_up_is_printed(in_place: Callable[..., Any], argv: list[str]) -> None:
    error = {"code": "journal_damaged", "message": "segment 3 is damaged\x1b[2J", "hint": "jobctl x", "details": {}}
    said = json.dumps({"error": error}).encode() + b"\n"
    code, out, err = in_place(SAY.format(said) + "sys.exit(6)", *argv)
    assert (code, out) == (6, "")
    assert err == "error: segment 3 is damaged\\x1b[2J\ntry: jobctl x\n"


def test_a_supervisor_that_ends_without_a_word_is_told_with_the_last_lines_of_its_output(
    in_place: Callable[..., Any], project: Project
) -> None:
    code, out, err = in_place("import sys; print('the cause'); sys.exit(2)", "-d")
    assert (code, out) == (3, "")
    assert "ended before it was ready (exit code 2): the cause" in err
    assert f"try: less {project.state}/supervisor.out" in err


def test_up_in_the_background_does_not_wait_for_ever(in_place: Callable[..., Any]) -> None:
    code, out, err = in_place("import time; time.sleep(60)", "-d", "--timeout", "0.2")
    assert (code, out) == (124, "")
    assert "was not ready in time" in err


def test_interrupting_up_in_the_background_says_that_the_supervisor_goes_on(
    project: Project, in_place: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(fd: int, timeout_s: float) -> dict[str, Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr(up, "_first_line", interrupted)
    code, out, err = in_place("raise SystemExit(0)", "-d")
    assert (code, out) == (130, "")
    assert err == "interrupted; the supervisor goes on starting\ntry: jobctl status, or jobctl down\n"


def test_output_of_a_supervisor_in_the_background_is_kept_in_the_state_directory(
    in_place: Callable[..., Any], project: Project
) -> None:
    program = "print('words', flush=True); " + SAY.format(b'{"pid": 7, "socket": "/s"}\n')
    code, out, err = in_place(program, "-d")
    assert (code, out, err) == (0, f"jobyard is ready: pid 7, config {project.directory}/jobyard.toml\n", "")
    output = project.state / OUTPUT_NAME
    assert output.read_text() == "words\n"
    assert output.stat().st_mode & 0o777 == 0o600


# -- down, against a recorded supervisor -------------------------------------------------------------------------------


@pytest.fixture
def stopping(supervisor: Any, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends on SIGTERM, in the place of the supervisor that answers."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    status = messages.SupervisorStatus(
        pid=child.pid,
        version="",
        generation=1,
        started_at=0.0,
        config="",
        state_dir=str(tmp_path),
        socket="",
        stopping=False,
        durable=True,
        counts={},
        refused=0,
        queues=[],
        pools=[],
        journal_bytes=0,
    )
    supervisor.answers[messages.Status] = status
    yield child
    child.kill()
    child.wait()


def test_down_keep_says_how_many_jobs_go_on(jobctl: Any, supervisor: Any, stopping: subprocess.Popen[bytes]) -> None:
    def stop(request: messages.Stop) -> messages.Stopping:
        stopping.terminate()
        return messages.Stopping(3)

    supervisor.answers[messages.Stop] = stop
    ended = jobctl("down", "--keep")
    assert (ended.code, ended.out, ended.err) == (0, "stopped; 3 running jobs left for the next jobctl up\n", "")
    assert supervisor.asked(messages.Stop) == [messages.Stop("keep")]


def test_down_cannot_keep_jobs_and_stop_them(jobctl: Any) -> None:
    ended = jobctl("down", "--keep", "--now")
    assert ended.code == 2 and "--now" in ended.err


@pytest.mark.parametrize("argv, mode", [([], "wait"), (["--now"], "now")])
def test_down_asks_and_waits_for_the_end(
    jobctl: Any, supervisor: Any, stopping: subprocess.Popen[bytes], argv: list[str], mode: str
) -> None:
    def stop(request: messages.Stop) -> messages.Stopping:
        stopping.terminate()
        return messages.Stopping(3)

    supervisor.answers[messages.Stop] = stop
    ended = jobctl("down", *argv)
    assert (ended.code, ended.out) == (0, "stopped\n")
    assert ended.err == ("" if argv else "waiting for 3 running jobs\n")
    assert supervisor.asked(messages.Stop) == [messages.Stop(mode)]


def test_a_supervisor_that_stops_before_it_can_answer_has_stopped(
    jobctl: Any, supervisor: Any, stopping: subprocess.Popen[bytes]
) -> None:
    def stop(request: messages.Stop) -> OutcomeUnknown:
        stopping.terminate()
        return OutcomeUnknown("gone")

    supervisor.answers[messages.Stop] = stop
    assert jobctl("down").code == 0


def test_down_does_not_wait_longer_than_it_is_told(
    jobctl: Any, supervisor: Any, stopping: subprocess.Popen[bytes]
) -> None:
    supervisor.answers[messages.Stop] = messages.Stopping(1)
    ended = jobctl("down", "--timeout", "0.05", "--json")
    assert (ended.code, ended.out) == (124, "")
    assert ended.error["hint"] == "jobctl down --now"
    ended = jobctl("down", "--now", "--timeout", "0.05", "--json")
    assert (ended.code, ended.error["hint"]) == (124, "jobctl status"), "it was stopped at once already"


def test_down_ends_a_guard_that_is_about_to_start_another_supervisor(
    jobctl: Any, supervisor: Any, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.directory)
    project.state.mkdir(mode=0o700)
    lock = project.state / "guard.lock"
    command = [sys.executable, "-m", "jobyard.client.cli.guard", "--ready-fd", "1", "--lock", str(lock), "--"]
    code = """
import os, sys
os.write(int(sys.argv[-1]), b'{}\\n')
if os.path.exists('lived'):
    sys.exit(0)
open('lived', 'w').close()
sys.exit(1)
"""
    crashing = [sys.executable, "-c", code]  # the first time; the one that has the stop passed on ends as it should
    guard = subprocess.Popen([*command, *crashing], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    supervisor.answers[messages.Status] = SupervisorUnavailable("no supervisor answers")
    with guard:
        assert guard.stderr is not None
        next(line for line in guard.stderr if "starting it again" in line)
        ended = jobctl("down")
        assert (ended.code, ended.out) == (0, "stopped\n")
        assert guard.wait(DEADLINE_S) == 0


def test_down_where_nothing_runs_ends_with_3(
    jobctl: Any, supervisor: Any, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.directory)
    supervisor.answers[messages.Status] = SupervisorUnavailable("no supervisor answers")
    ended = jobctl("down")
    assert (ended.code, ended.out, ended.err) == (3, "", "error: nothing to stop: no supervisor answers\n")


def test_up_while_another_guard_lives_is_refused(project: Project, in_place: Callable[..., Any]) -> None:
    project.state.mkdir(mode=0o700)
    with GuardLock(project.state / "guard.lock") as lock:
        lock.name(os.getppid())
        code, out, err = in_place("raise SystemExit(1)")
    assert (code, out) == (5, "")
    assert f"(pid {os.getppid()})" in err
