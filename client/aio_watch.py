"""The ends of jobs, for any number of tasks that wait for them: many jobs to a request, each job asked for once.

Owns who waits for which job. A request is answered when one of its jobs has ended; the rest is asked for again,
together with what else is waited for by then. Nothing here looks again and again.
"""

from __future__ import annotations

import asyncio
import math
from functools import partial
from typing import TYPE_CHECKING

from ..protocol.errors import JobNotFound, JobyardError
from ..protocol.job import JobInfo
from ..protocol.messages import Jobs, Wait
from .handle import WAIT_IDS_MAX

if TYPE_CHECKING:
    from .aio_link import AsyncLink


class Watch:
    """The waits of one event loop."""

    def __init__(self, link: AsyncLink) -> None:
        self._link = link
        self._waiting: dict[int, set[asyncio.Future[JobInfo | JobyardError]]] = {}
        self._groups: dict[str, list[int]] = {}
        self._group_of: dict[int, str] = {}
        self._fresh: list[int] = []

    def end_of(self, job_id: int) -> asyncio.Future[JobInfo | JobyardError]:
        """What will be known of a job once it has ended, or why that cannot be told; cancel it to wait no longer."""
        future: asyncio.Future[JobInfo | JobyardError] = self._link.loop.create_future()
        if job_id not in self._waiting:
            self._waiting[job_id] = set()
            if job_id not in self._group_of:
                self._ask_soon([job_id])
        self._waiting[job_id].add(future)
        future.add_done_callback(partial(self._left, job_id))
        return future

    def _left(self, job_id: int, future: asyncio.Future[JobInfo | JobyardError]) -> None:
        waiting = self._waiting.get(job_id, set())
        waiting.discard(future)
        if waiting or job_id not in self._waiting:
            return
        del self._waiting[job_id]
        request_id = self._group_of.get(job_id)
        if request_id is not None and not any(one in self._waiting for one in self._groups[request_id]):
            self._dissolve(request_id)
            self._link.forget(request_id)

    def _ask_soon(self, job_ids: list[int]) -> None:
        """Together with what else comes up before the loop comes round."""
        if not self._fresh:
            self._link.loop.call_soon(self._ask_fresh)
        self._fresh += job_ids

    def _ask_fresh(self) -> None:
        wanted = [one for one in dict.fromkeys(self._fresh) if one in self._waiting and one not in self._group_of]
        self._fresh = []
        for first in range(0, len(wanted), WAIT_IDS_MAX):
            self._ask(wanted[first : first + WAIT_IDS_MAX])

    def _ask(self, group: list[int]) -> None:
        request_id, future = self._link.start(Wait(group, any=True), math.inf)
        self._groups[request_id] = group
        self._group_of.update(dict.fromkeys(group, request_id))
        future.add_done_callback(partial(self._answered, request_id))

    def _answered(self, request_id: str, future: asyncio.Future[Jobs | JobyardError]) -> None:
        outcome = future.result()
        group = self._dissolve(request_id)
        if not isinstance(outcome, JobyardError):
            for info in outcome.jobs:
                self._tell(info.id, info)
            self._ask_soon([one for one in group if one in self._waiting])
        elif isinstance(outcome, JobNotFound) and len(group) > 1:  # one of them is not there: which?
            for one in group:
                if one in self._waiting:
                    self._ask([one])
        else:
            for one in group:
                self._tell(one, outcome)

    def _dissolve(self, request_id: str) -> list[int]:
        group = self._groups.pop(request_id)
        for one in group:
            del self._group_of[one]
        return group

    def _tell(self, job_id: int, outcome: JobInfo | JobyardError) -> None:
        for future in self._waiting.pop(job_id, ()):
            if not future.done():
                future.set_result(outcome)
