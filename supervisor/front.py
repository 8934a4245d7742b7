"""Requests from their arrival to their turn: one of each client after the other, however many of them one client sends.

Owns the queues in between and how long they may get. libzmq hands out one message of each connection in turn already;
here it is one of each client, which may have any number of connections. What is done with a request is none of its
business.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator

from ..protocol import messages as m
from ..protocol.errors import JobyardError, OutcomeUnknown, RateLimited
from . import doubt
from .addresses import Addresses
from .admission import ADMIN_VERBS, READ_VERBS
from .entrance import Source
from .gate import Gate
from .refusals import Refusals
from .sockets import Peer, RequestSocket
from .token import Token

TURN_S = 0.025  # for requests; then the loop sees to everything else
WAITING_BYTES_MAX = 64 << 20
CUT_TOLD_S = 600.0  # for so long status says that connections were closed
Deal = Callable[[Peer, bytes], None]


class Front:
    """One per supervisor.

    Args:
        gates: all there are, that of the requests included.
        waiting_max: requests of one client before their turn.

    Attributes:
        refusals: of all requests, also where the desk refuses.
    """

    def __init__(
        self, requests: RequestSocket, gates: list[Gate], addresses: Addresses, waiting_max: Callable[[], int]
    ) -> None:
        self.requests = requests
        self.admission = addresses.admission
        self._addresses = addresses
        self._gates = gates
        self._waiting_max = waiting_max
        self._waiting: dict[str, deque[tuple[Peer, bytes]]] = {}  # by client, whose turn is next first
        self._waiting_bytes = 0
        self.refusals = Refusals()

    @property
    def busy(self) -> bool:
        """Whether requests wait for their turn."""
        return bool(self._waiting)

    @property
    def sources(self) -> Iterator[Source]:
        """What the loop has to watch beside the request socket."""
        for gate in self._gates:
            yield from gate.sources

    def turn(self, deal: Deal) -> None:
        """Take in what has come, and deal with requests until their time is over."""
        if self._waiting_bytes < WAITING_BYTES_MAX:
            came = self.requests.receive()
            if len(came) == 1 and not self._waiting:
                deal(*came[0])
                return
            for peer, data in came:
                self._take_in(peer, data, deal)
        waiting = self._waiting
        until = time.monotonic() + TURN_S
        while waiting:
            client = next(iter(waiting))
            queue = waiting.pop(client)
            peer, data = queue.popleft()
            if queue:
                waiting[client] = queue  # behind all others
            self._waiting_bytes -= len(data)
            deal(peer, data)
            if time.monotonic() >= until:
                break

    def close(self) -> None:
        self.requests.close()
        self._addresses.close()

    def send(self, token: Token, data: bytes) -> None:
        """The answer to a request."""
        self.admission.done(token)
        if not self.requests.send(token.peer, data):
            error: JobyardError = RateLimited("too many answers to this client wait to be read", hint="read them first")
            if token.verb not in READ_VERBS:  # it was done
                error = OutcomeUnknown(
                    f"{token.verb} is done, and its answer is too long for all that waits to be read"
                )
            self.refusals.refused(token, error)
            self.requests.send(token.peer, m.pack_reply(token.request_id, error))

    def _take_in(self, peer: Peer, data: bytes, deal: Deal) -> None:
        queue = self._waiting.get(peer.client)
        if queue is None:
            queue = self._waiting[peer.client] = deque()
        elif len(queue) >= self._waiting_max():
            self._over(peer, data, len(queue), deal)
            return
        queue.append((peer, data))
        self._waiting_bytes += len(data)

    def _over(self, peer: Peer, data: bytes, count: int, deal: Deal) -> None:
        """One request too many: refused, unless it is one by which somebody may end this."""
        try:
            request_id, request = m.unpack_request(data)
        except JobyardError:
            deal(peer, data)  # which says what is wrong with it
            return
        if request.VERB in ADMIN_VERBS:
            deal(peer, data)
            return
        error = RateLimited(
            f"{count:,} requests of this client wait for their turn already",
            hint="wait for answers before sending more, or raise [limits] connection_requests",
        )
        self.refusals.refused(Token(peer, request_id, request.VERB), error)
        self.requests.send(peer, m.pack_reply(request_id, doubt.told(request, error)))

    # -- the gates -----------------------------------------------------------------------------------------------------

    def wake_at(self) -> float | None:
        """Boot time at which ``mind`` has something to do."""
        return min((at for gate in self._gates if (at := gate.wake_at()) is not None), default=None)

    def mind(self, now: float) -> None:
        for gate in self._gates:
            gate.mind(now)

    def warnings(self, now: float) -> list[str]:
        """What is to be said of connections that were closed."""
        return [
            f"{gate.name}: all connections were closed {now - gate.cut_at:.0f} s ago: {gate.cut_why}"
            f" (closed {gate.cuts:,} times since the start)"
            for gate in self._gates
            if gate.cut_at is not None and now - gate.cut_at < CUT_TOLD_S
        ]
