"""Answers to requests that change nothing: pure functions of the machine's state and what is known of pools."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Iterable, Iterator

from ..protocol import codec
from ..protocol.errors import BadArguments
from ..protocol.job import AttemptInfo, JobInfo
from ..protocol.messages import LIST_JOBS_MAX, Filter, Jobs, List, QueueStatus
from ..protocol.states import STATES, UNFINISHED
from . import output
from .core.machine import Machine
from .core.pools import queue_mode
from .core.state import Job
from .core.turn import no_such_job
from .unwritten import Unwritten

_REPLY_BYTES_MAX = codec.MESSAGE_BYTES_MAX // 2
_REPLY_ELEMENTS_MAX = codec.ENVELOPE_ELEMENTS_MAX - 10_000
_JOB_BYTES = 4096  # what a job takes in a reply beside its values, generously
_JOB_ELEMENTS, _ATTEMPT_ELEMENTS, _PARENT_ELEMENTS = 100, 40, 3  # as the codec counts them


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
        size += job.held_bytes + _JOB_BYTES
        elements += _JOB_ELEMENTS + _ATTEMPT_ELEMENTS * len(job.attempts) + _PARENT_ELEMENTS * len(job.parents)
        if infos and (size > _REPLY_BYTES_MAX or elements > _REPLY_ELEMENTS_MAX):
            return Jobs(infos, more=True)
        infos.append(machine.info(job))
    return Jobs(infos, more=more)


def _with_log(job_id: int, attempt: AttemptInfo, output_dir: str) -> AttemptInfo:
    path = output.path(output_dir, job_id, attempt.number)
    return dataclasses.replace(attempt, log=str(path)) if path.exists() else attempt


def listed(machine: Machine, request: List) -> Jobs:
    """Matching jobs, newest first."""
    limit = max(1, min(request.limit, LIST_JOBS_MAX))
    found = list(itertools.islice(matching(machine, request.filter, request.before), limit + 1))
    return described(machine, found[:limit], len(found) > limit)


def matching(machine: Machine, wanted: Filter, before: int | None = None) -> Iterator[Job]:
    """Jobs for which every given condition holds, newest first, with ids below ``before``.

    Raises:
        BadArguments: a state that does not exist.
    """
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
    others = any(one is not None for one in (wanted.ref, wanted.since, wanted.error)) or bool(wanted.tags)
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


def _matches(job: Job, wanted: Filter) -> bool:
    if wanted.ref is not None and wanted.ref not in (job.ref, job.name):
        return False
    if wanted.since is not None and job.created_at < wanted.since:
        return False
    if wanted.error is not None and not _erred(job, wanted.error.lower()):
        return False
    if not wanted.tags:
        return True
    tags = job.tags
    return tags is not None and wanted.tags.items() <= tags.items()


def _erred(job: Job, text: str) -> bool:
    error = job.attempts[-1].error if job.attempts else None
    return error is not None and (text in error.type.lower() or text in error.message.lower())


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
