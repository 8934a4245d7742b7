from __future__ import annotations

import os
import select

import pytest
from jobyard.supervisor.journal.wakeup import Wakeup


@pytest.fixture(params=["eventfd", "pipe"])
def wakeup(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Wakeup:
    if request.param == "pipe":
        monkeypatch.delattr(os, "eventfd")
    return Wakeup()


def readable(wakeup: Wakeup) -> bool:
    poll = select.poll()
    poll.register(wakeup.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def test_a_wakeup_is_readable_from_set_to_drain(wakeup: Wakeup) -> None:
    assert not readable(wakeup)
    wakeup.set()
    assert readable(wakeup)
    wakeup.set()
    wakeup.drain()
    assert not readable(wakeup)
    wakeup.close()


def test_setting_it_very_often_never_blocks(wakeup: Wakeup) -> None:
    for _ in range(10_000):
        wakeup.set()
    wakeup.drain()
    assert not readable(wakeup)
    wakeup.drain()
    wakeup.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        wakeup.drain()
