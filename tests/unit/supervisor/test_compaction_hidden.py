"""When the journal is compacted for the sake of hidden values, and those who wait until no archivist is at work.

Journal and archivist are played.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from jobyard.protocol.errors import HistoryUnavailable
from jobyard.protocol.job import Policy
from jobyard.supervisor import compaction as module
from jobyard.supervisor.compaction import Compaction
from jobyard.supervisor.core.events import Now
from jobyard.supervisor.core.machine import Machine
from jobyard.supervisor.core.records import Cancelled, NewJob, Pruned, Submitted
from jobyard.supervisor.core.rules import Rules
from jobyard.supervisor.core.state import State

WITHIN_S = 3600.0


class Played:
    """A compaction whose clock is moved by hand, and whose archivist ends when it is told to."""

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.started = 0
        patch.setattr(module.clock, "now", lambda: Now(self.now, 0.0))
        self.journal = SimpleNamespace(
            failed=None, synced=0, sealed=1, covered=0, bytes_since_snapshot=0, size=0, seal=lambda: 0,
            compacted=lambda upto: 0, low_space=False, left_behind=None,
        )  # fmt: skip
        self.machine = Machine(State(), Rules())
        self.it = Compaction(
            cast(Any, self.journal),
            self.machine,
            directory,
            directory,
            lambda: 1.0,
            lambda: "",
            lambda: 1.0,
            lambda: WITHIN_S,
        )
        self.it.take_in, self.it.settle = lambda event: None, lambda: None
        patch.setattr(self.it, "_start", self._start)

    def drop(self) -> None:
        """A job with hidden values ends."""
        self.machine.state.values_dropped += 1
        self.it.mind_deadlines(self.now)

    def _start(self) -> None:
        self.started += 1
        self.it._process = cast(Any, SimpleNamespace(pid=7))

    def end(self, patch: pytest.MonkeyPatch, code: int) -> None:
        def reap() -> tuple[int, bytes, bytes]:
            self.it._process = None
            told = b'{"archived": {"aside": null, "left_behind": null, "trouble": "no", "stored": 0, "expired": 0}}'
            return code, told, b""

        patch.setattr(self.it, "_reap", reap)
        self.it._ended()

    def turn(self) -> None:
        """What the loop does: take care of deadlines, then sync."""
        self.it.mind_deadlines(self.now)
        self.it.consider()


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    return Played(tmp_path, monkeypatch)


def test_nothing_is_due_while_nothing_was_dropped(played: Played) -> None:
    assert played.it.wake_at() is None


def test_what_ended_before_the_start_counts_though_nothing_else_is_left_of_it(played: Played) -> None:
    new = NewJob(1, "0" * 32, "jobs:a", "a", b"whole", "default", 0, Policy(), 5.0, 5.0, shown=b"***")
    for record in (Submitted([new]), Cancelled([1], 6.0, "uid 0", None), Pruned([1])):
        played.machine.state.apply(record)
    played.turn()
    assert not played.machine.state.jobs and played.it.wake_at() == played.now + WITHIN_S


def test_it_begins_in_time_and_once(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    played.drop()
    played.turn()
    assert (played.started, played.it.wake_at()) == (0, played.now + WITHIN_S)
    played.now += WITHIN_S
    played.turn()
    assert (played.started, played.it.wake_at()) == (1, None)
    played.end(monkeypatch, 0)
    assert played.it.wake_at() is None


def test_what_is_dropped_while_the_archivist_works_is_for_the_next_one(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    played.drop()
    played.now += WITHIN_S
    played.turn()
    played.now += 10
    played.drop()
    due = played.now + WITHIN_S
    played.now += 10
    played.end(monkeypatch, 0)
    assert played.it.wake_at() == due


@pytest.mark.parametrize("code", [1, -9])
def test_archivist_that_failed_is_not_started_again_at_once(
    played: Played, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    played.drop()
    played.now += WITHIN_S
    played.turn()
    played.end(monkeypatch, code)
    played.turn()
    assert (played.started, played.it.wake_at()) == (1, played.now + WITHIN_S)


def test_segments_that_cannot_be_removed_are_not_tried_at_once(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    played.journal.left_behind = OSError("read-only")
    played.drop()
    played.now += WITHIN_S
    played.turn()
    played.end(monkeypatch, 0)
    played.turn()
    assert (played.started, played.it.wake_at()) == (1, played.now + WITHIN_S)


def test_nobody_is_woken_for_a_journal_that_cannot_be_written(played: Played) -> None:
    played.drop()
    played.journal.failed = OSError("no")
    assert played.it.wake_at() is None


def test_nobody_is_woken_while_a_removal_is_at_work(played: Played) -> None:
    played.drop()
    played.it.hold()
    assert played.it.wake_at() is None


def test_error_of_one_who_waited_for_the_archivist_is_told_to_him_alone(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk may have failed meanwhile."""
    heard: list[object] = []
    error = HistoryUnavailable("the journal cannot be written")

    def fails() -> None:
        raise error

    played.it.ask(lambda done: None)
    played.it.when_idle(fails, heard.append)
    played.it.when_idle(lambda: heard.append("called"), heard.append)
    assert heard == []
    played.end(monkeypatch, 0)
    assert heard == [error, "called"]
