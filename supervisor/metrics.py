"""What happened to jobs since the supervisor was started, as counts that only ever grow; one set per queue.

Owns the counting and the bounds of the classes of times. What is there now is in the machine's state; how counts are
written down for others to read is a client's business.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

from ..protocol.counters import Counted, Distribution, QueueCounters
from ..protocol.job import AttemptInfo
from ..protocol.states import CANCELLED, FAILED, FINISHED, SUCCEEDED
from .core.effects import Notify
from .core.machine import Machine

BOUNDS_S = (0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 1800.0, 3600.0, 21600.0, 86400.0)


@dataclass(slots=True)
class _Times:
    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    sum_s: float = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.sum_s += max(0.0, seconds)

    def reply(self) -> Distribution:
        return Distribution(list(self.counts), self.sum_s)


@dataclass(slots=True)
class _Queue:
    """``ends`` counts jobs by the state in which they finished, ``attempts`` by outcome."""

    submitted: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    attempts: Counter[str] = field(default_factory=Counter)
    wait: _Times = field(default_factory=_Times)
    run: _Times = field(default_factory=_Times)
    cpu_s: float = 0.0

    def attempt_ended(self, attempt: AttemptInfo, outcome: str) -> None:
        self.attempts[outcome] += 1
        if attempt.ended_at is not None:
            self.run.add(attempt.ended_at - attempt.started_at)
        if attempt.usage is not None:
            self.cpu_s += attempt.usage.cpu_user_s + attempt.usage.cpu_system_s


class Counters:
    """Counts every notice that became durable."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._started_at = time.time()
        self._queues: dict[str, _Queue] = {}

    def take(self, notice: Notify) -> None:
        job = self._machine.state.jobs.get(notice.job_id)
        if job is None or notice.kind in ("progress", "requeued"):
            return
        queue = self._queues.setdefault(job.queue, _Queue())
        if notice.kind == "submitted":
            queue.submitted += 1
            return
        attempt = next((one for one in reversed(job.attempts) if one.number == notice.attempt), None)
        if notice.kind == "started" and attempt is not None:
            queue.wait.add(attempt.wait_s)
        if notice.kind == "ended" and attempt is not None and notice.outcome is not None:
            queue.attempt_ended(attempt, notice.outcome)
        if notice.kind in ("ended", "cancelled") and job.state in FINISHED and notice.attempt == job.attempt:
            queue.ends[job.state] += 1

    def reply(self) -> Counted:
        declared = dict.fromkeys([*sorted(self._machine.rules.queues), *sorted(self._queues)])
        return Counted(self._started_at, list(BOUNDS_S), [self._counters(name) for name in declared])

    def _counters(self, name: str) -> QueueCounters:
        queue = self._queues.get(name) or _Queue()
        return QueueCounters(
            queue=name,
            submitted=queue.submitted,
            succeeded=queue.ends[SUCCEEDED],
            failed=queue.ends[FAILED],
            cancelled=queue.ends[CANCELLED],
            attempts=dict(queue.attempts),
            wait=queue.wait.reply(),
            run=queue.run.reply(),
            cpu_s=queue.cpu_s,
        )
