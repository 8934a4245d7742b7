"""The way of a request from its bytes to its answer, in one process, without a socket or a disk.

Everything is real but what lies beyond: the journal takes records and forgets them, the history is not there, and no
child ever comes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgpack
from jobyard.conf.catalog import Built, Catalog
from jobyard.conf.paths import paths_for
from jobyard.conf.settings import LimitSettings, QueueSettings, Settings
from jobyard.protocol import messages as m
from jobyard.protocol.errors import HistoryUnavailable, JobyardError
from jobyard.protocol.messages import CatalogEntry, Parameter
from jobyard.protocol.status import SupervisorStatus
from jobyard.supervisor.admission import Admission
from jobyard.supervisor.core import effects as f
from jobyard.supervisor.core import events as e
from jobyard.supervisor.core.machine import Machine
from jobyard.supervisor.core.records import to_wire
from jobyard.supervisor.core.rules import Limits, PoolRule, QueueRule, Rules
from jobyard.supervisor.core.state import State
from jobyard.supervisor.desk import Desk
from jobyard.supervisor.front import Front
from jobyard.supervisor.metrics import Counters
from jobyard.supervisor.room import Room
from jobyard.supervisor.sockets import Peer
from jobyard.supervisor.spliced import Spliced
from jobyard.supervisor.story import Story
from jobyard.supervisor.stream import Asked, Stream
from jobyard.supervisor.token import Token

NOW = e.Now(1000.0, 1_800_000_000.0)
OWNER = f"localhost:{os.geteuid()}:0:4711"


class FakeRequests:
    """The request socket: ``arrive`` puts requests there, ``sent`` are the answers."""

    told = "/run/socket"

    def __init__(self) -> None:
        self.arrived: list[tuple[Peer, bytes]] = []
        self.sent: list[tuple[Peer, bytes]] = []

    def receive(self) -> list[tuple[Peer, bytes]]:
        arrived, self.arrived = self.arrived, []
        return arrived

    def send(self, peer: Peer, data: bytes) -> bool:
        self.sent.append((peer, data))
        return True


class FakePublisher:
    told, window, socket = "/run/events", 128, object()

    def subscriptions(self) -> list[tuple[bool, bytes]]:
        return []


class FakeHistory:
    """Unavailable, which it says at once."""

    lost: Callable[[str], None]

    def ask(self, verb: str, body: Any, now: float, answer: Callable[[Any], None], once: bool = False) -> None:
        answer(HistoryUnavailable("there is none here"))


class DeskBench:
    """``ask`` gives the answer to one frame; ``feed`` and ``turn`` take many."""

    degraded: str | None = None
    low_space = False
    argument_bytes = 1 << 20
    output_dir = "/nowhere"
    history_retention_s: float | None = 86_400.0

    def __init__(self, *, clients: frozenset[int] = frozenset(), **limits: int) -> None:
        settings = Settings(
            Path("/srv/jobyard.toml"),
            allow=("jobs:*",),
            queues={"default": QueueSettings(), "mail": QueueSettings(concurrency=1)},
            limits=LimitSettings(**limits),
        )
        rules = Rules(
            {"default": QueueRule(), "mail": QueueRule(concurrency=1)},
            {"default": PoolRule(concurrency=2)},
            Limits(unfinished_jobs=500, finished_jobs=200),
        )
        self.machine = Machine(State(), rules)
        self.catalog = Catalog(settings, [Built("default", [_entry("jobs:add"), _entry("jobs:Mail.send")], [])])
        self.stream = Stream(self.machine, FakePublisher(), settings.limits)  # type: ignore[arg-type]
        self.counters = Counters(self.machine)
        office: Any = SimpleNamespace(
            settings=settings, paths=paths_for(settings, {}), catalog=self.catalog, log_format="plain"
        )
        self.story = Story(self.machine, office)
        self.room = Room("/nowhere")
        self.unwritten: Any = SimpleNamespace(loss_on_record=lambda *_: None)
        self.sites: Any = SimpleNamespace(recycle=lambda pool, now: pool == "default", pools={"default": None})
        self.history: Any = FakeHistory()
        self.compaction: Any = SimpleNamespace(
            when_idle=lambda ask, give_up: ask(),
            hold=lambda: None,
            let_go=lambda: None,
            history_lost=lambda: None,
            ask=lambda answer: answer(JobyardError("not now")),
        )
        self.requests = FakeRequests()
        self.admission = Admission(clients, None, lambda: settings.limits.connection_requests)
        addresses: Any = SimpleNamespace(admission=self.admission)
        self.front = Front(self.requests, [], addresses, lambda: settings.limits.connection_requests)  # type: ignore[arg-type]
        self.refusals = self.front.refusals
        self.desk = Desk(self.machine, self, settings.limits)
        self._events: list[e.Event] = []
        self.step()

    # -- a test's side -------------------------------------------------------------------------------------------------

    def feed(self, data: bytes, client: str = OWNER, route: bytes = b"one") -> None:
        self.requests.arrived.append((Peer(route, client), data))

    def turn(self) -> list[tuple[Peer, dict[str, Any]]]:
        """Deal with what has come; the answers that were sent meanwhile."""
        self.front.turn(self._request)
        while self.front.busy:  # a turn is short, and the machine may be slow
            self.front.turn(self._request)
        self.step()
        sent, self.requests.sent = self.requests.sent, []
        return [(peer, msgpack.unpackb(data, strict_map_key=False)) for peer, data in sent]

    def ask(self, request: Any, **sender: Any) -> dict[str, Any]:
        self.feed(m.pack_request("1", request), **sender)
        ((_, answer),) = self.turn()
        return answer

    # -- the driver's side ---------------------------------------------------------------------------------------------

    def _request(self, peer: Peer, data: bytes) -> None:
        event = self.desk.take(peer, data, self.settle)
        if event is not None:
            self._events.append(event)

    def step(self) -> None:
        events, self._events = self._events, []
        effects = self.machine.step(NOW, events)
        for record in effects.records:
            msgpack.packb(to_wire(record))
        for effect in [*effects.early, *effects.durable]:
            if isinstance(effect, f.Reply) and effect.token is not None:
                self.answer_at_once(effect.token, effect.reply)
            elif isinstance(effect, f.Notify):
                self.stream.tell(effect)
                if effect.job_id:
                    self.story.tell(effect)
                    self.counters.take(effect)
                    self.desk.job_finished(effect.job_id)
        self.story.write()

    def settle(self) -> None:
        if self._events:
            self.step()

    def take_in(self, event: e.Event) -> None:
        self._events.append(event)

    def answer(self, token: Token, reply: Any) -> None:
        self.answer_at_once(token, reply)

    def answer_events(self, asked: Asked) -> None:
        self.answer_at_once(asked.token, self.stream.read(asked.request, asked.ended))

    def answer_at_once(self, token: Token, reply: Any) -> None:
        if isinstance(reply, JobyardError):
            self.stream.refused(token, reply)
        packed = reply.pack(token.request_id) if isinstance(reply, Spliced) else m.pack_reply(token.request_id, reply)
        self.front.send(token, packed)

    def refreshing(self) -> bool:
        return False

    def follow(self, job_id: int, size: int) -> None:
        pass

    def reload(self, token: Token | None) -> None:
        if token is not None:
            self.answer_at_once(token, m.Reloaded(True))

    def use_log_format(self, name: str | None) -> str:
        return name or "plain"

    def status(self) -> SupervisorStatus:
        return SupervisorStatus(
            pid=1,
            version="0",
            generation=1,
            started_at=0.0,
            config="",
            state_dir="",
            socket="",
            stopping=False,
            durable=True,
            counts=dict(self.machine.state.counts),
            refused=self.refusals.count,
            queues=[],
            pools=[],
            journal_bytes=0,
            warnings=[],
        )


def _entry(ref: str) -> CatalogEntry:
    return CatalogEntry(ref=ref, pool="default", parameters=[Parameter("args", "args", False)])
