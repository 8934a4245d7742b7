from __future__ import annotations

import os
import weakref

import pytest
from jobyard.supervisor.journal.wakeup import Wakeup


@pytest.fixture(autouse=True)
def _close_what_power_losses_leave_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulated power loss drops a journal without closing it; a real one would close its descriptors."""
    plain_init, plain_close = Wakeup.__init__, Wakeup.close
    open_ones: dict[int, weakref.finalize[[int], Wakeup]] = {}

    def init(self: Wakeup) -> None:
        plain_init(self)
        open_ones[self.fileno()] = weakref.finalize(self, os.close, self.fileno())

    def close(self: Wakeup) -> None:
        open_ones.pop(self.fileno()).detach()
        plain_close(self)

    monkeypatch.setattr(Wakeup, "__init__", init)
    monkeypatch.setattr(Wakeup, "close", close)


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """For tests with faults by the thousand: what is logged of each is not kept."""
    caplog.set_level("CRITICAL", logger="jobyard")
