"""What a call of the API asks of the supervisor, request by request, and what it makes of the replies. Without any I/O.

Each function that makes an ``Exchange`` is a generator: it yields a request, is sent the reply (or the error is thrown
into it), and returns the result. ``sync.py`` and ``aio.py`` drive them, each in its own way of waiting; for a
``Stream`` see ``steps.py``. Owns pages, bounded requests, and the translation of arguments that both clients take.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ..protocol import messages
from ..protocol import options as parsers
from ..protocol.errors import BadArguments, JobNotFound, JobyardError, ProtocolError
from ..protocol.ids import JOB_ID_MAX
from ..protocol.job import JobInfo
from ..protocol.messages import LIST_JOBS_MAX, Request, Submission
from ..protocol.notices import EventFilter
from ..protocol.text import shown
from .handle import Handle
from .options import Duration, parse_options
from .steps import Pause
from .submission import chunks

if TYPE_CHECKING:
    from .lines import LogLine
    from .output import OutputReader
    from .stats import Stats

RELOAD_TIMEOUT_S = 120.0  # every allowed module is imported before it is answered
FOUND_AT_ONCE = 500  # lines, before other tasks have their turn


T = TypeVar("T")
Exchange = Generator[Request, Any, T]
Step = Request | Pause
Stream = Generator[Step | list[T], Any, None]
Chosen = Iterable[Handle[Any] | int] | Handle[Any] | int  # jobs, as callers name them


def store(submissions: list[Submission]) -> Exchange[list[messages.Accepted]]:
    """Submit jobs in as few requests as they fit into; the error of one tells which jobs were stored before."""
    stored: list[messages.Accepted] = []
    for chunk in chunks(submissions):
        try:
            accepted = (yield messages.Submit(chunk)).jobs
            if len(accepted) != len(chunk):
                raise wrong_count(len(chunk), len(accepted))
        except JobyardError as error:
            if stored:
                error.details["submitted"] = [one.id for one in stored]
            raise
        stored += accepted
    return stored


def infos(job_ids: Iterable[int]) -> Exchange[list[JobInfo]]:
    """All that is known of some jobs, in the order of ``job_ids``; raises JobNotFound."""
    wanted = [job_number(one) for one in job_ids]
    found: dict[int, JobInfo] = {}
    while missing := [one for one in wanted if one not in found]:
        reply = yield messages.Get(missing[:LIST_JOBS_MAX])
        if not reply.jobs:
            raise JobNotFound(f"there is no job {missing[0]}", details={"id": missing[0]})
        found.update((info.id, info) for info in reply.jobs)
    return [found[one] for one in wanted]


def listed(chosen: messages.Filter, sort: str, limit: int | None) -> Exchange[list[JobInfo]]:
    """The jobs that match, in the order ``sort``, at most ``limit``; None for all."""
    if limit is not None and limit < 0:
        raise BadArguments(f"limit={limit} is no number of jobs", hint="None for all of them")
    left: float = math.inf if limit is None else limit
    found: list[JobInfo] = []
    before: JobInfo | None = None
    while left > 0:
        page = messages.List(chosen, int(min(left, LIST_JOBS_MAX)), sort=sort)
        if before is not None:
            at = before.finished_at if sort == "finished" else None
            page = dataclasses.replace(page, before=before.id, before_at=at)
        reply = yield page
        found += reply.jobs
        warn_of(reply.incomplete)
        if not reply.more or not reply.jobs:
            break
        left, before = left - len(reply.jobs), reply.jobs[-1]
    return found


def figures(chosen: messages.Filter) -> Exchange[Stats]:
    """Figures of the jobs that match: those that are kept, or where these do not tell such jobs apart, of each job."""
    from . import stats  # few programs ask

    questions = stats.questions(chosen)
    if not questions:
        return stats.summarise((yield from listed(chosen, "newest", None)))
    replies = []
    for question in questions:
        replies.append((yield question))
    warn_of(replies[0].incomplete)
    return stats.combined(replies)


def cancel(
    jobs: Chosen | None, chosen: messages.Filter, grace: float | str | None, reason: str | None
) -> Exchange[messages.Cancelled]:
    """Cancel these jobs, or all unfinished ones that match.

    Raises:
        BadArguments: nothing, or both jobs and a filter, say which.
    """
    grace_s = None if grace is None else parsers.duration(grace)
    if (jobs is None) == (chosen == messages.Filter()):
        raise BadArguments(
            "cancel() needs either jobs or a filter", hint='client.cancel([42]), or client.cancel(state="queued")'
        )
    requests = [messages.Cancel(None, chosen, grace_s, reason)]
    if jobs is not None:
        requests = [messages.Cancel(part, None, grace_s, reason) for part in _parts(jobs, messages.CANCEL_JOBS_MAX)]
    total = messages.Cancelled([])
    for request in requests:
        more = True
        while more:
            reply: messages.Cancelled = yield request
            total.cancelled.extend(reply.cancelled)
            total.finished.extend(reply.finished)
            more = reply.more and bool(reply.cancelled)
    return total


def change(jobs: Chosen, changes: Mapping[str, Any]) -> Exchange[messages.Changed]:
    """Change jobs that wait; raises BadArguments for what cannot be changed."""
    options = parse_options(changes, parsers.SET_OPTIONS)
    total = messages.Changed([])
    for part in _parts(jobs, messages.CHANGE_JOBS_MAX):
        reply: messages.Changed = yield messages.SetJob(part, options)
        total.ids.extend(reply.ids)
        total.others.extend(reply.others)
    return total


def remove(jobs: Chosen) -> Exchange[messages.Removed]:
    """Forget jobs that have ended."""
    total = messages.Removed([])
    for part in _parts(jobs, messages.CHANGE_JOBS_MAX):
        reply: messages.Removed = yield messages.Remove(part)
        total.ids.extend(reply.ids)
        total.others.extend(reply.others)
    return total


def prune(older: Duration | None, state: str | Sequence[str] | None, dry_run: bool) -> Exchange[int]:
    """Forget, or count, jobs that have ended; how many."""
    request = messages.Prune(None if older is None else parsers.duration(older), _words(state, "state"), dry_run)
    count, more = 0, True
    while more:
        reply: messages.Pruned = yield request
        count, more = count + reply.count, reply.more
    return count


def output(
    job_id: int, attempt: int | None, offset: int, follow: bool, clock: Callable[[], float]
) -> Stream[messages.LogReply]:
    """The output of one attempt; see ``Client.log_chunks``. ``clock`` tells monotonic time."""
    from .output import OutputReader  # few programs ask

    return _read(OutputReader(job_number(job_id), attempt, offset, follow), clock, lambda piece: [piece])


def log_lines(job_id: int, attempt: int | None, follow: bool, clock: Callable[[], float]) -> Stream[LogLine]:
    """Lines of a job's output; see ``Client.logs``. ``clock`` tells monotonic time."""
    from .lines import Lines
    from .output import OutputReader

    number, lines = attempt, Lines()

    def feed(piece: messages.LogReply) -> Iterator[LogLine]:
        nonlocal number
        number = piece.attempt
        return lines.feed(piece.chunks)

    while True:
        yield from _read(OutputReader(job_number(job_id), number, 0, follow), clock, feed)
        yield list(lines.end())
        if not follow or attempt is not None:
            return
        (info,) = yield from infos([job_id])
        if info.finished and (number is None or info.attempt <= number):
            return
        number, lines = 1 if number is None else number + 1, Lines()


def _read(
    reader: OutputReader, clock: Callable[[], float], translate: Callable[[messages.LogReply], Iterable[T]]
) -> Stream[T]:
    while (request := reader.request) is not None:
        yield Pause(reader.pause_s(clock()))
        for piece in reader.take((yield request)):
            found = iter(translate(piece))
            while some := list(itertools.islice(found, FOUND_AT_ONCE)):
                yield some
                yield Pause(0.0)


def job_filter(
    state: str | Sequence[str] | None,
    queue: str | None,
    ref: str | None,
    tags: Mapping[str, str] | None,
    since: object,
    after: Handle[Any] | int | None = None,
    until: object = None,
    error: str | None = None,
    search: str | None = None,
) -> messages.Filter:
    """Which jobs, as the methods of a client take it; raises BadArguments for what is no point in time, and no job."""
    begin, end = (None if at is None else parsers.wall_time(at) for at in (since, until))
    parent = None if after is None else job_number(after)
    return messages.Filter(_words(state, "state"), queue, ref, dict(tags or {}), begin, error, parent, end, search)


def warn_of(incomplete: str | None) -> None:
    """Say in the log of this process why a reply lacks what has left the supervisor's memory, if it does."""
    if incomplete is not None:
        import logging  # takes as long to load as much of a request

        logging.getLogger("jobyard.client").warning("what has left the supervisor's memory is missing: %s", incomplete)


def event_filter(job: Handle[Any] | int | None, queue: str | None, kinds: str | Sequence[str] | None) -> EventFilter:
    """Which notices, as the methods of a client take it."""
    return EventFilter(None if job is None else job_number(job), queue, _words(kinds, "kinds"))


def job_number(job: Handle[Any] | int) -> int:
    """The id of a job that is given as a handle or by its number; raises BadArguments."""
    number = job.id if isinstance(job, Handle) else job
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number <= JOB_ID_MAX:
        raise BadArguments(f"{shown(number)} is not a job id", hint="give the number that submit returned as job.id")
    return number


def _words(given: str | Sequence[str] | None, option: str) -> list[str]:
    """One word or several as a list, which is empty only for None: one of no words must not mean every job."""
    if given is None:
        return []
    words = [given] if isinstance(given, str) else list(given)
    if not words:
        raise BadArguments(f"{option}={shown(given)} names none", hint=f"leave {option} out if it is not to matter")
    return words


def _parts(jobs: Chosen, size: int) -> Iterator[list[int]]:
    """The ids, as many at a time as a request takes."""
    ids = [job_number(one) for one in ([jobs] if isinstance(jobs, int | Handle) else jobs)]
    for first in range(0, len(ids), size):
        yield ids[first : first + size]


def client_timeout(timeout: object) -> float:
    """The ``timeout`` of a client in seconds; raises BadArguments."""
    seconds = parsers.duration(timeout)
    if not seconds:
        raise BadArguments(
            f"timeout={shown(timeout)}: nothing could be answered in no time", hint="give seconds, such as 5.0"
        )
    return seconds


def answer_timeout(timeout: float | None, usual: float) -> float:
    """Seconds for one answer: what is given, which may be infinite, or ``usual``; raises BadArguments."""
    if timeout is None:
        return usual
    return math.inf if timeout == math.inf else client_timeout(timeout)


def wrong_count(asked: int, answered: int) -> ProtocolError:
    """The supervisor answered a submit with another number of jobs."""
    return ProtocolError(f"the supervisor answered a submit of {asked} jobs with {answered}")
