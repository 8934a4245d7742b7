"""One conversation with a supervisor, without any I/O: what to send, what was answered, what is overdue.

Owns request ids, what is sent again after a reconnect, and when waiting is over. Knows no socket and no clock: frames
and times come in as arguments; frames and completions go out.

What a lost connection means for a request that had been sent:

- a request that may be done twice goes out again, with the same id (and submits with the same uids, marked ``resent``);
- any other (``retry``, ``remove``, ``stop``) ends with OutcomeUnknown.

A parked request (``wait``, ``logs`` with follow) that is given up stays parked at the supervisor until it has an
answer, so the session remembers it: asking the same again takes it up instead of parking another.
"""

from __future__ import annotations

import dataclasses
import heapq
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from ..protocol import messages
from ..protocol.errors import JobyardError, OutcomeUnknown, SupervisorUnavailable, WaitTimeout
from ..protocol.messages import Request
from ..protocol.plain import dataclass

_NOT_TWICE = (messages.RetryJob, messages.Stop, messages.Remove)
RECONNECT_FIRST_S = 0.01  # before the second attempt to connect; doubled with each
RECONNECT_MAX_S = 0.5
GIVEN_UP_MAX = 100  # more are forgotten, oldest first
_STALE_MAX = 100  # deadlines of requests that have ended, kept until they come up


class Completion(NamedTuple):
    """The end of one request: ``outcome`` is a reply of protocol/messages.py or an error."""

    id: str
    outcome: Any


@dataclass(slots=True)
class _Pending:
    """``until``: the caller's time is over. ``reach_by``: a connection must be up again; infinite while one is."""

    request: Request
    until: float
    reach_by: float
    sent: bool

    @property
    def deadline(self) -> float:
        return min(self.until, self.reach_by)


class Session:
    """Requests that are under way, over one connection after another. Not thread-safe.

    Args:
        patience_s: seconds that a request waits for a connection.
        unreachable: makes the error for a request that found none.
    """

    def __init__(self, patience_s: float, unreachable: Callable[[], SupervisorUnavailable]) -> None:
        self._patience_s = patience_s
        self._unreachable = unreachable
        self._online = False
        self._pending: dict[str, _Pending] = {}
        self._given_up: dict[str, Request] = {}
        self._deadlines: list[tuple[float, str]] = []  # a heap; some are stale
        self._count = 0

    @property
    def online(self) -> bool:
        return self._online

    def request(self, request: Request, now: float, timeout: float) -> tuple[str, bytes | None]:
        """Begin a request; its id, and the frame to send now, if any (while offline, ``connected`` will give it).

        Args:
            timeout: seconds that the caller waits; may be infinite.

        Raises:
            TooLarge: the request does not fit in a message.
        """
        parked_id = self._take_up(request)
        if parked_id is not None:
            self._begin(parked_id, _Pending(request, now + timeout, math.inf, sent=True))
            return parked_id, None
        self._count += 1
        request_id = str(self._count)
        frame = messages.pack_request(request_id, request)
        reach_by = math.inf if self._online else now + self._patience_s
        self._begin(request_id, _Pending(request, now + timeout, reach_by, sent=self._online))
        return request_id, frame if self._online else None

    def not_sent(self, request_id: str) -> None:
        """The frame of this request did not go out: the connection was gone."""
        self._pending[request_id].sent = False

    def forget(self, request_id: str) -> None:
        """Nobody waits for this request any more."""
        entry = self._pending.pop(request_id, None)
        if entry is None or not self._online or not is_parked(entry.request):
            return
        self._given_up[request_id] = entry.request
        if len(self._given_up) > GIVEN_UP_MAX:
            del self._given_up[next(iter(self._given_up))]

    def receive(self, frame: bytes) -> list[Completion]:
        """Take a reply. One that cannot be read at all ends everything that is under way."""
        try:
            request_id, body = messages.unpack_reply(frame)
        except JobyardError as error:
            return [Completion(request_id, error) for request_id in self._drain()]
        entry = self._pending.pop(request_id, None)
        if entry is None:  # the answer to a request that was given up
            self._given_up.pop(request_id, None)
            return []
        try:
            return [Completion(request_id, messages.read_reply(entry.request.VERB, body))]
        except JobyardError as error:
            return [Completion(request_id, error)]

    def connected(self) -> list[bytes]:
        """A connection is up; the frames to send over it, in the order of the requests."""
        self._online = True
        frames = []
        for request_id, entry in self._pending.items():
            request = _resent(entry.request) if entry.sent else entry.request
            frames.append(messages.pack_request(request_id, request))
            entry.sent, entry.reach_by = True, math.inf
        self._order_deadlines()
        return frames

    def disconnected(self, now: float) -> list[Completion]:
        """The connection is gone, or could not be made."""
        if not self._online:
            return []
        self._online = False
        self._given_up.clear()
        doubtful = [request_id for request_id, entry in self._pending.items() if isinstance(entry.request, _NOT_TWICE)]
        completions = [
            Completion(request_id, _unknown(self._pending.pop(request_id).request)) for request_id in doubtful
        ]
        for entry in self._pending.values():
            entry.reach_by = now + self._patience_s
        self._order_deadlines()
        return completions

    def expire(self, now: float) -> list[Completion]:
        """End every request whose time is over at ``now``; infinity ends them all."""
        overdue = list(self._pending) if now == math.inf else []
        while self.next_deadline() <= now < math.inf:
            overdue.append(heapq.heappop(self._deadlines)[1])
        completions = []
        for request_id in dict.fromkeys(overdue):
            entry = self._pending[request_id]
            self.forget(request_id)
            completions.append(Completion(request_id, self._overdue(entry)))
        return completions

    def refuse(self, error: Callable[[], JobyardError]) -> list[Completion]:
        """The supervisor does not let us in (any more): end everything."""
        pending, self._pending = self._pending, {}
        return [
            Completion(
                request_id,
                _unknown(entry.request) if entry.sent and not isinstance(entry.request, messages.READS) else error(),
            )
            for request_id, entry in pending.items()
        ]

    def next_deadline(self) -> float:
        """When ``expire`` will have something to do; infinity if never."""
        while self._deadlines:
            at, request_id = self._deadlines[0]
            entry = self._pending.get(request_id)
            if entry is not None and entry.deadline == at:
                return at
            heapq.heappop(self._deadlines)
        return math.inf

    def _begin(self, request_id: str, entry: _Pending) -> None:
        self._pending[request_id] = entry
        if len(self._deadlines) > 2 * len(self._pending) + _STALE_MAX:
            self._order_deadlines()
        elif entry.deadline < math.inf:
            heapq.heappush(self._deadlines, (entry.deadline, request_id))

    def _order_deadlines(self) -> None:
        self._deadlines = [(entry.deadline, request_id) for request_id, entry in self._pending.items()]
        heapq.heapify(self._deadlines)

    def _take_up(self, request: Request) -> str | None:
        """The id under which the same request is parked already."""
        if not is_parked(request):
            return None
        found = next((request_id for request_id, parked in self._given_up.items() if parked == request), None)
        if found is not None:
            del self._given_up[found]
        return found

    def _overdue(self, entry: _Pending) -> JobyardError:
        if entry.sent and not isinstance(entry.request, messages.READS):
            return _unknown(entry.request)
        if not self._online:
            return self._unreachable()
        if is_parked(entry.request):
            return WaitTimeout("the time given for waiting is over; the job goes on")
        return SupervisorUnavailable(
            f"the supervisor is there but did not answer {entry.request.VERB!r} in time",
            hint="jobctl status, or a longer Client(timeout=...)",
        )

    def _drain(self) -> list[str]:
        request_ids = list(self._pending)
        self._pending.clear()
        return request_ids


def is_parked(request: Request) -> bool:
    """Whether the supervisor answers only when something has happened."""
    return isinstance(request, messages.Wait) or (isinstance(request, messages.Logs) and request.follow)


def _resent(request: Request) -> Request:
    if not isinstance(request, messages.Submit):
        return request
    return messages.Submit([dataclasses.replace(job, resent=True) for job in request.jobs])


def _unknown(request: Request) -> JobyardError:
    uids = [job.uid for job in request.jobs] if isinstance(request, messages.Submit) else []
    return OutcomeUnknown(
        f"the supervisor did not answer {request.VERB!r}: it may or may not have taken effect",
        hint="look before you try again: jobctl list; a job that has a key is safe to submit again",
        details={"verb": request.VERB, "uids": uids},
    )
