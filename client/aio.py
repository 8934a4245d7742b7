"""The client for asyncio: the methods of ``Client``, to be awaited.

Translates only, and shares with ``sync.py`` all that is pure: ``submission.py``, ``exchange.py``, ``session.py`` and
the reading of outcomes. It opens nothing until its first request, may be used in several event loops, also one after
another, and on both sides of a fork.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import math
import os
import time
import weakref
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from ..protocol import messages
from ..protocol.errors import BadArguments, JobyardError, WaitTimeout
from ..protocol.job import JobInfo
from ..protocol.messages import Request, Submission
from ..protocol.notices import Notice
from . import exchange
from .address import find_target
from .aio_handle import AsyncJob
from .aio_pipeline import AsyncPipeline
from .aio_submitter import AsyncSubmitter
from .events import Follower, Since
from .exchange import RELOAD_TIMEOUT_S, Exchange, Step, Stream, event_filter, job_filter, job_number
from .handle import WaitResult, When, by_id, check_when, is_enough, seconds, some_not_ended
from .lines import LogLine
from .options import Duration, SetOptions
from .session import is_parked
from .steps import Pause, drive_async

if TYPE_CHECKING:
    from .aio_link import AsyncLink, AsyncLinks
    from .stats import Stats

T = TypeVar("T")
R = TypeVar("R")


class AsyncClient(AsyncSubmitter):
    """A connection to the supervisor for asyncio, made when it is first needed.

    Any number of tasks may use it at once; all their requests are under way on one connection to each event loop.
    Whoever is cancelled gives up waiting, and nothing else: what was asked for may happen all the same.

    Args:
        socket, config, timeout: as for ``Client``.

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
        self._links: dict[int, AsyncLinks] = {}
        weakref.finalize(self, _close, self._links)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections. Requests of other tasks still end; a later request connects anew."""
        _close(self._links)

    async def request(self, request: Request, timeout: float | None = None) -> Any:
        """Send a request of protocol/messages.py; its reply.

        Args:
            timeout: seconds; None takes the client's; may be infinite.

        Raises:
            JobyardError: what the supervisor answered, or why there is no answer.
        """
        return await self._here().call(request, exchange.answer_timeout(timeout, self._timeout))

    # -- submit, and the jobs ------------------------------------------------------------------------------------------

    async def _accept(self, wanted: builtins.list[Submission]) -> builtins.list[AsyncJob[Any]]:
        stored = await self._run(exchange.store(wanted))
        return [AsyncJob(self, one.id, one.uid, existing=one.existing) for one in stored]

    def pipeline(self, timeout: float | None = None) -> AsyncPipeline:
        """Many submits at once: ``async with client.pipeline() as p: await p.submit(...)``; see ``Client.pipeline``.

        The handle that a submit gives has no id before the block ends.
        """
        return AsyncPipeline(self, exchange.answer_timeout(timeout, self._timeout))

    async def get(self, job_id: int) -> AsyncJob[Any]:
        """The handle of a job; raises JobNotFound."""
        info = await self.info(job_id)
        return AsyncJob(self, info.id, info.uid)

    async def info(self, job_id: int) -> JobInfo:
        """All that is known of a job now; raises JobNotFound."""
        return (await self.infos([job_id]))[0]

    async def infos(self, job_ids: Iterable[int]) -> builtins.list[JobInfo]:
        """All that is known of some jobs, in the order of ``job_ids``; raises JobNotFound."""
        return await self._run(exchange.infos(job_ids))

    async def list(
        self,
        *,
        state: str | Sequence[str] | None = None,
        queue: str | None = None,
        ref: str | None = None,
        tags: Mapping[str, str] | None = None,
        since: object = None,
        after: AsyncJob[Any] | int | None = None,
        until: object = None,
        error: str | None = None,
        search: str | None = None,
        sort: str = "newest",
        limit: int | None = 50,
    ) -> builtins.list[AsyncJob[Any]]:
        """The jobs for which all that is given holds, see ``Client.list_infos``."""
        chosen = job_filter(state, queue, ref, tags, since, after, until, error, search)
        found = await self._run(exchange.listed(chosen, sort, limit))
        return [AsyncJob(self, info.id, info.uid) for info in found]

    async def list_infos(
        self,
        *,
        state: str | Sequence[str] | None = None,
        queue: str | None = None,
        ref: str | None = None,
        tags: Mapping[str, str] | None = None,
        since: object = None,
        after: AsyncJob[Any] | int | None = None,
        until: object = None,
        error: str | None = None,
        search: str | None = None,
        sort: str = "newest",
        limit: int | None = 50,
    ) -> builtins.list[JobInfo]:
        """As ``list``, with all that is known of each; see ``Client.list_infos``."""
        chosen = job_filter(state, queue, ref, tags, since, after, until, error, search)
        return await self._run(exchange.listed(chosen, sort, limit))

    async def wait(
        self, jobs: Iterable[AsyncJob[R]], timeout: float | None = None, return_when: When = "ALL_COMPLETED"
    ) -> WaitResult[AsyncJob[R]]:
        """Wait for jobs, at most ``timeout`` seconds; see ``jobyard.wait``.

        Raises:
            BadArguments: an unknown ``return_when``, or jobs of another client.
        """
        check_when(return_when)
        waiting = self._own(jobs)
        done: set[AsyncJob[R]] = set()
        with contextlib.suppress(WaitTimeout):
            async with contextlib.aclosing(self._ends(waiting, timeout)) as ends:
                async for info in ends:
                    done.add(waiting.pop(info.id))
                    if is_enough(info, return_when):
                        break
        return WaitResult(done, set(waiting.values()))

    async def as_completed(
        self, jobs: Iterable[AsyncJob[R]], timeout: float | None = None
    ) -> AsyncGenerator[AsyncJob[R], None]:
        """The jobs one by one, as they end: ``async for job in client.as_completed(jobs)``.

        Raises:
            WaitTimeout: ``timeout`` seconds after the first step some have not ended; they go on.
            BadArguments: jobs of another client.
        """
        waiting = self._own(jobs)
        count = len(waiting)
        try:
            async with contextlib.aclosing(self._ends(waiting, timeout)) as ends:
                async for info in ends:
                    yield waiting.pop(info.id)
        except WaitTimeout:
            raise some_not_ended(len(waiting), count, timeout) from None

    async def end_of(self, job: AsyncJob[Any], timeout: float | None = None) -> JobInfo | None:
        """What is known of a job once it has ended; None if it has not within ``timeout`` seconds."""
        limit = seconds(timeout)
        if limit == 0:
            info = await job.info()
            return info if info.finished else None
        end = self._here().watch.end_of(job.id)
        try:
            await asyncio.wait([end], timeout=None if limit == math.inf else limit)
            return _told(end.result()) if end.done() else None
        finally:
            end.cancel()

    async def cancel(
        self,
        jobs: Iterable[AsyncJob[Any] | int] | AsyncJob[Any] | int | None = None,
        *,
        state: str | Sequence[str] | None = None,
        queue: str | None = None,
        ref: str | None = None,
        tags: Mapping[str, str] | None = None,
        since: object = None,
        after: AsyncJob[Any] | int | None = None,
        grace: float | str | None = None,
        reason: str | None = None,
    ) -> messages.Cancelled:
        """Cancel these jobs, or all unfinished ones for which all that is given holds; see ``Client.cancel``."""
        chosen = job_filter(state, queue, ref, tags, since, after)
        return await self._run(exchange.cancel(jobs, chosen, grace, reason))

    async def retry(self, job_id: int) -> None:
        """Put a finished job back into its queue; raises WrongState, JobNotFound."""
        await self.request(messages.RetryJob(job_number(job_id)))

    def logs(self, job_id: int, attempt: int | None = None, follow: bool = False) -> AsyncGenerator[LogLine, None]:
        """Lines of a job's output: ``async for line in client.logs(42)``; see ``Client.logs``."""
        return self._stream(exchange.log_lines(job_id, attempt, follow, time.monotonic))

    def log_chunks(
        self, job_id: int, attempt: int | None = None, offset: int = 0, follow: bool = False
    ) -> AsyncGenerator[messages.LogReply, None]:
        """The output of one attempt (None: the last) as it is stored, from ``offset``; with ``follow`` to its end."""
        return self._stream(exchange.output(job_id, attempt, offset, follow, time.monotonic))

    async def events(
        self,
        since: Since = None,
        *,
        job: AsyncJob[Any] | int | None = None,
        queue: str | None = None,
        kinds: str | Sequence[str] | None = None,
    ) -> AsyncGenerator[Notice, None]:
        """What happens, as it happens: ``async for notice in client.events()``; see ``Client.events``.

        Args:
            since: None is the moment of the first step, since nothing is asked before.
        """
        from .aio_stream import follow  # with ZeroMQ

        follower = Follower(since, event_filter(job, queue, kinds))
        async with contextlib.aclosing(follow(self._here(), follower, self._timeout)) as notices:
            async for notice in notices:
                yield notice

    # -- jobs that are there -------------------------------------------------------------------------------------------

    async def set(
        self, jobs: Iterable[AsyncJob[Any] | int] | AsyncJob[Any] | int, /, **changes: Unpack[SetOptions]
    ) -> messages.Changed:
        """Change jobs that wait; see ``Client.set``."""
        return await self._run(exchange.change(jobs, changes))

    async def remove(self, jobs: Iterable[AsyncJob[Any] | int] | AsyncJob[Any] | int) -> messages.Removed:
        """Forget jobs that have ended; see ``Client.remove``."""
        return await self._run(exchange.remove(jobs))

    async def prune(
        self, *, older: Duration | None = None, state: str | Sequence[str] | None = None, dry_run: bool = False
    ) -> int:
        """Forget jobs that have ended, or with ``dry_run`` count them; how many. See ``Client.prune``."""
        return await self._run(exchange.prune(older, state, dry_run))

    async def why(self, job: AsyncJob[Any] | int) -> messages.Explanation:
        """Why a job is in its state; ``str`` of it is a sentence. Raises JobNotFound."""
        reply: messages.Explanation = await self.request(messages.Why(job_number(job)))
        return reply

    # -- queues and the supervisor -------------------------------------------------------------------------------------

    async def pause(self, queue: str | None = None) -> builtins.list[str]:
        """Start nothing from a queue (None: any) until ``resume``; the names of the queues that were set."""
        return await self._set_queue("paused", queue)

    async def resume(self, queue: str | None = None) -> builtins.list[str]:
        """End ``pause`` or ``drain``."""
        return await self._set_queue("open", queue)

    async def drain(self, queue: str | None = None) -> builtins.list[str]:
        """Finish what a queue (None: any) holds and refuse new jobs until ``resume``."""
        return await self._set_queue("draining", queue)

    async def status(self) -> messages.SupervisorStatus:
        """What runs, what waits, and what is wrong."""
        reply: messages.SupervisorStatus = await self.request(messages.Status())
        return reply

    async def stats(
        self,
        *,
        state: str | Sequence[str] | None = None,
        queue: str | None = None,
        ref: str | None = None,
        tags: Mapping[str, str] | None = None,
        since: object = None,
    ) -> Stats:
        """Figures of all jobs for which what is given holds; see ``Client.stats``."""
        return await self._run(exchange.figures(job_filter(state, queue, ref, tags, since)))

    async def recycle(self, pool: str) -> None:
        """Start a fresh zygote for a pool; what runs stays where it is. Raises BadArguments for an unknown pool."""
        await self.request(messages.RecyclePool(pool))

    async def catalog(self) -> messages.CatalogReply:
        """Everything that may be submitted."""
        reply: messages.CatalogReply = await self.request(messages.Catalog())
        return reply

    async def ping(self, timeout: float | None = None) -> messages.Pong:
        """Who answers."""
        reply: messages.Pong = await self.request(messages.Ping(), timeout)
        return reply

    async def reload(self) -> messages.Reloaded:
        """Read the config again and start fresh zygotes; raises InvalidConfig, and then nothing changed."""
        limit = max(self._timeout, RELOAD_TIMEOUT_S)
        reply: messages.Reloaded = await self.request(messages.Reload(), limit)
        return reply

    async def stop(self, *, now: bool = False) -> messages.Stopping:
        """Stop the supervisor once the running jobs have ended; ``now`` stops them, and they run again later."""
        reply: messages.Stopping = await self.request(messages.Stop("now" if now else "wait"))
        return reply

    async def log_format(self, name: str | None = None) -> str:
        """Write the supervisor's log in this format until its next reload; the one in force. See ``Client``."""
        reply: messages.LogFormatSet = await self.request(messages.LogFormat(name))
        return reply.format

    async def _set_queue(self, mode: str, queue: str | None) -> builtins.list[str]:
        reply: messages.QueuesSet = await self.request(messages.SetQueue(mode, queue))
        return reply.queues

    # -- how it is done ------------------------------------------------------------------------------------------------

    async def _run(self, steps: Exchange[T]) -> T:
        """Send what is asked for, step by step; the result."""
        try:
            request = next(steps)
            while True:
                try:
                    reply = await self.request(request)
                except JobyardError as error:
                    request = steps.throw(error)
                else:
                    request = steps.send(reply)
        except StopIteration as end:
            result: T = end.value
            return result

    def _stream(self, steps: Stream[T]) -> AsyncGenerator[T, None]:
        return drive_async(steps, self._do)

    async def _do(self, step: Step) -> Any:
        if isinstance(step, Pause):
            return await asyncio.sleep(step.seconds)
        return await self.request(step, math.inf if is_parked(step) else None)

    def _own(self, jobs: Iterable[AsyncJob[R]]) -> dict[int, AsyncJob[R]]:
        found = by_id(jobs)
        if any(job._client is not self for job in found.values()):
            raise BadArguments("the jobs are of another client", hint="wait for the jobs of each client apart")
        return found

    async def _ends(self, job_ids: Iterable[int], timeout: float | None) -> AsyncGenerator[JobInfo, None]:
        """What became of these jobs, one by one, as they end.

        Raises:
            WaitTimeout: the time is over.
        """
        limit = seconds(timeout)
        watch, ended = self._here().watch, asyncio.Queue[asyncio.Future[JobInfo | JobyardError]]()
        deadline = None if limit == math.inf else asyncio.get_running_loop().time() + limit
        ends = [watch.end_of(job_id) for job_id in job_ids]
        for end in ends:
            end.add_done_callback(ended.put_nowait)
        try:
            for _ in ends:
                try:
                    async with asyncio.timeout_at(deadline):
                        end = await ended.get()
                except TimeoutError:
                    raise WaitTimeout from None
                yield _told(end.result())
        finally:
            for end in ends:
                end.cancel()

    def _here(self) -> AsyncLink:
        """The connection of this process and this event loop."""
        pid = os.getpid()
        links = self._links.get(pid)
        if links is None:
            from .aio_link import AsyncLinks  # ZeroMQ comes with the first request

            fresh = AsyncLinks(find_target(self._socket, self._config, os.environ), self._timeout)
            links = self._links.setdefault(pid, fresh)
            if links is not fresh:  # another thread was faster
                fresh.retire()
        return links.here()


def _close(links: dict[int, AsyncLinks]) -> None:
    own = links.pop(os.getpid(), None)
    if own is not None:
        own.retire()


def _told(outcome: JobInfo | JobyardError) -> JobInfo:
    if isinstance(outcome, JobyardError):
        raise outcome
    return outcome
