"""Fixtures of the client's tests: a scripted supervisor on a real socket, a client of it, and threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_supervisor import DEADLINE_S, FakeSupervisor
from jobyard.client.sync import Client


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[FakeSupervisor]:
    fake = FakeSupervisor(tmp_path / "s.sock")
    fake.start()
    yield fake
    fake.stop()


@pytest.fixture
def client(supervisor: FakeSupervisor) -> Iterator[Client]:
    with Client(socket=supervisor.path, timeout=DEADLINE_S) as one:
        yield one


@pytest.fixture
def in_thread() -> Iterator[Callable[[Callable[[], Any]], Callable[[], Any]]]:
    """Runs a call in a thread; what is returned joins it and gives its value or raises its error."""
    threads: list[threading.Thread] = []

    def begin(call: Callable[[], Any]) -> Callable[[], Any]:
        outcome: list[Any] = []

        def run() -> None:
            try:
                outcome.append(call())
            except BaseException as error:
                outcome.append(error)

        def join() -> Any:
            thread.join(DEADLINE_S)
            assert outcome, "the call has not ended"
            if isinstance(outcome[0], BaseException):
                raise outcome[0]
            return outcome[0]

        thread = threading.Thread(target=run, daemon=True)
        threads.append(thread)
        thread.start()
        return join

    yield begin
    for thread in threads:
        thread.join(DEADLINE_S)
