"""Zygotes that have ended while something that they started cannot be killed. Nothing of them runs again until it is.

Owns when to try again. The loop is held for a moment with each try, so they become rare; the status names the pools.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from .core import events as e
from .core import records as r
from .core.state import State
from .executors.orphans import no_orphan_left
from .executors.zygote.fence import LIMIT_S, fence

log = logging.getLogger("jobyard.pools")
AGAIN_FIRST_S, AGAIN_MAX_S = 1.0, 60.0
AGAIN_LIMIT_S = 0.1
TROUBLE = "processes of an ended zygote cannot be killed; a job that ran there waits for their end"


@dataclass(slots=True)
class _Try:
    gone: e.ZygoteGone
    at: float
    wait_s: float = AGAIN_FIRST_S


class Unfenced:
    """The zygotes to try again, by uuid. Times are boot times."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._tries: dict[str, _Try] = {}

    def add(self, gone: e.ZygoteGone, now: float) -> None:
        log.error("pool %s: %s", gone.pool, TROUBLE)
        self._tries[gone.uuid] = _Try(gone, now + AGAIN_FIRST_S)

    def wake_at(self) -> float | None:
        return min((one.at for one in self._tries.values()), default=None)

    def due(self, now: float) -> list[e.ZygoteGone]:
        """Try those whose time has come; gives the zygotes of which nothing is left any more."""
        ended = []
        for uuid, one in list(self._tries.items()):
            if one.at > now:
                continue
            if self._is_over(uuid):
                del self._tries[uuid]
                ended.append(replace(one.gone, fenced=True, why="the last of its processes has ended"))
                log.info("pool %s: the last process of an ended zygote has ended", one.gone.pool)
            else:
                one.wait_s = min(AGAIN_MAX_S, one.wait_s * 2)
                one.at = now + one.wait_s
        return ended

    def pools(self) -> list[str]:
        """Names of the pools concerned."""
        return sorted({one.gone.pool for one in self._tries.values()})

    def _is_over(self, uuid: str) -> bool:
        """Try once more; whether nothing is left. One that is not in the journal has ended before it had any job."""
        zygote = self._state.zygotes.get(uuid)
        if zygote is None:
            fenced = fence(uuid, 0, 0, None, (), AGAIN_LIMIT_S)
        else:
            fenced = fence_zygote(self._state, zygote, AGAIN_LIMIT_S)
        return fenced and no_orphan_left(AGAIN_LIMIT_S)


def fence_zygote(state: State, zygote: r.ZygoteStarted, limit_s: float = LIMIT_S) -> bool:
    """Kill a zygote, the children that run its jobs, and all that is left of them; True if nothing is left."""
    children = [(job.child[2], job.child[3]) for job in state.running_in(zygote.uuid) if job.child is not None]
    return fence(zygote.uuid, zygote.pid, zygote.pid_started, zygote.boot_id, children, limit_s)
