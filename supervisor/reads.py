"""Answers to requests that change nothing: pure functions of the machine's state and what is known of pools."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Iterable, Iterator

from ..protocol.errors import BadArguments, UnknownQueue
from ..protocol.history import SEARCH_CHARS_MAX
from ..protocol.job import AttemptInfo, JobInfo
from ..protocol.lists import SORTS
from ..protocol.messages import LIST_JOBS_MAX, Filter, Jobs, List, QueueStatus
from ..protocol.options import nearest_hint
from ..protocol.states import STATES, UNFINISHED
from . import output
from .core.machine import Machine
from .core.pools import queue_mode
from .core.state import Job
from .core.turn import no_such_job
from .history import text
from .spliced import REPLY_BYTES_MAX, REPLY_ELEMENTS_MAX, job_bytes, job_elements
from .unwritten import Unwritten


def find(machine: Machine, job_id: int) -> Job:
    """The job with that id.

    Raises:
        JobNotFound: never existed, or was pruned.
    """
    job = machine.state.jobs.get(job_id)
    if job is None:
        raise no_such_job(machine.state, job_id)
    return job


def jobs(machine: Machine, ids: list[int], output_dir: str, unwritten: Unwritten) -> Jobs:
    """Jobs with all that is known of them, where their output is and what is lost of it included."""
    reply = described(machine, [find(machine, job_id) for job_id in ids])
    for info in reply.jobs:
        info.attempts[:] = [_with_log(info.id, attempt, output_dir) for attempt in info.attempts]
        for attempt in info.attempts:
            if (loss := unwritten.loss(output_dir, info.id, attempt.number)) is not None:
                info.warnings.append(f"attempt {attempt.number}: {loss}")
    return reply


def described(machine: Machine, found: list[Job], more: bool = False) -> Jobs:
    """As many of the jobs as one message holds; ``more`` if those are not all, or if it was given."""
    infos: list[JobInfo] = []
    size = elements = 0
    for job in found:
        size += job_bytes(job.held_bytes)
        elements += job_elements(job)
        if infos and (size > REPLY_BYTES_MAX or elements > REPLY_ELEMENTS_MAX):
            return Jobs(infos, more=True)
        infos.append(machine.info(job))
    return Jobs(infos, more=more)


def _with_log(job_id: int, attempt: AttemptInfo, output_dir: str) -> AttemptInfo:
    path = output.path(output_dir, job_id, attempt.number)
    return dataclasses.replace(attempt, log=str(path)) if path.exists() else attempt


def listed(machine: Machine, request: List) -> Jobs:
    """A page of matching jobs that are in memory."""
    limit = page_size(request)
    found = page(machine, request)
    return described(machine, found[:limit], len(found) > limit)


def page_size(request: List) -> int:
    return max(1, min(request.limit, LIST_JOBS_MAX))


def page(machine: Machine, request: List) -> list[Job]:
    """Matching jobs in the order asked for: one more than a page holds, if there are as many.

    Raises:
        BadArguments: an order or a state that does not exist.
    """
    if request.sort not in SORTS:
        raise BadArguments(f"jobs cannot be sorted by {request.sort!r}", hint="one of: " + ", ".join(SORTS))
    if (request.sort == "finished" and request.before is not None) != (request.before_at is not None):
        raise BadArguments('before_at goes with before, and with the sort "finished"')
    if request.before is not None and not 0 <= request.before < 1 << 63:
        raise BadArguments(f"before={request.before} is not a job id")
    found: Iterator[Job] = matching(machine, request.filter, request.before if request.sort == "newest" else None)
    if request.sort != "newest":
        behind = None if request.before is None else place(request.sort, request.before, request.before_at)
        matched = [job for job in found if request.sort == "oldest" or job.finished_at is not None]
        matched.sort(key=lambda job: place(request.sort, job.id, job.finished_at))
        found = (job for job in matched if behind is None or place(request.sort, job.id, job.finished_at) > behind)
    return list(itertools.islice(found, page_size(request) + 1))


def place(sort: str, job_id: int, finished_at: float | None) -> tuple[float, int]:
    """Where a job stands in a list: those with smaller values come first."""
    if sort == "finished":
        return -(finished_at or 0.0), -job_id
    return 0.0, job_id if sort == "oldest" else -job_id


def matching(machine: Machine, wanted: Filter, before: int | None = None) -> Iterator[Job]:
    """Jobs for which every given condition holds, newest first, with ids below ``before``.

    Raises:
        BadArguments: a state that does not exist, or too much text.
    """
    for name, words in (("search", wanted.search), ("error", wanted.error)):
        if words is not None and len(words) > SEARCH_CHARS_MAX:
            raise BadArguments(f"{name} of {len(words):,} characters; the limit is {SEARCH_CHARS_MAX:,}")
    check_states(wanted.states, STATES)
    return _matching(machine, wanted, before)


def check_states(given: Iterable[str], known: Collection[str]) -> None:
    """Raises BadArguments for a state that is not one of those."""
    unknown = set(given) - set(known)
    if unknown:
        raise BadArguments(f"there is no state {min(unknown)!r}", hint="states: " + ", ".join(sorted(known)))


def _matching(machine: Machine, wanted: Filter, before: int | None) -> Iterator[Job]:
    """The loop stands still meanwhile, so the common conditions are looked at without a call for each job."""
    jobs, states, queue = machine.state.jobs, frozenset(wanted.states or STATES), wanted.queue
    optional = (wanted.ref, wanted.since, wanted.until, wanted.error, wanted.search)
    others = any(one is not None for one in optional) or bool(wanted.tags)
    ids = jobs if wanted.after is None else machine.state.dependencies.children.get(wanted.after, {})
    for job_id in sorted(ids, reverse=True):
        job = jobs[job_id]
        if (
            job.state in states
            and (queue is None or job.queue == queue)
            and (before is None or job_id < before)
            and (not others or _matches(job, wanted))
        ):
            yield job


def fits(job: Job, request: List) -> bool:
    """Whether a job belongs into this list, on whatever page."""
    wanted = request.filter
    if (wanted.states and job.state not in wanted.states) or wanted.queue not in (None, job.queue):
        return False
    return _matches(job, wanted) and (request.sort != "finished" or job.finished_at is not None)


def _matches(job: Job, wanted: Filter) -> bool:
    """Whether every condition holds but those on state and queue."""
    if wanted.ref is not None and wanted.ref not in (job.ref, job.name):
        return False
    if wanted.since is not None and job.created_at < wanted.since:
        return False
    if wanted.until is not None and job.created_at >= wanted.until:
        return False
    if wanted.tags and not (job.tags is not None and wanted.tags.items() <= job.tags.items()):
        return False
    if wanted.after is not None and wanted.after not in job.parents:
        return False
    if wanted.error is not None and not _erred(job, wanted.error.lower()):
        return False
    return not wanted.search or text.holds_words(job, wanted.search)


def _erred(job: Job, part: str) -> bool:
    error = text.error(job).lower()
    return bool(error) and part in error


def unknown_queue(queue: str, declared: Iterable[str]) -> UnknownQueue:
    return UnknownQueue(f"the config declares no queue {queue!r}", hint=nearest_hint(queue, declared))


def queues(machine: Machine) -> list[QueueStatus]:
    """Every declared queue, and undeclared ones that still hold jobs."""
    found = []
    for name in sorted(
        {*machine.rules.queues, *(name for name, queue in machine.state.queues.items() if any_open(queue.counts))}
    ):
        rule = machine.rules.queues.get(name)
        queue = machine.state.queue(name)
        found.append(
            QueueStatus(
                name=name,
                mode=queue_mode(queue, rule) if rule else "undeclared",
                pool=rule.pool if rule else "",
                concurrency=rule.concurrency if rule else None,
                running=queue.counts["running"],
                queued=queue.counts["queued"],
                scheduled=queue.counts["scheduled"],
                blocked=queue.counts["blocked"],
            )
        )
    return found


def any_open(counts: dict[str, int]) -> bool:
    return any(counts[state] for state in UNFINISHED)
