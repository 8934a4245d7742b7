"""Which finished jobs leave memory, and when the history is to be written so that they can.

A job leaves once the history holds it. Knows no file: what the history holds is told as events.
"""

from __future__ import annotations

from ...protocol.notices import PRUNED
from .effects import Dropped
from .events import Archived
from .job import JOB_BYTES
from .records import Pruned
from .rules import Limits
from .state import State
from .turn import Turn

EVICT_BATCH = 500
ARCHIVE_BYTES = 2 << 20  # fewer are not worth an archivist


class Eviction:
    """One per machine.

    Attributes:
        upto: the number, in the order of finishing, up to which the history is known to hold the finished jobs.
    """

    def __init__(self, state: State) -> None:
        self.upto = 0
        self._state = state
        self._base = 0  # ``finish_bytes`` of the state by then

    @property
    def unarchived_bytes(self) -> int:
        """What finished jobs take that no history holds yet; those that were put back since count still."""
        return self._state.finish_bytes - self._base

    def archived(self, event: Archived) -> None:
        self.upto, self._base = max((self.upto, self._base), (event.upto, event.finish_bytes))

    def history_lost(self) -> None:
        state = self._state
        self.upto = 0
        self._base = state.finish_bytes - state.finished_bytes - JOB_BYTES * len(state.finished)

    def archive_due(self, limits: Limits) -> bool:
        """Whether finished jobs should go to the history now: memory is to be freed, and it is worth the effort, which
        grows with all that is in memory."""
        state = self._state
        over = len(state.finished) > limits.finished_jobs or state.finished_bytes > limits.finished_bytes
        held = state.unfinished_bytes + state.finished_bytes + JOB_BYTES * len(state.jobs)
        worth = max(ARCHIVE_BYTES, held // 3)
        urgent = limits.unarchived_bytes // 2
        return self.unarchived_bytes > (min(worth, urgent) if over else urgent)

    def evict(self, turn: Turn) -> bool:
        """Take the oldest finished jobs over the limits out of memory: those that the history holds, and, if it cannot
        be written for so long that the others take too much, those as well. Whether there may be more."""
        limits, state = turn.rules.limits, self._state
        ids: list[int] = []
        dropped: list[int] = []
        count, size = len(state.finished), state.finished_bytes
        for job_id, number in state.finished.items():
            if (count <= limits.finished_jobs and size <= limits.finished_bytes) or len(ids) == EVICT_BATCH:
                break
            held = state.jobs[job_id].held_bytes
            if number > self.upto:
                if self.unarchived_bytes <= limits.unarchived_bytes:
                    break
                self.upto, self._base = number, self._base + held + JOB_BYTES
                dropped.append(job_id)
            ids.append(job_id)
            count -= 1
            size -= held
        if ids:
            turn.record(Pruned(ids))
        if dropped:
            turn.announce(PRUNED, ids=dropped)
            turn.durable(Dropped(len(dropped)))
        return len(ids) == EVICT_BATCH
