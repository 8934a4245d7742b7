"""The handle of a job, and waiting for several.

A handle holds ids only: what it tells is asked of the supervisor each time. Waiting is a request that the supervisor
answers when a job ends; nothing here looks again and again.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypeVar, Unpack

from ..protocol import options as parsers
from ..protocol.errors import BadArguments, JobOutcomeError, JobyardError, WaitTimeout
from ..protocol.job import JobInfo, Progress
from ..protocol.messages import Explanation, Wait
from ..protocol.states import SUCCEEDED
from ..protocol.text import shown
from .outcome import outcome_error

if TYPE_CHECKING:
    from ..protocol.notices import Notice
    from .lines import LogLine
    from .options import SetOptions
    from .sync import Client

R_co = TypeVar("R_co", covariant=True)
J = TypeVar("J", bound="Handle[Any]")
When = Literal["ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION"]
WAIT_IDS_MAX = 100  # in one parked request: each time one ends, this many ids are sent again


class Handle(Generic[R_co]):
    """The ids of a job that was submitted.

    Attributes:
        uid: made by the client that submitted it.
        existing: it was there before: the supervisor had this submit already, or an unfinished job with the same key.
    """

    def __init__(self, job_id: int, uid: str, *, existing: bool = False) -> None:
        self._id = job_id
        self.uid = uid
        self.existing = existing

    @property
    def id(self) -> int:
        return self._id

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, Handle) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)


class Job(Handle[R_co]):
    """A job that was submitted, through the client that it was submitted by."""

    def __init__(self, client: Client, job_id: int, uid: str, *, existing: bool = False) -> None:
        super().__init__(job_id, uid, existing=existing)
        self._client = client

    def info(self) -> JobInfo:
        """All that is known of it now.

        Raises:
            JobNotFound: it was pruned.
        """
        return self._client.info(self.id)

    @property
    def state(self) -> str:
        """One of protocol/states.py, such as "queued" or "succeeded"."""
        return self.info().state

    @property
    def progress(self) -> Progress | None:
        """How far it says it is, if it says so."""
        return self.info().progress

    def done(self) -> bool:
        """Whether it has succeeded, failed or been cancelled."""
        return self.info().finished

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for its end, at most ``timeout`` seconds; whether it has ended."""
        return self._ended(timeout) is not None

    def result(self, timeout: float | None = None) -> R_co:
        """Wait for its end, at most ``timeout`` seconds, and return what its function returned.

        Raises:
            JobFailed, JobTimedOut, JobCancelled, JobCrashed, JobLost: how it ended instead (all JobOutcomeError).
            WaitTimeout: it has not ended yet, and goes on.
        """
        info = self._end(timeout)
        error = outcome_error(info)
        if error is not None:
            raise error
        value: R_co = info.result
        return value

    def exception(self, timeout: float | None = None) -> JobOutcomeError | None:
        """Wait as ``result`` does; the error that it would raise for the job's end, or None."""
        return outcome_error(self._end(timeout))

    def cancel(self, grace: float | str | None = None, reason: str | None = None) -> bool:
        """Cancel it: at once if it waits; a running one is asked to stop, and killed after ``grace``.

        When this returns the wish is durable; ``wait`` tells when the job is gone.

        Returns:
            False if it had ended before.
        """
        return bool(self._client.cancel([self], grace=grace, reason=reason).cancelled)

    def retry(self) -> None:
        """Put it back into its queue.

        Raises:
            WrongState: it has not ended.
        """
        self._client.retry(self.id)

    def set(self, **changes: Unpack[SetOptions]) -> None:
        """Change it while it waits; see ``Client.set``.

        Raises:
            WrongState: it does not wait.
        """
        self._client.set(self, **changes)

    def why(self) -> Explanation:
        """Why it is in its state; ``str`` of it is a sentence."""
        return self._client.why(self)

    def logs(self, attempt: int | None = None, follow: bool = False) -> Iterator[LogLine]:
        """Lines of its output; see ``Client.logs``."""
        return self._client.logs(self.id, attempt, follow)

    def events(self) -> Iterator[Notice]:
        """What happened to it, as far as that is kept, and what happens until it is finished; see ``Client.events``."""
        return self._client.events("oldest", job=self)

    def _end(self, timeout: float | None) -> JobInfo:
        info = self._ended(timeout)
        if info is None:
            raise not_ended(self.id, timeout)
        return info

    def _ended(self, timeout: float | None) -> JobInfo | None:
        limit = seconds(timeout)
        if limit == 0:  # no time to wait for an answer to a parked request
            info = self.info()
            return info if info.finished else None
        try:
            reply = self._client.request(Wait([self.id]), limit)
        except WaitTimeout:
            if limit == math.inf:  # it can never end, as a client for tests knows
                raise
            return None
        return reply.jobs[0] if reply.jobs else self.info()  # pruned in between: let info() say so


class WaitResult(NamedTuple, Generic[J]):
    """The jobs that have ended, and the others."""

    done: set[J]
    not_done: set[J]


def as_completed(jobs: Iterable[Job[R_co]], timeout: float | None = None) -> Iterator[Job[R_co]]:
    """The jobs one by one, as they end.

    Raises:
        WaitTimeout: ``timeout`` seconds after the call some have not ended; they go on.
    """
    waiting = by_id(jobs)
    if not waiting:
        return iter(())
    ended = _ends(_client_of(waiting.values()), list(waiting), time.monotonic() + seconds(timeout))
    return _one_by_one(waiting, ended, timeout)


def _one_by_one(
    waiting: dict[int, Job[R_co]], ended: Iterator[list[JobInfo]], timeout: float | None
) -> Iterator[Job[R_co]]:
    count = len(waiting)
    try:
        for infos in ended:
            for info in infos:
                yield waiting.pop(info.id)
    except WaitTimeout:
        raise some_not_ended(len(waiting), count, timeout) from None


def wait(
    jobs: Iterable[Job[R_co]], timeout: float | None = None, return_when: When = "ALL_COMPLETED"
) -> WaitResult[Job[R_co]]:
    """Wait for jobs, at most ``timeout`` seconds.

    Args:
        return_when: "ALL_COMPLETED", "FIRST_COMPLETED", or "FIRST_EXCEPTION" (the first that did not succeed, else
        all).
    """
    check_when(return_when)
    waiting = by_id(jobs)
    done: set[Job[R_co]] = set()
    if not waiting:
        return WaitResult(done, set())
    client, deadline = _client_of(waiting.values()), time.monotonic() + seconds(timeout)
    ended = _ends(client, list(waiting), deadline, one=return_when != "ALL_COMPLETED")
    try:
        with contextlib.closing(ended):
            for infos in ended:
                done.update(waiting.pop(info.id) for info in infos)
                if any(is_enough(info, return_when) for info in infos):
                    break
    except WaitTimeout:
        if return_when == "ALL_COMPLETED":  # a request for many is not answered before all have ended: some may have
            done.update(waiting.pop(info.id) for info in client.infos(list(waiting)) if info.finished)
    return WaitResult(done, set(waiting.values()))


def _ends(client: Client, ids: list[int], deadline: float, *, one: bool = True) -> Generator[list[JobInfo], None, None]:
    """What became of these jobs, some at a time, as they end.

    Args:
        deadline: on the monotonic clock; may be infinite.
        one: tell of each end at once, not only when many or all have ended.

    Raises:
        WaitTimeout: the time is over.
    """
    with client.borrow() as link:
        groups: dict[str, list[int]] = {}

        def ask(group: list[int]) -> None:
            groups[link.start(Wait(group, any=one), deadline - time.monotonic())] = group

        try:
            for first in range(0, len(ids), WAIT_IDS_MAX):
                ask(ids[first : first + WAIT_IDS_MAX])
            while groups:
                request_id, outcome = link.next()
                group = groups.pop(request_id)
                if isinstance(outcome, JobyardError):
                    raise outcome
                ended = {info.id: info for info in outcome.jobs if info.id in group}
                if len(ended) < len(group):
                    ask([job_id for job_id in group if job_id not in ended])
                yield list(ended.values())
        finally:
            for request_id in groups:
                link.forget(request_id)


def by_id(jobs: Iterable[J]) -> dict[int, J]:
    """Each job once; raises BadArguments for what is none."""
    found: dict[int, J] = {}
    for job in jobs:
        if not isinstance(job, Handle):
            raise BadArguments(f"{shown(job)} is not a job", hint="give what submit returned, or client.get(id)")
        found[job.id] = job
    return found


def check_when(return_when: str) -> None:
    """Raises BadArguments."""
    if return_when not in ("ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION"):
        raise BadArguments(
            f"return_when={shown(return_when)}", hint='"ALL_COMPLETED", "FIRST_COMPLETED" or "FIRST_EXCEPTION"'
        )


def is_enough(info: JobInfo, return_when: When) -> bool:
    """Whether a job that ended so ends the wait of which it is part."""
    return return_when == "FIRST_COMPLETED" or (return_when == "FIRST_EXCEPTION" and info.state != SUCCEEDED)


def not_ended(job_id: int, timeout: float | None) -> WaitTimeout:
    return WaitTimeout(f"job {job_id} has not ended within {timeout} s; it goes on", details={"id": job_id})


def some_not_ended(left: int, count: int, timeout: float | None) -> WaitTimeout:
    return WaitTimeout(f"{left} of {count} jobs have not ended within {timeout} s; they go on")


def seconds(timeout: float | None) -> float:
    """A time limit in seconds, infinite for None.

    Raises:
        BadArguments: not a duration.
    """
    return math.inf if timeout is None or timeout == math.inf else parsers.duration(timeout)


def _client_of(jobs: Iterable[Job[Any]]) -> Client:
    clients = {id(job._client): job._client for job in jobs}
    if len(clients) != 1:
        raise BadArguments("the jobs are of several clients", hint="wait for the jobs of each client apart")
    return clients.popitem()[1]
