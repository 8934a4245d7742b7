"""What the journal's disk does to the rest: degraded mode, and the way out of it.

Owns when the journal counts as failed, when the disk is tried again, and what may happen without it. Nothing here waits
for the disk: the journal's thread does, and wakes the loop.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..protocol.errors import JobyardError, OutcomeUnknown
from .core import effects as f
from .core import events as e
from .core.machine import Machine
from .journal.journal import Journal
from .outbox import Outbox
from .token import Token

log = logging.getLogger("jobyard")
PROBE_S = 1.0
SLOW_S = 1.0  # a sync that takes longer is worth a word


class Storage:
    """One per supervisor. ``refuse`` answers a request whose records are in doubt.

    Attributes:
        degraded: why the journal cannot be written; None if it can.
    """

    def __init__(
        self, machine: Machine, journal: Journal, outbox: Outbox, refuse: Callable[[Token, JobyardError], None]
    ) -> None:
        self.degraded: str | None = None
        self._machine = machine
        self._journal = journal
        self._outbox = outbox
        self._refuse = refuse
        self._probe_at: float | None = None

    @property
    def slow_s(self) -> float:
        """Seconds for which the disk has been busy with one sync, if that is long; else 0."""
        pending_s = self._journal.pending_s
        return pending_s if pending_s > SLOW_S else 0.0

    @property
    def unsettled(self) -> bool:
        """What the journal's thread has done may be of consequence: a turn is due."""
        return self._journal.failed is not None or self._journal.low_space or self.degraded is not None

    def wake_at(self) -> float | None:
        """Boot time at which the disk is to be tried again."""
        return self._probe_at

    def mind(self, now: e.Now) -> None:
        """Notice that the journal failed; look once a second whether it can go on, with all that is in memory."""
        failed = self._journal.failed
        if failed is not None and self.degraded is None:
            self._degrade(now, failed)
        elif failed is not None:
            self._mend(now, failed)
        elif self.degraded is not None:
            log.warning("journal: it can be written again; nothing is lost")
            self.degraded = self._probe_at = None
            self._outbox.release(self._journal.synced)
        else:
            self._mind_space(now)

    def may_stop(self) -> bool:
        """Whether a stop need not wait for a disk that may never come back: what it holds up has not begun to run."""
        if self.degraded is None:
            return False
        return self._machine.stopping == "keep" or self._outbox.starts() >= len(self._machine.state.children)

    def _degrade(self, now: e.Now, failed: OSError) -> None:
        self.degraded = _reason(failed)
        log.error("journal: %s; nothing new is accepted until it can be written again", self.degraded)
        self._outbox.release_all_kills()
        for reply in self._outbox.take_replies(lambda effect: isinstance(effect, f.Reply)):
            if reply.token is not None:
                self._refuse(reply.token, OutcomeUnknown(hint="send it again: a repeated submit is one job"))
        self._probe_at = now.boot + PROBE_S

    def _mend(self, now: e.Now, failed: OSError) -> None:
        """The whole state is packed only for a disk that was seen to take something: that takes time."""
        if self._journal.mending:
            self._probe_at = None
        elif self._journal.usable:
            self._journal.restart(self._machine.state.dump())
        elif self._probe_at is None:
            self.degraded = _reason(failed)
            self._probe_at = now.boot + PROBE_S
        elif now.boot >= self._probe_at:
            self._probe_at = None
            self._journal.try_disk()

    def _mind_space(self, now: e.Now) -> None:
        """While the reserve is used up, look once a second whether it can be had again."""
        if not self._journal.low_space:
            self._probe_at = None
        elif self._probe_at is None or now.boot >= self._probe_at:
            self._journal.probe()
            self._probe_at = now.boot + PROBE_S


def _reason(failed: OSError) -> str:
    return failed.strerror or str(failed)
