"""Many submits in flight at once, for asyncio. Owns the requests that are under way; the rest is in ``pipeline.py``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ..protocol.errors import JobyardError, WrongState
from ..protocol.messages import Submission, Submit
from .aio_handle import AsyncJob
from .aio_submitter import AsyncSubmitter
from .pipeline import IN_FLIGHT_MAX, Pending, Refusals, not_answered
from .submission import chunks

if TYPE_CHECKING:
    from .aio import AsyncClient


class AsyncPendingJob(Pending, AsyncJob[Any]):
    """A job whose submit is under way. What needs its id raises WrongState before the answer, or the refusal."""

    @property
    def id(self) -> int:
        if self._refusal is not None:
            raise self._refusal
        if not self._id:
            raise WrongState(
                "this job has no id yet: its submit is under way",
                hint="use the job after the block of its pipeline",
            )
        return self._id


class AsyncPipeline(AsyncSubmitter):
    """Made by ``AsyncClient.pipeline()``; to be used in one event loop, in an ``async with`` block."""

    def __init__(self, client: AsyncClient, timeout: float) -> None:
        self._client = client
        self._timeout = timeout
        self._in_flight: set[asyncio.Task[None]] | None = None
        self._refusals = Refusals()

    async def __aenter__(self) -> Self:
        self._in_flight = set()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        under_way, self._in_flight = self._in_flight or set(), None
        try:
            if under_way and (error is None or isinstance(error, Exception)):
                await asyncio.wait(under_way)
        finally:
            for task in under_way:
                task.cancel()
        if error is None:
            self._refusals.tell()

    async def _accept(self, wanted: list[Submission]) -> list[AsyncJob[Any]]:
        jobs: list[AsyncJob[Any]] = []
        for chunk in chunks(wanted):
            if self._in_flight is None:
                raise RuntimeError("a pipeline submits only inside its async with block")
            if len(self._in_flight) >= IN_FLIGHT_MAX:
                await asyncio.wait(self._in_flight, return_when=asyncio.FIRST_COMPLETED)
            pending = [AsyncPendingJob(self._client, 0, one.uid) for one in chunk]
            task = asyncio.create_task(self._send(Submit(chunk), pending))
            self._in_flight.add(task)
            task.add_done_callback(self._in_flight.discard)
            jobs += pending
        return jobs

    async def _send(self, request: Submit, jobs: Sequence[AsyncPendingJob]) -> None:
        try:
            self._refusals.settle(jobs, await self._client.request(request, self._timeout))
        except JobyardError as error:
            self._refusals.settle(jobs, error)
        except asyncio.CancelledError:
            for job in jobs:
                job.refuse(not_answered())
            raise
