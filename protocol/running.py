"""``current_job()`` inside a job.

Owns what a job's own code may ask and tell while it runs. How that is heard is left to who runs it: a child of a
zygote, or a test. Lean on purpose, since every job process imports it.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import BadArguments, CancelRequested

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path
    from typing import Protocol

    class Facts(Protocol):
        """What is known of an attempt when it starts."""

        @property
        def job_id(self) -> int: ...
        @property
        def attempt(self) -> int: ...
        @property
        def max_attempts(self) -> int: ...
        @property
        def uid(self) -> str: ...
        @property
        def ref(self) -> str: ...
        @property
        def queue(self) -> str: ...
        @property
        def tags(self) -> dict[str, str] | None: ...
        @property
        def parents(self) -> Sequence[tuple[int, str]]: ...
        @property
        def timeout_s(self) -> float | None: ...


T = TypeVar("T")
_time = time.time
_LEVELS = ("debug", "info", "warning", "error", "critical")


class RunningJob(ABC):
    """The attempt that runs in this process, once it has begun."""

    _asked: str | None = None
    _facts: Facts
    _began_at: float

    def begin(self, facts: Facts) -> None:
        """It runs from now on."""
        self._facts = facts
        self._began_at = _time()

    @property
    def id(self) -> int:
        """The job's id."""
        return self._facts.job_id

    @property
    def attempt(self) -> int:
        """Number of this attempt, from 1."""
        return self._facts.attempt

    @property
    def max_attempts(self) -> int:
        """How many attempts there may be."""
        return self._facts.max_attempts

    def __repr__(self) -> str:
        return f"<RunningJob {self.id} attempt {self.attempt} of {self.max_attempts}>"

    @property
    def tags(self) -> dict[str, str]:
        """The job's tags."""
        return dict(self._facts.tags or {})

    @property
    def parents(self) -> dict[int, str]:
        """How the jobs of ``after`` ended, by id. What one returned: ``Client().get(id).result()``."""
        return dict(self._facts.parents)

    @property
    def meta(self) -> dict[str, str]:
        """Further facts, by the names ``uid``, ``queue`` and ``ref``."""
        return {"uid": self._facts.uid, "queue": self._facts.queue, "ref": self._facts.ref}

    @property
    def deadline(self) -> datetime | None:
        """When this attempt times out, in UTC; None if it may run for ever."""
        from datetime import UTC, datetime

        timeout_s = self._facts.timeout_s
        return None if timeout_s is None else datetime.fromtimestamp(self._began_at + timeout_s, UTC)

    @property
    @abstractmethod
    def scratch(self) -> Path:
        """A directory for this attempt alone, made on first use and removed after its end.

        Raises:
            OSError: it cannot be made.
        """

    def progress(self, done: float, total: float | None = None, text: str = "") -> None:
        """Say how far the job is; also a sign of life. May be called as often as you like: the newest wins.

        Raises:
            BadArguments: ``done`` or ``total`` is not a number.
        """
        whole = None if total is None else _number("total", total)
        self._tell(_number("done", done), whole, str(text), time.time())

    def track(self, items: Iterable[T], text: str = "") -> Iterator[T]:
        """The same items, with progress told after each and a look whether to stop."""
        total = len(items) if isinstance(items, Sized) else None
        self.progress(0, total, text)
        for done, item in enumerate(items, 1):
            self.check_cancelled()
            yield item
            self.progress(done, total, text)

    @abstractmethod
    def heartbeat(self) -> None:
        """Sign of life, for jobs with a ``stall_timeout``."""

    def log(self, text: object, level: str = "info") -> None:
        """Write a line to the job's log.

        Raises:
            BadArguments: there is no such level.
        """
        if level not in _LEVELS:
            raise BadArguments(f"{level!r} is not a log level", hint="use " + ", ".join(_LEVELS))
        self._write(level.upper(), str(text))

    def is_cancelled(self) -> bool:
        """Whether the attempt was asked to stop."""
        return self._asked is not None

    def check_cancelled(self) -> None:
        """Raise CancelRequested if the attempt was asked to stop."""
        if self._asked is not None:
            raise CancelRequested(self._asked)

    @abstractmethod
    def _tell(self, done: float, total: float | None, text: str, at: float) -> None:
        """Pass progress on, which is also a sign of life."""

    @abstractmethod
    def _write(self, level: str, text: str) -> None:
        """Pass a line of the log on."""


def log_record(level: str, name: str, message: str) -> str:
    """A record of ``logging`` as the text of its stream; the further lines of its message are indented."""
    text = message.replace("\n", "\n    ")
    return f"{level} {name}: {text}\n"


def _number(name: str, value: Any) -> float:
    try:
        if isinstance(value, bool | str):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise BadArguments(f"progress({name}={value!r:.100}): not a number") from None
