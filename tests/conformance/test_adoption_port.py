"""The supervisor's side of adoption at the executor port: a second executor takes over what the first one has left."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jobyard.supervisor.core.events import Child, ChildExited, ChildReady, Progressed, ZygoteAdopted, ZygoteGone
from jobyard.supervisor.executors.base import ExecutorEvent
from jobyard.supervisor.executors.zygote import executor as zygote_executor
from jobyard.supervisor.executors.zygote.executor import ZygoteExecutor
from jobyard.supervisor.executors.zygote.process import Found
from jobyard.supervisor.executors.zygote.procs import is_dead, start_time
from yard import Attempt, Yard

pytestmark = pytest.mark.parametrize("kind", ["zygote"], indirect=True)


class Next:
    """The executor of the next supervisor, and all that it has told."""

    def __init__(self, yard: Yard, running: list[Attempt], *, current: bool = True, generation: int = 2) -> None:
        up = yard.up
        assert up is not None
        children = tuple(attempt.child for attempt in running)
        found = Found(up.pool, up.uuid, up.pid, up.pid_started, up.boot_id, up.socket, "", current, children)
        self.executor = ZygoteExecutor(found, generation=generation, salt="conformance")
        self.told: list[ExecutorEvent] = []

    def start(self) -> None:
        self.executor.start()
        self.wait(lambda: self.executor.settled or self.executor.objection)

    def wait(self, look: Callable[[], Any]) -> None:
        until = time.monotonic() + 20
        while not look():
            assert time.monotonic() < until, self.told
            self.told += self.executor.events()
            time.sleep(0.005)
        self.told += self.executor.events()

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.told if isinstance(event, kind)]


@pytest.fixture
def follow(up: Yard) -> Iterator[Callable[..., Next]]:
    """Makes the next one; it is closed before the yard is, whose zygote it has."""
    made: list[Next] = []

    def make(running: list[Attempt], **how: Any) -> Next:
        made.append(Next(up, running, **how))
        return made[-1]

    yield make
    for one in made:
        one.executor.leave()


def test_attempt_goes_on_and_a_second_go_runs_nothing_twice(up: Yard, follow: Callable[..., Next]) -> None:
    path = up.spec.cwd + "/runs"
    attempt = up.begin("append_and_sleep", path, 0.7)
    up.wait(lambda: os.path.exists(path), "the attempt to run")
    later = follow([attempt])
    later.start()
    (adopted,) = later.of(ZygoteAdopted)
    assert adopted.current and attempt.child.kid in adopted.kids
    for _ in range(2):
        later.executor.go(attempt.child, attempt.order)
    later.wait(lambda: later.of(ChildExited))
    (exited,) = later.of(ChildExited)
    assert exited.child.kid == attempt.child.kid and exited.end.kind == "ok"
    later.executor.ack(exited.child, exited.seq)
    assert Path(path).read_text() == "run\n"


def test_lack_of_descriptors_in_the_next_supervisor_ends_no_zygote(
    up: Yard, follow: Callable[..., Next], monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = up.begin("append_and_sleep", up.spec.cwd + "/runs", 30)

    def full(pid: int, parent: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(zygote_executor, "start_below", full)
    later = follow([attempt])
    later.start()
    assert later.executor.objection is not None and "ulimit -n" in later.executor.objection
    later.executor.work()
    assert not later.of(ZygoteGone) and not is_dead(attempt.child.pid)


def test_large_arguments_are_not_sent_again_to_a_child_that_runs(up: Yard, follow: Callable[..., Next]) -> None:
    attempt = up.begin("append_and_sleep", up.spec.cwd + "/runs", 30, "x" * 60_000)
    up.wait(lambda: os.path.exists(up.spec.cwd + "/runs"), "the attempt to run")
    for generation in range(2, 12):  # ten times 60 KB do not fit into a socket
        later = follow([attempt], generation=generation)
        later.start()
        later.executor.go(attempt.child, attempt.order)
        later.executor.work()
        later.executor.leave()
    last = follow([attempt], generation=12)
    last.start()
    last.executor.go(attempt.child, attempt.order)
    last.executor.kill(attempt.child, "cancel", 5.0, "enough")
    last.wait(lambda: last.of(ChildExited))
    (exited,) = last.of(ChildExited)
    assert exited.exit.killed == "cancel" and exited.end.error.message == "enough", "there was room for the reason"


def test_children_that_wait_are_told_and_those_that_have_ended_are_not(up: Yard, follow: Callable[..., Next]) -> None:
    up.acknowledging = False
    done = up.run("nothing")
    up.executor.prepare(2)
    up.wait(lambda: len(up.ready) == 2, "two children")
    later = follow([done])
    later.start()
    assert {ready.child.kid for ready in later.of(ChildReady)} == {child.kid for child in up.ready}
    assert [exited.child.kid for exited in later.of(ChildExited)] == [done.child.kid]
    (adopted,) = later.of(ZygoteAdopted)
    assert adopted.kids == {done.child.kid, *(child.kid for child in up.ready)}


def test_newest_progress_is_told_again(up: Yard, follow: Callable[..., Next]) -> None:
    attempt = up.begin("tell_progress", 7, 30)
    up.wait(lambda: attempt.progress and attempt.progress[-1][0] == 7, "progress")
    later = follow([attempt])
    later.start()
    later.executor.go(attempt.child, attempt.order)
    later.wait(lambda: later.of(Progressed))
    assert later.of(Progressed)[0].progress.done == 7


def test_zygote_of_another_description_is_not_current(up: Yard, follow: Callable[..., Next]) -> None:
    later = follow([], current=False)
    later.start()
    assert [adopted.current for adopted in later.of(ZygoteAdopted)] == [False]


def test_zygote_that_has_ended_or_whose_pid_is_another_s_is_not_found(up: Yard, follow: Callable[..., Next]) -> None:
    for change in ({"pid_started": 1}, {"pid": os.getpid()}, {"boot_id": "another boot"}):
        later = follow([])
        origin = later.executor._origin
        assert isinstance(origin, Found)
        for name, value in change.items():
            object.__setattr__(origin, name, value)
        with pytest.raises(ProcessLookupError):
            later.executor.start()


def test_attempt_that_nobody_knows_is_ended_before_the_zygote_serves(up: Yard, follow: Callable[..., Next]) -> None:
    attempt = up.begin("sleep", 60)
    later = follow([])
    later.start()
    assert later.executor.up
    assert [exited.child.kid for exited in later.of(ChildExited)] == [attempt.child.kid]
    assert not os.path.exists(f"/proc/{attempt.child.pid}")


def test_living_process_that_the_zygote_does_not_know_keeps_it_from_being_adopted(
    up: Yard, follow: Callable[..., Next]
) -> None:
    attempt = up.run("nothing")
    attempt.child = Child("default", up.executor.uuid, 99, os.getpid(), start_time(os.getpid()))
    later = follow([attempt])
    later.start()
    assert not later.executor.up and "does not know it" in str(later.executor.objection)


def test_zygote_that_dies_while_it_is_adopted_is_told_as_gone(up: Yard, follow: Callable[..., Next]) -> None:
    assert up.up is not None
    later = follow([])
    later.executor.start()
    os.kill(up.up.pid, 9)
    later.wait(lambda: later.executor.settled and later.of(ZygoteGone))
    assert later.of(ZygoteGone)[0].fenced
