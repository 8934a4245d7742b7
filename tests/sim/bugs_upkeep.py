"""Planted bugs of compaction, of hidden values, and of what bounds requests."""

from __future__ import annotations

from typing import Any
from unittest import mock

from disk import SimJournal
from jobyard.supervisor.admission import Admission
from jobyard.supervisor.compaction import Compaction
from jobyard.supervisor.core import attempts
from jobyard.supervisor.core import records as r
from jobyard.supervisor.core import state as states
from jobyard.supervisor.core.state import State
from jobyard.supervisor.driver import Driver
from planting import Patch, bug, instead

# -- compaction --------------------------------------------------------------------------------------------------------


@bug("compaction", "who asks for a compaction while one is under way is answered with that one")
def asked_too_late() -> list[Patch]:
    def wrong(self: Compaction, answer: Any) -> None:
        (self._askers if self._busy else self._asked).append(answer)
        self.consider()

    return [mock.patch.object(Compaction, "ask", wrong)]


@bug("journal", "a segment that could not be sealed for want of space counts as sealed when there is space again")
def seal_forgotten() -> list[Patch]:
    def make(pass_over: Any) -> Any:
        def wrong(self: SimJournal, items: Any) -> None:
            pass_over(self, items)
            while self._kept and self._kept[-1].action is not None:
                self._kept.pop()

        return wrong

    return [instead(SimJournal, "_pass_over", make)]


# -- hidden values -----------------------------------------------------------------------------------------------------


@bug("state", "hidden values are dropped when an attempt has ended, though others follow")
def values_dropped_too_early() -> list[Patch]:
    def wrong(self: State, record: r.Ended) -> None:
        original(self, record)
        job = self.jobs[record.id]
        if job.shown is not None and job.finished_at is None:
            self.unfinished_bytes -= len(job.payload)
            job.payload = b""

    original = states._APPLY[r.Ended]
    return [mock.patch.dict(states._APPLY, {r.Ended: wrong})]


@bug("attempts", "what a job raised is kept with the hidden values that it repeats")
def values_in_errors() -> list[Patch]:
    return [mock.patch.object(attempts, "_error", lambda job, end: end.error if end is not None else None)]


@bug("compaction", "hidden values that were in the journal at the start stay there")
def values_before_the_start() -> list[Patch]:
    def make(init: Any) -> Any:
        def wrong(self: Compaction, journal: Any, machine: Any, *rest: Any) -> None:
            init(self, journal, machine, *rest)
            self._dropped = machine.state.values_dropped

        return wrong

    return [instead(Compaction, "__init__", make)]


@bug("driver", "nobody is woken for hidden values that were dropped while a compaction was under way")
def not_woken_for_values() -> list[Patch]:
    def make(synced: Any) -> Any:
        def wrong(self: Driver) -> None:
            with mock.patch.object(self.compaction, "wake_at", return_value=None):
                synced(self)

        return wrong

    return [instead(Driver, "_synced", make)]


# -- requests ----------------------------------------------------------------------------------------------------------


@bug("admission", "requests that were answered still count as under way")
def answers_make_no_room() -> list[Patch]:
    return [mock.patch.object(Admission, "done", return_value=None)]
