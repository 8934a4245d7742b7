"""Whole trees: listing, freezing, sweeping."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from jobyard.supervisor.executors.zygote import fence, kill, limits, procs

# In a process of its own, which has exactly these children.
MANY_CHILDREN = """
import os, signal, sys
from jobyard.supervisor.executors.zygote.kill import OwnChildren, sweep
from jobyard.supervisor.executors.zygote.procs import children_of
own = OwnChildren()
assert own.pids() == []
pids = []
for _ in range(1200):
    pid = os.fork()
    if pid == 0:
        signal.pause()
    pids.append(pid)
assert sorted(own.pids()) == sorted(pids), (len(own.pids()), len(pids))
assert sorted(children_of(os.getpid())) == sorted(pids)
kept = set(pids[:3])
assert sweep(own.pids, kept, lambda: None, 20.0) == []
assert sorted(own.pids()) == sorted(kept)
for pid in kept:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
"""


def test_all_of_many_children_are_listed_and_swept_but_the_known() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MANY_CHILDREN], capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.stderr, done.returncode) == ("", 0)


def test_tree_holds_everything_below() -> None:
    process = subprocess.Popen(["sh", "-c", "sh -c 'sleep 60 & echo up; wait' & wait"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process, process.stdout:
        assert process.stdout.readline() == b"up\n"
        found = kill.tree([process.pid])
        assert found[0] == process.pid and len(found) == 3
        assert sorted(kill.freeze_and_kill([process.pid])) == sorted(found)
    assert process.returncode == -signal.SIGKILL


def test_gone_processes_are_no_error() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert procs.children_of(pid) == [] and not kill.signal_one(pid, signal.SIGTERM) and procs.start_time(pid) == 0
    kill.signal_group(pid, signal.SIGTERM)
    assert kill.reap(pid), "somebody has done it"


def test_fence_of_another_boot_is_trivial() -> None:
    assert fence.fence("any", os.getppid(), procs.start_time(os.getppid()), "another boot")


def test_fence_leaves_a_process_that_only_has_the_same_pid() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        started = procs.start_time(process.pid)
        assert fence.fence("nobody", process.pid, started + 1, limits.boot_id(), [(process.pid, started - 1)])
        assert process.poll() is None
        assert fence.fence("nobody", process.pid, started, limits.boot_id())
        assert process.wait(10) == -signal.SIGKILL


def test_fence_finds_what_has_the_mark_and_kills_nobody_else() -> None:
    uuid = os.urandom(8).hex()
    environments = [{fence.MARK: uuid}, {fence.MARK: uuid + "0"}, {"OTHER": f"{fence.MARK}={uuid}"}]
    processes = [subprocess.Popen(["/bin/sleep", "60"], env=env) for env in environments]
    try:
        assert fence.fence(uuid, 0, 0, limits.boot_id())
        assert processes[0].wait(10) == -signal.SIGKILL
        assert [process.poll() for process in processes[1:]] == [None, None]
    finally:
        for process in processes:
            process.kill()
            process.wait(10)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_signal_to_a_group_reaches_one_that_leads_none(number: signal.Signals) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        kill.signal_group(process.pid, number)
        assert process.wait(10) == -number
