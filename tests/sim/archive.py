"""A simulated history: what it holds, the process that answers from it, and the archivist that fills it.

The decisions about when to archive and compact are the real ``Compaction``'s; only its process is simulated. What the
history holds outlives everything, as a synced file does.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgpack
from disk import SimDisk
from jobyard.protocol import messages as m
from jobyard.protocol import schema
from jobyard.protocol.errors import HistoryUnavailable
from jobyard.protocol.job import Parent
from jobyard.protocol.states import FINISHED
from jobyard.supervisor import reads
from jobyard.supervisor.compaction import Compaction
from jobyard.supervisor.core.machine import Machine
from jobyard.supervisor.core.snapshot import job_from_wire, job_to_wire
from jobyard.supervisor.core.state import Job, State
from jobyard.supervisor.core.turn import describe
from jobyard.supervisor.spliced import job_elements
from scheduler import Scheduler

REMOVE_WITHIN_S, HIDDEN_WITHIN_S = 60.0, 20.0


class History:
    """Archived jobs by id, as ``job_to_wire`` makes them; ``upto`` counts the finishes that it has seen."""

    def __init__(self) -> None:
        self.jobs: dict[int, list[Any]] = {}
        self.uids: dict[str, int] = {}
        self.upto = 0

    def archive(self, state: State) -> int:
        """Store all finished jobs, over what was there."""
        stored = 0
        for job_id in state.finished:
            job = state.jobs[job_id]
            stored += job_id not in self.jobs
            self.jobs[job_id] = msgpack.unpackb(msgpack.packb(job_to_wire(job)))
            self.uids[job.uid] = job_id
        self.upto = max(self.upto, state.finish_count)
        return stored

    def forget(self, job_id: int) -> None:
        wire = self.jobs.pop(job_id, None)
        if wire is not None:
            self.uids.pop(wire[0][1], None)

    def job(self, job_id: int) -> Job:
        """As the history process describes it: ends of parents that are archived by now are filled in."""
        job = job_from_wire(self.jobs[job_id])
        for one, ended in job.parents.items():
            if ended is None and one in self.jobs:
                job.parents[one] = self.jobs[one][1]
        return job

    def answer(self, verb: str, body: Any) -> Any:
        """The verbs of ``supervisor/history/server.py`` that a simulated client can bring about."""
        match verb:
            case "jobs":
                return [[one, *self._info(self.job(one))] for one in body if one in self.jobs]
            case "wires":
                return [[one, job_to_wire(self.job(one))] for one in body if one in self.jobs]
            case "ids":
                return [one for one in body if one in self.jobs]
            case "known":
                ids = {uid: self.uids[uid] for uid in body["uids"] if uid in self.uids}
                return [ids, {one: self.jobs[one][1] for one in body["ids"] if one in self.jobs}]
            case "page":
                return self._page(body)
            case "remove":
                return self._remove(body)
            case "prune":
                return self._prune(body)
        raise AssertionError(f"the simulated history does not know {verb!r}")

    def _page(self, body: Any) -> list[Any]:
        request = schema.from_wire(m.List, body["request"])
        assert request.sort == "newest"
        below = min(body["highest"] + 1, request.before or 1 << 62)
        jobs = [self.job(one) for one in sorted(self.jobs, reverse=True) if one < below]
        found = [job for job in jobs if reads.fits(job, request)][: body["count"]]
        return [[job.id, job.finished_at, *self._info(job)] for job in found]

    def _info(self, job: Job) -> list[Any]:
        children = [one for one, wire in self.jobs.items() if job.id in (wire[0][16] or ())]
        open_parents = [one for one, ended in job.parents.items() if ended is None]
        parents = [Parent(one, ended or "") for one, ended in job.parents.items()]
        info = describe(job, job.attempts[-1].pool if job.attempts else "", parents, len(children))
        return [msgpack.packb(schema.to_wire(info)), job_elements(job), [open_parents, children]]

    def _remove(self, body: Any) -> list[int]:
        missing = [one for one in body["wanted"] if one not in self.jobs]
        if not missing:
            for one in [*body["wanted"], *(one for one, _ in body["here"])]:
                self.forget(one)
        return missing

    def _prune(self, body: Any) -> list[int]:
        here, spared = {one for one, _ in body["here"]}, set(body["spared"])
        states = body["states"] or FINISHED
        gone = [
            one
            for one, wire in self.jobs.items()
            if wire[10] <= body["before"] and wire[1] in states and one not in spared and one not in here
        ][: body["limit"]]
        for one in [*gone, *here]:
            self.forget(one)
        return gone


class SimHistoryLink:
    """As ``supervisor.history.link.HistoryLink``: one question at a time, answered later."""

    watch: Callable[[int, Callable[[], None], bool], None]
    unwatch: Callable[[int], None]
    lost: Callable[[str], None]

    def __init__(self, history: History, scheduler: Scheduler, later: Callable[[Callable[[], None]], None]) -> None:
        self.dead = False
        self._history = history
        self._scheduler = scheduler
        self._later = later
        self._free_at = 0.0

    def ask(self, verb: str, body: Any, now: float, answer: Callable[[Any], None], once: bool = False) -> None:
        body = msgpack.unpackb(msgpack.packb(body), strict_map_key=False)
        wait = self._scheduler.delay(0.003, "slow history")
        self._free_at = max(self._free_at, self._scheduler.clock.t + min(wait, 3.0)) + 1e-9
        self._scheduler.at(self._free_at, lambda: self._answer(verb, body, answer))

    def _answer(self, verb: str, body: Any, answer: Callable[[Any], None]) -> None:
        if self.dead:
            return
        if self._scheduler.strikes("history refuses"):
            found: Any = HistoryUnavailable("simulated", hint="")
        else:
            found = self._history.answer(verb, body)
        self._later(lambda: answer(found))

    def wake_at(self) -> None:
        return None

    def mind_deadlines(self, now: float) -> None:
        pass

    def close(self) -> None:
        self.dead = True


class SimCompaction(Compaction):
    """The real decisions, with an archivist that is two moments apart: the history is written, then the snapshot."""

    def __init__(
        self,
        journal: Any,
        machine: Machine,
        disk: SimDisk,
        history: History,
        scheduler: Scheduler,
        fd: int,
        point: Callable[[str], None],
        changed: Callable[[], None],
    ) -> None:
        super().__init__(
            journal,
            machine,
            Path("journal"),
            Path("history"),
            lambda: math.inf,
            lambda: "",
            lambda: REMOVE_WITHIN_S,
            lambda: HIDDEN_WITHIN_S,
        )
        self.dead = False
        self.done = False
        self._disk = disk
        self._store = history
        self._scheduler = scheduler
        self._fd = fd
        self._point = point
        self._changed = changed
        self._ending: tuple[int, bytes, bytes] = 0, b"", b""

    def _start(self) -> None:
        self._process = SimpleNamespace(pid=0)  # type: ignore[assignment]
        self.done = False
        self.watch(self._fd, self._ended)
        self._scheduler.after(self._scheduler.delay(0.1), self._archive_now)

    def _archive_now(self) -> None:
        if self.dead:
            return
        told: dict[str, Any] = {"upto": None, "stored": 0, "expired": 0, "trouble": None, "aside": None}
        told["left_behind"] = None
        if self._upto not in self._disk.segments or self._scheduler.strikes("archivist fails"):
            self._exit(1, b"", b"simulated")
            return
        state = self._disk.replay(self._machine.state.kept_attempts, self._upto)
        if self._scheduler.strikes("history refuses"):
            told["trouble"] = "simulated"
        else:
            told["stored"] = self._store.archive(state)
            told["upto"] = state.finish_count
        self._scheduler.after(self._scheduler.delay(0.05), lambda: self._snapshot(state, told))
        self._point("archived, no snapshot")

    def _snapshot(self, state: State, told: dict[str, Any]) -> None:
        if self.dead:
            return
        if self._upto not in self._disk.segments or self._disk.refuses:
            self._exit(1, b"", b"simulated")
            return
        self._disk.put_snapshot([msgpack.packb(chunk) for chunk in state.dump()], self._upto)
        self._point("snapshot written, nothing evicted")
        self._exit(0, json.dumps({"archived": told}).encode(), b"")

    def _exit(self, code: int, said: bytes, complaint: bytes) -> None:
        self._ending = code, said, complaint
        self._scheduler.after(0.0, self._exited)

    def _exited(self) -> None:
        self.done = True
        self._changed()

    def _reap(self) -> tuple[int, bytes, bytes]:
        self._process = None
        self.done = False
        self.unwatch(self._fd)
        return self._ending

    def close(self) -> None:
        self.dead = True
