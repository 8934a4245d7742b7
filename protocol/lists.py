"""The request for a list of jobs, and which jobs it is about. ``messages.py`` has the table of all requests."""

from __future__ import annotations

from dataclasses import field
from typing import ClassVar

from .plain import dataclass

SORTS = ("newest", "oldest", "finished")


@dataclass(frozen=True)
class Filter:
    """Which jobs: all conditions that are given must hold. ``ref`` matches the reference or the alias.

    Attributes:
        since, until: when the job was submitted; ``until`` itself is not within.
        error: part of the type or message of what the last attempt raised, in any case of letters.
        after: a job that they wait for, or waited for.
        search: words; each must be part of the arguments, the error or the reason, in any case of letters.
    """

    states: list[str] = field(default_factory=list)
    queue: str | None = None
    ref: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    since: float | None = None
    error: str | None = None
    after: int | None = None
    until: float | None = None
    search: str | None = None


@dataclass(frozen=True)
class List:
    """Jobs that match, a page of them.

    Attributes:
        sort: "newest" or "oldest" by id, or "finished": the last to finish first, and finished ones only.
        before: the id of the last job on the page before; the page begins behind it.
        before_at: that job's ``finished_at``; for the sort "finished".
    """

    VERB: ClassVar[str] = "list"
    filter: Filter = field(default_factory=Filter)
    limit: int = 50
    before: int | None = None
    sort: str = "newest"
    before_at: float | None = None
