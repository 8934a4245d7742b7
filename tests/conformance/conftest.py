from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jobyard.supervisor.executors import orphans
from jobyard.supervisor.executors.zygote.procs import children_of
from yard import MAKERS, MakeYard, Yard, open_descriptors, spec

REMOVAL_S = 10.0


@pytest.fixture(params=sorted(MAKERS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make_yard(kind: str, tmp_path: Path) -> Iterator[MakeYard]:
    """Makes executors; at the end of the test nothing of them may be left."""
    orphans.become_reaper()
    children = set(children_of(os.getpid()))  # what other tests in this process have started
    before = open_descriptors()
    yards: list[Yard] = []

    def make(**changes: Any) -> Yard:
        yards.append(Yard(kind, spec(tmp_path, kind, **changes)))
        return yards[-1]

    yield make
    for yard in yards:
        yard.executor.close()
        assert yard.marked() == [], "processes were left behind"
    until = time.monotonic() + REMOVAL_S
    while not set(children_of(os.getpid())) <= children and time.monotonic() < until:
        time.sleep(0.01)  # a process of its own removes scratch directories
    assert open_descriptors().keys() == before.keys(), "descriptors were left open"
    assert set(children_of(os.getpid())) <= children, "children were left behind"
    assert list((tmp_path / "run").iterdir()) == [], "a socket was left behind"
    assert list(tmp_path.glob("jobyard-*")) == [], "scratch directories were left behind"


@pytest.fixture
def yard(make_yard: MakeYard) -> Iterator[Yard]:
    """One executor, which must end in good order."""
    yard = make_yard()
    yield yard
    if yard.gone is None:
        for attempt in yard.attempts.values():
            if attempt.exit is None:
                yard.kill(attempt, "stop", 0.0)
        yard.acknowledging = True
        gone = yard.retire()
        assert gone.fenced and gone.why == "", gone


@pytest.fixture
def up(make_yard: MakeYard) -> Yard:
    """One executor whose zygote is up, to whatever end."""
    yard = make_yard()
    yard.wait(lambda: yard.up, "the zygote")
    return yard
