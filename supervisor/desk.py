"""The front desk: turns request frames into events for the machine, answers reads, and parks what has to wait.

Decides nothing about jobs. It checks what can be checked before the machine sees a request: form, names, options,
arguments, sizes. Whatever is refused leaves a line in the log and is counted.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, assert_never

from .. import __version__
from ..conf.catalog import Catalog
from ..conf.settings import LimitSettings
from ..protocol import messages as m
from ..protocol import options
from ..protocol.errors import (
    BadArguments,
    JobNotFound,
    JobyardError,
    NotAllowed,
    ProtocolError,
    QueueFull,
    StorageUnavailable,
    TooLarge,
    UnknownQueue,
    WrongState,
)
from ..protocol.history import Stats
from ..protocol.ids import is_uid
from ..protocol.notices import Events
from ..protocol.states import UNFINISHED, WAITING
from . import archive_desk, clock, doubt, output, reads
from .admission import Admission
from .archive_desk import ArchiveDesk
from .compaction import Compaction
from .core import events as e
from .core.machine import STOPPING, Machine
from .core.state import Job
from .core.why import explain
from .history.link import HistoryLink
from .metrics import Counters
from .parked import Parked
from .refusals import Refusals
from .room import Room
from .sites import Sites
from .sockets import Peer
from .story import Story
from .stream import Asked, Stream
from .token import UNREAD, Token
from .unwritten import Unwritten
from .upkeep_desk import UpkeepDesk

log = logging.getLogger("jobyard.requests")
EARLY_BYTES_MAX = 256 << 20  # of arguments that wait for the catalogue
CALL_DEFAULTS = {"on_duplicate": "return", "durability": "fsync"}


class Backstage(archive_desk.Backstage, Protocol):
    """What the desk needs of the driver."""

    @property
    def catalog(self) -> Catalog | None: ...
    @property
    def argument_bytes(self) -> int: ...
    @property
    def low_space(self) -> bool: ...
    @property
    def room(self) -> Room: ...
    @property
    def unwritten(self) -> Unwritten: ...
    @property
    def history(self) -> HistoryLink: ...
    @property
    def compaction(self) -> Compaction: ...
    @property
    def stream(self) -> Stream: ...
    @property
    def counters(self) -> Counters: ...
    @property
    def sites(self) -> Sites: ...

    admission: Admission
    refusals: Refusals
    story: Story

    def refreshing(self) -> bool: ...
    def status(self) -> m.SupervisorStatus: ...
    def use_log_format(self, name: str | None) -> str: ...
    def reload(self, token: Token | None) -> None: ...
    def follow(self, job_id: int, size: int) -> None: ...
    def answer_events(self, asked: Asked) -> None: ...
    def answer_at_once(self, token: Token, reply: Any) -> None: ...


class Desk:
    """One per supervisor."""

    def __init__(self, machine: Machine, backstage: Backstage, limits: LimitSettings) -> None:
        self._machine = machine
        self._back = backstage
        self.parked = Parked(limits.parked_requests, limits.connection_waits)
        self._archive = ArchiveDesk(machine, backstage, backstage.history, backstage.compaction, self._refuse)
        self._upkeep = UpkeepDesk(machine, backstage, self._archive, backstage.compaction, self._refuse)
        self._early: list[tuple[Token, m.Submit | m.Catalog]] = []  # requests that wait for the catalogue
        self._early_bytes = 0

    def take(self, peer: Peer, data: bytes, settle: Callable[[], None]) -> e.Event | None:
        """An event for the machine, or None where the desk has answered or parked the request itself.

        ``settle`` is called before a read, so that it sees what came before it.
        """
        try:
            request_id, request = m.unpack_request(data)
        except JobyardError as error:
            self._back.refusals.malformed(peer, error)
            request_id = error.details.pop("id", "")
            if 0 < len(request_id) <= m.REQUEST_ID_CHARS_MAX:
                self._back.answer_at_once(Token(peer, request_id, UNREAD), error)
            return None
        token = Token(peer, request_id, request.VERB)
        try:
            self._back.admission.admit(token)
            return self._request(token, request, settle)
        except JobyardError as error:
            self._refuse(token, error, request)
        except Exception as error:  # nothing was decided yet; one odd request must not end the supervisor for all
            log.exception("a fault in jobyard: %s from %s cannot be answered", token.verb, peer.who)
            fault = f"a fault in jobyard: {token.verb} cannot be answered ({type(error).__name__}: {error})"
            self._refuse(token, JobyardError(fault, hint="the supervisor's log tells more; please report it"), request)
        return None

    def catalog_ready(self) -> list[e.Event]:
        """Answer what waited for the catalogue; gives the submits among it as events."""
        early, self._early, self._early_bytes = self._early, [], 0
        found: list[e.Event] = []
        for token, request in early:
            try:
                if isinstance(request, m.Submit):
                    self._check_room()
                    event = self._submit(token, request)
                    found += [] if event is None else [event]
                else:
                    self._read(token, request)
            except JobyardError as error:
                self._refuse(token, error, request)
        return found

    def _waits_for_catalog(self, token: Token, request: m.Submit | m.Catalog) -> bool:
        """Keep a request back until the catalogue is there, and new if the code is."""
        if self._back.catalog is not None and not self._back.refreshing():
            return False
        size = sum(len(job.payload) for job in request.jobs) if isinstance(request, m.Submit) else 0
        if len(self._early) >= self.parked.limit or self._early_bytes + size > EARLY_BYTES_MAX:
            raise QueueFull(f"{len(self._early):,} requests wait for the catalogue already", hint="wait and try again")
        self._early.append((token, request))
        self._early_bytes += size
        return True

    def job_finished(self, job_id: int) -> None:
        self.parked.finished(job_id, self._answer_wait)

    def log_grown(self, job_id: int) -> None:
        self.parked.grown(job_id, partial(self._again, self._logs))

    def _refuse(self, token: Token, error: JobyardError, request: m.Request | None = None) -> None:
        self._back.refusals.refused(token, error)
        answer = error if request is None else doubt.told(request, error, self._machine.state)
        self._back.answer_at_once(token, answer)

    def _request(self, token: Token, request: m.Request, settle: Callable[[], None]) -> e.Event | None:
        match request:
            case m.Submit():
                self._check_room()
                return None if self._waits_for_catalog(token, request) else self._submit(token, request)
            case m.Catalog() if self._waits_for_catalog(token, request):
                return None
            case m.Cancel():
                settle()
                self._check_storage()
                return self._cancel(token, request)
            case m.RetryJob():
                settle()
                self._check_storage()
                if self._archive.retry(token, request.id):
                    return None
                return e.RetryAsked(token, request.id, token.peer.who)
            case m.SetJob() | m.Remove() | m.Prune() | m.Compact():
                settle()
                self._check_storage()
                return self._upkeep.take(token, request, self._back.catalog)
            case m.SetQueue():
                self._check_storage()
                return self._set_queue(token, request)
            case m.Stop():
                if request.mode not in STOPPING:
                    raise BadArguments(f"there is no way to stop called {request.mode!r}", hint=" or ".join(STOPPING))
                log.info("stop (%s) asked by %s", request.mode, token.peer.who)
                return e.StopAsked(token, request.mode)
            case m.Reload():
                self._back.reload(token)
            case m.RecyclePool():
                self._recycle(token, request.pool)
            case m.LogFormat():
                in_force = self._back.use_log_format(request.format)
                log.info("log format %s, asked by %s", in_force, token.peer.who)
                self._back.answer_at_once(token, m.LogFormatSet(in_force))
            case _:
                settle()
                self._read(token, request)
        return None

    def _check_storage(self) -> None:
        why = self._back.degraded
        if why is not None:
            raise StorageUnavailable(
                f"the journal cannot be written ({why}); nothing new is accepted until it can",
                hint="free space or repair the disk; jobyard goes on by itself",
            )

    def _check_room(self) -> None:
        self._check_storage()
        self._back.room.check(self._back.low_space)

    # -- submit --------------------------------------------------------------------------------------------------------

    def _submit(self, token: Token, request: m.Submit) -> e.SubmitAsked | None:
        if not 0 < len(request.jobs) <= m.SUBMIT_JOBS_MAX:
            raise BadArguments(f"a submit holds 1 to {m.SUBMIT_JOBS_MAX:,} jobs, not {len(request.jobs):,}")
        wanted, durability = [], "memory"
        for index, submission in enumerate(request.jobs):
            try:
                want, level = self._want(submission)
            except JobyardError as error:
                if len(request.jobs) > 1:
                    error.details["index"] = index
                if isinstance(error, NotAllowed):
                    method = f".{submission.method}" if submission.method else ""
                    self._back.story.unauthorised(f"{submission.ref}{method}", error.message)
                raise
            wanted.append(want)
            durability = _stronger(durability, level)
        event = e.SubmitAsked(token, wanted, durability)
        return None if self._archive.submit(event) else event

    def _want(self, submission: m.Submission) -> tuple[e.Wanted, str]:
        catalog = self._back.catalog
        assert catalog is not None
        if not is_uid(submission.uid):
            raise ProtocolError(f"{submission.uid!r} is not a uid")
        limit = self._back.argument_bytes
        if len(submission.payload) > limit:
            raise TooLarge(
                f"the arguments take {len(submission.payload):,} bytes; the limit is {limit:,}",
                hint="write them to a file and pass its path, or raise [limits] argument_bytes",
            )
        given = options.parse_call(submission.options)
        resolved = catalog.resolve(submission.ref, submission.method)
        catalog.check_arguments(resolved.entry, submission.arg_count, submission.kwarg_names)
        settled = catalog.settle(resolved, given)
        call = {**CALL_DEFAULTS, **given}
        want = e.Wanted(
            uid=submission.uid,
            ref=resolved.entry.ref,
            name=resolved.name,
            payload=submission.payload,
            shown=catalog.redaction.shown(resolved.entry, submission.payload),
            queue=settled.queue,
            priority=settled.priority,
            policy=settled.policy,
            delay_s=call.get("delay", 0.0),
            at=call.get("at"),
            expires_s=settled.expires_s,
            key=call.get("key"),
            on_duplicate=call["on_duplicate"],
            tags=call.get("tags"),
            parent=submission.parent,
            resent=submission.resent,
            after=call.get("after", []),
            on_parent_failure=call.get("on_parent_failure", "cancel"),
        )
        return want, call["durability"]

    # -- changes -------------------------------------------------------------------------------------------------------

    def _cancel(self, token: Token, request: m.Cancel) -> e.Event | None:
        if (request.ids is None) == (request.filter is None):
            raise BadArguments("cancel takes either ids or a filter")
        if request.grace_s is not None:
            options.duration(request.grace_s)
        if len(request.reason or "") > m.CANCEL_REASON_CHARS_MAX:  # each of these jobs, and who ends it, is told it
            raise BadArguments(f"a reason for a cancel has at most {m.CANCEL_REASON_CHARS_MAX:,} characters")
        more = False
        if request.ids is not None:
            ids = request.ids
            if len(ids) > m.CANCEL_JOBS_MAX:
                raise BadArguments(f"a cancel holds at most {m.CANCEL_JOBS_MAX:,} ids, not {len(ids):,}")
        else:
            assert request.filter is not None
            ids = []
            for job in reads.matching(self._machine, self._known(request.filter)):
                if job.state in UNFINISHED and job.cancel is None:
                    if len(ids) == m.CANCEL_JOBS_MAX:
                        more = True
                        break
                    ids.append(job.id)
        event = e.CancelAsked(token, ids, token.peer.who, request.reason, request.grace_s, more)
        return None if self._archive.cancel(event) else event

    def _set_queue(self, token: Token, request: m.SetQueue) -> e.Event:
        if request.mode not in ("open", "paused", "draining"):
            raise BadArguments(f"there is no queue mode {request.mode!r}", hint='"open", "paused" or "draining"')
        declared = self._machine.rules.queues
        if request.queue is not None and request.queue not in declared:
            raise reads.unknown_queue(request.queue, declared)
        return e.QueueSetAsked(token, [request.queue] if request.queue is not None else sorted(declared), request.mode)

    def _recycle(self, token: Token, pool: str) -> None:
        if self._machine.stopping is not None:
            raise WrongState("the supervisor is stopping; it starts no zygotes", hint="jobctl up")
        if not self._back.sites.recycle(pool, clock.now().boot):
            raise BadArguments(
                f"the config has no pool {pool!r}", hint=options.nearest_hint(pool, self._back.sites.pools)
            )
        log.info("pool %s: a fresh zygote was asked for by %s", pool, token.peer.who)
        self._back.answer_at_once(token, m.Recycled(pool))

    def _known(self, wanted: m.Filter) -> m.Filter:
        """The filter, with its job by the name that jobs have. A name that nothing has is a mistake, not an empty list.

        Raises:
            UnknownQueue: no such queue is declared, and no job is in one.
            BadArguments: no such job is allowed, and none is there.
            JobNotFound: the job to come after is not there, nor any that waited for it.
        """
        declared, jobs = self._machine.rules.queues, self._machine.state.jobs.values()
        queue, ref, catalog = wanted.queue, wanted.ref, self._back.catalog
        if queue is not None and queue not in declared and not any(job.queue == queue for job in jobs):
            raise reads.unknown_queue(queue, declared)
        if wanted.after is not None and wanted.after not in self._machine.state.dependencies.children:
            reads.find(self._machine, wanted.after)
        if ref is None or catalog is None or any(ref in (job.ref, job.name) for job in jobs):
            return wanted
        try:
            found = catalog.resolve(ref)
        except NotAllowed as error:
            raise BadArguments(f"there is no job {ref!r}: {error.message}", hint=error.hint) from None
        return dataclasses.replace(wanted, ref=found.name if found.alias else found.entry.ref)

    def _sought(self, wanted: m.Filter) -> tuple[m.Filter, JobyardError | None]:
        """As ``_known``; the error is raised later, if the history has nothing of that name either."""
        try:
            return self._known(wanted), None
        except (UnknownQueue, BadArguments, JobNotFound) as error:
            if not self._archive.may_hold_jobs:
                raise
            return wanted, error

    # -- reads ---------------------------------------------------------------------------------------------------------

    def _read(self, token: Token, request: m.Request) -> None:
        match request:
            case m.Ping():
                ready = self._back.catalog is not None
                self._back.answer(token, m.Pong(os.getpid(), __version__, ready, self._machine.state.generation))
            case m.Get():
                if not self._archive.get(token, request.ids, lambda ids: self._jobs(ids).jobs):
                    self._back.answer(token, self._jobs(request.ids))
            case m.List():
                self._list(token, request)
            case Stats():
                _, unknown = self._sought(m.Filter(queue=request.queue, ref=request.ref))
                self._archive.stats(token, request, unknown)
            case m.Status():
                self._back.answer(token, self._back.status())
            case m.Catalog():
                catalog = self._back.catalog
                assert catalog is not None, "it was waited for"
                self._back.answer(token, m.CatalogReply(catalog.entries, catalog.problems))
            case m.Wait():
                self._wait(token, request)
            case m.Logs():
                self._logs(token, request)
            case Events():
                self._events(token, request)
            case m.Counters():
                self._back.answer(token, self._back.counters.reply())
            case m.Why():
                self._why(token, request.id)
            case m.Submit() | m.Cancel() | m.RetryJob() | m.SetQueue() | m.Stop() | m.Reload():
                raise AssertionError(f"{request.VERB} is not a read")
            case m.RecyclePool() | m.LogFormat() | m.SetJob() | m.Remove() | m.Prune() | m.Compact():
                raise AssertionError(f"{request.VERB} is not a read")
            case _:
                assert_never(request)

    def _jobs(self, ids: list[int]) -> m.Jobs:
        return reads.jobs(self._machine, ids, self._back.output_dir, self._back.unwritten)

    def _list(self, token: Token, request: m.List) -> None:
        wanted, unknown = self._sought(request.filter)
        request = dataclasses.replace(request, filter=wanted)
        if not self._archive.page(token, request, unknown):
            if unknown is not None:
                raise unknown
            self._back.answer(token, reads.listed(self._machine, request))

    def _why(self, token: Token, job_id: int) -> None:
        if not self._archive.job(token, job_id, lambda job: self._back.answer(token, self._explained(job))):
            self._back.answer(token, self._explained(reads.find(self._machine, job_id)))

    def _explained(self, job: Job) -> m.Explanation:
        pools = self._back.status().pools
        troubles = {one.name: one.problem or f"it is {one.state}" for one in pools if one.problem or one.state != "up"}
        found = explain(self._machine, job, clock.now(), troubles)
        if self._back.degraded is not None and job.state in WAITING:
            storage = m.Reason("storage", f"the journal cannot be written ({self._back.degraded}): nothing starts")
            return dataclasses.replace(found, reasons=[storage, *found.reasons])
        return found

    def _wait(self, token: Token, request: m.Wait) -> None:
        if not request.ids:
            raise BadArguments("wait takes at least one id")
        if self._archive.wait(token, request, lambda open_ids: self.parked.park_wait(token, request, open_ids)):
            return
        waiting = {job_id for job_id in request.ids if reads.find(self._machine, job_id).state in UNFINISHED}
        done = len(set(request.ids)) - len(waiting)
        if not waiting or (request.any and done):
            self._answer_wait(token, request)
        else:
            self.parked.park_wait(token, request, waiting)

    def _answer_wait(self, token: Token, request: m.Wait) -> None:
        jobs = self._machine.state.jobs
        found = [jobs[job_id] for job_id in request.ids if job_id in jobs]
        if len(found) < len(request.ids):  # some have left memory meanwhile
            self._again(self._wait, token, request)
            return
        self._back.answer(token, reads.described(self._machine, [job for job in found if job.state not in UNFINISHED]))

    def _again(self, answer: Callable[[Token, Any], None], token: Token, request: Any) -> None:
        """Answer a request that was parked."""
        try:
            answer(token, request)
        except JobyardError as error:
            self._refuse(token, error)

    def _events(self, token: Token, request: Events) -> None:
        """A job that was pruned has ended; of one that never was there is nothing to tell."""
        self._back.stream.check(request)
        job_id, queue = request.filter.job_id, request.filter.queue
        if queue is not None:
            self._known(m.Filter(queue=queue))
        job = None if job_id is None else self._machine.state.jobs.get(job_id)
        if job_id is not None and job is None and not 0 < job_id <= self._machine.state.last_id:
            reads.find(self._machine, job_id)
        ended = job_id is not None and (job is None or job.state not in UNFINISHED)
        self._back.answer_events(Asked(token, request, ended))

    def _logs(self, token: Token, request: m.Logs, archived: Job | None = None) -> None:
        """Output of an attempt that was made, or, for a follower, of the one that comes next."""
        if archived is None and self._archive.job(token, request.id, lambda job: self._logs(token, request, job)):
            return
        job = archived or reads.find(self._machine, request.id)
        attempt = max(1, job.attempt) if request.attempt is None else request.attempt
        coming = attempt == job.attempt + 1 and request.follow
        if request.attempt is None and job.attempt == 0 and not request.follow:
            self._back.answer(token, m.LogReply(0, [], 0, ended=False))  # nothing has run, so nothing was written
            return
        if not (1 <= attempt <= job.attempt or coming):
            raise BadArguments(f"job {job.id} has no attempt {attempt}; it has made {job.attempt}")
        if request.offset < 0 or request.limit < 0:
            raise BadArguments(f"offset {request.offset} or limit {request.limit} is below 0")
        live = job.state in UNFINISHED if coming else attempt == job.attempt and job.child is not None
        directory = self._back.output_dir
        reply = output.reply(directory, request, attempt, live)
        if request.follow and live and not reply.chunks and (request.limit or reply.size <= request.offset):
            self.parked.park_logs(token, request)
            self._back.follow(job.id, max(reply.next_offset, reply.size))
            return
        if not reply.chunks and (loss := self._back.unwritten.loss_on_record(directory, job.id, attempt)) is not None:
            reply = dataclasses.replace(reply, unwritten_bytes=loss.size, unwritten_why=loss.why)
        self._back.answer(token, reply)


def _stronger(one: str, other: str) -> str:
    return min(one, other, key=("fsync", "written", "memory").index)
