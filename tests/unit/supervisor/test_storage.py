"""Degraded mode and the way out of it: when the disk is tried, and that nobody is woken for nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from jobyard.protocol.errors import JobyardError, OutcomeUnknown
from jobyard.supervisor.core.effects import Kill, Reply
from jobyard.supervisor.core.events import Child, Now
from jobyard.supervisor.outbox import Outbox
from jobyard.supervisor.storage import PROBE_S, SLOW_S, Storage


class Journal:
    """One that fails when it is told to, and notes what it is asked."""

    def __init__(self) -> None:
        self.failed: OSError | None = None
        self.mending = self.usable = self.low_space = False
        self.synced = 0
        self.pending_s = 0.0
        self.asked: list[str] = []

    def try_disk(self) -> None:
        self.asked.append("try")
        self.mending, self.usable = True, False

    def restart(self, chunks: Any) -> None:
        self.asked.append(f"restart {list(chunks)}")
        self.mending, self.usable = True, False

    def probe(self) -> None:
        self.asked.append("probe")


class Place:
    """A storage with what is around it."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.told: list[Any] = []
        self.refused: list[tuple[Any, JobyardError]] = []
        self.outbox = Outbox(self.told.append)
        machine = cast(
            Any, SimpleNamespace(stopping=None, state=SimpleNamespace(children=[1], dump=lambda: iter(["all"])))
        )
        refuse = lambda token, error: self.refused.append((token, error))  # noqa: E731
        self.storage = Storage(machine, cast(Any, self.journal), self.outbox, refuse)

    def mind(self, boot: float) -> float | None:
        self.storage.mind(Now(boot=boot, wall=0.0))
        return self.storage.wake_at()

    def fail(self, boot: float = 100.0) -> None:
        self.journal.failed = OSError(5, "Input/output error")
        assert self.mind(boot) == boot + PROBE_S


@pytest.fixture
def place() -> Place:
    return Place()


def test_nothing_is_due_while_the_disk_is_well(place: Place) -> None:
    assert place.mind(100.0) is None
    assert (place.storage.degraded, place.storage.unsettled, place.journal.asked) == (None, False, [])


def test_failure_refuses_what_waits_and_lets_kills_go(place: Place) -> None:
    kill = Kill(Child("default", "z", 1), "cancel", 1.0)
    place.outbox.add([Reply("token", "stored")], 1, 0)
    place.outbox.add_kills([kill], 2, 0, 100.0)
    place.fail()
    assert place.told == [kill]
    [(token, error)] = place.refused
    assert token == "token" and isinstance(error, OutcomeUnknown)
    assert place.storage.degraded == "Input/output error"


def test_disk_is_tried_once_a_second_and_never_twice_at_a_time(place: Place) -> None:
    place.fail(100.0)
    assert place.mind(100.5) == 101.0
    assert place.mind(101.0) is None, "the journal's thread wakes the loop"
    assert place.mind(150.0) is None
    assert place.journal.asked == ["try"]
    place.journal.mending, place.journal.failed = False, OSError(30, "Read-only file system")
    assert place.mind(150.0) == 151.0
    assert place.storage.degraded == "Read-only file system"
    place.mind(151.0)
    assert place.journal.asked == ["try", "try"]


def test_whole_state_is_stored_when_the_disk_takes_something_and_then_all_is_well(place: Place) -> None:
    place.fail(100.0)
    place.mind(101.0)
    place.journal.mending, place.journal.usable = False, True
    assert place.mind(101.1) is None
    assert place.journal.asked == ["try", "restart ['all']"]
    place.outbox.add([Reply("later", "stored")], 7, 0)
    place.journal.mending, place.journal.failed, place.journal.synced = False, None, 7
    assert place.mind(102.0) is None
    assert (place.storage.degraded, place.storage.unsettled) == (None, False)
    assert place.told == [Reply("later", "stored")]


def test_journal_that_went_on_by_itself_is_not_stored_anew(place: Place) -> None:
    place.fail(100.0)
    place.mind(101.0)
    place.journal.mending, place.journal.failed = False, None
    place.mind(101.1)
    assert place.storage.degraded is None
    assert place.journal.asked == ["try"]


def test_reserve_is_asked_for_once_a_second_while_there_is_little_space(place: Place) -> None:
    place.journal.low_space = True
    assert place.mind(100.0) == 101.0
    assert place.mind(100.2) == 101.0
    assert place.mind(101.0) == 102.0
    assert place.journal.asked == ["probe", "probe"]
    place.journal.low_space = False
    assert place.mind(102.0) is None


def test_stop_waits_for_no_broken_disk_unless_something_runs(place: Place) -> None:
    assert not place.storage.may_stop(), "the disk is well: everything is waited for"
    place.fail()
    assert not place.storage.may_stop()
    place.storage._machine.stopping = "keep"
    assert place.storage.may_stop(), "what runs is left to the next supervisor"
    place.storage._machine.stopping = "wait"
    place.storage._machine.state.children.clear()
    assert place.storage.may_stop()


def test_sync_is_slow_only_when_it_has_taken_long(place: Place) -> None:
    for pending_s, slow_s in ((0.0, 0.0), (SLOW_S, 0.0), (SLOW_S + 1, SLOW_S + 1)):
        place.journal.pending_s = pending_s
        assert place.storage.slow_s == slow_s
