"""What became of jobs, counted: the request, and its reply. ``messages.py`` has the table of all requests."""

from __future__ import annotations

from dataclasses import field
from typing import ClassVar

from .plain import dataclass

STATS_ROWS_MAX = 1_000
SEARCH_CHARS_MAX = 1_000
GROUPS = ("hour", "ref", "queue")


@dataclass(frozen=True)
class Stats:
    """What became of jobs, counted by the hour.

    Attributes:
        by: what the jobs are grouped by: any of "hour", "ref" and "queue".
        ref: the function, not an alias.
        since, until: whole hours, those that they fall in included. Hours beyond the retention of the history are
            forgotten; with neither of the two, and not by the hour, all jobs since it began are counted.
    """

    VERB: ClassVar[str] = "stats"
    by: list[str] = field(default_factory=lambda: ["ref", "queue"])
    ref: str | None = None
    queue: str | None = None
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True)
class Times:
    """How ``count`` times are spread, in seconds; None if there are none.

    From a histogram ``p50_s`` and ``p95_s`` are right to within 5 %, and ``max_s`` exactly.
    """

    count: int = 0
    p50_s: float | None = None
    p95_s: float | None = None
    max_s: float | None = None


@dataclass(frozen=True)
class StatsRow:
    """One group of jobs; what was not asked for in ``by`` is None.

    Attributes:
        hour: when the hour began.
        submitted: jobs submitted in this time.
        states: jobs that ended in this time, by how they ended, and those that have not, by the state that they are in
            now; those are of the hour of their submit. A job that was put back counts for its last end alone.
        wait, run: how long the attempts of the ended jobs waited, from being due to starting, and ran.
        cpu_s, peak_rss_bytes: what these attempts used in all, and at most.
    """

    hour: float | None
    ref: str | None
    queue: str | None
    submitted: int
    states: dict[str, int]
    wait: Times
    run: Times
    cpu_s: float
    peak_rss_bytes: int


@dataclass(frozen=True)
class StatsReply:
    """Groups, the latest hour first, then by name. ``more``: there are more groups than a reply holds.

    Attributes:
        incomplete: why what was finished longer ago is not counted; None if all is.
    """

    rows: list[StatsRow]
    more: bool = False
    incomplete: str | None = None
