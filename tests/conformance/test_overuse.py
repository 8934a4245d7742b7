"""Limits of a pool, and the traces of those who go over one: which limit it was, and where the job was."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from yard import Attempt, MakeYard, Yard

ALLOW = ["limit_jobs:*", "conformance_jobs:*"]
LATE = {"timeout_s": 0.5, "grace_s": 0.3}


@pytest.fixture
def make(make_yard: MakeYard, kind: str) -> MakeYard:
    def make(**changes: Any) -> Yard:
        preload = {"preload": ["limit_jobs"]} if kind == "zygote" else {}
        return make_yard(allow=ALLOW, **preload, **changes)

    return make


def message(attempt: Attempt) -> str:
    assert attempt.end is not None and attempt.end.error is not None, attempt
    return attempt.end.error.message


# -- limits ------------------------------------------------------------------------------------------------------------


def test_processor_time_that_is_used_up_is_named_with_its_key(make: MakeYard) -> None:
    yard = make(cpu_s=1)
    exit = yard.run("limit_jobs:burn").exit
    assert exit is not None and exit.signal == "SIGXCPU" and exit.killed is None
    assert exit.reason == "used more than 1 s of processor time ([pools.default] cpu)"
    assert exit.usage is not None and exit.usage.cpu_user_s + exit.usage.cpu_system_s < 3
    assert yard.run("add", 1, 1).value == 2


@pytest.mark.parametrize("kind", ["zygote"], indirect=True)
def test_job_that_ignores_the_signal_is_killed_and_the_limit_named(make: MakeYard) -> None:
    exit = make(cpu_s=1).run("limit_jobs:burn", True).exit
    assert exit is not None and exit.signal == "SIGKILL"
    assert exit.reason == "used more than 1 s of processor time ([pools.default] cpu)"


def test_processor_time_is_counted_for_each_process(make: MakeYard) -> None:
    assert make(cpu_s=1).run("limit_jobs:burn_in_a_subprocess").value == -signal.SIGXCPU


@pytest.mark.parametrize("number", [signal.SIGXCPU, signal.SIGKILL])
def test_signal_that_was_no_limit_s_names_none(make: MakeYard, number: int) -> None:
    exit = make(cpu_s=60).run("limit_jobs:send_oneself", int(number)).exit
    assert exit is not None and exit.signal == signal.Signals(number).name and exit.reason is None


def test_files_over_the_limit_are_an_error_that_names_it(make: MakeYard) -> None:
    yard = make(nofile=64)
    assert "may have 64 files open ([pools.default] nofile)" in message(yard.run("limit_jobs:open_files", 100))
    assert yard.run("limit_jobs:open_files", 20).value == 20


def test_niceness_is_added_to_the_supervisor_s(make: MakeYard) -> None:
    assert make(nice=3).run("limit_jobs:niceness").value == os.nice(0) + 3


PAPER_KERNEL = """
import os, shutil
from jobyard.supervisor.executors.zygote.cgroup import Kernel
def mkdir(self, path):
    os.mkdir(path)
    for name in ("memory.oom.group", "memory.max", "memory.swap.max", "pids.max", "cgroup.procs", "cgroup.kill"):
        open(f"{path}/{name}", "w").close()
    open(f"{path}/memory.events", "w").write("oom_kill 1")
Kernel.mkdir = mkdir
Kernel.rmdir = lambda self, path: os.rename(path, path + ".gone")
"""


@pytest.mark.parametrize("kind", ["zygote"], indirect=True)
def test_attempt_that_the_kernel_killed_in_its_group_ran_out_of_memory(make_yard: MakeYard, tmp_path: Path) -> None:
    (tmp_path / "paper_kernel.py").write_text(PAPER_KERNEL)
    (tmp_path / "groups").mkdir()
    jobs = str(Path(__file__).parent)
    yard = make_yard(
        allow=ALLOW,
        path=[jobs, str(tmp_path)],
        preload=["paper_kernel"],
        cgroup=str(tmp_path / "groups"),
        memory_max_bytes=64 << 20,
    )
    attempt = yard.run("limit_jobs:send_oneself", int(signal.SIGKILL))
    assert attempt.exit is not None and (attempt.exit.killed, attempt.exit.signal) == ("oom", "SIGKILL")
    assert attempt.exit.reason == "its processes took more than 64 MiB ([pools.default] memory_max)"
    (group,) = (tmp_path / "groups").iterdir()
    assert group.name.endswith(".gone") and (group / "memory.max").read_text() == str(64 << 20)
    assert (group / "cgroup.procs").read_text() == str(attempt.child.pid)


# -- silence -----------------------------------------------------------------------------------------------------------


def test_output_is_a_sign_of_life(make: MakeYard) -> None:
    began_at = time.monotonic()
    attempt = make().run("limit_jobs:say", 5, 0.3, options={"stall_timeout_s": 0.8, "grace_s": 10.0})
    assert attempt.exit is not None and attempt.exit.killed == "stall"
    assert time.monotonic() - began_at >= 4 * 0.3 + 0.8, "each line has put it off"


# -- where it was ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [LATE, {"timeout_s": 0.5, "grace_s": 0.0}, {**LATE, "stall_timeout_s": 0.3}])
def test_job_that_is_late_first_tells_where_it_is(make: MakeYard, options: dict[str, float]) -> None:
    yard = make()
    attempt = yard.run("limit_jobs:sit_in_c_code", options=options)
    assert attempt.exit is not None and attempt.exit.signal == "SIGKILL", "it could not be asked"
    said = yard.text(attempt).decode()
    assert "most recent call first" in said and "in sit_in_c_code" in said


def test_call_in_c_code_goes_on_after_that(make: MakeYard) -> None:
    attempt = make().run("limit_jobs:read_in_c_code", options=LATE)
    assert attempt.exit is not None and attempt.exit.signal == "SIGKILL" and attempt.end is None


def test_all_threads_are_told(make: MakeYard) -> None:
    yard = make()
    said = yard.text(yard.run("limit_jobs:sit_beside_a_thread", options=LATE)).decode()
    assert "in in_the_thread" in said and "in sit_beside_a_thread" in said


def test_tasks_are_told_with_what_they_wait_for(make: MakeYard) -> None:
    yard = make()
    said = yard.text(yard.run("limit_jobs:wait_in_tasks", options={**LATE, "grace_s": 10.0})).decode()
    assert said.index("in wait_outside") < said.index("in wait_inside")


def test_tasks_that_cannot_be_told_are_cancelled_all_the_same(make: MakeYard) -> None:
    yard = make()
    attempt = yard.run("limit_jobs:wait_without_stderr", options={"timeout_s": 0.5, "grace_s": 10.0})
    assert attempt.end is not None and attempt.end.kind == "stopped"


def test_stack_of_a_crash_is_told(make: MakeYard) -> None:
    yard = make()
    attempt = yard.run("limit_jobs:crash")
    assert attempt.exit is not None and attempt.exit.signal == "SIGSEGV"
    assert "in crash" in yard.text(attempt).decode()


def test_another_program_is_not_asked_and_stopped_all_the_same(make: MakeYard) -> None:
    yard = make()
    attempt = yard.run("limit_jobs:become_another_program", options={"timeout_s": 0.5, "grace_s": 10.0})
    assert attempt.exit is not None and (attempt.exit.killed, attempt.exit.signal) == ("timeout", "SIGTERM")
    assert yard.text(attempt) == b""


def test_cancelled_job_tells_nothing_nor_does_one_of_a_pool_without(make: MakeYard) -> None:
    yard = make(stack_dump=False)
    assert yard.text(yard.run("limit_jobs:sit_in_c_code", options=LATE)) == b""
    assert yard.text(yard.run("limit_jobs:crash")) == b""
    yard = make()
    attempt = yard.begin("limit_jobs:sit_in_c_code")
    yard.kill(attempt, grace_s=0.3)
    assert yard.text(yard.finish(attempt)) == b""
