"""The handle of a job for asyncio: ``await job`` is its result.

A handle holds ids only, and every question is a request; so there are no properties but these.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from typing import TYPE_CHECKING, Any, Unpack

from ..protocol.errors import JobOutcomeError
from ..protocol.job import JobInfo
from .handle import Handle, R_co, not_ended
from .outcome import outcome_error

if TYPE_CHECKING:
    from ..protocol.messages import Explanation
    from ..protocol.notices import Notice
    from .aio import AsyncClient
    from .lines import LogLine
    from .options import SetOptions


class AsyncJob(Handle[R_co]):
    """A job that was submitted. Usable in every event loop in which its client is."""

    def __init__(self, client: AsyncClient, job_id: int, uid: str, *, existing: bool = False) -> None:
        super().__init__(job_id, uid, existing=existing)
        self._client = client

    def __await__(self) -> Generator[Any, None, R_co]:
        return self.result().__await__()

    async def info(self) -> JobInfo:
        """All that is known of it now.

        Raises:
            JobNotFound: it was pruned.
        """
        return await self._client.info(self.id)

    async def done(self) -> bool:
        """Whether it has succeeded, failed or been cancelled."""
        return (await self.info()).finished

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait for its end, at most ``timeout`` seconds; whether it has ended."""
        return await self._client.end_of(self, timeout) is not None

    async def result(self, timeout: float | None = None) -> R_co:
        """Wait for its end, at most ``timeout`` seconds, and return what its function returned.

        Cancelling the task that waits does nothing to the job.

        Raises:
            JobFailed, JobTimedOut, JobCancelled, JobCrashed, JobLost: how it ended instead (all JobOutcomeError).
            WaitTimeout: it has not ended yet, and goes on.
        """
        info = await self._end(timeout)
        error = outcome_error(info)
        if error is not None:
            raise error
        value: R_co = info.result
        return value

    async def exception(self, timeout: float | None = None) -> JobOutcomeError | None:
        """Wait as ``result`` does; the error that it would raise for the job's end, or None."""
        return outcome_error(await self._end(timeout))

    async def cancel(self, grace: float | str | None = None, reason: str | None = None) -> bool:
        """Cancel the job itself; see ``Job.cancel``. False if it had ended before."""
        return bool((await self._client.cancel([self], grace=grace, reason=reason)).cancelled)

    async def retry(self) -> None:
        """Put it back into its queue; raises WrongState if it has not ended."""
        await self._client.retry(self.id)

    async def set(self, **changes: Unpack[SetOptions]) -> None:
        """Change it while it waits; raises WrongState if it does not. See ``Client.set``."""
        await self._client.set(self, **changes)

    async def why(self) -> Explanation:
        """Why it is in its state; ``str`` of it is a sentence."""
        return await self._client.why(self)

    def logs(self, attempt: int | None = None, follow: bool = False) -> AsyncIterator[LogLine]:
        """Lines of its output: ``async for line in job.logs(follow=True)``; see ``Client.logs``."""
        return self._client.logs(self.id, attempt, follow)

    def events(self) -> AsyncIterator[Notice]:
        """What happened to it, as far as that is kept, and what happens until it is finished; see ``Client.events``."""
        return self._client.events("oldest", job=self)

    async def _end(self, timeout: float | None) -> JobInfo:
        info = await self._client.end_of(self, timeout)
        if info is None:
            raise not_ended(self.id, timeout)
        return info
