"""A supervisor under a service manager: what it tells a socket that stands for systemd's, and the unit shipped."""

from __future__ import annotations

import configparser
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from live import Yard, wait_for

UNIT = Path(__file__).parents[2] / "conf" / "systemd" / "jobyard.service"
JOBS = """
import os, time

def environment():
    return dict(os.environ)

def sleeping():
    time.sleep(600)
"""


class Manager:
    """The side of systemd: a socket, and what was said to it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.said: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.settimeout(0.05)

    def close(self) -> None:
        self._socket.close()

    def environ(self, **more: str) -> dict[str, str]:
        return {**os.environ, "NOTIFY_SOCKET": self.address, **more}

    def heard(self) -> list[str]:
        """All that has been said by now."""
        try:
            while True:
                self.said.append(self._socket.recv(4096).decode())
        except TimeoutError:
            return self.said

    def wait_for(self, text: str) -> str:
        def look() -> str:
            return next((one for one in self.heard() if text in one), "")

        return wait_for(f"{text} to be said", look)

    def forget(self) -> None:
        self.heard()
        self.said.clear()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify"))
    yield made
    made.close()


@pytest.fixture
def waiting_yard(make_yard: Callable[..., Yard]) -> Yard:
    return make_yard("[defaults]\ngrace = 1\n", JOBS, start=False)


def test_ready_is_told_when_requests_are_answered(waiting_yard: Yard, manager: Manager) -> None:
    waiting_yard.start(env=manager.environ())
    assert manager.wait_for("READY=1").splitlines() == ["READY=1", f"MAINPID={waiting_yard.pid}"]
    assert waiting_yard.client(timeout=5).ping().pid == waiting_yard.pid
    manager.wait_for("STATUS=ready")


def test_socket_may_have_an_abstract_name(waiting_yard: Yard, tmp_path: Path) -> None:
    manager = Manager(f"@jobyard-test-{os.getpid()}")
    waiting_yard.start(env=manager.environ())
    manager.wait_for("READY=1")
    manager.close()


def test_nobody_else_is_given_the_manager_s_variables(waiting_yard: Yard, manager: Manager) -> None:
    waiting_yard.start(env=manager.environ(WATCHDOG_USEC="10000000"))
    names = waiting_yard.client().submit("jobs:environment").result(timeout=20)
    for process in waiting_yard.left():
        names |= process.environ() if process.pid != waiting_yard.pid else {}
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} & names.keys()


def test_pings_come_from_the_loop_and_stop_with_it(waiting_yard: Yard, manager: Manager) -> None:
    waiting_yard.start(env=manager.environ(WATCHDOG_USEC="200000"))
    manager.wait_for("READY=1")
    manager.forget()
    wait_for("some pings", lambda: manager.heard().count("WATCHDOG=1") > 3)
    os.kill(waiting_yard.pid, signal.SIGSTOP)
    wait_for("it to stand still", lambda: psutil.Process(waiting_yard.pid).status() == psutil.STATUS_STOPPED)
    manager.forget()
    assert [manager.heard() for _ in range(10)][-1] == []
    os.kill(waiting_yard.pid, signal.SIGCONT)
    manager.wait_for("WATCHDOG=1")


def test_watchdog_of_another_process_is_not_fed(waiting_yard: Yard, manager: Manager) -> None:
    waiting_yard.start(env=manager.environ(WATCHDOG_USEC="100000", WATCHDOG_PID="1"))
    manager.wait_for("READY=1")
    assert "WATCHDOG=1" not in manager.heard()


def test_stop_is_told_while_a_job_is_waited_for(waiting_yard: Yard, manager: Manager) -> None:
    waiting_yard.start(env=manager.environ())
    job = waiting_yard.client().submit("jobs:sleeping")
    wait_for("the job to run", lambda: job.state == "running")
    os.kill(waiting_yard.pid, signal.SIGINT)
    manager.wait_for("STOPPING=1")
    manager.wait_for("STATUS=stopping: 1 jobs run")
    assert waiting_yard.stop() == 0
    assert "STATUS=stopping: 0 jobs run" in manager.heard()


@pytest.mark.parametrize("config", ['allow = ["jobs:*"]\n', "allow = 5\n"], ids=["good", "bad"])
def test_reload_is_told_from_its_beginning_to_its_end(waiting_yard: Yard, manager: Manager, config: str) -> None:
    waiting_yard.start(env=manager.environ())
    manager.wait_for("READY=1")
    manager.forget()
    waiting_yard.config.write_text(config)
    os.kill(waiting_yard.pid, signal.SIGHUP)
    manager.wait_for("READY=1")
    first, stamp = manager.said[0].splitlines()
    assert first == "RELOADING=1"
    assert stamp.removeprefix("MONOTONIC_USEC=").isdigit()


def test_manager_that_is_gone_is_no_reason_to_fail(waiting_yard: Yard, manager: Manager) -> None:
    manager.close()
    Path(manager.address).unlink()
    waiting_yard.start(env=manager.environ(WATCHDOG_USEC="200000"))
    assert waiting_yard.client().ping().pid == waiting_yard.pid


# -- jobctl up ---------------------------------------------------------------------------------------------------------


def test_jobctl_up_becomes_the_process_that_the_manager_watches(waiting_yard: Yard, manager: Manager) -> None:
    command = [sys.executable, "-P", "-m", "jobyard", "up"]
    with (waiting_yard.directory / "supervisor.out").open("ab") as out:
        waiting_yard.process = subprocess.Popen(
            command, cwd=waiting_yard.directory, env=manager.environ(), stdout=out, stderr=out, stdin=subprocess.DEVNULL
        )
    assert f"MAINPID={waiting_yard.pid}" in manager.wait_for("READY=1")
    assert waiting_yard.client().ping().pid == waiting_yard.pid
    again = subprocess.run(command, cwd=waiting_yard.directory, env=manager.environ(), capture_output=True, timeout=60)
    assert again.returncode == 5
    assert waiting_yard.stop() == 0


def test_supervisor_in_the_background_is_not_the_manager_s(waiting_yard: Yard, manager: Manager) -> None:
    def jobctl(*argv: str) -> None:
        command = [sys.executable, "-P", "-m", "jobyard", *argv]
        subprocess.run(command, cwd=waiting_yard.directory, env=manager.environ(), check=True, capture_output=True)

    jobctl("up", "-d")
    jobctl("down")
    assert manager.heard() == []


# -- the unit ----------------------------------------------------------------------------------------------------------


def read_unit() -> configparser.ConfigParser:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(UNIT.read_text())
    return unit


def test_unit_says_what_the_supervisor_does() -> None:
    service = dict(read_unit()["Service"])
    wanted = {
        "Type": "notify",
        "NotifyAccess": "main",
        "KillMode": "process",
        "KillSignal": "SIGTERM",
        "RestartKillSignal": "SIGUSR1",
        "OOMPolicy": "continue",
        "Delegate": "yes",
        "Restart": "on-failure",
        "LimitCORE": "0",
        "UMask": "0077",
    }
    assert {key: service.get(key) for key in wanted} == wanted
    assert service["ExecStart"].endswith("jobctl up")
    assert int(service["WatchdogSec"].removesuffix("s")) >= 30


def test_unit_confines_nothing_that_jobs_may_need() -> None:
    breaks_jobs = {
        "MemoryDenyWriteExecute", "NoNewPrivileges", "PrivateNetwork", "PrivateUsers", "RestrictNamespaces",
        "ProtectHome", "ProtectSystem", "SystemCallFilter", "PrivateTmp", "CapabilityBoundingSet",
        "ProcSubset", "RestrictAddressFamilies", "PrivateDevices",
    }  # fmt: skip
    assert not breaks_jobs & set(read_unit()["Service"])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_unit_is_understood_by_systemd(tmp_path: Path) -> None:
    text = UNIT.read_text().replace("%h/myproject/.venv/bin/jobctl", "/bin/true").replace("%h/myproject", str(tmp_path))
    unit = tmp_path / "jobyard.service"
    unit.write_text(text)
    told = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60
    )
    assert (told.returncode, [line for line in told.stderr.splitlines() if "jobyard" in line]) == (0, [])
