"""What a job's own code uses: the job that it is (``current_job``), and an optional base class for job classes.

Job modules import it, and every job process carries what it imports, so it needs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, overload

from ..protocol.current import CURRENT
from ..protocol.errors import NoCurrentJob

if TYPE_CHECKING:
    from ..protocol.running import RunningJob

T = TypeVar("T")
_RAISE = object()


@overload
def current_job() -> RunningJob: ...
@overload
def current_job(default: T) -> RunningJob | T: ...
def current_job(default: object = _RAISE) -> object:
    """The job that this process is running.

    Args:
        default: returned where no job is running, as in ``current_job(None)``.

    Raises:
        NoCurrentJob: no job is running here, and no default is given.
    """
    job = CURRENT.get()
    if job is not None:
        return job
    if default is _RAISE:
        raise NoCurrentJob(
            "current_job() was called where no job is running",
            hint="current_job(None) gives None there; run a thread of the job in contextvars.copy_context()",
        )
    return default


class BaseJob:
    """Optional base of job classes; a plain class will do as well."""

    @property
    def job(self) -> RunningJob:
        """The job that is running; raises NoCurrentJob elsewhere."""
        return current_job()

    def log(self, text: str, level: str = "info") -> None:
        """Write a line to the job's log. ``level`` is a name of ``logging``, in any case."""
        self.job.log(text, level.lower())

    def progress(self, done: float, total: float | None = None, text: str = "") -> None:
        """Say how far the job is."""
        self.job.progress(done, total, text)
