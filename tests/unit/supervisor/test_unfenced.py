"""Zygotes whose processes outlive their kill are tried again until nothing is left."""

from __future__ import annotations

from typing import Any

import pytest
from jobyard.supervisor import unfenced
from jobyard.supervisor.core import events as e
from jobyard.supervisor.core import records as r
from jobyard.supervisor.core.state import State
from jobyard.supervisor.unfenced import AGAIN_FIRST_S, AGAIN_MAX_S, Unfenced

GONE = e.ZygoteGone("mail", "z", fenced=False)


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """The answers of the next tries, first one first."""
    answers: list[bool] = []

    def fence(*identity: Any) -> bool:
        return answers.pop(0)

    monkeypatch.setattr(unfenced, "fence", fence)
    return answers


def make() -> Unfenced:
    state = State()
    state.apply(r.ZygoteStarted("z", "mail", 4711, 1, "boot", 0.0))
    return Unfenced(state)


def test_it_is_tried_again_ever_more_rarely_until_nothing_is_left(tries: list[bool]) -> None:
    waiting = make()
    waiting.add(GONE, 100.0)
    assert (waiting.wake_at(), waiting.pools()) == (100.0 + AGAIN_FIRST_S, ["mail"])
    now, waits = 100.0, []
    for _ in range(10):
        assert waiting.due(now) == []
        wake = waiting.wake_at()
        assert wake is not None
        waits.append(wake - now)
        now = wake
        tries[:] = [False]
    assert waits == sorted(waits) and waits[-1] == AGAIN_MAX_S
    tries[:] = [True]
    (ended,) = waiting.due(now)
    assert (ended.pool, ended.uuid, ended.fenced) == ("mail", "z", True)
    assert (waiting.wake_at(), waiting.pools()) == (None, [])


def test_one_that_was_never_known_is_tried_again_as_any_other(tries: list[bool]) -> None:
    """It has no jobs, but what is left of it is in the way: of its executor, and of the end of the supervisor."""
    waiting = Unfenced(State())
    waiting.add(GONE, 100.0)
    tries[:] = [False]
    assert waiting.due(100.0 + AGAIN_FIRST_S) == []
    assert waiting.pools() == ["mail"]
    tries[:] = [True]
    (ended,) = waiting.due(200.0)
    assert (ended.uuid, ended.fenced) == ("z", True)
    assert waiting.wake_at() is None


def test_orphans_of_it_that_bear_no_mark_are_part_of_the_proof(
    tries: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They came to the supervisor, whatever their environment says."""
    left = [False, True]
    monkeypatch.setattr(unfenced, "no_orphan_left", lambda limit_s: left.pop(0))
    waiting = make()
    waiting.add(GONE, 100.0)
    tries[:] = [True, True]
    assert waiting.due(110.0) == []
    assert [ended.uuid for ended in waiting.due(200.0)] == ["z"]


def test_what_is_known_of_children_that_could_not_begin_is_still_known_in_the_end(tries: list[bool]) -> None:
    waiting = make()
    waiting.add(e.ZygoteGone("mail", "z", fenced=False, void=frozenset({7})), 100.0)
    tries[:] = [True]
    assert [ended.void for ended in waiting.due(110.0)] == [{7}]


def test_the_children_that_run_its_jobs_are_part_of_the_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(unfenced, "fence", lambda *identity: bool(asked.append(identity)))
    state = State()
    zygote = r.ZygoteStarted("z", "mail", 4711, 1, "boot", 0.0)
    state.apply(zygote)
    policy = r.Policy()
    state.apply(r.Submitted([r.NewJob(1, "0" * 32, "app:f", "f", b"", "default", 0, policy, 0.0, 0.0)]))
    state.apply(r.Started(1, 1, 0.0, "z", 7, 4712, 99))
    unfenced.fence_zygote(state, zygote)
    assert asked[0][4] == [(4712, 99)]
