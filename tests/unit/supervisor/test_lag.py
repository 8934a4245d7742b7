"""The wall clock against the last time in the journal."""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Callable, Iterator

import pytest
from jobyard.supervisor.core import events as e
from jobyard.supervisor.lag import Lag, behind

Watched = dict[int, Callable[[], None]]


@pytest.fixture
def watched() -> Watched:
    return {}


@pytest.fixture
def lag(watched: Watched) -> Iterator[Callable[[float], Lag]]:
    """Builds one for a journal whose last time is so many seconds from now."""
    made: list[Lag] = []

    def build(ahead_s: float) -> Lag:
        made.append(Lag(time.time() + ahead_s, watched.__setitem__, watched.__delitem__))
        return made[-1]

    yield build
    for one in made:
        one.close()
    assert watched == {}, "a descriptor is watched that is closed"


@pytest.mark.parametrize("ahead_s", [-1e9, -5.0, 0.5])
def test_clock_that_is_not_behind_is_no_subject(
    lag: Callable[[float], Lag], watched: Watched, caplog: pytest.LogCaptureFixture, ahead_s: float
) -> None:
    lag(ahead_s)
    assert caplog.records == [] and watched == {}


def test_clock_that_is_behind_is_told_with_both_times(
    lag: Callable[[float], Lag], caplog: pytest.LogCaptureFixture
) -> None:
    lag(3600.0)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert isinstance(record.args, tuple) and len(record.args) == 2
    now, last = (time.mktime(time.strptime(str(text), "%Y-%m-%d %H:%M:%S")) for text in record.args)
    assert last - now == pytest.approx(3600, abs=1)
    assert "the wall clock says" in record.message and "the last time in the journal" in record.message


def test_status_says_of_a_clock_that_is_behind_what_the_log_says(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = e.Now(wall=1_790_000_000.0, boot=0.0)
    monkeypatch.setattr("jobyard.supervisor.lag.clock.now", lambda: now)
    assert behind(now.wall - 5.0) is None and behind(now.wall + 0.5) is None
    Lag(now.wall + 3600.0, lambda fd, handler: None, lambda fd: None).close()
    assert behind(now.wall + 3600.0) == caplog.messages[0]


def test_clock_that_has_caught_up_is_told_once_and_costs_nothing_more(
    lag: Callable[[float], Lag], watched: Watched, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobyard.supervisor.lag.SLACK_S", 0.0)
    lag(0.2)
    ((fd, handler),) = watched.items()
    assert select.select([fd], [], [], 20)[0], "it has not caught up"
    caplog.clear()
    handler()
    assert [record.message for record in caplog.records] == ["the wall clock has caught up with the journal"]
    assert watched == {}


@pytest.mark.parametrize("at", [1e12, 1e17, 1e300])
def test_last_time_that_no_calendar_has_is_told_too(
    watched: Watched, caplog: pytest.LogCaptureFixture, at: float
) -> None:
    Lag(at, watched.__setitem__, watched.__delitem__).close()
    assert "the last time in the journal" in caplog.text
