"""How processes end: exit codes, signals, crashes, and what is left of them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from yard import MakeYard, Yard, is_alive


def test_exit_code_is_told(yard: Yard) -> None:
    attempt = yard.run("exit_now", 7)
    assert attempt.exit is not None and attempt.end is None
    assert (attempt.exit.exit_code, attempt.exit.signal) == (7, None)


def test_exit_without_a_result_is_no_success(yard: Yard) -> None:
    attempt = yard.run("exit_now", 0)
    assert attempt.exit is not None and attempt.exit.exit_code == 0 and attempt.end is None


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT, signal.SIGHUP, signal.SIGUSR1, signal.SIGRTMIN + 1])
def test_signal_that_ends_the_job_is_named(yard: Yard, number: int) -> None:
    exit = yard.run("kill_self", int(number)).exit
    assert exit is not None and exit.exit_code is None and exit.killed is None
    assert exit.signal == (number.name if isinstance(number, signal.Signals) else f"SIG{number}")


def test_segmentation_fault_is_told(yard: Yard) -> None:
    exit = yard.run("segfault").exit
    assert exit is not None and exit.signal == "SIGSEGV"
    assert yard.run("add", 1, 1).value == 2, "the next job runs"


def test_job_killed_from_outside_is_told(yard: Yard, tmp_path: Path) -> None:
    attempt = yard.begin("sleep", 60, str(tmp_path / "marks"))
    yard.wait_for_text(tmp_path / "marks", "\n")
    os.kill(attempt.child.pid, signal.SIGKILL)
    exit = yard.finish(attempt).exit
    assert exit is not None and (exit.signal, exit.killed) == ("SIGKILL", None)


def test_job_that_closes_its_descriptors_ends_with_an_exit_code(yard: Yard) -> None:
    attempt = yard.run("close_descriptors")
    assert attempt.end is None and attempt.exit is not None and attempt.exit.exit_code == 71


def test_job_without_free_descriptors_can_still_return_much(yard: Yard) -> None:
    assert len(yard.run("open_all_descriptors").value) == 100_000


def test_copy_that_a_job_forked_does_not_answer_for_it(yard: Yard, tmp_path: Path) -> None:
    path = tmp_path / "copy"
    assert yard.run("fork_and_return", str(path)).value == "from the job"
    assert path.read_text().count("\n") == 1


def test_threads_of_a_job_are_not_waited_for(yard: Yard) -> None:
    assert yard.run("leave_thread").value == "done"


def test_multiprocessing_works_in_a_job(yard: Yard) -> None:
    assert yard.run("use_multiprocessing").value == 6


def test_sigterm_ends_what_a_job_has_forked_however_early_it_comes(yard: Yard) -> None:
    assert yard.run("end_forked_processes_at_once", 200).value == [-signal.SIGTERM]


@pytest.mark.parametrize("end", ["return", "crash"])
def test_daemons_do_not_outlive_their_job(yard: Yard, tmp_path: Path, end: str) -> None:
    path = tmp_path / "daemons"
    attempt = yard.run("daemons", str(path), end)
    pids = [int(line) for line in path.read_text().split()]
    assert not [pid for pid in pids if is_alive(pid)]
    assert attempt.exit is not None and attempt.exit.survivors == 0


def test_usage_counts_the_jobs_own_memory_and_time(yard: Yard) -> None:
    size = 60 << 20
    end = yard.run("allocate", size).end
    assert end is not None and end.usage is not None and not end.usage.approximate
    assert size <= end.usage.peak_rss_bytes < size + (16 << 20) and end.usage.base_rss_bytes > 1 << 20
    end = yard.run("burn", 0.3).end
    assert end is not None and end.usage is not None
    assert 0.3 <= end.usage.cpu_user_s + end.usage.cpu_system_s < 3 and end.usage.peak_rss_bytes < 16 << 20


def test_usage_of_a_crashed_job_is_approximate(yard: Yard) -> None:
    exit = yard.run("segfault").exit
    assert exit is not None and exit.usage is not None and exit.usage.approximate
    assert exit.usage.cpu_user_s + exit.usage.cpu_system_s > 0 and exit.usage.base_rss_bytes > 1 << 20


def test_time_of_the_exit_is_told(yard: Yard) -> None:
    before = time.time()
    exit = yard.run("nothing").exit
    assert exit is not None and before <= exit.at <= time.time()


def test_exit_of_a_child_that_was_told_nothing_is_void(yard: Yard) -> None:
    yard.executor.prepare(1)
    yard.wait(lambda: yard.ready, "a child")
    os.kill(yard.ready.pop().pid, signal.SIGKILL)
    yard.wait(lambda: yard.unbound_exits, "its exit")
    assert yard.unbound_exits[0].exit.void
    exit = yard.run("segfault").exit
    assert exit is not None and exit.signal == "SIGSEGV" and not exit.void


def test_discarded_child_is_gone(yard: Yard) -> None:
    yard.executor.prepare(2)
    yard.wait(lambda: len(yard.ready) == 2, "two children")
    child, other = yard.ready
    yard.executor.discard(child)
    yard.wait(lambda: yard.unbound_exits, "its exit")
    exit = yard.unbound_exits[0]
    assert exit.child == child and exit.end is None and exit.exit.signal == "SIGKILL" and not is_alive(child.pid)
    assert yard.ready == [other] and is_alive(other.pid)


def test_spare_child_that_is_killed_from_outside_is_told(yard: Yard) -> None:
    yard.executor.prepare(1)
    yard.wait(lambda: yard.ready, "a child")
    os.kill(yard.ready[0].pid, signal.SIGKILL)
    yard.wait(lambda: yard.unbound_exits, "its exit")
    assert yard.run("add", 1, 1).value == 2


def test_orders_for_a_child_that_is_gone_do_nothing(yard: Yard) -> None:
    attempt = yard.run("nothing")
    yard.executor.go(attempt.child, attempt.order)
    yard.executor.kill(attempt.child, "cancel", 0.0, None)
    yard.executor.discard(attempt.child)
    yard.executor.ack(attempt.child, attempt.seq)
    assert yard.run("add", 1, 1).value == 2
    assert len(yard.unbound_exits) == 0


def test_second_go_for_the_same_attempt_does_nothing(yard: Yard, tmp_path: Path) -> None:
    path = tmp_path / "marks"
    attempt = yard.begin("sleep", 0.2, str(path))
    yard.executor.go(attempt.child, attempt.order)
    assert yard.finish(attempt).value == "slept" and path.read_text().count("\n") == 1


def test_confinement_of_a_job(make_yard: MakeYard, tmp_path: Path) -> None:
    yard = make_yard(nofile=512)
    found = yard.run("confinement").value
    assert found["pid"] == found["sid"] == found["pgid"]
    assert found["umask"] == 0o077 and tuple(found["core"]) == (0, 0) and found["nofile"] == 512
    assert found["oom"] == min(1000, int(Path("/proc/self/oom_score_adj").read_text()) + 500)
    assert found["stdin_is_null"] and found["fds"] in ([0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4])
    assert int(found["blocked"], 16) == 0 and found["cwd"] == str(tmp_path) and found["threads"] == 1


def test_memory_limit_ends_in_an_error_of_the_job(make_yard: MakeYard) -> None:
    yard = make_yard(memory_max_bytes=50 << 20)
    end = yard.run("allocate", 200 << 20).end
    assert end is not None and end.kind == "error" and end.error is not None and end.error.type == "MemoryError"
    assert end.error.message == "jobs of the pool default may take 50 MiB ([pools.default] memory_max)"
    assert yard.run("allocate", 10 << 20).value == 10 << 20


def test_child_setup_runs_before_the_job_and_its_failure_is_an_error(make_yard: MakeYard, tmp_path: Path) -> None:
    (tmp_path / "hooks.py").write_text(
        "import conformance_jobs\ndef set(): conformance_jobs.constant = 8\ndef bad(): 1/0\n"
    )
    jobs = str(Path(__file__).parent)
    yard = make_yard(path=[jobs, str(tmp_path)], child_setup="hooks:bad")
    end = yard.run("nothing").end
    assert end is not None and end.kind == "error" and end.error is not None
    assert end.error.type == "ZeroDivisionError" and "hooks.py" in end.error.traceback
    assert end.error.traceback.count("  File ") == 1, "the way to it is not the user's"
    assert make_yard(path=[jobs, str(tmp_path)], child_setup="hooks:set").run("nothing").value is None


def test_children_come_to_an_end_with_close(make_yard: MakeYard, tmp_path: Path) -> None:
    yard = make_yard()
    path = tmp_path / "daemons"
    attempt = yard.begin("daemons", str(path), "wait")
    yard.wait(lambda: path.exists() and path.read_text().count("\n") == 3, "the daemons")
    yard.executor.close()
    assert not [pid for pid in (attempt.child.pid, *map(int, path.read_text().split()[:2])) if is_alive(pid)]
    yard.executor.close()
