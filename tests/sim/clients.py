"""Simulated clients: real sessions and real followers of the stream, with users that ask for whatever comes to mind.

Each operation is logged with how it ended: ok, refused, or unknown. The oracle compares the log with what happened.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from jobyard.client.events import Follower, Receive, Subscribe, follow
from jobyard.client.session import Session
from jobyard.client.steps import Pause
from jobyard.protocol import messages as m
from jobyard.protocol.errors import JobyardError, OutcomeUnknown, SupervisorUnavailable
from jobyard.protocol.notices import EventFilter, Events, EventsReply, Notice
from net import Connection, Net, Subscription
from scheduler import Scheduler

PATIENCE_S = 5.0
ANSWER_S = 10.0
RECONNECT_S = 0.2


@dataclass(slots=True)
class Op:
    """One request of a user. ``outcome``: None while it is under way."""

    client: str
    number: int
    request: Any
    sent_at: float
    outcome: str | None = None
    reply: Any = None

    def __str__(self) -> str:
        said = "" if self.outcome is None else f" -> {self.outcome}: {_short(self.reply)}"
        return f"{self.client} #{self.number} {type(self.request).__name__}({_short(self.request)}){said}"


class SimClient:
    """One process with one session. ``on_end`` is told each operation that has ended."""

    def __init__(
        self, name: str, net: Net, scheduler: Scheduler, on_begin: Callable[[Op], None], on_end: Callable[[Op], None]
    ) -> None:
        self.name = name
        self.dead = False
        self.session = Session(PATIENCE_S, lambda: SupervisorUnavailable("nobody is there"))
        self._net = net
        self._scheduler = scheduler
        self._on_begin = on_begin
        self._on_end = on_end
        self._connection: Connection | None = None
        self._under_way: dict[str, tuple[Op, Callable[[Op], None] | None]] = {}
        self._count = 0
        self._connect()

    @property
    def busy(self) -> bool:
        return bool(self._under_way)

    # -- requests ------------------------------------------------------------------------------------------------------

    def ask(self, request: Any, timeout: float = ANSWER_S, then: Callable[[Op], None] | None = None) -> Op:
        self._count += 1
        op = Op(self.name, self._count, request, self._scheduler.clock.t)
        self._on_begin(op)
        request_id, frame = self.session.request(request, self._scheduler.clock.t, timeout)
        self._under_way[request_id] = op, then
        if frame is not None:
            assert self._connection is not None
            self._connection.send(frame)
        self._mind_deadline()
        return op

    def _done(self, completions: list[Any]) -> None:
        for request_id, outcome in completions:
            op, then = self._under_way.pop(request_id)
            op.reply = outcome
            if isinstance(outcome, OutcomeUnknown | SupervisorUnavailable):
                op.outcome = "unknown"
            else:
                op.outcome = "refused" if isinstance(outcome, JobyardError) else "ok"
            self._on_end(op)
            if then is not None:
                then(op)

    def _mind_deadline(self) -> None:
        at = self.session.next_deadline()
        if at < math.inf:
            self._scheduler.at(at, self._expire)

    def _expire(self) -> None:
        if not self.dead:
            self._done(self.session.expire(self._scheduler.clock.t))

    # -- connections ---------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        if self.dead or self._connection is not None:
            return
        self._connection = self._net.connect(self)
        if self._connection is None:
            self._scheduler.after(self._scheduler.delay(RECONNECT_S), self._connect)
            return
        for frame in self.session.connected():
            self._connection.send(frame)

    def received(self, data: bytes) -> None:
        if not self.dead:
            self._done(self.session.receive(data))

    def cut_off(self) -> None:
        self._connection = None
        if not self.dead:
            self._done(self.session.disconnected(self._scheduler.clock.t))
            self._mind_deadline()
            self._scheduler.after(self._scheduler.delay(0.01), self._connect)

    def lose_connection(self) -> None:
        if self._connection is not None:
            self._connection.break_off()

    def die(self) -> None:
        """Nobody will learn how its operations ended."""
        self.dead = True
        if self._connection is not None:
            self._connection.close()
        for op, _ in self._under_way.values():
            op.outcome, op.reply = "unknown", "the client died"
            self._on_end(op)
        self._under_way.clear()


class SimFollower:
    """One who follows the whole stream from now on, and reads slowly at times. ``seen`` gets every notice."""

    def __init__(self, client: SimClient, net: Net, scheduler: Scheduler, seen: Callable[[Notice], None]) -> None:
        self.follower = Follower(None, EventFilter())
        self.still_until = 0.0
        self._client = client
        self._net = net
        self._scheduler = scheduler
        self._seen = seen
        self._steps: Generator[Any, Any, None] | None = None
        self._subscription: Subscription | None = None
        self._receive: Receive | None = None
        self._scheduled = False
        client.ask(self.follower.request(), math.inf, self._begin)

    @property
    def position(self) -> tuple[int | None, int | None]:
        return self.follower._epoch, self.follower._seq

    def _begin(self, op: Op) -> None:
        if isinstance(op.reply, EventsReply):
            self._steps = follow(self.follower, op.reply, math.inf, lambda: self._scheduler.clock.t)
            self._go_on(None)
        else:
            self._ask_again(op.request, self._begin)

    def _ask_again(self, request: Events, then: Callable[[Op], None]) -> None:
        """The supervisor is away for longer than a client waits; the user is patient."""
        if not self._client.dead:
            self._scheduler.after(self._scheduler.delay(1.0), lambda: self._client.ask(request, math.inf, then))

    def _go_on(self, value: Any) -> None:
        """Take steps until one has to be waited for."""
        assert self._steps is not None
        step = self._steps.send(value)
        while True:
            match step:
                case list():
                    for notice in step:
                        self._seen(notice)
                    step = self._steps.send(None)
                case Subscribe():
                    self._subscribe(step)
                    step = self._steps.send(None)
                case Events():
                    self._client.ask(step, math.inf, self._answered)
                    return
                case Pause(seconds=seconds):
                    self._scheduler.after(seconds, lambda: self._go_on(None))
                    return
                case Receive():
                    self._receive = step
                    if step.until < math.inf:
                        self._scheduler.at(step.until, self._look)
                    self._look()
                    return

    def _answered(self, op: Op) -> None:
        if isinstance(op.reply, EventsReply):
            self._go_on(op.reply)
        else:
            self._ask_again(op.request, self._answered)

    def _subscribe(self, step: Subscribe) -> None:
        if self._subscription is not None:
            self._subscription.close()
        publisher = self._net.publisher
        self._subscription = None if publisher is None else Subscription(publisher, step.topics, self._look)

    def _look(self) -> None:
        """Read the next message, in a moment."""
        if not self._scheduled and not self._client.dead:
            self._scheduled = True
            at = max(self.still_until, self._scheduler.clock.t + self._scheduler.delay(0.0005))
            self._scheduler.at(at, self._read)

    def _read(self) -> None:
        self._scheduled = False
        receive, subscription = self._receive, self._subscription
        if receive is None or self._client.dead:
            return
        if subscription is not None and subscription.waiting:
            self._receive = None
            self._go_on(subscription.waiting.pop(0))
        elif subscription is None or subscription.lost or self._scheduler.clock.t >= receive.until:
            self._receive = None
            self._scheduler.after(self._scheduler.delay(0.05), lambda: self._go_on(None))


def _short(what: Any) -> str:
    """Requests and replies as people would note them down."""
    match what:
        case m.Submit():
            return ", ".join(f"{one.uid[-4:]} {one.options}{' resent' * one.resent}" for one in what.jobs)
        case m.Submitted():
            return ", ".join(f"{one.uid[-4:]} is {one.id}{' already' * one.existing}" for one in what.jobs)
        case m.Jobs():
            return ", ".join(f"{one.id} {one.state} attempt {one.attempt}" for one in what.jobs)
    return str(what).removeprefix(type(what).__name__)[:300]
