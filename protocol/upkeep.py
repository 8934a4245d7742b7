"""Requests about jobs that are there, and their replies: change one that waits, remove what has ended, say why one is
as it is, make the journal short. ``messages.py`` has the table of all requests, and the frames.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, ClassVar

from .plain import dataclass
from .states import CANCELLED, FAILED, SUCCEEDED

CHANGE_JOBS_MAX = 1_000


@dataclass(frozen=True)
class SetJob:
    """Change jobs that wait; others stay as they are.

    ``options`` holds what is to change, in the terms of ``SET_OPTIONS`` in ``protocol/options.py``. A delay counts from
    now, and 0 means now; a timeout of None means none.
    """

    VERB: ClassVar[str] = "set"
    ids: list[int]
    options: dict[str, Any]


@dataclass(frozen=True)
class Changed:
    """Ids of the jobs that were changed, and of the others, which do not wait."""

    ids: list[int]
    others: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Remove:
    """Forget these jobs, which must have ended, wherever they are kept, and their output; others stay."""

    VERB: ClassVar[str] = "remove"
    ids: list[int]


@dataclass(frozen=True)
class Removed:
    """Ids of the jobs that are forgotten, and of the others, which have not ended."""

    ids: list[int]
    others: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Prune:
    """Forget jobs that have ended, wherever they are kept, and their output, oldest first: those that are older than
    the retention of the history, or all that fit what is given.

    ``older_s``: they ended at least so long ago; ``states``: they ended so. With ``dry_run`` they are only counted.
    """

    VERB: ClassVar[str] = "prune"
    older_s: float | None = None
    states: list[str] = field(default_factory=list)
    dry_run: bool = False


@dataclass(frozen=True)
class Pruned:
    """How many jobs were (or would be) forgotten. ``more``: ask again, a request takes a bounded number of jobs."""

    count: int
    more: bool = False


@dataclass(frozen=True)
class Why:
    """Say why a job is in the state that it is in. Answered with an ``Explanation``."""

    VERB: ClassVar[str] = "why"
    id: int


@dataclass(frozen=True)
class Reason:
    """One thing that holds a job up, or that became of it.

    Attributes:
        code: stable name for programs.
        text: for people; all of them together make a sentence.
        jobs: the jobs that it speaks of, at most a few.
        seconds: how long it has been so, or will be, as ``text`` says.
    """

    code: str
    text: str
    jobs: list[int] = field(default_factory=list)
    seconds: float | None = None


@dataclass(frozen=True)
class Explanation:
    """Why a job is in its state.

    Attributes:
        reasons: the most telling first.
        position: its place in its queue, from 1; None unless it is queued, or if very many are before it.
        hint: one thing to try, or "".
    """

    id: int
    state: str
    reasons: list[Reason]
    position: int | None = None
    hint: str = ""

    def __str__(self) -> str:
        so = {SUCCEEDED: "succeeded", FAILED: "failed", CANCELLED: "was cancelled"}.get(self.state, f"is {self.state}")
        return f"job {self.id} {so}: " + "; ".join(reason.text for reason in self.reasons)


@dataclass(frozen=True, slots=True)
class Compact:
    """Make the journal as short as it can be. Answered with ``Compacted`` when that is done, however long it takes."""

    VERB: ClassVar[str] = "compact"


@dataclass(frozen=True, slots=True)
class Compacted:
    """The journal was compacted.

    Attributes:
        upto: number of the last segment that the snapshot takes the place of.
        before_bytes, after_bytes: size of the journal.
        archived: how many finished jobs were new to the history.
        trouble: why the history could not be written, or files not be removed; None if all went well.
    """

    upto: int
    before_bytes: int
    after_bytes: int
    archived: int = 0
    trouble: str | None = None
