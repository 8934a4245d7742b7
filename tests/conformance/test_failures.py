"""When what carries the jobs fails: no room for a child, no interpreter, a zygote that dies, and idle systems."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from jobyard.supervisor.executors import launch, orphans
from jobyard.supervisor.executors.zygote import executor, procs
from yard import MakeYard, Yard, is_alive

JOBS = str(Path(__file__).parent)
zygote_only = pytest.mark.parametrize("kind", ["zygote"], indirect=True)
spawn_only = pytest.mark.parametrize("kind", ["spawn"], indirect=True)


# -- no room -----------------------------------------------------------------------------------------------------------

NO_FORK = """
import errno, os
real, forks = os.fork, []
def fork():
    if os.path.exists({flag!r}):
        forks.append(1)
        if len(forks) > {room}:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return real()
os.fork = fork
"""


def yard_without_room(make_yard: MakeYard, directory: Path, flag: Path, room: int) -> Yard:
    """One whose zygote can fork ``room`` times, and no more, while ``flag`` is there."""
    (directory / "no_fork.py").write_text(NO_FORK.format(flag=str(flag), room=room))
    return make_yard(path=[JOBS, str(directory)], preload=["no_fork", "conformance_jobs"])


@zygote_only
def test_children_that_cannot_be_forked_are_counted_and_nothing_leaks(make_yard: MakeYard, tmp_path: Path) -> None:
    flag = tmp_path / "full"
    yard = yard_without_room(make_yard, tmp_path, flag, 0)
    yard.run("nothing")
    flag.touch()
    counts = []
    for _ in range(3):
        yard.failed.clear()
        yard.executor.prepare(100)
        yard.wait(lambda: sum(event.count for event in yard.failed) == 100, "all failures")
        assert "Resource temporarily unavailable" in yard.failed[0].why
        counts.append(descriptors_of_zygote(yard))
    assert counts[0] == counts[1] == counts[2]
    flag.unlink()
    yard.failed.clear()
    assert yard.run("add", 1, 1).value == 2, "it recovers"


@zygote_only
def test_children_that_were_forked_before_there_was_no_room_can_be_used(make_yard: MakeYard, tmp_path: Path) -> None:
    flag = tmp_path / "nearly-full"
    yard = yard_without_room(make_yard, tmp_path, flag, 2)
    yard.wait(lambda: yard.up, "the zygote")
    before = descriptors_of_zygote(yard)
    yard.run("nothing")
    yard.wait(lambda: descriptors_of_zygote(yard) == before, "no more descriptors than before the first child")
    flag.touch()
    yard.executor.prepare(10)
    yard.wait(lambda: yard.failed and len(yard.ready) == 2, "two children and the failure of the others")
    assert [event.count for event in yard.failed] == [8]
    assert [yard.run("add", 1, 1).value, yard.run("add", 2, 2).value] == [2, 4]
    yard.wait(lambda: descriptors_of_zygote(yard) == before, "no more descriptors than before")


@spawn_only
def test_children_that_cannot_be_spawned_are_counted(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> int:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_spawn", refuse)
        yard.executor.prepare(5)
    yard.wait(lambda: yard.failed, "the failure")
    assert yard.failed[0].count == 5 and "Resource temporarily unavailable" in yard.failed[0].why
    yard.failed.clear()
    assert yard.run("add", 1, 1).value == 2


@zygote_only
def test_supervisor_without_free_descriptors_makes_fewer_children(yard: Yard) -> None:
    yard.executor.prepare(1)
    yard.wait(lambda: yard.ready, "a child")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = [os.dup(0) for _ in range(3)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(spare) + 1, limits[1]))
    try:
        for fd in spare:
            os.close(fd)
        yard.executor.prepare(20)
        yard.wait(lambda: len(yard.ready) + sum(event.count for event in yard.failed) == 21, "an answer for each")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert yard.failed and "limit of open files" in yard.failed[0].why
    made = len(yard.ready)
    assert 1 <= made < 21
    assert [yard.run("add", number, 1).value for number in range(made)] == [number + 1 for number in range(made)]
    assert yard.unbound_exits == [], "those that could not be received are no concern of anybody"


@pytest.mark.parametrize("kind", ["zygote", "spawn"], indirect=True)
@pytest.mark.parametrize("call", ["pidfd_open", "start_time"])
def test_process_that_cannot_be_held_on_to_does_not_stay(
    make_yard: MakeYard, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That nothing stays is seen by ``make_yard``."""

    def refuse(pid: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr(os if call == "pidfd_open" else launch, call, refuse)
        yard = make_yard()
        yard.executor.prepare(1)
        yard.wait(lambda: yard.failed or yard.gone, "the failure")
    why = yard.gone.why if yard.gone is not None else yard.failed[0].why
    assert "Too many open files" in why


def test_own_process_is_spared_where_its_start_could_not_be_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    orphans.become_reaper()

    def refuse(pid: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with subprocess.Popen(["sleep", "60"]) as process:
        with monkeypatch.context() as patch:
            patch.setattr(orphans, "start_time", refuse)
            orphans.note_own(process.pid)
        assert orphans.kill_orphans() == 0 and process.poll() is None
        assert orphans.kill_orphans() == 0 and process.poll() is None
        process.kill()


# -- no death ----------------------------------------------------------------------------------------------------------

NO_KILL = """
import os, signal
def guarded(real):
    def kill(pid, number):
        if number != signal.SIGKILL or not os.path.exists({flag!r}):
            real(pid, number)
    return kill
os.kill, os.killpg = guarded(os.kill), guarded(os.killpg)
"""


@zygote_only
def test_child_that_survives_sigkill_frees_its_slot_and_is_reported(make_yard: MakeYard, tmp_path: Path) -> None:
    flag = tmp_path / "immortal"
    (tmp_path / "no_kill.py").write_text(NO_KILL.format(flag=str(flag)))
    yard = make_yard(path=[JOBS, str(tmp_path)], preload=["no_kill", "conformance_jobs"])
    attempt = yard.begin("sleep", 60, str(tmp_path / "marks"))
    yard.wait_for_text(tmp_path / "marks", "\n")
    flag.touch()
    asked_at = time.monotonic()
    yard.kill(attempt, grace_s=0.0)
    yard.finish(attempt)
    assert 1.0 <= time.monotonic() - asked_at < 4
    assert attempt.exit is not None and attempt.exit.survivors == 1 and attempt.exit.killed == "cancel"
    assert (attempt.exit.exit_code, attempt.exit.signal) == (None, None)
    assert yard.run("add", 1, 1).value == 2 and is_alive(attempt.child.pid)
    os.kill(attempt.child.pid, signal.SIGKILL)
    yard.wait(lambda: not os.path.exists(f"/proc/{attempt.child.pid}"), "it to be reaped")
    flag.unlink()
    assert yard.run("add", 1, 1).value == 2


@zygote_only
def test_orphans_that_survive_sigkill_are_counted(make_yard: MakeYard, tmp_path: Path) -> None:
    flag = tmp_path / "immortal"
    (tmp_path / "no_kill.py").write_text(NO_KILL.format(flag=str(flag)))
    yard = make_yard(path=[JOBS, str(tmp_path)], preload=["no_kill", "conformance_jobs"])
    flag.touch()
    attempt = yard.run("daemons", str(tmp_path / "daemons"), "return")
    assert attempt.exit is not None and attempt.exit.survivors >= 2
    assert attempt.end is not None and attempt.end.kind == "ok"
    asked_at = time.monotonic()
    assert yard.run("add", 1, 1).value == 2
    assert time.monotonic() - asked_at < 0.9, "the next one does not wait for them"
    pids = [int(pid) for pid in (tmp_path / "daemons").read_text().split()[:2]]
    flag.unlink()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    yard.wait(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), "them to be reaped")


# -- no start ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"python": "/does/not/exist/python"}, "/does/not/exist/python"),
        ({"cwd": "/does/not/exist"}, "/does/not/exist"),
        ({"preload": ["no_such_module"]}, "no_such_module"),
        ({"setup": "os:_exit"}, "exit"),
        ({"setup": "conformance_jobs:segfault"}, "SIGSEGV"),
        ({"setup": "conformance_jobs:leave_thread"}, "2 threads"),
        ({"python": "/bin/false"}, "exit code 1"),
        ({"runtime_dir": "/tmp/" + "x" * 200}, "too long"),
        ({"runtime_dir": "/does/not/exist"}, "No such file"),
        ({"env": {"A=B": "\0"}}, "default"),
    ],
)
@zygote_only
def test_zygote_that_cannot_start_says_why(make_yard: MakeYard, changes: dict[str, Any], part: str) -> None:
    yard = make_yard(**changes)
    yard.executor.prepare(3)
    yard.wait(lambda: yard.gone, "the end")
    assert yard.gone is not None and yard.gone.fenced and yard.up is None
    assert part in yard.gone.why, yard.gone.why


@spawn_only
@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"cwd": "/does/not/exist"}, "/does/not/exist"),
        ({"setup": "conformance_jobs:no_such"}, "no_such"),
    ],
)
def test_child_that_cannot_prepare_fails_the_attempt(make_yard: MakeYard, changes: dict[str, Any], part: str) -> None:
    end = make_yard(**changes).run("nothing").end
    assert end is not None and end.kind == "error" and end.error is not None and part in end.error.message


@spawn_only
def test_interpreter_that_cannot_run_us_says_why(make_yard: MakeYard) -> None:
    yard = make_yard(python="/does/not/exist/python")
    yard.wait(lambda: yard.gone, "the end")
    assert yard.gone is not None and "/does/not/exist/python" in yard.gone.why
    yard = make_yard(env={**os.environ, "PYTHONHOME": "/nowhere"})
    yard.executor.prepare(1)
    yard.wait(lambda: yard.failed, "the failure")
    assert "PYTHONHOME" in yard.failed[0].why or "encodings" in yard.failed[0].why


@zygote_only
def test_open_sockets_after_preload_are_a_warning(make_yard: MakeYard, tmp_path: Path, caplog: Any) -> None:
    (tmp_path / "with_socket.py").write_text("import socket\nopened = socket.socket()\n")
    yard = make_yard(path=[JOBS, str(tmp_path)], preload=["with_socket"])
    assert yard.run("add", 1, 1).value == 2
    assert "with_socket has opened 1 socket" in caplog.text


# -- sudden ends -------------------------------------------------------------------------------------------------------


@zygote_only
def test_zygote_that_is_killed_is_fenced_before_that_is_told(make_yard: MakeYard, tmp_path: Path) -> None:
    yard = make_yard()
    path = tmp_path / "daemons"
    attempt = yard.begin("daemons", str(path), "wait")
    yard.wait(lambda: path.exists() and path.read_text().count("\n") == 3, "the daemons")
    idle = yard.begin("sleep", 60)
    assert yard.up is not None
    os.kill(yard.up.pid, signal.SIGKILL)
    yard.wait(lambda: yard.gone, "word of its end")
    assert yard.gone is not None and yard.gone.fenced and "SIGKILL" in yard.gone.why
    assert yard.marked() == [] and not is_alive(attempt.child.pid) and not is_alive(idle.child.pid)
    assert attempt.exit is None and idle.exit is None, "what became of them is for the machine to say"
    first, second = map(int, path.read_text().split()[:2])
    assert not is_alive(first), "found by its environment"
    assert not is_alive(second), "it had no environment, but came to the supervisor"


@zygote_only
def test_result_that_waits_when_the_zygote_dies_stands(make_yard: MakeYard, tmp_path: Path) -> None:
    yard = make_yard()
    yard.executor.prepare(1)
    yard.wait(lambda: yard.ready, "a child")
    assert yard.up is not None
    os.kill(yard.up.pid, signal.SIGSTOP)
    attempt = yard.begin("add", 2, 3)
    yard.wait(lambda: not is_alive(attempt.child.pid), "the end of the child")
    assert attempt.exit is None
    os.kill(yard.up.pid, signal.SIGKILL)
    yard.wait(lambda: yard.gone, "word of its end")
    assert attempt.value == 5


def test_children_die_with_a_supervisor_that_is_killed_unless_they_outlive_it(kind: str, tmp_path: Path) -> None:
    script = f"""
import os, sys
sys.path.insert(0, {JOBS!r})
from pathlib import Path
from yard import Yard, spec
yard = Yard({kind!r}, spec(Path({str(tmp_path)!r}), {kind!r}))
attempt = yard.begin("sleep", 60, {str(tmp_path / "marks")!r})
yard.wait_for_text(Path({str(tmp_path / "marks")!r}), "\\n")
print(yard.executor.uuid, yard.up.pid, yard.up.pid_started, yard.up.boot_id, attempt.child.pid,
      attempt.child.pid_started, flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    uuid, pid, started, boot, child, child_started = done.stdout.split()
    if kind == "zygote":
        assert is_alive(int(child)), "a zygote's children go on"
    from jobyard.supervisor.executors.zygote.fence import MARK, fence
    from jobyard.supervisor.executors.zygote.procs import Search

    assert fence(uuid, int(pid), int(started), boot, [(int(child), int(child_started))])
    assert not is_alive(int(child)) and Search(f"{MARK}={uuid}").find() == []
    assert orphans.kill_orphans() == 0, "the dead that came to this process are collected"


# -- idle --------------------------------------------------------------------------------------------------------------


def test_nothing_wakes_up_while_nothing_happens(yard: Yard) -> None:
    yard.executor.prepare(3)
    yard.wait(lambda: len(yard.ready) == 3, "three children")
    attempt = yard.begin("sleep", 60, options={"timeout_s": 50.0, "soft_timeout_s": 40.0, "stall_timeout_s": 30.0})
    pids = [attempt.child.pid, *[child.pid for child in yard.ready]]
    if yard.kind == "zygote":
        assert yard.up is not None
        pids.append(yard.up.pid)
    wait_until_quiet(pids)
    before = [switches(pid) for pid in pids]
    yard.step()
    seen = len(yard.seen)
    time.sleep(1.5)
    assert [switches(pid) for pid in pids] == before
    yard.step()
    assert len(yard.seen) == seen


def wait_until_quiet(pids: list[int]) -> None:
    until = time.monotonic() + 20
    last: list[int] = []
    while True:
        time.sleep(0.3)
        now = [switches(pid) for pid in pids]
        if now == last:
            return
        assert time.monotonic() < until, "they never come to rest"
        last = now


def switches(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("\nvoluntary_ctxt_switches:")[1].split()[0])


def descriptors_of_zygote(yard: Yard) -> int:
    assert yard.up is not None
    return len(os.listdir(f"/proc/{yard.up.pid}/fd"))


@zygote_only
@pytest.mark.parametrize(("function", "told"), [("nothing", ["ok"]), ("fail", [])])
def test_end_that_its_zygote_cannot_tell_allows_no_other_attempt_while_something_may_be_left(
    make_yard: MakeYard, monkeypatch: pytest.MonkeyPatch, function: str, told: list[str]
) -> None:
    yard = make_yard()
    yard.executor.prepare(1)
    yard.wait(lambda: yard.ready, "a child")
    assert yard.up is not None
    os.kill(yard.up.pid, signal.SIGSTOP)
    attempt = yard.begin(function)  # to call ``fail`` in this way is an error
    yard.wait(lambda: procs.is_dead(attempt.child.pid), "its end")
    monkeypatch.setattr(executor, "no_orphan_left", lambda: orphans.no_orphan_left() and False)
    os.kill(yard.up.pid, signal.SIGKILL)
    yard.wait(lambda: yard.gone, "the end of the zygote")
    assert yard.gone is not None and not yard.gone.fenced
    assert ([] if attempt.end is None else [attempt.end.kind]) == told
