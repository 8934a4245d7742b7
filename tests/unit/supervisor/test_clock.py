"""The timer takes any moment that a job may name."""

from __future__ import annotations

import math
import select
from collections.abc import Iterator

import pytest
from jobyard.supervisor import clock


@pytest.fixture
def timer() -> Iterator[clock.Timer]:
    timer = clock.Timer()
    if timer.fileno() is None:
        pytest.skip("no timerfd here")
    yield timer
    timer.close()


def fires(timer: clock.Timer, seconds: float) -> bool:
    fd = timer.fileno()
    assert fd is not None
    return bool(select.select([fd], [], [], seconds)[0])


@pytest.mark.parametrize("at", [0.0, -1.0, -math.inf])
def test_moment_that_has_passed_fires_at_once(timer: clock.Timer, at: float) -> None:
    timer.set(at)
    assert fires(timer, 5)


@pytest.mark.parametrize("at", [1e19, 1e300, math.inf])
def test_moment_that_never_comes_is_no_error(timer: clock.Timer, at: float) -> None:
    timer.set(at)
    assert not fires(timer, 0)
