"""What happened in a world, in order, for those who have to understand a failure. Formatted only when it is read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

from clients import Op
from jobyard.supervisor.core import records as r

_NUMBERS = re.compile(r"\d+")
LINE_CHARS_MAX = 500


class Violation(AssertionError):
    """An invariant does not hold. ``job_id`` names the job concerned, if it is one."""

    def __init__(self, what: str, job_id: int | None = None) -> None:
        super().__init__(what)
        self.job_id = job_id


class Story:
    """Entries of (true time, kind, what)."""

    def __init__(self) -> None:
        self.entries: list[tuple[float, str, Any]] = []

    def add(self, t: float, kind: str, what: Any) -> None:
        self.entries.append((t, kind, what))

    def lines(self, job_id: int | None = None, uid: str | None = None) -> Iterator[str]:
        """All of it, or what concerns one job: its records, requests and children, and what struck everybody."""
        for t, kind, what in self.entries:
            if job_id is None or kind == "fault" or job_id in _jobs(what) or (uid is not None and uid in _uids(what)):
                yield f"{t:10.4f} {kind:<9} {_text(what)}"

    def digest(self) -> str:
        """The same for the same story."""
        return hashlib.sha256("\n".join(self.lines()).encode()).hexdigest()


def _text(what: Any) -> str:
    if isinstance(what, r.Submitted):
        jobs = ", ".join(
            f"{new.id} uid={new.uid} queue={new.queue} key={new.key} after={new.after}" for new in what.jobs
        )
        return f"Submitted {jobs}"[:LINE_CHARS_MAX]
    return str(what)[:LINE_CHARS_MAX]


def _jobs(what: Any) -> set[int]:
    """Ids of the jobs that an entry is about."""
    if isinstance(what, r.Submitted):
        return {new.id for new in what.jobs}
    if isinstance(what, Op):
        asked, got = what.request, what.reply
        found = {one for one in (getattr(asked, "id", None), *(getattr(asked, "ids", None) or ())) if one is not None}
        return found | {one.id for one in getattr(got, "jobs", None) or () if hasattr(one, "id")}
    if isinstance(what, str):
        head = what.split(" ", 2)
        return {int(head[1])} if len(head) > 1 and head[0] == "job" and _NUMBERS.fullmatch(head[1]) else set()
    if hasattr(what, "ids"):
        return set(what.ids)
    return {what.id} if hasattr(what, "id") else set()


def _uids(what: Any) -> set[str]:
    jobs = getattr(what.request, "jobs", ()) if isinstance(what, Op) else ()
    return {one.uid for one in jobs}
