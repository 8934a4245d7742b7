"""Ending attempts: their deadlines, the request to stop, and the escalation to SIGKILL.

Owns the order of these steps for one child, the same for forked and spawned ones. Does not see exits and does not clean
up after them.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from . import channel, stacks
from .cgroup import Group
from .channel import Socket
from .deadlines import Deadlines
from .kill import signal_group, signal_one
from .page import Slot

SOFT, HARD, STALL, GRACE, REPORT = "soft", "hard", "stall", "grace", "report"
LATE = ("timeout", "stall")  # kinds of stop: the attempt was over a limit of time
REPORT_S = 1.0  # a child that outlives SIGKILL by this is reported as one that cannot be killed
DUMP_S = 0.2  # an attempt that is late has so long to write its stack, even without grace
_REASON_CHARS_MAX = 1000


def now() -> float:
    """Seconds on the monotonic clock, which stands still while the machine is suspended: that kills nothing."""
    return time.monotonic()


class Kid:
    """One child: how to reach it, and what it runs, if anything."""

    __slots__ = ("began", "ended", "group", "id", "killed", "pid", "pipes", "slot", "slot_index", "sock", "start")

    def __init__(self, id: int, pid: int, sock: Socket, slot_index: int, slot: Slot) -> None:
        self.id = id
        self.pid = pid
        self.sock = sock  # the supervisor's end of its socket
        self.slot_index = slot_index
        self.slot = slot
        self.pipes: tuple[int, ...] = ()  # read ends of its output, until it is bound
        self.group: Group | None = None
        self.start: channel.Start | None = None
        self.began = 0.0
        self.killed: str | None = None
        self.ended = False  # its pid may be somebody else's by now

    def tell(self, message: channel.Message) -> None:
        """Send to the child; what it cannot take any more is of no use to it."""
        try:
            channel.send(self.sock, channel.encode(message))
        except OSError:
            pass


class Control:
    """Arms and handles the deadlines of attempts. A child that has ended is left alone, whatever is asked for.

    Args:
        slay: kills a child, and what it started as far as that can be reached, at once.
        stuck: told of a child that did not die of it.
        stack_dump: an attempt that is late is to write its stack before it is stopped.
    """

    def __init__(
        self,
        deadlines: Deadlines,
        slay: Callable[[Kid], None],
        stuck: Callable[[Kid], None],
        stack_dump: bool = False,
    ) -> None:
        self._deadlines = deadlines
        self._slay = slay
        self._stuck = stuck
        self._stack_dump = stack_dump

    def bind(self, kid: Kid, start: channel.Start) -> None:
        """The child will run this attempt: its deadlines count from now."""
        if kid.ended:
            return
        kid.start = start
        kid.began = now()
        for what, delay_s in ((SOFT, start.soft_timeout_s), (HARD, start.timeout_s), (STALL, start.stall_timeout_s)):
            if delay_s is not None:
                self._deadlines.set((what, kid.id), kid.began + delay_s)

    def release(self, kid: Kid) -> None:
        """It has ended."""
        kid.ended = True
        for what in (SOFT, HARD, STALL, GRACE, REPORT):
            self._deadlines.drop((what, kid.id))

    def stop(self, kid: Kid, kind: str, grace_s: float, reason: str | None) -> None:
        """Ask the attempt to stop and kill it after ``grace_s``; once it was asked, only a shorter grace counts."""
        if kid.ended:
            return
        due = now() + grace_s
        if kid.killed is not None:
            armed = self._deadlines.get((GRACE, kid.id))
            if armed is not None and due < armed:
                self._deadlines.set((GRACE, kid.id), due)
            return
        kid.killed = kind
        for what in (SOFT, HARD, STALL):
            self._deadlines.drop((what, kid.id))
        if grace_s <= 0:
            self.slay(kid)
            return
        kid.tell(channel.Stop(kind, reason and reason[:_REASON_CHARS_MAX]))
        signal_group(kid.pid, signal.SIGTERM)
        signal_group(kid.pid, signal.SIGCONT)
        self._deadlines.set((GRACE, kid.id), due)

    def slay(self, kid: Kid) -> None:
        """Kill it now."""
        if kid.ended:
            return
        self._slay(kid)
        self._deadlines.set((REPORT, kid.id), now() + REPORT_S)

    def expire(self, what: str, kid: Kid) -> None:
        """One of its deadlines has come."""
        if what == GRACE:
            self.slay(kid)
        elif what == REPORT:
            self._stuck(kid)
        elif kid.start is not None:
            self._overran(what, kid, kid.start)

    def _overran(self, what: str, kid: Kid, start: channel.Start) -> None:
        if what == HARD:
            self._late(kid, "timeout", start.grace_s, f"ran longer than its timeout of {start.timeout_s:g} s")
        elif what == SOFT:
            kid.tell(channel.Stop(SOFT, f"ran longer than its soft timeout of {start.soft_timeout_s:g} s"))
            signal_one(kid.pid, signal.SIGTERM)
            signal_one(kid.pid, signal.SIGCONT)
        elif what == STALL and start.stall_timeout_s is not None:
            silent_until = max(kid.began, kid.slot.last_beat()) + start.stall_timeout_s
            if silent_until > now():
                self._deadlines.set((STALL, kid.id), silent_until)
            else:
                self._late(kid, "stall", start.grace_s, f"gave no sign of life for {start.stall_timeout_s:g} s")

    def _late(self, kid: Kid, kind: str, grace_s: float, reason: str) -> None:
        if self._stack_dump and kid.killed is None and stacks.ask(kid.pid):
            signal_one(kid.pid, signal.SIGCONT)
            grace_s = max(grace_s, DUMP_S)
        self.stop(kid, kind, grace_s, reason)
