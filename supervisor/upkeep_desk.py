"""The desk for requests of ``protocol/upkeep.py`` that change something: set, remove, prune, compact.

Jobs are changed and removed wherever they are: first the history forgets, and the output goes, then memory. Decides
nothing about a job that is in memory; the machine does.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Any

from ..conf.catalog import Catalog
from ..protocol import messages as m
from ..protocol import options
from ..protocol.errors import BadArguments, JobyardError
from ..protocol.states import FINISHED
from . import clock, reads
from .archive_desk import ArchiveDesk, Backstage
from .compaction import Compaction
from .core import events as e
from .core.machine import Machine
from .core.turn import no_such_job
from .core.upkeep import prunable
from .token import Token

log = logging.getLogger("jobyard.requests")


class UpkeepDesk:
    """One per supervisor. ``refuse`` answers with an error."""

    def __init__(
        self,
        machine: Machine,
        back: Backstage,
        archive: ArchiveDesk,
        compaction: Compaction,
        refuse: Callable[[Token, JobyardError], None],
    ) -> None:
        self._machine = machine
        self._back = back
        self._archive = archive
        self._compaction = compaction
        self._refuse = refuse

    def take(
        self, token: Token, request: m.SetJob | m.Remove | m.Prune | m.Compact, catalog: Catalog | None
    ) -> e.Event | None:
        """An event for the machine; None if the history is asked first."""
        match request:
            case m.SetJob():
                self._check_count(request.ids, request.VERB)
                event = self._set(token, request, catalog)
                return None if self._archive.set(event) else event
            case m.Remove():
                self._check_count(request.ids, request.VERB)
                log.info("removal of %d jobs asked by %s", len(request.ids), token.peer.who)
                self._remove(token, request)
            case m.Prune():
                self._prune(token, request)
            case m.Compact():
                log.info("compaction of the journal asked by %s", token.peer.who)
                self._compaction.ask(lambda done: self._compacted(token, done))
        return None

    def _check_count(self, ids: list[int], verb: str) -> None:
        if not 0 < len(ids) <= m.CHANGE_JOBS_MAX:
            raise BadArguments(f"a {verb} holds 1 to {m.CHANGE_JOBS_MAX:,} ids, not {len(ids):,}")

    def _set(self, token: Token, request: m.SetJob, catalog: Catalog | None) -> e.SetAsked:
        parsed = options.parse(options.SET_OPTIONS, request.options)
        if not parsed:
            raise BadArguments("nothing is to be changed", hint="one of " + ", ".join(options.SET_OPTIONS))
        queue, jobs = parsed.get("queue"), self._machine.state.jobs
        if queue is not None and queue not in self._machine.rules.queues:
            raise reads.unknown_queue(queue, self._machine.rules.queues)
        if queue is not None and catalog is not None:
            for job in (jobs[job_id] for job_id in request.ids if job_id in jobs):
                catalog.check_queue(job.ref, queue)
        return e.SetAsked(
            token,
            request.ids,
            token.peer.who,
            priority=parsed.get("priority"),
            queue=queue,
            delay_s=parsed.get("delay"),
            at=parsed.get("at"),
            limited="timeout" in parsed,
            timeout_s=parsed.get("timeout"),
        )

    def _remove(self, token: Token, request: m.Remove) -> None:
        self._archive.absent(request.ids)  # refuses ids of no job at once

        def ask() -> None:
            self._back.settle()
            absent = self._archive.absent(request.ids)  # again, for some may have been forgotten while this waited
            jobs = self._machine.state.jobs
            here = [[one, jobs[one].attempt] for one in request.ids if one in self._machine.state.finished]
            if not here and not absent:
                self._take_in(e.RemoveAsked(token, request.ids))
                return
            kept = [one for one in request.ids if one in jobs and one not in self._machine.state.finished]
            body = {"wanted": absent, "here": here, "output": self._back.output_dir}

            def then(missing: list[int]) -> None:
                """Some that were here may have left memory meanwhile, for the history that has forgotten them now."""
                if missing:
                    raise no_such_job(self._machine.state, missing[0])
                left = [one for one, _ in here if one not in jobs]
                self._take_in(e.RemoveAsked(token, request.ids, [*absent, *left], kept))

            self._ask_forgetting(token, "remove", body, then)

        self._compaction.when_idle(ask, partial(self._refuse, token))

    def _compacted(self, token: Token, done: m.Compacted | JobyardError) -> None:
        if isinstance(done, JobyardError):
            self._refuse(token, done)
        else:
            self._back.answer(token, done)

    # -- prune ---------------------------------------------------------------------------------------------------------

    def _prune(self, token: Token, request: m.Prune) -> None:
        reads.check_states(request.states, FINISHED)
        before = clock.now().wall - self._age_s(request)
        if request.dry_run:
            self._count(token, request, before)
            return
        log.info("prune asked by %s", token.peer.who)

        def ask() -> None:
            jobs = self._machine.state.jobs
            here = list(islice(prunable(self._machine.state, before, request.states), m.CHANGE_JOBS_MAX))
            body = {
                "before": before,
                "states": request.states,
                "here": [[one, jobs[one].attempt] for one in here],
                "spared": self._unfinished(),
                "limit": m.CHANGE_JOBS_MAX,
                "output": self._back.output_dir,
            }

            def then(gone: list[int]) -> None:
                """Some of them may be in memory as well, behind those that were looked at."""
                also = [job_id for job_id in gone if job_id in self._machine.state.finished]
                left = [job_id for job_id in here if job_id not in jobs]  # for the history, which has forgotten them
                more = m.CHANGE_JOBS_MAX in (len(here), len(gone))
                self._take_in(e.PruneAsked(token, list(dict.fromkeys([*here, *also])), [*gone, *left], more))

            self._ask_forgetting(token, "prune", body, then)

        self._compaction.when_idle(ask, partial(self._refuse, token))

    def _age_s(self, request: m.Prune) -> float:
        if request.older_s is not None:
            return options.duration(request.older_s)
        if request.states:
            return -math.inf
        if self._back.history_retention_s is None:
            why = "no age is given, and [history] retention keeps jobs for ever"
            raise BadArguments(why, hint="say how old: jobctl prune --older 30d")
        return self._back.history_retention_s

    def _count(self, token: Token, request: m.Prune, before: float) -> None:
        def then(found: Any) -> None:
            """Of those in memory, the history has counted all up to its watermark."""
            count, upto = found
            state = self._machine.state
            upto = upto if upto <= state.finish_count else 0  # of another journal
            count += sum(state.finished[one] > upto for one in prunable(state, before, request.states))
            self._back.answer(token, m.Pruned(count))

        body = {"before": before, "states": request.states, "spared": self._unfinished()}
        self._archive.ask(token, "count", body, then)

    def _unfinished(self) -> list[int]:
        """Of those that were put back, the history has what they were."""
        state = self._machine.state
        return [one for one in state.jobs if one not in state.finished]

    # -- forgetting ----------------------------------------------------------------------------------------------------

    def _ask_forgetting(self, token: Token, verb: str, body: Any, then: Callable[[Any], None]) -> None:
        """No archivist may come between the history and memory and store the jobs anew."""
        compaction = self._compaction
        compaction.hold()

        def done(found: Any) -> None:
            try:
                then(found)
            finally:
                compaction.let_go()

        def failed(error: JobyardError) -> None:
            compaction.let_go()
            raise error

        try:
            self._archive.ask(token, verb, body, done, failed, once=True)
        except JobyardError as error:
            compaction.let_go()
            self._refuse(token, error)

    def _take_in(self, event: e.Event) -> None:
        self._archive.change(event)
        self._back.settle()
