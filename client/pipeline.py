"""Many submits in flight at once over one connection. Owns handles without an id yet, and refusals.

What does not wait is shared with ``aio_pipeline.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..protocol.errors import JobyardError, OutcomeUnknown
from ..protocol.messages import Accepted, Submission, Submit, Submitted
from .exchange import wrong_count
from .handle import Handle, Job
from .submission import chunks
from .submitter import Submitter

if TYPE_CHECKING:
    from .link import Link
    from .sync import Client

IN_FLIGHT_MAX = 256  # requests; beyond, a submit first waits for an answer


class Pending(Handle[Any]):
    """A handle whose submit is under way."""

    _refusal: JobyardError | None = None

    def __repr__(self) -> str:
        return f"<Job {self._id or ('refused' if self._refusal else 'under way')}>"

    def accept(self, accepted: Accepted) -> None:
        self._id, self.existing = accepted.id, accepted.existing

    def refuse(self, error: JobyardError) -> None:
        self._refusal = error


class PendingJob(Pending, Job[Any]):
    """A job whose submit is under way: what needs its id waits for the answer, or raises the refusal."""

    def __init__(self, client: Client, pipeline: Pipeline, uid: str) -> None:
        super().__init__(client, 0, uid)
        self._pipeline = pipeline

    @property
    def id(self) -> int:
        while not self._id and self._refusal is None:
            self._pipeline.settle_one()
        if self._refusal is not None:
            raise self._refusal
        return self._id


class Refusals(list[JobyardError]):
    """Of the submits of a pipeline."""

    def settle(self, jobs: Sequence[Pending], outcome: Submitted | JobyardError) -> None:
        """Give the handles of one request what was answered."""
        if isinstance(outcome, Submitted) and len(outcome.jobs) != len(jobs):
            outcome = wrong_count(len(jobs), len(outcome.jobs))
        if isinstance(outcome, JobyardError):
            self.append(outcome)
            for job in jobs:
                job.refuse(outcome)
            return
        for job, accepted in zip(jobs, outcome.jobs, strict=True):
            job.accept(accepted)

    def tell(self) -> None:
        """Raises an ExceptionGroup of them, if there are any."""
        if self:
            raise ExceptionGroup(f"{len(self)} submits of the pipeline were refused", self)


def not_answered() -> OutcomeUnknown:
    return OutcomeUnknown("the pipeline was left before this submit was answered")


class Pipeline(Submitter):
    """Made by ``Client.pipeline()``; to be used by one thread, in a ``with`` block."""

    def __init__(self, client: Client, timeout: float) -> None:
        self._client = client
        self._timeout = timeout
        self._borrowed: AbstractContextManager[Link] | None = None
        self._link: Link | None = None
        self._in_flight: dict[str, list[PendingJob]] = {}
        self._refusals = Refusals()

    def __enter__(self) -> Pipeline:
        if self._borrowed is not None:
            raise RuntimeError("a pipeline is for one with block; client.pipeline() makes another")
        self._borrowed = self._client.borrow()
        self._link = self._borrowed.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            while self._in_flight and (error is None or isinstance(error, Exception)):
                self.settle_one()
        finally:
            self._abandon()
        if error is None:
            self._refusals.tell()

    def settle_one(self) -> None:
        """Wait for the answer to any request that is in flight."""
        assert self._link is not None
        request_id, outcome = self._link.next()
        self._refusals.settle(self._in_flight.pop(request_id), outcome)

    def _accept(self, wanted: list[Submission]) -> list[Job[Any]]:
        if self._link is None:
            raise RuntimeError("a pipeline submits only inside its with block")
        jobs: list[Job[Any]] = []
        for chunk in chunks(wanted):
            while len(self._in_flight) >= IN_FLIGHT_MAX:
                self.settle_one()
            pending = [PendingJob(self._client, self, one.uid) for one in chunk]
            self._in_flight[self._link.start(Submit(chunk), self._timeout)] = pending
            jobs += pending
        return jobs

    def _abandon(self) -> None:
        """Give the link back; what was not answered is given up (only when the block was interrupted)."""
        assert self._link is not None and self._borrowed is not None
        for request_id, jobs in self._in_flight.items():
            self._link.forget(request_id)
            for job in jobs:
                job.refuse(not_answered())
        self._link = None
        self._borrowed.__exit__(None, None, None)
