"""The process of a zygote that somebody else has reaped already."""

from __future__ import annotations

import subprocess

from jobyard.supervisor.executors.zygote import channel
from jobyard.supervisor.executors.zygote.executor import ZygoteExecutor
from jobyard.supervisor.executors.zygote.limits import boot_id
from jobyard.supervisor.executors.zygote.process import Found, ZygoteProcess
from jobyard.supervisor.executors.zygote.procs import start_time


def found(pid: int) -> Found:
    return Found("default", "uuid", pid, start_time(pid), boot_id(), "/nowhere/z-uuid", "", True, ())


def test_adopted_zygote_that_lies_and_is_gone_by_then_does_not_end_the_supervisor() -> None:
    """Its end is told by another descriptor than its lie, and may come later."""
    with subprocess.Popen(["sleep", "60"]) as zygote:
        origin = found(zygote.pid)
        executor = ZygoteExecutor(origin, generation=2, salt="")
        executor._process = ZygoteProcess.find(origin)
        zygote.kill()
        zygote.wait()
    executor._message(channel.Grown(-1, True), [])
    assert executor.objection == "its zygote said what it cannot mean, and was killed"
    executor.leave()
