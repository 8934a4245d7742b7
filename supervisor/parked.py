"""Requests that wait for a job's end, or for more of its output. Nothing here polls: what they wait for wakes them.

Knows tokens and job ids. What the answer is, is asked of the callbacks when a request is woken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..protocol.errors import QueueFull, RateLimited
from ..protocol.messages import Logs, Wait
from .token import Token

IDS_EACH = 100


@dataclass(slots=True, eq=False)  # by identity, so that one of very many is found at once
class _Waiting:
    token: Token
    request: Wait
    open_ids: set[int]


class Parked:
    """Bounded by ``limit``; a request over it is refused, so that clients that come and go cannot fill the memory.
    So are the ids that they wait for: ``IDS_EACH`` for each that ``limit`` allows, in all.

    Args:
        share: of ``limit``, for one connection.
    """

    def __init__(self, limit: int, share: int) -> None:
        self.limit = limit
        self._share = share
        self._by_route: dict[bytes, int] = {}
        self._waits: dict[int, dict[_Waiting, None]] = {}
        self._logs: dict[int, list[tuple[Token, Logs]]] = {}
        self._count = 0
        self._ids = 0  # of all waits, as they were given

    def __len__(self) -> int:
        return self._count

    def park_wait(self, token: Token, request: Wait, open_ids: set[int]) -> None:
        """Until one (``request.any``) or all of ``open_ids`` are finished."""
        if self._ids + len(request.ids) > self.limit * IDS_EACH:
            raise QueueFull(
                f"{self._ids:,} jobs are waited for already, and this would be {len(request.ids):,} more",
                hint="wait for fewer at once, or raise [limits] parked_requests",
            )
        self._admit(token)
        self._ids += len(request.ids)
        waiting = _Waiting(token, request, open_ids)
        for job_id in open_ids:
            self._waits.setdefault(job_id, {})[waiting] = None

    def park_logs(self, token: Token, request: Logs) -> None:
        self._admit(token)
        self._logs.setdefault(request.id, []).append((token, request))

    def finished(self, job_id: int, answer: Callable[[Token, Wait], None]) -> None:
        """The job is finished: answer who waited for it."""
        for waiting in self._waits.pop(job_id, ()):
            waiting.open_ids.discard(job_id)
            if waiting.request.any or not waiting.open_ids:
                self._release(waiting.token)
                self._ids -= len(waiting.request.ids)
                self._forget(waiting)
                answer(waiting.token, waiting.request)

    def grown(self, job_id: int, answer: Callable[[Token, Logs], None]) -> None:
        """The job's output grew or ended: let who follows it look again (and park again if there is nothing)."""
        for token, request in self._logs.pop(job_id, ()):
            self._release(token)
            answer(token, request)

    def _admit(self, token: Token) -> None:
        if self._count >= self.limit:
            raise QueueFull(f"{self._count:,} requests wait already", hint="raise [limits] parked_requests")
        route = token.peer.route
        held = self._by_route.get(route, 0)
        if held >= self._share:
            raise RateLimited(
                f"{held:,} requests of this connection wait already", hint="raise [limits] connection_waits"
            )
        self._count += 1
        self._by_route[route] = held + 1

    def _release(self, token: Token) -> None:
        self._count -= 1
        route = token.peer.route
        self._by_route[route] -= 1
        if not self._by_route[route]:
            del self._by_route[route]

    def _forget(self, waiting: _Waiting) -> None:
        for job_id in waiting.open_ids:
            others = self._waits.get(job_id, {})
            others.pop(waiting, None)
            if not others:
                self._waits.pop(job_id, None)
