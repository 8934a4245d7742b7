"""A pool that runs as another user: who its jobs are, what they cannot do, and that all else works as ever."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import jobyard
import pytest
import tiers
from live import Yard, wait_for
from nobodys_pool import USER
from others import open_directory

REFUSAL = "cannot make a child: Resource temporarily unavailable"
RECOVERED_S = 5.0 + 3.0  # the second is for a busy machine
CONFIG = """
[output]
max_job_bytes = "1MiB"
[pools.default]
concurrency = 2
nproc = 64
env.TMPDIR = "/tmp"
"""
JOBS = '''
import ctypes, os, signal, subprocess, time

def who():
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return {"ids": [os.getresuid(), os.getresgid()], "groups": os.getgroups(), "home": os.environ["HOME"],
            "caps": int(status["CapEff"], 16), "no_new_privs": status["NoNewPrivs"].strip(), "umask": status["Umask"]}

def talk(lines):
    for number in range(lines):
        print("line", number)

def scratch():
    from jobyard import current_job
    path = current_job().scratch / "file"
    path.write_text("x")
    return str(path)

def attack(target):
    """What each attempt at the supervisor comes to."""
    def tried(what):
        try:
            what()
        except OSError as error:
            return type(error).__name__
        return "it worked"
    def trace():
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.ptrace(16, target, None, None) != 0:
            raise PermissionError(ctypes.get_errno(), "ptrace")
    return [tried(lambda: os.kill(target, 0)), tried(lambda: open(f"/proc/{target}/environ").read()),
            tried(lambda: os.listdir(f"/proc/{target}/fd")), tried(trace), tried(lambda: os.setuid(0)),
            tried(lambda: os.listdir(".jobyard"))]

def daemon(path):
    subprocess.run(["setsid", "-f", "sleep", "600"], env={}, check=True)
    time.sleep(600)

def fork_without_end():
    while True:
        if os.fork() == 0:
            time.sleep(600)

def bomb():
    """As ``fork_without_end``, by all processes at once, which do not mind failing."""
    while True:
        try:
            os.fork()
        except OSError:
            time.sleep(0.01)

def kill_zygote():
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)
'''


@pytest.fixture(scope="module")
def yard(as_nobody: str) -> Iterator[Yard]:
    """One for all tests: each leaves it as it was.

    The limit counts all processes of the user, so tests that run beside these wait for the lock.
    """
    with open_directory() as directory, open(__file__) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yard = Yard(directory, JOBS, CONFIG + as_nobody)
        (directory / "jobs.py").chmod(0o644)
        try:
            said = yard.start()
            assert "pid" in said, said
            yield yard
        finally:
            yard.close()


def limit_processes(pid: int, limit: str) -> None:
    """Set the limit of another process, which its own user may."""
    entry = pwd.getpwnam(USER)
    command = ["prlimit", "--pid", str(pid), f"--nproc={limit}"]
    subprocess.run(command, check=True, user=entry.pw_uid, group=entry.pw_gid, extra_groups=[], cwd="/")


def test_job_is_that_user_and_nobody_else(yard: Yard) -> None:
    entry = pwd.getpwnam(USER)
    found = yard.client().submit("jobs:who").result(timeout=20)
    assert found["ids"] == [(entry.pw_uid,) * 3, (entry.pw_gid,) * 3]
    assert set(found["groups"]) == set(os.getgrouplist(USER, entry.pw_gid))
    assert (found["caps"], found["no_new_privs"], found["home"]) == (0, "1", entry.pw_dir)
    (zygote,) = yard.zygotes()
    assert os.stat(f"/proc/{zygote}").st_uid == entry.pw_uid


def test_job_cannot_touch_the_supervisor_or_its_files(yard: Yard) -> None:
    answers = yard.client().submit("jobs:attack", yard.pid).result(timeout=20)
    assert answers == ["PermissionError"] * 6


def test_output_is_written_by_the_user_and_read_by_the_supervisor(yard: Yard) -> None:
    job = yard.client().submit("jobs:talk", 3)
    job.wait(20)
    (attempt,) = json.loads(yard.jobctl("logs", str(job.id), "--json").stdout)["outputs"]
    assert [line["text"] for line in attempt["lines"]] == ["line 0", "line 1", "line 2"]
    files = {path.name: path.stat() for path in yard.path(".jobyard/output/0").glob(f"{job.id}.*")}
    assert set(files) == {f"{job.id}.1.log", f"{job.id}.1.idx"}, "what was not needed is gone"
    assert {found.st_uid for found in files.values()} == {pwd.getpwnam(USER).pw_uid}
    assert yard.path(".jobyard/output/0").stat().st_uid == 0


def test_long_output_keeps_its_end_and_a_silent_job_leaves_nothing(yard: Yard) -> None:
    job = yard.client().submit("jobs:talk", 400_000)
    assert job.wait(60)
    (attempt,) = json.loads(yard.jobctl("logs", str(job.id), "--json").stdout)["outputs"]
    assert attempt["dropped_bytes"] > 0 and attempt["unwritten_bytes"] == 0
    assert attempt["lines"][-1]["text"] == "line 399999"
    silent = yard.client().submit("jobs:who")
    silent.wait(20)
    wait_for("its files to go", lambda: not list(yard.path(".jobyard/output/0").glob(f"{silent.id}.*")))


def test_scratch_directory_is_the_user_s_and_goes(yard: Yard) -> None:
    path = Path(yard.client().submit("jobs:scratch").result(timeout=20))
    wait_for("the directory to go", lambda: not path.parent.exists())


def test_cancel_and_the_death_of_the_zygote_leave_no_process(yard: Yard) -> None:
    client = yard.client()
    job = client.options(grace=0, retries=0).submit("jobs:daemon", "")
    wait_for("its daemon", lambda: [one for one in yard.left() if one.name() == "sleep"])
    job.cancel()
    assert job.wait(20) and job.state == "cancelled"
    assert not [one for one in yard.left() if one.name() == "sleep"]
    lost = client.options(on_lost="fail").submit("jobs:kill_zygote")
    assert isinstance(lost.exception(timeout=20), jobyard.JobLost)
    assert client.submit("jobs:who").result(timeout=20)


def test_processes_over_the_limit_are_an_error_that_names_it(yard: Yard) -> None:
    failed = yard.client().options(retries=0).submit("jobs:fork_without_end").exception(timeout=20)
    assert isinstance(failed, jobyard.JobFailed)
    assert "the user of the pool default may have 64 processes and threads ([pools.default] nproc)" in str(failed)


def test_fork_bomb_is_held_by_the_limit_and_ends_with_its_job(yard: Yard) -> None:
    client = yard.client()
    before = len(yard.left())
    job = client.options(timeout=1, grace=0, retries=0).submit("jobs:bomb")
    assert isinstance(job.exception(timeout=30), jobyard.JobTimedOut)
    assert client.submit("jobs:who").result(timeout=20)
    wait_for("no process more than before", lambda: len(yard.left()) <= before)


def test_zygote_that_may_not_fork_keeps_its_jobs_and_goes_on_when_it_may(yard: Yard) -> None:
    client = yard.client()
    rounds = tiers.size(2, 100, 1000)
    for _ in range(rounds):
        (zygote,) = yard.zygotes()
        with yard.logging(REFUSAL):
            limit_processes(zygote, "1:")
            jobs = client.submit_many("jobs:who", [()] * 5)
        limit_processes(zygote, "10000:")
        freed_at = time.monotonic()
        assert all(job.wait(20) and job.state == "succeeded" and job.info().attempt == 1 for job in jobs)
        assert time.monotonic() - freed_at < RECOVERED_S
    tiers.report("T8", "RLIMIT_NPROC of a zygote that is not root's", rounds=rounds, jobs=5 * rounds, attempts_lost=0)


def test_restart_of_the_supervisor_goes_on(yard: Yard) -> None:
    yard.restart()
    assert yard.client().submit("jobs:who").result(timeout=20)["caps"] == 0
