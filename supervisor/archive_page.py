"""One page of a list in the making: what memory had when it was asked for, and what the history adds.

Owns the order of the two and when nothing can change any more. Asks nobody: questions and answers are plain values.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from ..protocol import messages as m
from ..protocol import schema
from ..protocol.errors import JobyardError
from ..protocol.job import JobInfo
from . import reads
from .core.machine import Machine
from .kin import up_to_date
from .spliced import Packed, Spliced


class Page:
    """What memory has wins over what the history has.

    Attributes:
        rounds: how often the history was asked.
        complete: nothing that is still to come can change it.
    """

    def __init__(
        self,
        machine: Machine,
        request: m.List,
        live: list[JobInfo],
        highest: int,
        unknown: JobyardError | None,
    ) -> None:
        self.request = request
        self.unknown = unknown
        self.rounds = 0
        self.complete = False
        self._machine = machine
        self._limit = reads.page_size(request)
        self._count = self._limit + 1 + len(live)
        self._highest = highest
        self._behind: tuple[int, float] | None = None
        self.found: list[tuple[tuple[float, int], JobInfo | Packed]] = []
        self._listed: set[int] = set()
        for info in live:
            self._add(info.id, info.finished_at, info)

    def question(self) -> dict[str, Any]:
        request = self.request
        if self._behind is not None:
            at = self._behind[1] if request.sort == "finished" else None
            request = dataclasses.replace(request, before=self._behind[0], before_at=at)
        return {"request": schema.to_wire(request), "highest": self._highest, "count": self._count}

    def take(self, rows: list[Any]) -> None:
        """The next jobs of the history, in order; what is in memory by now is taken from there."""
        self.rounds += 1
        for job_id, finished_at, data, elements, kin in rows:
            if job_id in self._listed:
                continue
            job = self._machine.state.jobs.get(job_id)
            if job is None:
                packed = up_to_date(self._machine, job_id, Packed(data, elements), kin)
                self._add(job_id, finished_at, packed)
            elif reads.fits(job, self.request):
                self._add(job_id, job.finished_at, self._machine.info(job))
        self.found.sort(key=lambda one: one[0])
        if len(rows) < self._count:
            self.complete = True
        else:
            last = rows[-1]
            self._behind = last[0], last[1]
            edge = reads.place(self.request.sort, last[0], last[1])
            self.complete = len(self.found) > self._limit and self.found[self._limit][0] <= edge

    def reply(self, incomplete: str | None) -> Spliced:
        jobs = [job for _, job in self.found[: self._limit]]
        return Spliced.fitting(jobs, len(self.found) > self._limit, incomplete)

    def _add(self, job_id: int, finished_at: float | None, job: JobInfo | Packed) -> None:
        self._listed.add(job_id)
        self.found.append((reads.place(self.request.sort, job_id, finished_at), job))
