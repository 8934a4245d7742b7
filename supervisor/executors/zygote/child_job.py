"""The job that a child runs, as its own code sees it: what it tells goes to the shared page, the log and the socket."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from ....protocol.running import RunningJob
from . import joblog, scratch
from .channel import Stop
from .control import SOFT, now
from .page import Noted, Slot

if TYPE_CHECKING:
    from pathlib import Path


class ChildJob(RunningJob):
    """The attempt that runs in this process. Made before the fork, so that no child has to.

    Attributes:
        slot: of the shared page, set before it begins; ``poke`` wakes who reads that.
    """

    slot: Slot

    def __init__(self, scratch_root: str, poke: Callable[[], None]) -> None:
        self._scratch_root = scratch_root
        self._poke = poke

    @property
    def scratch(self) -> Path:
        from pathlib import Path

        self.slot.set_scratch()  # first, so that it is removed however this process ends
        directory = scratch.path(self._scratch_root, self.id, self.attempt)
        os.makedirs(directory, 0o700, exist_ok=True)
        return Path(directory)

    def heartbeat(self) -> None:
        self.slot.beat(now())

    def asked_to_stop(self, stop: Stop) -> None:
        """Called by the process itself when word of it comes; a soft timeout is no request to stop."""
        if stop.kind != SOFT:
            self._asked = stop.reason or stop.kind

    def _tell(self, done: float, total: float | None, text: str, at: float) -> None:
        self.slot.note(Noted(done, total, text, at))
        self.heartbeat()
        self._poke()

    def _write(self, level: str, text: str) -> None:
        joblog.write(level, "job", text)
