"""The desk for jobs that have left memory: asks the history process, and puts its answers together with what is here.

Nothing waits: a request is remembered by the closure that goes on with it when the history has answered, and events for
the machine come later. What memory has wins over what the history has. Owns no connection (``history/link.py``) and no
decision about a job.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Protocol

from ..protocol import history as h
from ..protocol import messages as m
from ..protocol import schema
from ..protocol.errors import BadArguments, HistoryUnavailable, JobyardError
from ..protocol.ids import uid_time
from ..protocol.job import JobInfo
from ..protocol.states import FINISHED, UNFINISHED
from . import clock, reads
from .archive_page import Page
from .compaction import Compaction
from .core import events as e
from .core.machine import Machine
from .core.snapshot import job_from_wire, job_to_wire
from .core.state import Job
from .core.turn import no_such_job
from .counts import counted, uncounted
from .doubt import doubted
from .history.link import HistoryLink
from .history.series import Former, Group, Tally
from .kin import up_to_date
from .spliced import Packed, Spliced
from .token import Token

log = logging.getLogger("jobyard.history")
ROUNDS_MAX = 20  # questions for one answer
FAR_S = 1e12  # moments are nearer


class Backstage(Protocol):
    """What this desk needs of the driver."""

    @property
    def degraded(self) -> str | None: ...
    @property
    def history_retention_s(self) -> float | None: ...
    @property
    def output_dir(self) -> str: ...
    def answer(self, token: Token, reply: Any) -> None: ...
    def take_in(self, event: e.Event) -> None: ...
    def settle(self) -> None: ...


class ArchiveDesk:
    """One per supervisor. ``refuse`` answers with an error."""

    def __init__(
        self,
        machine: Machine,
        back: Backstage,
        link: HistoryLink,
        compaction: Compaction,
        refuse: Callable[[Token, JobyardError], None],
    ) -> None:
        self._machine = machine
        self._back = back
        self._link = link
        self._compaction = compaction
        self._refuse = refuse
        link.lost = self._lost

    # -- asking --------------------------------------------------------------------------------------------------------

    @property
    def may_hold_jobs(self) -> bool:
        """Whether there may be jobs that are not in memory."""
        return self._machine.state.pruned_id > 0

    def absent(self, ids: list[int]) -> list[int]:
        """Those of the ids that only the history may know.

        Raises:
            JobNotFound: one is of no job at all.
        """
        state = self._machine.state
        missing = [job_id for job_id in dict.fromkeys(ids) if job_id not in state.jobs]
        for job_id in missing:
            if not 0 < job_id <= state.pruned_id:
                reads.find(self._machine, job_id)
        if len(missing) > m.LIST_JOBS_MAX:
            raise BadArguments(f"{len(missing):,} of the jobs have left memory; ask for {m.LIST_JOBS_MAX:,} at a time")
        return missing

    def ask(
        self,
        token: Token,
        verb: str,
        body: Any,
        then: Callable[[Any], None],
        otherwise: Callable[[JobyardError], None] | None = None,
        once: bool = False,
    ) -> None:
        """``then`` takes the value of the answer; ``otherwise`` an error, which is the asker's if it is not given;
        ``once`` as of the link."""

        def answered(value: Any) -> None:
            try:
                if not isinstance(value, JobyardError):
                    then(value)
                elif otherwise is not None:
                    otherwise(value)
                else:
                    raise value
            except JobyardError as error:
                self._refuse(token, error)

        self._link.ask(verb, body, clock.now().boot, answered, once)

    def _lost(self, what: str) -> None:
        log.error("history: %s", what)
        self._compaction.history_lost()
        self._back.take_in(e.HistoryLost())

    def change(self, event: e.Event) -> None:
        """An event that waited for the history; the disk of the journal may have failed meanwhile."""
        if self._back.degraded is not None:
            raise HistoryUnavailable(f"the journal cannot be written ({self._back.degraded})", hint="try again later")
        self._back.take_in(event)

    # -- jobs by id ----------------------------------------------------------------------------------------------------

    def get(self, token: Token, ids: list[int], infos: Callable[[list[int]], list[JobInfo]]) -> bool:
        """Answer with the jobs if some of them have left memory. ``infos`` describes those that have not."""

        def then(_: list[int], found: list[Any]) -> None:
            archived = self._packed(found)
            here = [job_id for job_id in ids if job_id in self._machine.state.jobs]
            known: dict[int, JobInfo | Packed] = {**archived, **{info.id: info for info in infos(here)}}
            for job_id in ids:
                if job_id not in known:
                    raise no_such_job(self._machine.state, job_id)
            self._back.answer(token, Spliced.fitting(known[job_id] for job_id in dict.fromkeys(ids)))

        return self._look_up(token, "jobs", ids, then)

    def _look_up(self, token: Token, verb: str, ids: list[int], then: Callable[[list[int], Any], None]) -> bool:
        """Ask for those of the jobs that have left memory, and for those that do so meanwhile. False if none has."""
        absent = self.absent(ids)
        if not absent:
            return False

        def answered(found: Any) -> None:
            if set(self.absent(ids)) <= set(absent):
                then(absent, found)
            else:
                self._look_up(token, verb, ids, then)

        self.ask(token, verb, absent, answered)
        return True

    def _packed(self, found: list[Any]) -> dict[int, Packed]:
        """Archived jobs by id."""
        return {one: up_to_date(self._machine, one, Packed(data, elements), kin) for one, data, elements, kin in found}

    def wait(self, token: Token, request: m.Wait, park: Callable[[set[int]], None]) -> bool:
        """As ``get``, for jobs that are waited for: ``park`` is given those that are not finished yet, if need be."""
        jobs = self._machine.state.jobs

        def then(absent: list[int], found: list[Any]) -> None:
            archived = self._packed(found)
            for job_id in absent:
                if job_id not in archived and job_id not in jobs:
                    raise no_such_job(self._machine.state, job_id)
            here = [jobs[job_id] for job_id in dict.fromkeys(request.ids) if job_id in jobs]
            waiting = {job.id for job in here if job.state in UNFINISHED}
            if waiting and not (request.any and len(waiting) < len(set(request.ids))):
                park(waiting)
                return
            done = [self._machine.info(job) for job in here if job.state in FINISHED]
            rest = [packed for job_id, packed in archived.items() if job_id not in jobs]
            self._back.answer(token, Spliced.fitting([*done, *rest]))

        return self._look_up(token, "jobs", request.ids, then)

    def job(self, token: Token, job_id: int, then: Callable[[Job], None]) -> bool:
        """Go on with a job that has left memory, as it was."""
        if not self.absent([job_id]):
            return False
        self.ask(token, "wires", [job_id], lambda found: then(self._one(job_id, found)))
        return True

    def _one(self, job_id: int, found: list[Any]) -> Job:
        """The one job that was asked for."""
        if not found:
            raise no_such_job(self._machine.state, job_id)
        return job_from_wire(found[0][1])

    # -- lists ---------------------------------------------------------------------------------------------------------

    def page(self, token: Token, request: m.List, unknown: JobyardError | None) -> bool:
        """Answer with a page if it may hold jobs that have left memory.

        Args:
            unknown: what to refuse with if nothing is found.
        """
        state, states = self._machine.state, request.filter.states
        if not self.may_hold_jobs or (states and not FINISHED & set(states)):
            return False
        live, limit = reads.page(self._machine, request), reads.page_size(request)
        if request.sort == "newest" and len(live) > limit and live[limit - 1].id > state.pruned_id:
            return False
        page = Page(self._machine, request, [self._machine.info(job) for job in live], state.pruned_id, unknown)
        self._ask_page(token, page)
        return True

    def _ask_page(self, token: Token, page: Page) -> None:
        def then(rows: list[Any]) -> None:
            page.take(rows)
            if page.complete or page.rounds >= ROUNDS_MAX:
                self._answer_page(token, page, None if page.complete else "too many of these jobs were put back")
            else:
                self._ask_page(token, page)

        def otherwise(error: JobyardError) -> None:
            self._answer_page(token, page, error.message)

        self.ask(token, "page", page.question(), then, otherwise)

    def _answer_page(self, token: Token, page: Page, incomplete: str | None) -> None:
        if page.unknown is not None and page.request.before is None and not page.found and incomplete is None:
            raise page.unknown
        self._back.answer(token, page.reply(incomplete))

    # -- changes -------------------------------------------------------------------------------------------------------

    def submit(self, event: e.SubmitAsked) -> bool:
        """Look whether jobs that were sent again had been archived, and how parents that have left memory ended; the
        event comes back with what was found."""
        state = self._machine.state
        uids = [
            want.uid
            for want in event.jobs
            if want.resent and want.uid not in state.uids and uid_time(want.uid) <= state.pruned_until
        ]
        parents = self._gone_parents(event)
        if not uids and not parents:
            return False
        self._ask_known(event, uids, parents)
        return True

    def _gone_parents(self, event: e.SubmitAsked) -> set[int]:
        """Parents that have left memory, of which it is not known yet how they ended; of new jobs alone."""
        state = self._machine.state
        new = [want for want in event.jobs if want.uid not in state.uids]
        gone = {one for want in new for one in want.after if one not in want.archived_parents}
        return {one for one in gone if one not in state.jobs and one <= state.pruned_id}

    def _ask_known(self, event: e.SubmitAsked, uids: list[str], parents: set[int]) -> None:
        def change(known: e.SubmitAsked) -> None:
            with doubted(any(want.resent for want in event.jobs)):
                self.change(known)

        def then(found: Any) -> None:
            ids, ended = found
            known = replace(event, jobs=[_with_archived(want, ids, ended) for want in event.jobs])
            gone = self._gone_parents(known)
            if gone <= parents:
                change(known)
            else:  # others have left memory meanwhile
                self._ask_known(event, uids, parents | gone)

        def otherwise(error: JobyardError) -> None:
            if not uids:  # not stored before; but what was sent first may still wait here, and be stored
                with doubted(any(want.resent for want in event.jobs)):
                    raise error
            change(event)  # it is not known whether they were stored before, and that is what they are told

        self.ask(event.token, "known", {"uids": uids, "ids": sorted(parents)}, then, otherwise)

    def retry(self, token: Token, job_id: int) -> bool:
        if not self.absent([job_id]):
            return False

        def then(found: list[Any]) -> None:
            job = self._one(job_id, found)
            jobs = self._machine.state.jobs
            job.parents = {one: ended for one, ended in job.parents.items() if ended is not None or one in jobs}
            self.change(e.RetryAsked(token, job_id, token.peer.who, job_to_wire(job)))

        self.ask(token, "wires", [job_id], then)
        return True

    def cancel(self, event: e.CancelAsked) -> bool:
        """Jobs that have left memory have finished."""
        return self._split(event.token, event.ids, lambda here, archived: replace(event, ids=here, archived=archived))

    def set(self, event: e.SetAsked) -> bool:
        """As ``cancel``: they do not wait."""
        return self._split(event.token, event.ids, lambda here, archived: replace(event, ids=here, archived=archived))

    def _split(self, token: Token, ids: list[int], event: Callable[[list[int], list[int]], e.Event]) -> bool:
        """Go on with ``event`` of the ids that are in memory and of those that the history has."""

        def then(absent: list[int], found: list[int]) -> None:
            jobs = self._machine.state.jobs
            archived = [job_id for job_id in found if job_id not in jobs]
            for job_id in absent:
                if job_id not in found and job_id not in jobs:
                    raise no_such_job(self._machine.state, job_id)
            self.change(event([job_id for job_id in ids if job_id not in archived], archived))

        return self._look_up(token, "ids", ids, then)

    # -- counts --------------------------------------------------------------------------------------------------------

    def stats(self, token: Token, request: h.Stats, unknown: JobyardError | None) -> None:
        """Answer with what memory and the history have counted; with ``unknown`` if that is nothing."""
        wrong = [one for one in request.by if one not in h.GROUPS]
        if wrong:
            raise BadArguments(f"jobs cannot be grouped by {wrong[0]!r}", hint="any of: " + ", ".join(h.GROUPS))
        for at in (request.since, request.until):
            if at is not None and not abs(at) < FAR_S:
                raise BadArguments(f"{at!r} is no moment in seconds since the epoch")

        def answer(
            upto: int, groups: dict[Group, Tally], formers: Iterable[Former] = (), incomplete: str | None = None
        ) -> None:
            reply = counted(self._machine.state, request, upto, groups, formers)
            if unknown is not None and not reply.rows and incomplete is None:
                raise unknown
            self._back.answer(token, replace(reply, incomplete=incomplete or reply.incomplete))

        def ask(rounds: int) -> None:
            eviction = self._machine.eviction
            before = eviction.upto

            def then(found: Any) -> None:
                upto, rows, formers = found
                overtaken = upto < eviction.upto != before  # jobs have left memory since the history looked
                if overtaken and rounds < ROUNDS_MAX:
                    ask(rounds + 1)
                    return
                groups = {tuple(group): Tally.from_wire(wire) for group, wire in rows}
                incomplete = "jobs leave memory faster than they are counted" if overtaken else None
                answer(upto, groups, map(Former._make, formers), incomplete)

            ids = uncounted(self._machine.state, before)
            self.ask(token, "stats", {"request": schema.to_wire(request), "ids": ids}, then, otherwise)

        def otherwise(error: JobyardError) -> None:
            answer(self._machine.eviction.upto, {}, incomplete=error.message)

        ask(1)


def _with_archived(want: e.Wanted, ids: dict[str, int], ended: dict[int, str]) -> e.Wanted:
    parents = {one: ended[one] for one in want.after if one in ended}
    return replace(want, archived_id=ids.get(want.uid), archived_parents=parents)
