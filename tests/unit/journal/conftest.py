from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from jobyard.supervisor.journal.wakeup import Wakeup


@pytest.fixture(autouse=True)
def _close_what_power_losses_leave_open(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A simulated power loss drops a journal without closing it; a real one would close its descriptors."""
    made: list[Wakeup] = []
    closed: set[int] = set()
    plain_init, plain_close = Wakeup.__init__, Wakeup.close

    def init(self: Wakeup) -> None:
        plain_init(self)
        made.append(self)

    def close(self: Wakeup) -> None:
        closed.add(id(self))
        plain_close(self)

    monkeypatch.setattr(Wakeup, "__init__", init)
    monkeypatch.setattr(Wakeup, "close", close)
    yield
    for wakeup in made:
        if id(wakeup) not in closed:
            os.close(wakeup.fileno())
