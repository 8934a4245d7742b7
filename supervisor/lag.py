"""Word of a wall clock that is behind the last time in the journal: once at the start, once when it has caught up.

Owns the comparison and these two lines of the log. It corrects nothing: what must not go wrong goes by another clock.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from . import clock

log = logging.getLogger("jobyard")
SLACK_S = 1.0  # clocks are set back by less than this all the time
_BEHIND = (
    "the wall clock says %s, but the last time in the journal is %s: until it has caught up, new jobs look older than "
    "they are, and jobs that wait for a point in time start late"
)


class Lag:
    """Compares when it is made; the loop is woken once, when the clock has reached ``last_at``, by whichever way.

    Args:
        last_at: latest wall-clock time in the journal.
        watch, unwatch: have a handler called when a descriptor is readable, and no longer.
    """

    def __init__(
        self, last_at: float, watch: Callable[[int, Callable[[], None]], None], unwatch: Callable[[int], None]
    ) -> None:
        self._unwatch = unwatch
        self._timer: clock.Timer | None = None
        times = _apart(last_at)
        if times is None:
            return
        log.warning(_BEHIND, *times)
        self._timer = clock.Timer(clock.REALTIME)
        self._timer.set(last_at)
        fd = self._timer.fileno()
        if fd is not None:
            watch(fd, self._caught_up)

    def close(self) -> None:
        """Listen no more. Harmless when done twice."""
        if self._timer is not None:
            fd = self._timer.fileno()
            if fd is not None:
                self._unwatch(fd)
            self._timer.close()
            self._timer = None

    def _caught_up(self) -> None:
        self.close()
        log.warning("the wall clock has caught up with the journal")


def behind(last_at: float) -> str | None:
    """What to say of a wall clock that is behind ``last_at``; None if it is not."""
    times = _apart(last_at)
    return None if times is None else _BEHIND % times


def _apart(last_at: float) -> tuple[str, str] | None:
    """What the clock says, and ``last_at``, for people; None if the clock is not behind."""
    now = clock.now().wall
    return None if now >= last_at - SLACK_S else (_text(now), _text(last_at))


def _text(at: float) -> str:
    """Local time, as at the beginning of each line of the log."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
    except (OverflowError, ValueError, OSError):  # a year that no calendar has
        return f"{at:.0f} s after 1970"
