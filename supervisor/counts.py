"""Counts of what became of jobs: what the history has counted, and what is still in memory alone."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile

from ..protocol.history import STATS_ROWS_MAX, Stats, StatsReply
from ..protocol.states import UNFINISHED
from .core.state import Job, State
from .history.series import Former, Group, Series, Tally, grouped, hour_of, latest_first

LIVE_MAX = 20_000  # jobs in memory that are counted for one request: the loop stands still meanwhile


def uncounted(state: State, upto: int) -> list[int]:
    """Ids of the jobs that ``counted`` will look at in memory, none if those are too many."""
    found = list(takewhile(lambda job_id: state.finished[job_id] > upto, reversed(state.finished)))
    if len(found) + state.unfinished_count > LIVE_MAX:
        return []
    return found + [job_id for job_id, job in state.jobs.items() if job.state in UNFINISHED]


def counted(
    state: State, request: Stats, upto: int, groups: dict[Group, Tally], formers: Iterable[Former] = ()
) -> StatsReply:
    """The reply to ``request``.

    Args:
        upto: number of the last finished job that the history has counted.
        groups: what it has counted; changed.
        formers: of the jobs in memory, those that it has counted, and that were put back since.
    """
    series, missing = _live(state, upto, {one.id: one for one in formers})
    wanted = ((key, tally) for key, tally in series.tallies.items() if _is_wanted(request, *key))
    for group, tally in grouped(wanted, request.by).items():
        groups.setdefault(group, Tally()).merge(tally)
    ordered = sorted((group for group, tally in groups.items() if not tally.is_empty), key=latest_first)
    rows = [groups[group].row(group) for group in ordered[:STATS_ROWS_MAX]]
    return StatsReply(rows, len(ordered) > len(rows), missing)


def _live(state: State, upto: int, formers: dict[int, Former]) -> tuple[Series, str | None]:
    """What the history has not counted yet, as far as it does not hold up the loop, and what is left out."""
    series = Series()
    upto = upto if upto <= state.finish_count else 0  # of another journal
    left = LIVE_MAX
    for job_id in reversed(state.finished):
        if state.finished[job_id] <= upto:
            break
        if not left:
            return series, "the latest jobs are too many to be counted before they are archived"
        left -= 1
        job = state.jobs[job_id]
        if (former := _former(job, formers)) is None:
            series.submitted(job)
            series.ended(job)
        else:
            series.taken_back(former)
            series.ended(job, former.attempt)
    if state.unfinished_count > left:
        return series, f"the {state.unfinished_count:,} jobs that are not finished are not counted"
    for job in state.jobs.values():
        if job.state in UNFINISHED:
            if (former := _former(job, formers)) is not None:
                series.taken_back(former)
            series.unfinished(job, again=former is not None)
    return series, None


def _former(job: Job, formers: dict[int, Former]) -> Former | None:
    """What was counted of a job that was put back."""
    former = formers.get(job.id)
    return former if former is not None and former.uid == job.uid else None


def _is_wanted(request: Stats, hour: int, ref: str, queue: str) -> bool:
    if request.since is not None and hour < hour_of(request.since):
        return False
    if request.until is not None and hour > hour_of(request.until):
        return False
    return request.ref in (None, ref) and request.queue in (None, queue)
