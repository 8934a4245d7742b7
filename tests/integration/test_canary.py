"""Secrets among arguments, looked for wherever they could have gone. What they may be in is named."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import jobyard
import looks
import psutil
import pytest
from jobyard import Client
from jobyard.protocol.notices import Events
from jobyard.protocol.states import FINISHED
from live import Yard, wait_for

CANARY = "canary-8f3a9c51"
JOBS = '''
"""Jobs that are given secrets and end in all ways."""

import os
import sys
import time

from jobyard import GiveUp, RetryLater, current_job


def use(how, token="", options=None, *, pin=None):
    secret = options["nested"][0]["password"] if options else pin or token
    match how:
        case "return":
            return len(secret)
        case "raise":
            raise ValueError(f"the token {secret!r} is no good")
        case "key":
            return {}[secret]
        case "chain":
            try:
                {}[secret]
            except KeyError as error:
                raise RuntimeError("failed", {"it": secret}) from error
        case "group":
            raise ExceptionGroup(secret, [ValueError(secret), TypeError(secret)])
        case "give up":
            raise GiveUp(secret)
        case "later":
            raise RetryLater(0.01, count=True)
        case "exit":
            sys.exit(secret)
        case "unpackable":
            return object()
        case "abort":
            os.abort()
        case "sleep":
            while not os.path.exists("go"):
                time.sleep(0.01)


async def use_later(token):
    raise ConnectionError(f"login as {token} failed")


def busy(number):
    pass
'''
CONFIG = """
[defaults]
retry = { max_attempts = 2, delay = 0.02 }
grace = 1
[queues.off]
paused = true
[jobs.Use]
target = "jobs:use"
redact = ["pin"]
[limits]
finished_jobs = 20
[pools.default]
concurrency = 4
env = { API_TOKEN = "canary-8f3a9c51-of-the-pool" }
[logging]
level = "debug"
format = "json"
"""
WAYS = ["return", "raise", "key", "chain", "group", "give up", "later", "exit", "unpackable", "abort"]


def holds(data: bytes) -> bool:
    return CANARY.encode() in data or CANARY.encode().hex().encode() in data


@pytest.fixture
def canary_yard(make_yard: Callable[..., Yard]) -> Yard:
    return make_yard(CONFIG, JOBS)


def submit_all(client: Client, log_format: str) -> Iterator[jobyard.Job[Any]]:
    """Each way to end, with the secret by position, by name, and inside of an argument, whichever name is used."""
    client.log_format(log_format)
    for way in WAYS:
        yield client.submit("jobs:use", way, CANARY)
        yield client.submit("Use", way, pin=CANARY)
        yield client.submit("jobs:use", way, options={"nested": ({"id": 1, "password": CANARY},)})
    yield client.submit("jobs:use_later", CANARY)
    timed = client.options(timeout=0.2, retries=0).submit("jobs:use", "sleep", CANARY)
    yield timed
    cancelled = client.options(delay=600).submit("jobs:use", "sleep", token=CANARY)
    client.cancel(cancelled)
    yield cancelled


def files(yard: Yard, *but: str) -> Iterator[Path]:
    """Files of the state directory with the secret in them."""
    for path in yard.path(".jobyard").rglob("*"):
        if path.is_file() and not any(part in but for part in path.parts) and holds(path.read_bytes()):
            yield path


def test_no_verb_is_forgotten() -> None:
    assert looks.forgotten() == set()


def test_secret_is_in_no_output_and_no_log_in_any_format(canary_yard: Yard, capfd: pytest.CaptureFixture[str]) -> None:
    client = canary_yard.client()
    jobs = [job for name in ("plain", "string", "json", "laravel") for job in submit_all(client, name)]
    assert not client.wait(jobs, 120).not_done
    client.log_format("json")
    told = [repr(notice) for notice in client.request(Events(oldest=True)).notices]
    assert len(told) > len(jobs)
    assert not any(CANARY in one for one in told)
    assert all(CANARY not in repr(info) for info in client.infos([job.id for job in jobs]))
    for look in looks.all_looks(canary_yard, [job.id for job in jobs], [], capfd):
        assert CANARY not in look.out + look.err, look.line
        assert look.code in (0, 1, 5, 6), look
        assert "Traceback" not in look.err, look.line
    assert CANARY not in canary_yard.log
    # The live journal has to hold the arguments of jobs that may run; nothing else does.
    assert list(files(canary_yard, "journal")) == []


def test_search_does_not_find_a_job_by_its_secret(canary_yard: Yard) -> None:
    client = canary_yard.client()
    job = client.submit("jobs:use", "raise", CANARY)
    assert job.wait(20)
    assert client.list(search=CANARY) == client.list(error=CANARY) == []
    assert [one.id for one in client.list(search="raise")] == [job.id]


def test_nothing_is_left_on_disk_once_the_journal_is_compacted(canary_yard: Yard) -> None:
    client = canary_yard.client()
    jobs = list(submit_all(client, "json"))
    assert not client.wait(jobs, 60).not_done
    assert list(files(canary_yard)), "the live journal holds what was submitted"
    others = client.options(queue="off").submit_many("jobs:busy", [(number,) for number in range(1100)])
    client.cancel(others)

    def held() -> int:
        counts = client.status().counts
        return sum(counts[state] for state in FINISHED)

    wait_for("the older jobs to leave memory", lambda: held() < len(others))
    wait_for("the old segments to go", lambda: not list(files(canary_yard)))
    assert canary_yard.path(".jobyard/history.db").exists()
    assert client.list(search=CANARY) == []
    info = client.info(jobs[1].id)
    assert (info.args, info.kwargs) == (("return",), {"pin": "***"})
    with pytest.raises(jobyard.WrongState, match="hidden values among its arguments were dropped"):
        client.get(jobs[1].id).retry()
    canary_yard.restart()
    with pytest.raises(jobyard.WrongState, match="hidden values among its arguments were dropped"):
        canary_yard.client().get(jobs[4].id).retry()


def test_journal_is_compacted_in_time_when_nothing_else_happens(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard("[journal]\nhidden_within = 1\n", JOBS)
    client = yard.client()
    running = client.submit("jobs:use", "sleep", f"{CANARY}-2")
    job = client.submit("jobs:use", "return", f"{CANARY}-1")
    assert job.result(timeout=20) == len(CANARY) + 2

    def left() -> list[bytes]:
        journal = b"".join(path.read_bytes() for path in yard.path(".jobyard/journal").iterdir())
        return [one for one in (b"1", b"2") if CANARY.encode() + b"-" + one in journal]

    assert b"2" in left()
    wait_for("the value of the job that has ended to go", lambda: left() == [b"2"])  # the other one is needed still
    yard.path("go").touch()
    assert running.wait(20)
    wait_for("the other one to go", lambda: left() == [])


def test_processes_tell_nobody_what_a_job_was_given(canary_yard: Yard) -> None:
    client = canary_yard.client()
    large = {"nested": [{"password": CANARY}], "rest": "x" * 200_000}  # goes through an anonymous file
    running = [client.submit("jobs:use", "sleep", CANARY), client.submit("jobs:use", "sleep", options=large)]
    wait_for("both to run", lambda: all(job.state == "running" for job in running))
    ours = [psutil.Process(canary_yard.pid), *canary_yard.left()]
    children = {info.attempts[-1].pid for info in client.infos([job.id for job in running])}
    assert children < {process.pid for process in ours}
    for process in ours:
        with suppress(psutil.NoSuchProcess, FileNotFoundError):
            proc = Path("/proc") / str(process.pid)
            assert not holds((proc / "cmdline").read_bytes()), process
            # What a pool's env gives to its jobs is in their environment, and there alone.
            names = [line for line in (proc / "environ").read_bytes().split(b"\0") if holds(line)]
            assert process.pid != canary_yard.pid or names == [], process
            assert all(line.startswith(b"API_TOKEN=") for line in names), process
            links = [os.readlink(fd) for fd in (proc / "fd").iterdir()]
            assert not any(CANARY in link for link in links), process
            assert process.rlimit(resource.RLIMIT_CORE) == (0, 0), process
    canary_yard.path("go").touch()
    assert not client.wait(running, 20).not_done


def test_retries_of_a_job_have_its_secret_also_after_a_crash(canary_yard: Yard) -> None:
    client = canary_yard.client()
    job = client.options(retry={"max_attempts": 2, "delay": 1}).submit("jobs:use", "raise", CANARY)
    wait_for("the first attempt to end", lambda: job.info().state == "scheduled")
    canary_yard.restart()
    again = canary_yard.client().get(job.id)
    assert again.wait(20)
    info = again.info()
    assert info.attempt == 2
    assert info.error is not None and info.error.message == "the token '***' is no good"
    assert "***" in info.error.traceback or CANARY not in info.error.traceback
