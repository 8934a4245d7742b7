"""The client: every request that a supervisor takes, as a method.

Translates only: what to send is made in ``submission.py``, sent by ``link.py``, and read back into handles and plain
data. A client opens and imports nothing until its first request, may be shared by threads, and may be used on both
sides of a fork.
"""

from __future__ import annotations

import builtins
import math
import os
import time
import weakref
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Unpack

from ..protocol import messages
from ..protocol import options as parsers
from ..protocol.errors import BadArguments, JobNotFound, JobyardError
from ..protocol.ids import JOB_ID_MAX
from ..protocol.job import JobInfo
from ..protocol.messages import LIST_JOBS_MAX, Request, Submission
from ..protocol.notices import EventFilter, Notice
from .address import find_target
from .events import Follower, Since
from .handle import Job, WaitResult, When, wait
from .lines import Lines, LogLine
from .options import Duration, SetOptions, parse_options
from .output import OutputReader
from .pipeline import Pipeline, wrong_count
from .submission import chunks
from .submitter import Submitter

if TYPE_CHECKING:
    from .link import Link, Links
    from .stats import Stats

RELOAD_TIMEOUT_S = 120.0  # every allowed module is imported before it is answered


class Client(Submitter):
    """A connection to the supervisor, made when it is first needed.

    Args:
        socket: where the supervisor listens: a path or ``ipc://path``.
        config: the config file to find the socket by. If neither is given: ``JOBYARD_SOCKET``, then the config that is
            found from the working directory, as ``jobctl`` does. timeout: seconds that a request waits for a
            supervisor that is away (restarting), and for its answer.

    Raises:
        BadArguments: an unusable ``timeout``.
    """

    def __init__(
        self,
        socket: str | os.PathLike[str] | None = None,
        config: str | os.PathLike[str] | None = None,
        timeout: float = 5.0,
    ) -> None:
        self._socket = socket
        self._config = config
        self._timeout = parsers.duration(timeout)
        if not self._timeout:
            raise BadArguments(
                f"timeout={timeout!r}: nothing could be answered in no time", hint="give seconds, such as 5.0"
            )
        # By process id: what another process opened is kept, untouched, by those that were forked from it.
        self._links: dict[int, Links] = {}
        weakref.finalize(self, _close, self._links)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. Requests of other threads still end; a later request connects anew."""
        _close(self._links)

    def request(self, request: Request, timeout: float | None = None) -> Any:
        """Send a request of protocol/messages.py; its reply.

        Args:
            timeout: seconds; None takes the client's; may be infinite.

        Raises:
            JobyardError: what the supervisor answered, or why there is no answer.
        """
        return self._here().call(request, self._timeout if timeout is None else timeout)

    def borrow(self) -> AbstractContextManager[Link]:
        """A connection of one's own, for several requests in flight."""
        return self._here().borrow()

    # -- submit, and the jobs ------------------------------------------------------------------------------------------

    def _accept(self, submissions: builtins.list[Submission]) -> builtins.list[Job[Any]]:
        jobs: builtins.list[Job[Any]] = []
        for chunk in chunks(submissions):
            try:
                accepted = self.request(messages.Submit(chunk)).jobs
                if len(accepted) != len(chunk):
                    raise wrong_count(len(chunk), len(accepted))
            except JobyardError as error:
                if jobs:
                    error.details["submitted"] = [job.id for job in jobs]
                raise
            jobs += [Job(self, one.id, one.uid, existing=one.existing) for one in accepted]
        return jobs

    def pipeline(self, timeout: float | None = None) -> Pipeline:
        """Many submits at once: ``with client.pipeline() as p: p.submit(...)``; all are durable when the block ends.

        The block ends with an ExceptionGroup of the refusals, if any; a refused job's handle raises its own.

        Args:
            timeout: seconds for each answer; None takes the client's.
        """
        return Pipeline(self, self._timeout if timeout is None else parsers.duration(timeout))

    def get(self, job_id: int) -> Job[Any]:
        """The handle of a job; raises JobNotFound."""
        info = self.info(job_id)
        return Job(self, info.id, info.uid)

    def info(self, job_id: int) -> JobInfo:
        """All that is known of a job now; raises JobNotFound."""
        return self.infos([job_id])[0]

    def infos(self, job_ids: Iterable[int]) -> builtins.list[JobInfo]:
        """All that is known of some jobs, in the order of ``job_ids``.

        Raises:
            JobNotFound: one of them is not there.
        """
        wanted = [_job_id(one) for one in job_ids]
        found: dict[int, JobInfo] = {}
        while missing := [one for one in wanted if one not in found]:
            reply = self.request(messages.Get(missing[:LIST_JOBS_MAX]))
            if not reply.jobs:
                raise JobNotFound(f"there is no job {missing[0]}", details={"id": missing[0]})
            found.update((info.id, info) for info in reply.jobs)
        return [found[one] for one in wanted]

    def list(
        self,
        *,
        state: str | Sequence[str] | None = None,
        queue: str | None = None,
        ref: str | None = None,
        tags: Mapping[str, str] | None = None,
        since: object = None,
        after: Job[Any] | int | None = None,
        limit: int | None = 50,
    ) -> builtins.list[Job[Any]]:
        """The jobs for which all that is given holds, newest first; see ``list_infos``."""
        found = self.list_infos(state=state, queue=queue, ref=ref, tags=tags, since=since, after=after, limit=limit)
        return [Job(self, info.id, info.uid) for info in found]

    def list_infos(
        self,
        *,
        state: str | Sequence[str] | None = None,
        queue: str | None = None,
        ref: str | None = None,
        tags: Mapping[str, str] | None = None,
        since: object = None,
        after: Job[Any] | int | None = None,
        limit: int | None = 50,
    ) -> builtins.list[JobInfo]:
        """As ``list``, with all that is known of each.

        Args:
            state: one state or several.
            ref: a reference or an alias.
            since: submitted at or after this aware datetime, or seconds since the epoch.
            after: that wait or waited for this job.
            limit: at most so many; None for all.
        """
        chosen = _filter(state, queue, ref, tags, since, after)
        left: float = math.inf if limit is None else limit
        found: builtins.list[JobInfo] = []
        before: int | None = None
        while left > 0:
            reply = self.request(messages.List(chosen, int(min(left, LIST_JOBS_MAX)), before))
            found += reply.jobs
            if not reply.more or not reply.jobs:
                break
            left, before = left - len(reply.jobs), reply.jobs[-1].id
        return found

    def wait(
        self, jobs: Iterable[Job[Any]], timeout: float | None = None, return_when: When = "ALL_COMPLETED"
    ) -> WaitResult:
        """Wait for jobs; see ``jobyard.wait``."""
        return wait(jobs, timeout, return_when)

    def cancel(
        self,
        jobs: Iterable[Job[Any] | int] | Job[Any] | int | None = None,
        *,
        state: str | Sequence[str] | None = None,
        queue: str | None = None,
        ref: str | None = None,
        tags: Mapping[str, str] | None = None,
        since: object = None,
        after: Job[Any] | int | None = None,
        grace: float | str | None = None,
        reason: str | None = None,
    ) -> messages.Cancelled:
        """Cancel these jobs, or all unfinished ones for which all that is given holds.

        Args:
            grace: how long a running job may take to stop before it is killed; None takes the job's own.

        Returns:
            Which are or will be cancelled, and which had ended before.

        Raises:
            BadArguments: nothing, or both jobs and a filter, say which.
        """
        chosen = _filter(state, queue, ref, tags, since, after)
        grace_s = None if grace is None else parsers.duration(grace)
        if (jobs is None) == (chosen == messages.Filter()):
            raise BadArguments(
                "cancel() needs either jobs or a filter", hint='client.cancel([42]), or client.cancel(state="queued")'
            )
        total = messages.Cancelled([])
        if jobs is None:
            self._cancel(messages.Cancel(None, chosen, grace_s, reason), total)
            return total
        for part in _parts(jobs, messages.CANCEL_JOBS_MAX):
            self._cancel(messages.Cancel(part, None, grace_s, reason), total)
        return total

    def retry(self, job_id: int) -> None:
        """Put a finished job back into its queue; raises WrongState, JobNotFound."""
        self.request(messages.RetryJob(_job_id(job_id)))

    def logs(self, job_id: int, attempt: int | None = None, follow: bool = False) -> Iterator[LogLine]:
        """Lines of a job's output.

        Args:
            attempt: its number; None means the last, and with ``follow`` all that come after it.
            follow: go on until the attempt (or, without ``attempt``, the job) has ended.
        """
        number = attempt
        while True:
            lines = Lines()
            for reply in self.log_chunks(job_id, number, follow=follow):
                number = reply.attempt
                yield from lines.feed(reply.chunks)
            yield from lines.end()
            if not follow or attempt is not None:
                return
            info = self.info(job_id)
            if info.finished and (number is None or info.attempt <= number):
                return
            number = 1 if number is None else number + 1

    def log_chunks(
        self, job_id: int, attempt: int | None = None, offset: int = 0, follow: bool = False
    ) -> Iterator[messages.LogReply]:
        """The output of one attempt (None: the last) as it is stored, from ``offset``; with ``follow`` to its end."""
        reader = OutputReader(_job_id(job_id), attempt, offset, follow)
        while (request := reader.request) is not None:
            time.sleep(reader.pause_s(time.monotonic()))
            yield from reader.take(self.request(request, math.inf if follow else None))

    def events(
        self,
        since: Since = None,
        *,
        job: Job[Any] | int | None = None,
        queue: str | None = None,
        kinds: str | Sequence[str] | None = None,
    ) -> Generator[Notice, None, None]:
        """What happens, as it happens; if all that is given holds. Goes on over a restart of the supervisor.

        Nothing is missed silently: where notices are lost for good there is one of kind ``events_truncated``.

        Args:
            since: after this: a ``notice.position``, or a seq of the present epoch; "oldest" begins with all that is
                kept. None is the moment of this call.
            job: of one job, until it is finished.
            kinds: one or several of ``KINDS`` in protocol/notices.py.

        Raises:
            BadArguments: no such kind; or a position that is still to come.
            JobNotFound, UnknownQueue: no such job or queue.
        """
        from .stream import follow  # with ZeroMQ

        job_id = None if job is None else _job_id(job)
        follower = Follower(since, EventFilter(job_id, queue, [kinds] if isinstance(kinds, str) else [*(kinds or ())]))
        return follow(self, follower, self.request(follower.request()), self._timeout)

    # -- jobs that are there -------------------------------------------------------------------------------------------

    def set(
        self, jobs: Iterable[Job[Any] | int] | Job[Any] | int, /, **changes: Unpack[SetOptions]
    ) -> messages.Changed:
        """Change jobs that wait: ``client.set(job, priority="high", delay=0)``.

        Args:
            changes: ``priority``, ``queue``, ``delay`` (from now; 0 is at once) or ``at``, ``timeout`` (None: none).

        Returns:
            Which were changed, and which others do not wait.

        Raises:
            WrongState: none of them waits.
            BadArguments, UnknownQueue, NotAllowed, QueueDraining: they cannot be changed so.
            JobNotFound.
        """
        options = parse_options(changes, parsers.SET_OPTIONS)
        total = messages.Changed([])
        for part in _parts(jobs):
            reply: messages.Changed = self.request(messages.SetJob(part, options))
            total.ids.extend(reply.ids)
            total.others.extend(reply.others)
        return total

    def remove(self, jobs: Iterable[Job[Any] | int] | Job[Any] | int) -> messages.Removed:
        """Forget jobs that have ended.

        Returns:
            Which are forgotten, and which others have not ended.

        Raises:
            WrongState: none of them has ended.
            JobNotFound.
        """
        total = messages.Removed([])
        for part in _parts(jobs):
            reply: messages.Removed = self.request(messages.Remove(part))
            total.ids.extend(reply.ids)
            total.others.extend(reply.others)
        return total

    def prune(
        self, *, older: Duration | None = None, state: str | Sequence[str] | None = None, dry_run: bool = False
    ) -> int:
        """Forget jobs that have ended, or with ``dry_run`` count them; how many.

        Args:
            older: those that ended so long ago; state: those that ended so. Neither: those over the limits.
        """
        older_s = None if older is None else parsers.duration(older)
        request = messages.Prune(older_s, _states(state), dry_run)
        count, more = 0, True
        while more:
            reply: messages.Pruned = self.request(request)
            count, more = count + reply.count, reply.more
        return count

    def why(self, job: Job[Any] | int) -> messages.Explanation:
        """Why a job is in its state; ``str`` of it is a sentence. Raises JobNotFound."""
        reply: messages.Explanation = self.request(messages.Why(_job_id(job)))
        return reply

    # -- queues and the supervisor -------------------------------------------------------------------------------------

    def pause(self, queue: str | None = None) -> builtins.list[str]:
        """Start nothing from a queue (None: any) until ``resume``; the names of the queues that were set."""
        return self._set_queue("paused", queue)

    def resume(self, queue: str | None = None) -> builtins.list[str]:
        """End ``pause`` or ``drain``."""
        return self._set_queue("open", queue)

    def drain(self, queue: str | None = None) -> builtins.list[str]:
        """Finish what a queue (None: any) holds and refuse new jobs until ``resume``."""
        return self._set_queue("draining", queue)

    def status(self) -> messages.SupervisorStatus:
        """What runs, what waits, and what is wrong."""
        reply: messages.SupervisorStatus = self.request(messages.Status())
        return reply

    def stats(
        self,
        *,
        state: str | Sequence[str] | None = None,
        queue: str | None = None,
        ref: str | None = None,
        tags: Mapping[str, str] | None = None,
        since: object = None,
    ) -> Stats:
        """How long jobs waited and ran, what they used and how many succeeded, of all for which what is given holds.

        Counts what the supervisor has in memory: unfinished jobs, and finished ones that it has not forgotten.
        """
        from .stats import summarise

        return summarise(self.list_infos(state=state, queue=queue, ref=ref, tags=tags, since=since, limit=None))

    def recycle(self, pool: str) -> None:
        """Start a fresh zygote for a pool; what runs stays where it is. Raises BadArguments for an unknown pool."""
        self.request(messages.RecyclePool(pool))

    def catalog(self) -> messages.CatalogReply:
        """Everything that may be submitted."""
        reply: messages.CatalogReply = self.request(messages.Catalog())
        return reply

    def ping(self, timeout: float | None = None) -> messages.Pong:
        """Who answers."""
        reply: messages.Pong = self.request(messages.Ping(), timeout)
        return reply

    def reload(self) -> messages.Reloaded:
        """Read the config again and start fresh zygotes; raises InvalidConfig, and then nothing changed."""
        reply: messages.Reloaded = self.request(messages.Reload(), max(self._timeout, RELOAD_TIMEOUT_S))
        return reply

    def stop(self, *, now: bool = False) -> messages.Stopping:
        """Stop the supervisor once the running jobs have ended; ``now`` stops them, and they run again later."""
        reply: messages.Stopping = self.request(messages.Stop("now" if now else "wait"))
        return reply

    def log_format(self, name: str | None = None) -> str:
        """Write the supervisor's log in this format ("plain", "string", "json", "laravel") until its next reload.

        Returns:
            The one in force; None only asks.
        """
        reply: messages.LogFormatSet = self.request(messages.LogFormat(name))
        return reply.format

    def _set_queue(self, mode: str, queue: str | None) -> builtins.list[str]:
        reply: messages.QueuesSet = self.request(messages.SetQueue(mode, queue))
        return reply.queues

    def _cancel(self, request: messages.Cancel, total: messages.Cancelled) -> None:
        more = True
        while more:
            reply: messages.Cancelled = self.request(request)
            total.cancelled.extend(reply.cancelled)
            total.finished.extend(reply.finished)
            more = reply.more and bool(reply.cancelled)

    def _here(self) -> Links:
        """The connections of this process."""
        pid = os.getpid()
        links = self._links.get(pid)
        if links is None:
            from .link import Links  # ZeroMQ comes with the first request

            fresh = Links(find_target(self._socket, self._config, os.environ), self._timeout)
            links = self._links.setdefault(pid, fresh)
            if links is not fresh:  # another thread was faster
                fresh.close()
        return links


def _close(links: dict[int, Links]) -> None:
    own = links.pop(os.getpid(), None)
    if own is not None:
        own.close()


def _filter(
    state: str | Sequence[str] | None,
    queue: str | None,
    ref: str | None,
    tags: Mapping[str, str] | None,
    since: object,
    after: Job[Any] | int | None,
) -> messages.Filter:
    begin = None if since is None else parsers.wall_time(since)
    parent = None if after is None else _job_id(after)
    return messages.Filter(_states(state), queue, ref, dict(tags or {}), begin, after=parent)


def _states(state: str | Sequence[str] | None) -> list[str]:
    return [state] if isinstance(state, str) else list(state or ())


def _parts(
    jobs: Iterable[Job[Any] | int] | Job[Any] | int, size: int = messages.CHANGE_JOBS_MAX
) -> Iterator[list[int]]:
    """The ids, as many at a time as a request takes."""
    ids = [_job_id(one) for one in ([jobs] if isinstance(jobs, int | Job) else jobs)]
    for first in range(0, len(ids), size):
        yield ids[first : first + size]


def _job_id(job: Job[Any] | int) -> int:
    number = job.id if isinstance(job, Job) else job
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number <= JOB_ID_MAX:
        raise BadArguments(f"{number!r} is not a job id", hint="give the number that submit returned as job.id")
    return number
