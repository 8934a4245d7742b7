"""Signals at the worst moments: while a client takes a connection, and while it makes one."""

from __future__ import annotations

import signal

import pytest
from fake_supervisor import FakeSupervisor
from jobyard.client.connection import Wire
from jobyard.client.link import Link
from jobyard.client.sync import Client


def test_a_handler_of_a_signal_may_ask_while_its_thread_takes_a_connection(supervisor: FakeSupervisor) -> None:
    said: list[int] = []
    with Client(socket=supervisor.path) as client:
        client.ping()
        before = signal.signal(signal.SIGUSR1, lambda number, frame: said.append(client.ping().pid))
        try:
            with client._here()._lock:  # where the signal finds it
                signal.raise_signal(signal.SIGUSR1)
        finally:
            signal.signal(signal.SIGUSR1, before)
    assert len(said) == 1


def test_a_connection_that_was_interrupted_while_it_was_made_is_not_used_again(
    supervisor: FakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(link: Link, wire: Wire) -> None:
        raise KeyboardInterrupt

    with Client(socket=supervisor.path, timeout=5) as client:
        with monkeypatch.context() as once:
            once.setattr(Link, "wire_opened", interrupted)
            with pytest.raises(KeyboardInterrupt):
                client.ping()
        assert client.ping().ready
