"""A supervisor at its limit of open files: what cannot be looked at, or had, is no error that ends it."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from jobyard.supervisor.core import events as e
from jobyard.supervisor.core.state import State
from jobyard.supervisor.executors.base import PoolSpec
from jobyard.supervisor.executors.spawn import SpawnExecutor, _slay
from jobyard.supervisor.executors.zygote.control import Kid
from jobyard.supervisor.executors.zygote.executor import ZygoteExecutor
from jobyard.supervisor.executors.zygote.page import Page
from jobyard.supervisor.executors.zygote.procs import cpu_s
from jobyard.supervisor.unfenced import AGAIN_FIRST_S, Unfenced


@contextlib.contextmanager
def full() -> Iterator[list[int]]:
    """All descriptors that this process may have, which are few."""
    taken: list[int] = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        yield taken
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def taken(tmp_path: Path) -> Iterator[list[int]]:  # that directory takes descriptors to make
    with full() as fds:
        yield fds


@pytest.mark.parametrize("make", [ZygoteExecutor, SpawnExecutor])
def test_executor_that_cannot_be_had_for_want_of_descriptors_leaves_none_open(
    taken: list[int], tmp_path: Path, make: type[ZygoteExecutor] | type[SpawnExecutor]
) -> None:
    """It is an error of the system, after which it is tried again; any other would end the supervisor."""
    spec = PoolSpec("default", "python", "/", [], {}, [], str(tmp_path), "/out")
    for tries in range(10):
        os.close(taken.pop())
        before = os.dup(0)  # the lowest that is free
        os.close(before)
        try:
            make(spec, generation=1, salt="").close()
        except OSError:
            after = os.dup(0)
            os.close(after)
            assert after == before
        else:
            assert tries > 1
            return
    raise AssertionError("ten descriptors are not enough")


def test_executor_that_cannot_start_then_is_closed_all_the_same(tmp_path: Path, taken: list[int]) -> None:
    spec = PoolSpec("default", "/bin/true", "/", [], {}, [], str(tmp_path), "/out")
    spare = [taken.pop() for _ in range(9)]
    for fd in spare:
        os.close(fd)
    executor = SpawnExecutor(spec, generation=1, salt="")
    with contextlib.suppress(OSError):
        while True:
            taken.append(os.dup(0))
    with pytest.raises(OSError, match="Too many open files"):
        executor.start()
    executor.close()


def test_zygote_of_which_something_may_be_left_is_tried_again_later(taken: list[int]) -> None:
    waiting = Unfenced(State())
    waiting.add(e.ZygoteGone("mail", "uuid", fenced=False), 100.0)
    assert waiting.due(100.0 + AGAIN_FIRST_S) == []
    assert waiting.pools() == ["mail"]


def test_child_is_killed_though_what_is_below_it_cannot_be_looked_for() -> None:
    page = Page.create()
    with subprocess.Popen(["sleep", "60"]) as child:
        with full():
            _slay(Kid(1, child.pid, None, 0, page.slot(0)))  # type: ignore[arg-type]
            assert cpu_s(child.pid) == 0.0
        assert child.wait(10) < 0
    page.close()
