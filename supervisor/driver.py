"""The loop: waits for input, steps the machine, appends its records as one group, and performs effects when they may.

One thread decides. It decides nothing about jobs itself: it brings events to the machine and carries effects out. The
order of durability is the outbox's; requests are the desk's; executors are the sites'.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable
from typing import Any

import msgpack
import zmq

from ..conf.catalog import Catalog
from ..protocol import logfile
from ..protocol import messages as m
from ..protocol.errors import JobyardError
from ..protocol.states import FINISHED
from . import clock
from .compaction import Compaction
from .core import effects as f
from .core import events as e
from .core.machine import Machine
from .core.records import to_wire
from .desk import Desk
from .front import Front
from .history.link import HistoryLink
from .idle import is_idle
from .journal.journal import Journal
from .metrics import Counters
from .notify import ServiceManager
from .office import Office
from .outbox import Outbox
from .output_retention import Retention
from .recovery import TakenOver
from .room import Room
from .signals import Signals
from .sites import Sites
from .sockets import Peer
from .spliced import Packed, Spliced
from .storage import Storage
from .story import Story
from .stream import Asked, Stream
from .token import Token
from .unfenced import Unfenced
from .unwritten import Unwritten

log = logging.getLogger("jobyard")
FAREWELL_S = 5.0
LULL_S = 0.001  # nothing came in for so long: time for the log
STORY_LINES_MAX = 64
APPEND_BYTES = 32 << 20
_HOW = {"wait": " when the running jobs have ended", "keep": "; running jobs go on", "now": " now"}


class Driver:
    """Put together by ``__main__.py``; ``run`` is the life of a supervisor."""

    def __init__(
        self,
        machine: Machine,
        journal: Journal,
        front: Front,
        sites: Sites,
        office: Office,
        compaction: Compaction,
        history: HistoryLink,
        stream: Stream,
    ) -> None:
        self.machine = machine
        self.journal = journal
        self.front = front
        self.admission, self.refusals = front.admission, front.refusals
        self.sites = sites
        self.office = office
        self.compaction = compaction
        self.history = history
        self.stream = stream
        self.desk = Desk(machine, self, office.settings.limits)
        self.outbox = Outbox(self._perform)
        self.storage = Storage(machine, journal, self.outbox, self.answer_at_once)
        self.story = Story(machine, office)
        self.counters = Counters(machine)
        self.unfenced = Unfenced(machine.state)
        self._ticket = 0
        self._reserved_ticket = 0
        self._settling = False
        self._events: list[e.Event] = []
        self._turn_due = True
        self._stopped_at: float | None = None
        self._timer = clock.Timer()
        self._steps = clock.StepWatch()
        self._signals = Signals()
        self._manager = ServiceManager(os.environ)
        self._poller = zmq.Poller()
        self._handlers: dict[Any, Callable[[], None]] = {}
        self._journal_fd = journal.fileno()
        sites.watch, sites.unwatch = self._watch_site, self.unwatch
        compaction.watch, compaction.unwatch = self.watch, self.unwatch
        compaction.take_in, compaction.settle = self.take_in, self.settle
        history.watch, history.unwatch = self.watch, self.unwatch
        self.retention = Retention(
            self.output_dir, lambda: self.office.settings.output, self._running_outputs, self.watch, self.unwatch
        )
        self._watch_own()

    # -- the loop ------------------------------------------------------------------------------------------------------

    def begin(self, taken: TakenOver, now: e.Now) -> None:
        """Make what became of the former generation's zygotes durable before anything starts."""
        self._events.extend(taken.gone)
        for zygote in taken.gone:
            if not zygote.fenced:
                self.unfenced.add(zygote, now.boot)
        for executor in taken.executors:
            self.sites.adopt(executor)
            self._site(executor.fileno())
        self._step(now)
        self.journal.flush()
        if self.journal.failed is not None:
            raise self.journal.failed
        self.outbox.release(self.journal.synced)

    def take_in(self, event: e.Event) -> None:
        """An event for the next step."""
        self._events.append(event)

    def run(self) -> int:
        """Until stopped; gives the exit code."""
        self.office.start(self)
        self._turn()
        while not self._gone():
            self._wait()
            if self._turn_due or self._events:
                self._turn()
        self._close()
        return 0

    def _wait(self) -> None:
        """Take in what comes next. Answers that waited for the disk alone make no turn due."""
        timeout_s = self._timer.timeout_s()
        untold_s = 0.0 if self.story else self.stream.wait_s()
        if untold_s is not None:
            timeout_s = max(LULL_S, untold_s if timeout_s is None else min(untold_s, timeout_s))
        if self.front.busy:
            timeout_s = 0.0
        ready = self._poller.poll(None if timeout_s is None else math.ceil(timeout_s * 1000))
        if not ready or len(self.story) >= STORY_LINES_MAX:
            self.story.write()
        if self.stream.overdue or (untold_s is not None and not ready):
            self.stream.publish()
        self._turn_due = not ready
        if self.front.busy:
            self._requests()
        for source, _ in ready:
            if source == self._journal_fd:
                self._synced()
                continue
            if source is self.stream.socket:
                self.stream.take_subscriptions()
                continue
            self._turn_due = True
            if handler := self._handlers.get(source):
                handler()
            else:
                self._site(source)

    def _turn(self) -> None:
        """Step the machine with what has come in, and see to everything that is due."""
        now = clock.now()
        for gone in self.unfenced.due(now.boot):
            self.sites.release(gone.uuid)
            self._events.append(gone)
        self._step(now)
        if self.office.may_end and self.machine.stopping is None and is_idle(self.machine, self.sites):
            log.info("nothing is due: stopping")
            self._events.append(e.StopAsked(None, "wait"))
            self._step(now)
        self.storage.mind(now)
        if self.machine.stopping is not None and self._stopped_at is None and self.storage.may_stop():
            self._perform(f.Stopped())
        self.outbox.release_late_kills(now.boot)
        self.sites.mind_deadlines(now.boot)
        self.office.mind_deadlines(now.boot)
        self.history.mind_deadlines(now.boot)
        self.compaction.mind_deadlines(now.boot)
        self._manager.mind(self, now.boot)
        self.front.mind(now.boot)
        wakes = [
            self.machine.wake_at(),
            self.outbox.wake_at(),
            self.sites.wake_at(),
            self.unfenced.wake_at(),
            self.office.wake_at(),
            self.history.wake_at(),
            self.storage.wake_at(),
            self.compaction.wake_at(),
            self._manager.wake_at(),
            self.front.wake_at(),
            None if self._stopped_at is None else self._stopped_at + FAREWELL_S,
        ]
        self._timer.set(min((wake for wake in wakes if wake is not None), default=None))

    def _step(self, now: e.Now) -> None:
        events, self._events = self._events, []
        try:
            effects = self.machine.step(now, events)
        except Exception:
            log.critical("the step that failed: %s", ", ".join(type(event).__name__ for event in events))
            raise
        self.commit(effects, now)

    def settle(self) -> None:
        """Take in what has come so far, so that a read sees it."""
        if self._events:
            self._settling = True
            self._step(clock.now())
            self._settling = False

    def commit(self, effects: f.Effects, now: e.Now) -> None:
        """Hand the records to the journal and the effects to the outbox."""
        for prepare in effects.prepare:
            self.sites.perform(prepare)
        if effects.records:
            self._append([msgpack.packb(to_wire(record)) for record in effects.records])
        if effects.reserves:
            self._reserved_ticket = self._ticket
        synced = self.journal.synced
        self.outbox.add_early(effects.early, self._reserved_ticket, synced)
        if self.degraded is None:
            self.outbox.add(effects.durable, self._ticket, synced)
        else:
            self._add_without_storage(effects.durable, synced)
        self.outbox.add_kills(effects.kills, self._ticket if self.degraded is None else 0, synced, now.boot)

    def _add_without_storage(self, effects: list[f.Durable], synced: int) -> None:
        """Nothing but a stop is taken in now, and that is answered at once."""
        for effect in effects:
            if isinstance(effect, f.Reply):
                self._perform(effect)
            else:
                self.outbox.add([effect], self._ticket, synced)

    def _append(self, records: list[bytes]) -> None:
        """Many large jobs that come or end in one step make more than one group may hold: any part of them may be."""
        part: list[bytes] = []
        size = 0
        for record in records:
            if part and size + len(record) > APPEND_BYTES:
                self._ticket = self.journal.append(part)
                part, size = [], 0
            part.append(record)
            size += len(record)
        self._ticket = self.journal.append(part)

    # -- input ---------------------------------------------------------------------------------------------------------

    def watch(self, fd: Any, handler: Callable[[], None], writable: bool = False) -> None:
        """Call ``handler`` when ``fd`` is readable, or also when it is writable."""
        self._handlers[fd] = handler
        self._poller.register(fd, zmq.POLLIN | zmq.POLLOUT if writable else zmq.POLLIN)

    def unwatch(self, fd: int) -> None:
        self._handlers.pop(fd, None)
        self._poller.unregister(fd)

    def _watch_site(self, fd: int) -> None:
        self._poller.register(fd, zmq.POLLIN)

    def _watch_own(self) -> None:
        self.watch(self.front.requests.socket, self._requests)
        for source, handler in self.front.sources:
            self.watch(source, handler)
        self._poller.register(self._journal_fd, zmq.POLLIN)
        self._poller.register(self.stream.socket, zmq.POLLIN)
        self.watch(self._signals.fileno(), self._signalled)
        if (fd := self._timer.fileno()) is not None:
            self.watch(fd, self._timer.clear)
        if (fd := self._steps.fileno()) is not None:
            self.watch(fd, self._clock_stepped)

    def _requests(self) -> None:
        self.front.turn(self._request)

    def _request(self, peer: Peer, data: bytes) -> None:
        event = self.desk.take(peer, data, self.settle)
        if self._settling:  # the desk survives a fault in a request, but what this step decided may be on no disk
            raise RuntimeError("a step failed while a request was taken in")
        if event is not None:
            self._events.append(event)

    def _site(self, fd: int) -> None:
        now = clock.now().boot
        for event in self.sites.events(fd, now):
            if isinstance(event, e.ZygoteGone) and not event.fenced:
                self.unfenced.add(event, now)
            if isinstance(event, e.LogGrown):
                job_id = self.machine.state.children.get((event.child.zygote, event.child.kid))
                if job_id is not None:
                    self.desk.log_grown(job_id)
            else:
                self._events.append(event)

    def _synced(self) -> None:
        journal, compaction = self.journal, self.compaction
        journal.collect()
        self.outbox.release(journal.synced)
        wake_at = compaction.wake_at()
        compaction.consider()
        if self.storage.unsettled or compaction.wake_at() != wake_at:
            self._turn_due = True

    def _clock_stepped(self) -> None:
        self._steps.clear()
        log.warning("the wall clock was set")
        self._events.append(e.ClockStepped())

    def _signalled(self) -> None:
        for number in self._signals.take():
            if number.name == "SIGHUP":
                self.reload(None)
                continue
            mode = {"SIGUSR1": "keep", "SIGINT": "wait"}.get(number.name, "now")
            if self.machine.stopping == mode == "wait":
                mode = "now"
            log.info("%s: stopping%s", number.name, _HOW[mode])
            self._events.append(e.StopAsked(None, mode))

    # -- effects -------------------------------------------------------------------------------------------------------

    def _perform(self, effect: Any) -> None:
        match effect:
            case f.Reply():
                if effect.token is not None:
                    self.answer_at_once(effect.token, effect.reply)
            case f.Notify():
                self._notify(effect)
            case f.Dropped():
                why = self.compaction.trouble or "it is behind"
                log.error("%d finished jobs were forgotten: the history does not have them (%s)", effect.count, why)
            case Asked():
                self.answer_at_once(effect.token, self.stream.read(effect.request, effect.ended))
            case f.Stopped():
                self._turn_due = True
                self._stopped_at = clock.now().boot
                self._end_sites()
            case _:
                self._turn_due = True
                self.sites.perform(effect)

    def _notify(self, notice: f.Notify) -> None:
        self.stream.tell(notice)
        if not notice.job_id:
            return
        self.story.tell(notice)
        self.counters.take(notice)
        job = self.machine.state.jobs.get(notice.job_id)
        if notice.kind in ("started", "ended", "cancelled"):
            self.desk.log_grown(notice.job_id)
        if notice.kind == "ended":
            self.retention.attempt_ended()
        if job is None or job.state in FINISHED:
            self.desk.job_finished(notice.job_id)

    def _running_outputs(self) -> list[str]:
        state = self.machine.state
        return [logfile.name(job_id, state.jobs[job_id].attempt) for job_id in state.children.values()]

    # -- what the desk asks --------------------------------------------------------------------------------------------

    @property
    def catalog(self) -> Catalog | None:
        return self.office.catalog

    @property
    def argument_bytes(self) -> int:
        return self.office.settings.limits.argument_bytes

    @property
    def output_dir(self) -> str:
        return str(self.office.paths.output_dir)

    @property
    def degraded(self) -> str | None:
        return self.storage.degraded

    @property
    def low_space(self) -> bool:
        return self.journal.low_space

    @property
    def room(self) -> Room:
        return self.office.room

    @property
    def unwritten(self) -> Unwritten:
        return self.sites.unwritten

    @property
    def history_retention_s(self) -> float | None:
        return self.office.settings.history.retention

    def refreshing(self) -> bool:
        return self.office.refreshing()

    def answer(self, token: Token, reply: Any) -> None:
        """Once everything decided so far is on disk; in degraded mode at once, saying so."""
        if self.degraded is not None:
            self.answer_at_once(token, _not_durable(reply))
        elif isinstance(reply, m.SupervisorStatus) and self.storage.slow_s:
            self.answer_at_once(token, reply)  # a disk that hangs is among what it tells
        else:
            self.outbox.add([f.Reply(token, reply)], self._ticket, self.journal.synced)

    def answer_events(self, asked: Asked) -> None:
        """As ``answer``, with the notices that are there by then: those of everything decided so far."""
        if self.degraded is None:
            self.outbox.add([asked], self._ticket, self.journal.synced)
        else:  # the end of a job may not be told yet
            self._perform(Asked(asked.token, asked.request, ended=False))

    def answer_at_once(self, token: Token, reply: Any) -> None:
        if isinstance(reply, JobyardError):
            self.stream.refused(token, reply)
        try:
            spliced = isinstance(reply, Spliced)
            data = reply.pack(token.request_id) if spliced else m.pack_reply(token.request_id, reply)
        except JobyardError as error:
            data = m.pack_reply(token.request_id, error)
        self.front.send(token, data)

    def reload(self, token: Token | None) -> None:
        self._manager.reloading()
        self.office.reload(token)

    def follow(self, job_id: int, size: int) -> None:
        job = self.machine.state.jobs[job_id]
        if job.child is not None:
            zygote, kid, pid, started = job.child
            self.sites.follow(e.Child(job.attempts[-1].pool, zygote, kid, pid, started), size)

    def status(self) -> m.SupervisorStatus:
        return self.office.status(self)

    def use_log_format(self, name: str | None) -> str:
        return self.office.use_log_format(name)

    # -- the end -------------------------------------------------------------------------------------------------------

    def _end_sites(self) -> None:
        if self.machine.stopping == "keep":
            self.sites.leave()
        else:
            self.sites.retire_all()

    def _gone(self) -> bool:
        if self._stopped_at is None:
            return False
        return not self.sites.executors or clock.now().boot >= self._stopped_at + FAREWELL_S

    def _close(self) -> None:
        self.sites.close()
        self.office.close()
        self.compaction.close()
        self.history.close()
        self.retention.close()
        self.journal.close()
        self.outbox.release(self.journal.synced)
        self.story.write()
        self.stream.close()
        self.front.close()
        self._signals.close()
        self._timer.close()
        self._steps.close()


def _not_durable(reply: Any) -> Any:
    if isinstance(reply, m.Jobs | Spliced):
        for job in reply.jobs:
            if isinstance(job, Packed):  # what the history has is on disk
                continue
            object.__setattr__(job, "durable", False)
    return reply
