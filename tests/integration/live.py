"""A real supervisor in a directory of its own, and ways to watch and hurt it. Also used by the benchmarks."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import psutil
from jobyard import Client

T = TypeVar("T")


def wait_for(what: str, look: Callable[[], T], seconds: float = 20.0) -> T:
    """Look until the answer is true; the last answer is in the failure."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds:g} s; last seen: {found!r}")
        time.sleep(0.01)


def without_pytest(environ: Mapping[str, str]) -> dict[str, str]:
    """Its own variable changes during a test, and a zygote with another environment is retired."""
    return {name: value for name, value in environ.items() if name != "PYTEST_CURRENT_TEST"}


class Yard:
    """A config, a module of jobs, and at most one supervisor."""

    def __init__(self, directory: Path, jobs: str | Path, config: str = "") -> None:
        self.directory = directory
        if isinstance(jobs, Path):
            shutil.copy(jobs, directory / "jobs.py")
        else:
            (directory / "jobs.py").write_text(jobs)
        self.config = directory / "jobyard.toml"
        self.config.write_text('allow = ["jobs:*"]\n' + config)
        self.process: subprocess.Popen[bytes] | None = None
        self._clients: list[Client] = []

    # -- the supervisor ------------------------------------------------------------------------------------------------

    def start(self, *arguments: str, **popen: Any) -> dict[str, Any]:
        """Start it and wait until it is ready, or has said why not; gives what it said."""
        read, write = os.pipe()
        command = [
            sys.executable,
            "-P",
            "-m",
            "jobyard.supervisor",
            "--config",
            str(self.config),
            "--ready-fd",
            str(write),
        ]
        environment = popen.pop("env", os.environ)
        with (self.directory / "supervisor.out").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *arguments],
                pass_fds=[write],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env=without_pytest(environment),
                **popen,
            )
        os.close(write)
        with open(read, "rb") as ready:
            line = ready.readline()
        if not line:
            raise AssertionError(f"the supervisor said nothing:\n{self.log}")
        said: dict[str, Any] = json.loads(line)
        return said

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def log(self) -> str:
        return (self.directory / "supervisor.out").read_text(errors="replace")

    @contextlib.contextmanager
    def logging(self, text: str) -> Iterator[None]:
        """What is done in here makes the supervisor log this once more, which is waited for at the end."""
        before = self.log.count(text)
        yield
        wait_for(f"{text!r} in the log", lambda: self.log.count(text) > before)

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def restart(self) -> int:
        """Kill it and start it again; the monotonic time in between, in ns: jobs may begin before this returns."""
        self.kill()
        killed_at = time.monotonic_ns()
        said = self.start()
        assert "pid" in said, said
        return killed_at

    def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(30)

    def leave(self) -> int:
        """SIGUSR1: it ends and leaves its running jobs; gives the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGUSR1)
        return self.process.wait(30)

    def jobctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run it with the yard's config, to its end."""
        return subprocess.run(
            [sys.executable, "-P", "-m", "jobyard", "--config", str(self.config), *words],
            cwd=self.directory,
            env=without_pytest(os.environ),
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    def client(self, **options: Any) -> Client:
        client = Client(config=str(self.config), **{"timeout": 20.0, **options})
        self._clients.append(client)
        return client

    def close(self) -> None:
        """End everything that this yard started, whatever state it is in."""
        for client in self._clients:
            client.close()
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for process in self.left():
            with contextlib.suppress(psutil.Error):
                process.kill()

    # -- what is there -------------------------------------------------------------------------------------------------

    def left(self) -> list[psutil.Process]:
        """Processes of this yard other than the supervisor: found by their directory."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.pid != os.getpid() and process.cwd() == str(self.directory):
                    found.append(process)
        return found

    def zygotes(self) -> list[int]:
        """Pids of the zygotes of all pools, once all are up; a supervisor may be ready before they are."""
        client = self.client()

        def up() -> list[int]:
            pools = client.status().pools
            return [pool.pid for pool in pools if pool.pid is not None] if all(p.state == "up" for p in pools) else []

        return wait_for("all zygotes to be up", up)

    def segment(self) -> Path:
        """The journal's open segment; space that it has taken ahead is zeros."""
        return max((self.directory / ".jobyard" / "journal").glob("*.segment"))

    def path(self, name: str) -> Path:
        return self.directory / name


MakeYard = Callable[..., Yard]  # the fixture ``make_yard``


def read_ledger(path: Path) -> list[tuple[str, str, int]]:
    """Lines of ``ident what nanoseconds`` that jobs appended."""
    if not path.exists():
        return []
    lines = [line.split() for line in path.read_text().splitlines()]
    return [(ident, what, int(at)) for ident, what, at in lines]


def overlaps(ledger: list[tuple[str, str, int]], killed_at: list[int]) -> list[str]:
    """Jobs of which two attempts overlapped: began with no kill to explain it, or went on after the next one began."""
    open_since: dict[str, int] = {}
    found = []
    for ident, what, at in sorted(ledger, key=lambda one: one[2]):
        if what == "begin":
            since = open_since.get(ident)
            if since is not None and not any(since <= kill <= at for kill in killed_at):
                found.append(ident)
            open_since[ident] = at
        elif open_since.pop(ident, None) is None:  # an end too many: the attempt before went on beside the new one
            found.append(ident)
    return found


def lives(pid: int) -> bool:
    """Whether there is such a process that is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def stop_process(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
