"""Output of jobs that the disk refused: how much of which attempt, and why.

Owns what is known of it while this process lives, since the disk may not even take word of it. What it has taken is
read by ``protocol/outputs.py``. The log gets one line when it begins, however many jobs and lines it concerns.
"""

from __future__ import annotations

import contextlib
import logging
import os
from dataclasses import dataclass

from ..protocol import outputs
from . import output
from .core.events import OutputRefused
from .output import Directory

log = logging.getLogger("jobyard")
LASTING_S = 60.0  # after so long without another refusal it is over, as far as can be told
KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Loss:
    """``size`` in bytes, 0 if it could not be counted; ``why`` for people."""

    size: int
    why: str

    def __str__(self) -> str:
        what = f"{self.size:,} bytes of its output" if self.size else "its output"
        return f"{what} could not be written: {self.why}"


class Unwritten:
    """One per supervisor. Times are seconds on the clock that the loop goes by."""

    def __init__(self) -> None:
        self._known: dict[str, Loss] = {}
        self._last: tuple[float, OutputRefused] | None = None

    def note(self, event: OutputRefused, now: float) -> None:
        if not self._lasts(now):
            log.warning("%s; jobs go on, but what they print is lost meanwhile", _text(event))
        self._last = now, event
        self._known[event.base] = Loss(event.size, os.strerror(event.errno))
        if len(self._known) > KEPT:
            del self._known[next(iter(self._known))]

    def loss(self, output_dir: Directory, job_id: int, attempt: int) -> Loss | None:
        """What is lost of this attempt's output, as far as this process has heard of it."""
        return self._known.get(output.base(output_dir, job_id, attempt))

    def loss_on_record(self, output_dir: Directory, job_id: int, attempt: int) -> Loss | None:
        """As ``loss``; otherwise what the disk has taken word of, which is read from it."""
        known = self.loss(output_dir, job_id, attempt)
        if known is None:
            with contextlib.suppress(OSError):  # whoever asks for the output itself is told that
                size, errno = outputs.refused(output.base(output_dir, job_id, attempt))
                known = Loss(size, os.strerror(errno)) if size else None
        return known

    def warning(self, now: float) -> str | None:
        """What to say while it lasts."""
        return f"{_text(self._last[1])}; what jobs print is lost" if self._last and self._lasts(now) else None

    def _lasts(self, now: float) -> bool:
        return self._last is not None and now - self._last[0] < LASTING_S


def _text(event: OutputRefused) -> str:
    return f"the output of a job cannot be written to {event.base}.log: {os.strerror(event.errno)}"
