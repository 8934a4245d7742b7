"""What answers the requests of an ``InlineClient``: jobs in memory, run in this process by whoever submits them.

Owns jobs and what becomes of them after an attempt. Judges names, arguments and options as a supervisor does, by the
same catalogue. There is no clock in it: nothing happens but what is asked for.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from ...conf.catalog import Catalog
from ...protocol import messages as m
from ...protocol import notices, options, retry, states
from ...protocol import target as targets
from ...protocol.codec import pack_value
from ...protocol.errors import (
    BadArguments,
    DuplicateJob,
    JobNotFound,
    JobyardError,
    RetryLater,
    WaitTimeout,
    WrongState,
)
from ...protocol.job import AttemptInfo, JobInfo, Parent
from . import upkeep
from .attempt import Facts, JobRun, perform
from .story import Story


class Desk:
    """The jobs of one client.

    Args:
        allowed: the patterns by which the function of a job is looked up once more, as its process would.
        run_retries: an attempt that failed is followed by the next one at once.
    """

    def __init__(self, catalog: Catalog, allowed: list[str], *, run_retries: bool) -> None:
        self._catalog = catalog
        self._allowed = allowed
        self._run_retries = run_retries
        self._jobs: dict[int, JobInfo] = {}
        self._last_id = 0
        self._story = Story()
        self._excused: dict[int, set[int]] = {}  # parents that had ended when a job was put back: no obstacle any more
        self._runs: dict[tuple[int, int], JobRun[Any]] = {}

    def answer(self, request: m.Request) -> Any:
        """The reply to a request.

        Raises:
            JobyardError: it is refused.
        """
        match request:
            case m.Submit():
                return self._submit(request.jobs)
            case m.Get():
                return m.Jobs([self._told(self._find(job_id)) for job_id in request.ids])
            case m.List():
                return self._list(request)
            case m.Wait():
                return self._wait(request)
            case m.Cancel():
                return self._cancel(request)
            case m.RetryJob():
                return self._retry(request)
            case m.Logs():
                return self._logs(request)
            case m.SetJob():
                return self._set(request)
            case m.Remove():
                found, others = upkeep.split(self._all(request.ids), states.FINISHED, "has not ended")
                return m.Removed(self._forget([info.id for info in found]), others)
            case m.Prune():
                gone = upkeep.prunable(self._jobs, request)
                return m.Pruned(len(gone if request.dry_run else self._forget(gone)))
            case notices.Events():
                return self._story.answer(request)
            case m.Why():
                return upkeep.explain(self._told(self._find(request.id)))
            case m.Catalog():
                return m.CatalogReply(self._catalog.entries, self._catalog.problems)
        raise JobyardError(
            f"an InlineClient has no supervisor that could answer {request.VERB!r}", hint="test that with a real one"
        )

    def run_waiting(self) -> list[int]:
        """Run what waits for its time, once each; the ids."""
        waiting = [info.id for info in self._jobs.values() if info.state == states.SCHEDULED]
        for job_id in waiting:
            self._promote(job_id)
        self._let_go()
        return waiting

    # -- submit --------------------------------------------------------------------------------------------------------

    def _submit(self, submissions: list[m.Submission]) -> m.Submitted:
        wanted = [self._want(one) for one in submissions]
        accepted, fresh = [], []
        for info, on_duplicate in wanted:
            existing = self._by_key(info, on_duplicate)
            if existing is None:
                self._last_id += 1
                info = dataclasses.replace(info, id=self._last_id)
                self._jobs[info.id] = info
                self._story.tell(notices.SUBMITTED, info)
                fresh.append(info.id)
            accepted.append(m.Accepted(existing or info.id, info.uid, existing is not None))
        for job_id in fresh:
            if self._jobs[job_id].state == states.QUEUED:
                self._run(job_id)
        self._let_go()
        return m.Submitted(accepted)

    def _want(self, submission: m.Submission) -> tuple[JobInfo, str]:
        call = options.parse_call(submission.options)
        resolved = self._catalog.resolve(submission.ref, submission.method)
        self._catalog.check_arguments(resolved.entry, submission.arg_count, submission.kwarg_names)
        settled = self._catalog.settle(resolved, call)
        now, parents = time.time(), [self._find(one, "after: ") for one in call.get("after", [])]
        info = JobInfo(
            id=0,
            uid=submission.uid,
            ref=resolved.entry.ref,
            name=resolved.name,
            state=states.BLOCKED if parents else states.QUEUED,
            queue=settled.queue,
            pool=resolved.entry.pool,
            priority=settled.priority,
            created_at=now,
            run_at=call.get("at", now + call.get("delay", 0.0)),
            policy=settled.policy,
            payload=submission.payload,
            key=call.get("key"),
            tags=dict(call.get("tags") or {}),
            parent=submission.parent,
            parents=[Parent(one.id, one.state) for one in parents],
            on_parent_failure=call.get("on_parent_failure", "cancel"),
        )
        return info, call.get("on_duplicate", "return")

    def _by_key(self, wanted: JobInfo, on_duplicate: str) -> int | None:
        """The unfinished job that stands for this one because it has its key."""
        unfinished = (one for one in self._jobs.values() if wanted.key is not None and not one.finished)
        found = next((one for one in unfinished if one.key == wanted.key), None)
        if found is None:
            return None
        if on_duplicate == "raise":
            raise DuplicateJob(
                f"job {found.id} with the key {wanted.key!r} is not finished yet", details={"id": found.id}
            )
        if on_duplicate == "replace":
            self._cancel_one(found, "replaced by a job with the same key")
            return None
        return found.id

    # -- jobs that wait for others -------------------------------------------------------------------------------------

    def _let_go(self) -> None:
        """Run, or cancel, the jobs that need not wait for others any longer, until there are none."""
        while settled := next((one for one in self._jobs.values() if self._is_settled(one)), None):
            self._change(settled.id, parents=self._parents(settled))
            failed = self._failed_parent(settled)
            if failed is None:
                self._promote(settled.id)
            else:
                how = "was cancelled" if failed.state == states.CANCELLED else "failed"
                self._cancel_one(settled, f"job {failed.id}, for which it waited, {how}")

    def _is_settled(self, info: JobInfo) -> bool:
        if info.state != states.BLOCKED:
            return False
        waits = any(one.state not in states.FINISHED for one in self._parents(info))
        return not waits or self._failed_parent(info) is not None

    def _failed_parent(self, info: JobInfo) -> Parent | None:
        """The first whose end cancels this job."""
        excused = self._excused.get(info.id, ())
        ended = (one for one in self._parents(info) if one.state in states.FINISHED and one.id not in excused)
        failed = next((one for one in ended if one.state != states.SUCCEEDED), None)
        return failed if info.on_parent_failure == "cancel" else None

    def _parents(self, info: JobInfo) -> list[Parent]:
        return [Parent(one.id, self._jobs[one.id].state if one.id in self._jobs else one.state) for one in info.parents]

    def _told(self, info: JobInfo) -> JobInfo:
        """A job as it is shown; one that was let go keeps how its parents had ended."""
        count = sum(info.id in [one.id for one in child.parents] for child in self._jobs.values())
        parents = self._parents(info) if info.state == states.BLOCKED else info.parents
        return dataclasses.replace(info, parents=parents, children_count=count)

    # -- attempts ------------------------------------------------------------------------------------------------------

    def _promote(self, job_id: int) -> None:
        self._change(job_id, state=states.QUEUED)
        self._story.tell(notices.PROMOTED, self._jobs[job_id])
        self._run(job_id)

    def _run(self, job_id: int) -> None:
        """Run attempts of a job until it has ended or waits for its time."""
        again = True
        while again:
            info = self._jobs[job_id]
            number, began_at = info.attempt + 1, time.time()
            started = AttemptInfo(number, began_at, pool=info.pool)
            self._change(
                job_id,
                state=states.RUNNING,
                attempt=number,
                started_at=info.started_at or began_at,
                attempts=[*info.attempts, started],
            )
            self._story.tell(notices.STARTED, self._jobs[job_id])
            run = perform(partial(targets.load, info.ref, self._allowed), info.payload, _facts(info, number))
            again = self._ended(job_id, started, run)

    def _ended(self, job_id: int, started: AttemptInfo, run: JobRun[Any]) -> bool:
        """Take note of how an attempt ended; whether the next one is to follow at once."""
        info = self._jobs[job_id]
        self._runs[job_id, info.attempt] = run
        ended = dataclasses.replace(started, ended_at=time.time(), outcome=run.outcome, error=run.error_info)
        told: dict[str, Any] = {
            "attempts": [*info.attempts[:-1], ended],
            "progress": run.progress[-1] if run.progress else None,
        }
        delay_s, counted = _next(info, run)
        told["spent"] = info.spent + counted
        if delay_s is not None and not info.cancel_requested:
            self._change(job_id, state=states.SCHEDULED, run_at=time.time() + delay_s, **told)
            self._story.tell_end(self._jobs[job_id], ended)
            return self._run_retries and not isinstance(run.error, RetryLater)
        is_ok = run.outcome == states.OK
        result = pack_value(run.result) if is_ok else None
        failed = states.CANCELLED if info.cancel_requested else states.FAILED
        state = states.SUCCEEDED if is_ok else failed
        self._change(job_id, state=state, finished_at=time.time(), result_payload=result, **told)
        self._story.tell_end(self._jobs[job_id], ended)
        return False

    # -- the other requests --------------------------------------------------------------------------------------------

    def _list(self, request: m.List) -> m.Jobs:
        found = list(self._matching(request.filter, request.before))
        return m.Jobs([self._told(one) for one in found[: request.limit]], len(found) > request.limit)

    def _matching(self, wanted: m.Filter, before: int | None = None) -> Iterator[JobInfo]:
        for info in reversed(self._jobs.values()):
            if (
                (before is None or info.id < before)
                and (not wanted.states or info.state in wanted.states)
                and wanted.queue in (None, info.queue)
                and wanted.ref in (None, info.ref, info.name)
                and (wanted.since is None or info.created_at >= wanted.since)
                and wanted.tags.items() <= info.tags.items()
                and (wanted.after is None or wanted.after in [one.id for one in info.parents])
            ):
                yield info

    def _wait(self, request: m.Wait) -> m.Jobs:
        found = [self._find(job_id) for job_id in request.ids]
        finished = [self._told(info) for info in found if info.finished]
        if len(finished) == len(found) or (request.any and finished):
            return m.Jobs(finished)
        waiting = next(info for info in found if not info.finished)
        error = f" after {waiting.error.type}: {waiting.error.message}" if waiting.error else ""
        raise WaitTimeout(
            f"job {waiting.id} is {waiting.state}{error}, and nothing runs it while the test waits",
            hint="client.run_waiting()",
            details={"id": waiting.id},
        )

    def _cancel(self, request: m.Cancel) -> m.Cancelled:
        if request.ids is not None:
            found = [self._find(job_id) for job_id in request.ids]
        else:
            found = [info for info in self._matching(request.filter or m.Filter()) if not info.finished]
        reply = m.Cancelled([])
        for info in found:
            (reply.finished if info.finished else reply.cancelled).append(info.id)
            if not info.finished:
                self._cancel_one(info, request.reason)
        self._let_go()
        return reply

    def _cancel_one(self, info: JobInfo, reason: str | None) -> None:
        """A running one, which then asks for this itself, goes on to its end."""
        if info.state == states.RUNNING:
            self._change(info.id, cancel_requested=True, reason=reason)
        else:
            self._change(info.id, state=states.CANCELLED, finished_at=time.time(), reason=reason)
            self._story.tell(notices.CANCELLED, self._jobs[info.id], text=reason)

    def _retry(self, request: m.RetryJob) -> m.Requeued:
        info = self._find(request.id)
        if not info.finished:
            raise WrongState(f"job {info.id} is {info.state}; only a finished job can be tried again")
        state = states.BLOCKED if info.parents else states.QUEUED
        self._change(info.id, state=state, spent=0, finished_at=None, result_payload=None, reason=None)
        self._story.tell(notices.REQUEUED, self._jobs[info.id])
        self._excused[info.id] = {one.id for one in self._parents(info) if one.state in states.FINISHED}
        if not info.parents:
            self._run(info.id)
        self._let_go()
        return m.Requeued(info.id)

    def _set(self, request: m.SetJob) -> m.Changed:
        """What is to run at once does; a time that is still to come is noted."""
        waiting, others = upkeep.split(self._all(request.ids), states.WAITING, "does not wait")
        for new in [upkeep.changed(info, request, self._catalog) for info in waiting]:
            self._jobs[new.id] = new
            self._story.tell(notices.CHANGED, new)
            if new.state == states.SCHEDULED and new.run_at <= time.time():
                self._promote(new.id)
        self._let_go()
        return m.Changed([info.id for info in waiting], others)

    def _forget(self, ids: list[int]) -> list[int]:
        for child in list(self._jobs.values()):
            if child.state == states.BLOCKED:
                self._change(child.id, parents=self._parents(child))  # how those have ended is still known
        for job_id in ids:
            self._runs = {key: run for key, run in self._runs.items() if key[0] != job_id}
            del self._jobs[job_id]
        if ids:
            self._story.tell(notices.PRUNED, ids=ids)
        return ids

    def _logs(self, request: m.Logs) -> m.LogReply:
        info = self._find(request.id)
        number = info.attempt if request.attempt is None else request.attempt
        run = self._runs.get((info.id, number))
        if run is None:
            raise BadArguments(f"job {info.id} has no attempt {number}; it has made {info.attempt}")
        return m.LogReply(number, run.chunks, sum(len(chunk.data) for chunk in run.chunks), ended=True)

    def _all(self, ids: list[int]) -> list[JobInfo]:
        """Each of them once."""
        return [self._find(job_id) for job_id in dict.fromkeys(ids)]

    def _find(self, job_id: int, what: str = "") -> JobInfo:
        if job_id not in self._jobs:
            why = f"the last id is {self._last_id}" if job_id > self._last_id or job_id < 1 else "it was forgotten"
            raise JobNotFound(f"{what}there is no job {job_id}: {why}", details={"id": job_id})
        return self._jobs[job_id]

    def _change(self, job_id: int, **changes: Any) -> None:
        self._jobs[job_id] = dataclasses.replace(self._jobs[job_id], **changes)


def _facts(info: JobInfo, number: int) -> Facts:
    return Facts(
        info.id,
        number,
        info.max_attempts,
        info.uid,
        info.ref,
        info.queue,
        info.tags,
        [(one.id, one.state) for one in info.parents],
        info.policy.timeout_s,
    )


def _next(info: JobInfo, run: JobRun[Any]) -> tuple[float | None, bool]:
    """Seconds until the next attempt, None if there is none; and whether this one counts."""
    failures = info.spent + 1
    if run.outcome == states.OK or run.final:
        return None, True
    planned = retry.delay_s(info.policy.retry, info.uid, failures)
    if isinstance(run.error, RetryLater):
        counted = bool(run.error.count)
        if not counted or retry.may_retry(info.policy, failures, run.outcome, run.error_info):
            return planned if run.error.delay is None else options.duration(run.error.delay), counted
    if retry.may_retry(info.policy, failures, run.outcome, run.error_info):
        return planned, True
    return None, True
