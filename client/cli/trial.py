"""The jobs of ``jobctl selftest``: a temporary supervisor that is used and hurt, and what became of it.

Owns the temporary directory and everything that is started in it. Nothing outside it is touched.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...protocol.errors import JobCancelled, JobTimedOut, JobyardError
from ..handle import Job
from ..processes import Process
from ..sync import Client
from .checkup import fail, ok

if TYPE_CHECKING:
    from .shapes import Check

LIMIT_S = 30.0  # for each of the tests
_CONFIG = """\
allow = ["trial_jobs:*"]

[defaults.retry]
max_attempts = 2
delay = 0.1
"""
_JOBS = '''\
"""What ``jobctl selftest`` runs."""

import os
import subprocess
import sys
import time


def double(number: int) -> int:
    return 2 * number


def fail_once(mark: str) -> str:
    if not os.path.exists(mark):
        open(mark, "w").close()
        raise RuntimeError("the first attempt fails, as it should")
    return "second attempt"


def hang() -> None:
    """With a process of its own that hangs too."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print(os.getpid(), child.pid, flush=True)
    child.wait()


def talk() -> None:
    print("to stdout")
    print("to stderr", file=sys.stderr)


def wait_for(mark: str) -> str:
    print("waiting", flush=True)
    while not os.path.exists(mark):
        time.sleep(0.05)
    return "survived"
'''


class _Failed(Exception):
    """What went otherwise than it should."""


def run(environ: Mapping[str, str]) -> Iterator[Check]:
    """One finding per test."""
    with tempfile.TemporaryDirectory(prefix="jobyard-selftest-") as name:
        directory = Path(name)
        (directory / "jobyard.toml").write_text(_CONFIG)
        (directory / "trial_jobs.py").write_text(_JOBS)
        own = {key: value for key, value in environ.items() if not key.startswith("JOBYARD")}
        started = _jobctl(directory, own, "up", "-d", "--json")
        if started.returncode:
            yield fail("start", started.stderr.strip(), "jobctl doctor")
            return
        said = json.loads(started.stdout)
        yield ok("start", f"supervisor pid {said['pid']} in {name}")
        try:
            with Client(socket=said["socket"], timeout=LIMIT_S) as client:
                yield from _tests(client, directory)
        finally:
            stopped = _jobctl(directory, own, "down", "--now")
        yield fail("stop", stopped.stderr.strip(), "jobctl doctor") if stopped.returncode else ok("stop", "it is gone")


def _jobctl(directory: Path, environ: Mapping[str, str], *argv: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "jobyard", *argv]
    return subprocess.run(command, cwd=directory, env=environ, capture_output=True, text=True, check=False)


def _tests(client: Client, directory: Path) -> Iterator[Check]:
    tests: dict[str, Callable[[Client, Path], str]] = {
        "run": _run,
        "retry": _retry,
        "timeout": _timeout,
        "cancel": _cancel,
        "output": _output,
        "kill -9": _kill,
    }
    for name, test in tests.items():
        try:
            yield ok(name, test(client, directory))
        except _Failed as failure:
            yield fail(name, str(failure), "jobctl doctor")
        except JobyardError as error:
            yield fail(name, f"{type(error).__name__}: {error.message}", error.hint or "jobctl doctor")


def _expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise _Failed(f"{what} is {found!r} and should be {wanted!r}")


def _run(client: Client, directory: Path) -> str:
    _expect("the result", client.submit("trial_jobs:double", 21).result(LIMIT_S), 42)
    return "a job ran and returned what it should"


def _retry(client: Client, directory: Path) -> str:
    job = client.submit("trial_jobs:fail_once", str(directory / "mark"))
    _expect("the result", job.result(LIMIT_S), "second attempt")
    _expect("the number of attempts", job.info().attempt, 2)
    return "a job that failed was tried again"


def _timeout(client: Client, directory: Path) -> str:
    return _ends(client.options(timeout=0.5, retry={"max_attempts": 1}), JobTimedOut, lambda job: None, "was over time")


def _cancel(client: Client, directory: Path) -> str:
    return _ends(client, JobCancelled, lambda job: job.cancel(grace=0), "was cancelled")


def _ends(submitter: Any, wanted: type[JobyardError], deed: Callable[[Job[Any]], object], how: str) -> str:
    """A job that hangs is ended, and none of its processes is left."""
    job = submitter.submit("trial_jobs:hang")
    with Process(_first_line_pids(job)[1]) as grandchild:
        deed(job)
        try:
            job.result(LIMIT_S)
        except wanted:
            pass
        else:
            raise _Failed("the job ended by itself")
        if not grandchild.ended(LIMIT_S):
            raise _Failed(f"process {grandchild.pid}, which the job had started, is still there")
    return f"a job that {how} was stopped with the process that it had started"


def _first_line_pids(job: Job[Any]) -> list[int]:
    for line in job.logs(follow=True):
        return [int(word) for word in line.text.split()]
    raise _Failed("the job ended before it said anything")


def _output(client: Client, directory: Path) -> str:
    job = client.submit("trial_jobs:talk")
    job.result(LIMIT_S)
    found = {(line.stream, line.text) for line in job.logs()}
    _expect("the output", found, {("stdout", "to stdout"), ("stderr", "to stderr")})
    return "what a job wrote to both streams was kept"


def _kill(client: Client, directory: Path) -> str:
    """A job that runs while its supervisor is killed is not lost: the next one takes it in or starts it again."""
    mark = directory / "go on"
    job = client.submit("trial_jobs:wait_for", str(mark))
    next(iter(job.logs(follow=True)))
    before = client.ping().pid
    with Process(before) as supervisor:
        supervisor.send(signal.SIGKILL)
        if not supervisor.ended(LIMIT_S):
            raise _Failed(f"supervisor {before} is still there")
    mark.touch()
    _expect("the result", job.result(LIMIT_S), "survived")
    if client.ping().pid == before:
        raise _Failed("no other supervisor took the place of the one that was killed")
    return "a job outlasted its supervisor, which was killed and replaced"
