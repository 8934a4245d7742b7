"""The job that is being run in this process, if any: set by the child, read by ``current_job()``.

Lean on purpose, since every job process imports it.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .running import RunningJob

CURRENT: ContextVar[RunningJob | None] = ContextVar("jobyard_current_job", default=None)
