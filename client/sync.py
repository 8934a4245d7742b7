"""The client: every request that a supervisor takes, as a method.

Translates only: what to send is made in ``submission.py`` and ``exchange.py``, sent by ``link.py``, and read back into
handles and plain data. A client opens and imports nothing until its first request, may be shared by threads, and may be
used on both sides of a fork.
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
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from ..protocol import messages
from ..protocol.errors import JobyardError
from ..protocol.job import JobInfo
from ..protocol.messages import Request, Submission
from ..protocol.notices import Notice
from . import exchange
from .address import find_target
from .exchange import RELOAD_TIMEOUT_S, Exchange, Step, Stream, event_filter, job_filter, job_number
from .handle import Job, WaitResult, When, wait
from .options import Duration, SetOptions
from .session import is_parked
from .steps import Pause, drive
from .submitter import Submitter

if TYPE_CHECKING:
    from .events import Since
    from .lines import LogLine
    from .link import Link, Links
    from .pipeline import Pipeline
    from .stats import Stats

T = TypeVar("T")
R = TypeVar("R")


class Client(Submitter):
    """A connection to the supervisor, made when it is first needed.

    Args:
        socket: where the supervisor listens: a path or ``ipc://path``; over TCP a key file (``*.key``), or
            ``tcp://host:port`` with the key file in ``JOBYARD_KEY``.
        config: the config file to find the socket by. If neither is given: ``JOBYARD_SOCKET``, then the config that is
            found from the working directory, as ``jobctl`` does.
        timeout: seconds that a request waits for a supervisor that is away (restarting), and for its answer.

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
        self._timeout = exchange.client_timeout(timeout)
        # By process id: what another process opened is kept, untouched, by those that were forked from it.
        self._links: dict[int, Links] = {}
        weakref.finalize(self, _close, self._links)

    def __enter__(self) -> Self:
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
        return self._here().call(request, exchange.answer_timeout(timeout, self._timeout))

    def borrow(self) -> AbstractContextManager[Link]:
        """A connection of one's own, for several requests in flight."""
        return self._here().borrow()

    # -- submit, and the jobs ------------------------------------------------------------------------------------------

    def _accept(self, wanted: builtins.list[Submission]) -> builtins.list[Job[Any]]:
        stored = self._run(exchange.store(wanted))
        return [Job(self, one.id, one.uid, existing=one.existing) for one in stored]

    def pipeline(self, timeout: float | None = None) -> Pipeline:
        """Many submits at once: ``with client.pipeline() as p: p.submit(...)``; all are durable when the block ends.

        The block ends with an ExceptionGroup of the refusals, if any; a refused job's handle raises its own.

        Args:
            timeout: seconds for each answer; None takes the client's.
        """
        from .pipeline import Pipeline  # few programs ask

        return Pipeline(self, exchange.answer_timeout(timeout, self._timeout))

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
        return self._run(exchange.infos(job_ids))

    def list(
        self,
        *,
        state: str | Sequence[str] | None = None,
        queue: str | None = None,
        ref: str | None = None,
        tags: Mapping[str, str] | None = None,
        since: object = None,
        after: Job[Any] | int | None = None,
        until: object = None,
        error: str | None = None,
        search: str | None = None,
        sort: str = "newest",
        limit: int | None = 50,
    ) -> builtins.list[Job[Any]]:
        """The jobs for which all that is given holds; see ``list_infos``."""
        chosen = job_filter(state, queue, ref, tags, since, after, until, error, search)
        return [Job(self, info.id, info.uid) for info in self._run(exchange.listed(chosen, sort, limit))]

    def list_infos(
        self,
        *,
        state: str | Sequence[str] | None = None,
        queue: str | None = None,
        ref: str | None = None,
        tags: Mapping[str, str] | None = None,
        since: object = None,
        after: Job[Any] | int | None = None,
        until: object = None,
        error: str | None = None,
        search: str | None = None,
        sort: str = "newest",
        limit: int | None = 50,
    ) -> builtins.list[JobInfo]:
        """As ``list``, with all that is known of each.

        Args:
            state: one state or several.
            ref: a reference or an alias.
            since, until: submitted at or after this, and before this: an aware datetime, or seconds since the epoch.
            after: that wait or waited for this job.
            error: part of the type or message of what the last attempt raised.
            search: words, each of which is part of the arguments or of what went wrong.
            sort: "newest", "oldest", or "finished": the last to finish first.
            limit: at most so many; None for all.

        Jobs that have left the supervisor's memory are there as well. If they cannot be looked up, the others are
        given, and the log of this process says so.
        """
        chosen = job_filter(state, queue, ref, tags, since, after, until, error, search)
        return self._run(exchange.listed(chosen, sort, limit))

    def wait(
        self, jobs: Iterable[Job[R]], timeout: float | None = None, return_when: When = "ALL_COMPLETED"
    ) -> WaitResult[Job[R]]:
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
        chosen = job_filter(state, queue, ref, tags, since, after)
        return self._run(exchange.cancel(jobs, chosen, grace, reason))

    def retry(self, job_id: int) -> None:
        """Put a finished job back into its queue; raises WrongState, JobNotFound."""
        self.request(messages.RetryJob(job_number(job_id)))

    def logs(self, job_id: int, attempt: int | None = None, follow: bool = False) -> Iterator[LogLine]:
        """Lines of a job's output.

        Args:
            attempt: its number; None means the last, and with ``follow`` all that come after it.
            follow: go on until the attempt (or, without ``attempt``, the job) has ended.
        """
        return self._stream(exchange.log_lines(job_id, attempt, follow, time.monotonic))

    def log_chunks(
        self, job_id: int, attempt: int | None = None, offset: int = 0, follow: bool = False
    ) -> Iterator[messages.LogReply]:
        """The output of one attempt (None: the last) as it is stored, from ``offset``; with ``follow`` to its end."""
        return self._stream(exchange.output(job_id, attempt, offset, follow, time.monotonic))

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
        from .events import Follower  # few programs ask
        from .stream import follow  # with ZeroMQ

        follower = Follower(since, event_filter(job, queue, kinds))
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
            JobNotFound: there is no such job.
        """
        return self._run(exchange.change(jobs, changes))

    def remove(self, jobs: Iterable[Job[Any] | int] | Job[Any] | int) -> messages.Removed:
        """Forget jobs that have ended, and what they printed.

        Returns:
            Which are forgotten, and which others have not ended.

        Raises:
            WrongState: none of them has ended.
            JobNotFound: there is no such job.
        """
        return self._run(exchange.remove(jobs))

    def prune(
        self, *, older: Duration | None = None, state: str | Sequence[str] | None = None, dry_run: bool = False
    ) -> int:
        """Forget jobs that have ended, and what they printed, or with ``dry_run`` count them; how many.

        Args:
            older: those that ended so long ago; state: those that ended so. Neither: as ``[history] retention`` says.
        """
        return self._run(exchange.prune(older, state, dry_run))

    def why(self, job: Job[Any] | int) -> messages.Explanation:
        """Why a job is in its state; ``str`` of it is a sentence. Raises JobNotFound."""
        reply: messages.Explanation = self.request(messages.Why(job_number(job)))
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

        By queue, reference and time the figures are those that are kept, by the hour, also of jobs that have left the
        history: ``since`` means jobs that ended since the beginning of that hour, or have not ended. For a state, tags
        or an alias each job is looked at, and ``since`` means those that were submitted since then.
        """
        return self._run(exchange.figures(job_filter(state, queue, ref, tags, since)))

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

    def _run(self, steps: Exchange[T]) -> T:
        """Send what is asked for, step by step; the result."""
        try:
            request = next(steps)
            while True:
                try:
                    reply = self.request(request)
                except JobyardError as error:
                    request = steps.throw(error)
                else:
                    request = steps.send(reply)
        except StopIteration as end:
            result: T = end.value
            return result

    def _stream(self, steps: Stream[T]) -> Generator[T, None, None]:
        return drive(steps, self._do)

    def _do(self, step: Step) -> Any:
        if isinstance(step, Pause):
            return time.sleep(step.seconds)
        return self.request(step, math.inf if is_parked(step) else None)

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
