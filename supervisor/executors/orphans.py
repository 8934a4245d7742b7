"""What comes to the supervisor when the process that started it has died.

The supervisor is a subreaper, and everything that it starts itself is noted here. Any other child that it has was left
by an attempt whose own process or zygote is dead, or by a catalogue build: it may be killed, even if nothing else tells
whose it is. What a living attempt has started stays below that attempt's process.
"""

from __future__ import annotations

import os
import time

from .zygote.kill import sweep
from .zygote.limits import become_subreaper
from .zygote.procs import children_of, start_time

SWEEP_S = 0.5
_PAUSE_S = 0.002


class _Own:
    """Processes that were started here, by pid and start: a pid that was used again is another process. The start is
    None where it could not be looked up."""

    def __init__(self) -> None:
        self.started: dict[int, int | None] | None = None  # None: this is no reaper, its children are not looked at

    def __contains__(self, pid: object) -> bool:
        if not isinstance(pid, int) or self.started is None or pid not in self.started:
            return False
        return self.started[pid] in (None, start_time(pid))

    def forget_ended(self) -> None:
        """Only those that are there are kept in mind: helpers come and go for as long as the supervisor runs.

        Raises:
            OSError: no descriptor is free to look.
        """
        if self.started is not None:
            children = set(children_of(os.getpid()))
            self.started = {pid: started for pid, started in self.started.items() if pid in children and pid in self}


_own = _Own()


def become_reaper() -> None:
    """From here on orphans below this process come to it; the children that it has are its own."""
    become_subreaper()
    _own.started = {pid: start_time(pid) for pid in children_of(os.getpid())}


def note_own(pid: int) -> None:
    """This child was started here; to be called before the next ``kill_orphans``."""
    if _own.started is not None:
        try:
            _own.forget_ended()
            _own.started[pid] = start_time(pid)
        except OSError:  # no descriptor is free; nobody else gets this pid before the child is reaped
            _own.started[pid] = None


def kill_orphans(limit_s: float = SWEEP_S) -> int:
    """Kill and reap all others; gives the number of those that are left after ``limit_s`` seconds.

    Raises:
        OSError: no descriptor is free to look.
    """
    if _own.started is None:
        return 0
    me = os.getpid()
    left = sweep(lambda: children_of(me), _own, lambda: time.sleep(_PAUSE_S), limit_s)
    _own.forget_ended()
    return len(left)


def no_orphan_left(limit_s: float = SWEEP_S) -> bool:
    """Kill all others; whether that is known to have been done."""
    try:
        return kill_orphans(limit_s) == 0
    except OSError:
        return False
