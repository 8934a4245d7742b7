"""Requests that wait for a job's end, or for more of its output. Nothing here polls: what they wait for wakes them.

Knows tokens and job ids. What the answer is, is asked of the callbacks when a request is woken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..protocol.errors import QueueFull
from ..protocol.messages import Logs, Wait
from .token import Token


@dataclass(slots=True)
class _Waiting:
    token: Token
    request: Wait
    open_ids: set[int]


class Parked:
    """Bounded by ``limit``; a request over it is refused, so that clients that come and go cannot fill the memory."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waits: dict[int, list[_Waiting]] = {}
        self._logs: dict[int, list[tuple[Token, Logs]]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def park_wait(self, token: Token, request: Wait, open_ids: set[int]) -> None:
        """Until one (``request.any``) or all of ``open_ids`` are finished."""
        self._admit()
        waiting = _Waiting(token, request, open_ids)
        for job_id in open_ids:
            self._waits.setdefault(job_id, []).append(waiting)

    def park_logs(self, token: Token, request: Logs) -> None:
        self._admit()
        self._logs.setdefault(request.id, []).append((token, request))

    def finished(self, job_id: int, answer: Callable[[Token, Wait], None]) -> None:
        """The job is finished: answer who waited for it."""
        for waiting in self._waits.pop(job_id, ()):
            waiting.open_ids.discard(job_id)
            if waiting.request.any or not waiting.open_ids:
                self._count -= 1
                self._forget(waiting)
                answer(waiting.token, waiting.request)

    def grown(self, job_id: int, answer: Callable[[Token, Logs], None]) -> None:
        """The job's output grew or ended: let who follows it look again (and park again if there is nothing)."""
        for token, request in self._logs.pop(job_id, ()):
            self._count -= 1
            answer(token, request)

    def _admit(self) -> None:
        if self._count >= self._limit:
            raise QueueFull(f"{self._count:,} requests wait already", hint="raise [limits] parked_requests")
        self._count += 1

    def _forget(self, waiting: _Waiting) -> None:
        for job_id in waiting.open_ids:
            others = [one for one in self._waits.get(job_id, ()) if one is not waiting]
            if others:
                self._waits[job_id] = others
            else:
                self._waits.pop(job_id, None)
