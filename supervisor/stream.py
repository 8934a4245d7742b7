"""The status stream: numbers what became durable, keeps the newest of it, and publishes it to whoever listens.

Owns the ring, the topics that have subscribers, and when messages go out: some notices at a time, when the loop has a
moment, since each message wakes every subscriber; the more there are of a topic, the longer the pause after each of its
messages. While nobody subscribes a notice costs no more than its place in the ring. What a notice is about was decided
long before.

How a subscriber learns of what it has lost: the header of each message shows gaps before it. After the last message it
has the window: whoever loses a message has at least that many still to read, so one who asks ``events`` after so many
has asked since.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

from ..conf.settings import LimitSettings
from ..protocol import messages as m
from ..protocol import notices as n
from ..protocol import schema, topics
from ..protocol.errors import (
    BadArguments,
    JobyardError,
    NotAllowed,
    OutcomeUnknown,
    QueueFull,
    RateLimited,
    Unauthorised,
)
from ..protocol.job import Progress
from ..protocol.options import nearest_hint
from ..protocol.states import FINISHED
from . import clock
from .core.effects import Notify
from .core.machine import Machine
from .gate import Gate
from .publisher import Publisher
from .ring import Entry, Ring
from .story import cause
from .token import Token

PATIENCE_S = 0.02  # in a loop that never rests, notices wait no longer
BATCH_MAX = 128  # notices in a message
WOKEN_PER_S = 1_000  # followers of one topic; what follows one of its messages waits that long for the next
PAUSE_MAX_S = 0.25
SCAN_MAX = 10_000  # entries looked at for one answer
TEXT_CHARS_MAX = 500


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for notices that waits for the disk. ``ended``: its one job was finished when it was asked."""

    token: Token
    request: n.Events
    ended: bool


@dataclass(slots=True)
class Topic:
    """One that has subscribers.

    Attributes:
        last: the number that was last published under it.
        followers: who said hello; others are not counted.
        held: what waits for ``due_at`` (monotonic): seq, 0 for progress, and the notice on the wire.
    """

    last: int
    followers: int = 0
    held: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    due_at: float = 0.0

    def pause_s(self) -> float:
        """How long to wait after a message, if that is longer than any notice may wait in a busy loop."""
        pause_s = min(self.followers / WOKEN_PER_S, PAUSE_MAX_S)
        return pause_s if pause_s > PATIENCE_S else 0.0


class Stream:
    """One per supervisor."""

    def __init__(self, machine: Machine, publisher: Publisher, limits: LimitSettings) -> None:
        self._machine = machine
        self._publisher = publisher
        self._ring = Ring(machine.state.generation, limits.kept_notices, limits.kept_notice_bytes)
        self._topics: dict[bytes, Topic] = {}
        self._topics_max = limits.notice_topics
        self._fresh: list[tuple[int, Entry, Progress | None]] = []  # not yet sorted by topics
        self._since = 0.0
        self._holding: dict[bytes, Topic] = {}  # those that hold something
        self._due_at = math.inf  # the first of them

    @property
    def socket(self) -> object:
        """What the loop waits on, for ``take_subscriptions``."""
        return self._publisher.socket

    @property
    def gate(self) -> Gate:
        return self._publisher.gate

    # -- what happened -------------------------------------------------------------------------------------------------

    def tell(self, fact: Notify) -> None:
        """Something that is durable now; or progress, which is not kept."""
        if fact.kind == n.PROGRESS:
            progress = self._machine.progress.get(fact.job_id) if self._topics else None
            if progress is not None:
                self._add_fresh(self._ring.head, Entry(n.PROGRESS, fact, None), progress)
            return
        if fact.kind == n.ENDED:
            job = self._machine.state.jobs.get(fact.job_id)
            why = cause(job, fact) if job is not None and fact.outcome != "ok" else None
            self._add(Entry(n.ENDED, fact, _short(why)))
            following = fact.state if fact.state in FINISHED else n.RETRY_SCHEDULED
            self._add(Entry(str(following), fact, _short(fact.reason or why)))
        else:
            self._add(Entry(fact.kind, fact, _short(fact.reason)))

    def refused(self, token: Token, error: JobyardError) -> None:
        """A request was answered with an error: told if it was a submit, or more than its sender may do."""
        if isinstance(error, NotAllowed | Unauthorised) or (
            token.verb == m.Submit.VERB and not isinstance(error, OutcomeUnknown | RateLimited)
        ):
            text = f"{token.verb} from {token.peer.who}: {error.message} ({error.code})"
            self._add(Entry(n.REFUSED, Notify(n.REFUSED, at=clock.now().wall), _short(text)))

    def _add(self, entry: Entry) -> None:
        seq = self._ring.add(entry)
        if self._topics:
            self._add_fresh(seq, entry, None)

    def _add_fresh(self, seq: int, entry: Entry, progress: Progress | None) -> None:
        if not self._fresh:
            self._since = time.monotonic()
        self._fresh.append((seq, entry, progress))
        if len(self._fresh) >= BATCH_MAX:
            self.publish()

    # -- subscribers ---------------------------------------------------------------------------------------------------

    def wait_s(self) -> float | None:
        """In how long ``publish`` has something to do, if the loop has a moment then; None: nothing waits."""
        if self._fresh:
            return 0.0
        return max(self._due_at - time.monotonic(), 0.0) if self._holding else None

    @property
    def overdue(self) -> bool:
        """Whether something has waited too long for the loop to have a moment."""
        if not self._fresh and not self._holding:
            return False
        return time.monotonic() - min(self._since if self._fresh else math.inf, self._due_at) >= PATIENCE_S

    def take_subscriptions(self) -> None:
        """Topics that got a subscriber, or lost the last one; a bounded number."""
        for begun, topic in self._publisher.subscriptions():
            full = len(self._topics) >= self._topics_max
            if topic.startswith(topics.HELLO):
                self._take_follower(topic, begun)
            elif not begun:
                self._topics.pop(topic, None)
                self._holding.pop(topic, None)
            elif topics.is_topic(topic) and not (full and topics.is_one_of_many(topic)):
                self._topics[topic] = Topic(self._ring.head)

    def _take_follower(self, hello: bytes, begun: bool) -> None:
        name = hello.split(b"/", 2)[-1]
        topic = self._topics.get(name)
        if topic is not None:
            topic.followers += 1 if begun else -1
        if begun:
            self._publisher.send(hello, self._greeting(name))

    def _greeting(self, topic: bytes) -> list[bytes]:
        """What one who has just subscribed to the topic is told: that it is in effect, or why there is nothing."""
        head = self._ring.head
        if topic in self._topics:
            return topics.pack(self._ring.epoch, head, head, [])
        error = QueueFull(
            f"the status stream has {len(self._topics):,} topics with subscribers already",
            hint="raise [limits] notice_topics, or follow all events instead of those of single jobs",
        )
        return topics.pack_refusal(self._ring.epoch, error)

    def publish(self) -> None:
        """Sort what has come since the last time by topics, and send what is due: one message for each."""
        fresh, self._fresh = self._fresh, []
        if not self._publisher.mind_keys():
            self._drop_held()
            return  # whoever still may listen asks for what he missed
        for seq, entry, progress in fresh:
            names = [one for one in topics.of(entry.kind, entry.job_id, entry.fact.queue) if one in self._topics]
            if names:
                held = (seq if progress is None else 0, schema.to_brief_wire(self._notice(seq, entry, progress)))
                for name in names:
                    topic = self._holding[name] = self._topics[name]
                    topic.held.append(held)
                    if len(topic.held) >= BATCH_MAX:
                        self._send(name, topic)
        self._send_due(time.monotonic())

    def _send_due(self, now: float) -> None:
        self._due_at = math.inf
        for name, topic in list(self._holding.items()):
            if topic.due_at <= now:
                self._send(name, topic)
            else:
                self._due_at = min(self._due_at, topic.due_at)

    def _send(self, name: bytes, topic: Topic) -> None:
        held, topic.held = topic.held, []
        self._holding.pop(name, None)
        before, topic.last = topic.last, max(topic.last, *(seq for seq, _ in held))
        self._publisher.send(name, topics.pack(self._ring.epoch, before, topic.last, [wire for _, wire in held]))
        topic.due_at = time.monotonic() + topic.pause_s()

    def _drop_held(self) -> None:
        for topic in self._holding.values():
            topic.held = []
        self._holding.clear()
        self._due_at = math.inf

    def close(self) -> None:
        """Send what is left."""
        self.publish()
        self._send_due(math.inf)
        self._publisher.close()

    # -- requests ------------------------------------------------------------------------------------------------------

    def check(self, request: n.Events) -> None:
        """
        Raises:
            BadArguments: an unknown kind, or a position that is still to come.
        """
        for kind in request.filter.kinds:
            if kind not in n.KINDS:
                raise BadArguments(f"there is no kind of event {kind!r}", hint=nearest_hint(kind, n.KINDS))
        head = self._ring.head
        if request.seq is not None and request.epoch in (None, self._ring.epoch) and not 0 <= request.seq <= head:
            raise BadArguments(
                f"there is no event {request.seq:,} yet: the last is {head:,}", hint='"oldest" for all that are kept'
            )

    def read(self, request: n.Events, ended: bool) -> n.EventsReply:
        """The answer to a request that was checked."""
        ring = self._ring
        at, found = self._start(request)
        if request.seq is None and not request.oldest:
            return self._reply(ring.head, [], ended)
        wanted = request.filter
        for looked, (seq, entry) in enumerate(ring.after(at)):
            if looked == SCAN_MAX or len(found) >= m.EVENT_NOTICES_MAX:
                break
            at = seq
            if topics.matches(wanted, entry.kind, entry.job_id, entry.fact.queue):
                found.append(self._notice(seq, entry, None))
        return self._reply(at, found, ended)

    def _start(self, request: n.Events) -> tuple[int, list[n.Notice]]:
        """The number after which to begin, and the word of what is missing before it, if anything is."""
        tail = self._ring.tail
        if request.seq is None:
            return tail, []
        if request.epoch in (None, self._ring.epoch):
            if request.seq >= tail:
                return request.seq, []
            why = "there were more events than are kept ([limits] kept_notices, kept_notice_bytes)"
        else:
            why = "the supervisor was started again; what it did not tell before is in the jobs' own records only"
        return tail, [n.Notice(self._ring.epoch, tail, clock.now().wall, n.TRUNCATED, text=why)]

    def _reply(self, seq: int, found: list[n.Notice], ended: bool) -> n.EventsReply:
        more = seq < self._ring.head
        publisher = self._publisher
        return n.EventsReply(self._ring.epoch, seq, found, publisher.told, publisher.window, more, ended and not more)

    def _notice(self, seq: int, entry: Entry, progress: Progress | None) -> n.Notice:
        fact = entry.fact
        return n.Notice(
            epoch=self._ring.epoch,
            seq=seq,
            at=fact.at,
            kind=entry.kind,
            job_id=entry.job_id,
            ref=fact.ref,
            name=fact.name,
            queue=fact.queue,
            state=fact.state,
            attempt=fact.attempt,
            outcome=fact.outcome,
            run_at=fact.run_at,
            text=entry.text,
            progress=progress,
            ids=list(fact.ids),
        )


def _short(text: str | None) -> str | None:
    return None if text is None else text[:TEXT_CHARS_MAX]
