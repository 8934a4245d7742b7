"""``current_job()`` inside a job, and why it is asked to stop.

Owns what a job's own code may ask and tell while it runs. How that reaches the supervisor is the shared page's and the
socket's business.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TYPE_CHECKING, Any, TypeVar

from ....protocol.errors import BadArguments, CancelRequested
from . import joblog, scratch
from .channel import Go, Stop
from .control import SOFT, now
from .page import Noted, Slot

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

T = TypeVar("T")
_LEVELS = ("debug", "info", "warning", "error", "critical")


class RunningJob:
    """The attempt that runs in this process.

    Attributes:
        id: the job's id.
        attempt: number of this attempt, from 1.
        max_attempts: how many there may be.
    """

    _asked: Stop | None = None

    def __init__(self, go: Go, slot: Slot, scratch_root: str, poke: Callable[[], None]) -> None:
        self.id = go.job_id
        self.attempt = go.attempt
        self.max_attempts = go.max_attempts
        self._go = go
        self._began_at = time.time()
        self._slot = slot
        self._scratch_root = scratch_root
        self._poke = poke

    def __repr__(self) -> str:
        return f"<RunningJob {self.id} attempt {self.attempt} of {self.max_attempts}>"

    @property
    def tags(self) -> dict[str, str]:
        """The job's tags."""
        return dict(self._go.tags or {})

    @property
    def parents(self) -> dict[int, str]:
        """How the jobs of ``after`` ended, by id. What one returned: ``Client().get(id).result()``."""
        return dict(self._go.parents)

    @property
    def meta(self) -> dict[str, str]:
        """Further facts: ``uid``, ``queue`` and ``ref``."""
        return {"uid": self._go.uid, "queue": self._go.queue, "ref": self._go.ref}

    @property
    def deadline(self) -> datetime | None:
        """When this attempt times out, in UTC; None if it may run for ever."""
        from datetime import UTC, datetime

        timeout_s = self._go.timeout_s
        return None if timeout_s is None else datetime.fromtimestamp(self._began_at + timeout_s, UTC)

    @property
    def scratch(self) -> Path:
        """A directory for this attempt alone, made on first use and removed after its end.

        Raises:
            OSError: it cannot be made.
        """
        from pathlib import Path

        self._slot.set_scratch()  # first, so that it is removed however this process ends
        directory = scratch.path(self._scratch_root, self.id, self.attempt)
        os.makedirs(directory, 0o700, exist_ok=True)
        return Path(directory)

    def progress(self, done: float, total: float | None = None, text: str = "") -> None:
        """Say how far the job is; also a sign of life. May be called as often as you like: the newest wins.

        Raises:
            BadArguments: ``done`` or ``total`` is not a number.
        """
        whole = None if total is None else _number("total", total)
        self._slot.note(Noted(_number("done", done), whole, str(text), time.time()))
        self.heartbeat()
        self._poke()

    def track(self, items: Iterable[T], text: str = "") -> Iterator[T]:
        """The same items, with progress told after each and a look whether to stop."""
        total = len(items) if isinstance(items, Sized) else None
        self.progress(0, total, text)
        for done, item in enumerate(items, 1):
            self.check_cancelled()
            yield item
            self.progress(done, total, text)

    def heartbeat(self) -> None:
        """Sign of life, for jobs with a ``stall_timeout``."""
        self._slot.beat(now())

    def log(self, text: object, level: str = "info") -> None:
        """Write a line to the job's log.

        Raises:
            BadArguments: there is no such level.
        """
        if level not in _LEVELS:
            raise BadArguments(f"{level!r} is not a log level", hint="use " + ", ".join(_LEVELS))
        joblog.write(level.upper(), "job", str(text))

    def is_cancelled(self) -> bool:
        """Whether the attempt was asked to stop."""
        return self._asked is not None

    def check_cancelled(self) -> None:
        """Raise CancelRequested if the attempt was asked to stop."""
        if self._asked is not None:
            raise CancelRequested(self._asked.reason or self._asked.kind)

    def asked_to_stop(self, stop: Stop) -> None:
        """Called by the process itself when word of it comes; a soft timeout is no request to stop."""
        if stop.kind != SOFT:
            self._asked = stop


def _number(name: str, value: Any) -> float:
    try:
        if isinstance(value, bool | str):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise BadArguments(f"progress({name}={value!r:.100}): not a number") from None
