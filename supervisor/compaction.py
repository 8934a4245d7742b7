"""When to compact the journal and to archive finished jobs, and the archivist process that does both.

One round: the open segment is sealed, the archivist runs, finished jobs leave memory, the journal's thread removes what
the snapshot covers. The loop is never held up: descriptors tell when the archivist and the thread are done.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ..protocol import errors
from ..protocol.errors import HistoryUnavailable, JobyardError, StorageUnavailable
from ..protocol.messages import Compacted
from . import clock
from .core import events as e
from .core.job import JOB_BYTES
from .core.machine import Machine
from .executors.orphans import note_own
from .hidden_values import HiddenValues
from .journal.journal import Journal

log = logging.getLogger("jobyard.journal")
Answer = Callable[[Compacted | JobyardError], None]
SLACK_BYTES = 48 * 1024 * 1024  # with the open segment the size stays below 2 x live + 64 MiB
LOW_SLACK_BYTES = 1024 * 1024  # the same while the disk is almost full
SLACK_JOBS = 1000  # finished jobs, at least, between two attempts to write a history that refuses


class _Waiting(NamedTuple):
    """Somebody who waits for the archivist to end, until a boot time."""

    call: Callable[[], None]
    give_up: Callable[[JobyardError], None]
    until: float


class Compaction:
    """At most one archivist at a time. ``watch`` to ``settle`` are set by the driver.

    Attributes:
        trouble: why the history could not be written the last time; None if it could.
    """

    def __init__(
        self,
        journal: Journal,
        machine: Machine,
        directory: Path,
        history: Path,
        retention: Callable[[], float],
        output_dir: Callable[[], str],
        remove_within: Callable[[], float],
        hidden_within: Callable[[], float],
    ) -> None:
        self.trouble: str | None = None
        self._journal = journal
        self._machine = machine
        self._directory = directory
        self._history = history
        self._retention = retention
        self._output_dir = output_dir
        self._remove_within = remove_within
        self._hidden = HiddenValues(hidden_within)
        self._dropped = 0  # of ``State.values_dropped``, so many are noted
        self._held = 0
        self._awaited: tuple[int, Callable[[], None]] | None = None  # a ticket, and what follows when it is synced
        self._asked: list[Answer] = []  # who waits for the next round
        self._askers: list[Answer] = []  # who waits for this one
        self._before_bytes = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._upto = 0
        self._finish_bytes = 0
        self._not_before = self._failed_live = 0
        self._not_before_finish = 0
        self._void = False
        self._when_idle: list[_Waiting] = []
        self.watch: Callable[[int, Callable[[], None]], None]
        self.unwatch: Callable[[int], None]
        self.take_in: Callable[[e.Event], None]
        self.settle: Callable[[], None]

    def when_idle(self, call: Callable[[], None], give_up: Callable[[JobyardError], None]) -> None:
        """Call it as soon as no archivist is at work or about to be; at once if that is so now.

        Args:
            give_up: is called with the error that it raises; instead of it, if that takes longer than
                ``[history] remove_within``.
        """
        self._when_idle.append(_Waiting(call, give_up, clock.now().boot + self._remove_within()))
        self._tell_idle()

    def wake_at(self) -> float | None:
        """Boot time at which somebody has waited for too long, or hidden values are to leave the journal."""
        waits = [self._when_idle[0].until] if self._when_idle else []
        due_at = self._hidden.due_at()
        if due_at is not None and not (self._busy or self._held or self._journal.failed):
            waits.append(due_at)
        return min(waits, default=None)

    def mind_deadlines(self, now: float) -> None:
        """Refuse those who have waited for too long, and begin if hidden values have been in the journal for long."""
        if self._machine.state.values_dropped != self._dropped:
            self._dropped = self._machine.state.values_dropped
            self._hidden.dropped(now, self._busy)
        if self._hidden.are_due(now):
            self.consider()
        while self._when_idle and self._when_idle[0].until <= now:
            who = "the archivist is about to begin" if self._process is None else f"archivist {self._process.pid} works"
            message = f"nothing was removed: {who}, and was waited for as long as [history] remove_within says"
            self._when_idle.pop(0).give_up(HistoryUnavailable(message, hint="try again later"))

    def history_lost(self) -> None:
        """The history was set aside: what an archivist at work has stored may have gone with it."""
        self._void = self._process is not None

    def hold(self) -> None:
        """Begin nothing before as many calls of ``let_go``, so that what is being removed is not archived once more."""
        self._held += 1

    def let_go(self) -> None:
        self._held -= 1
        self.consider()

    def ask(self, answer: Answer) -> None:
        """Compact now, whether or not it is worth it, with all that is in the journal by then."""
        self._asked.append(answer)
        self.consider()

    @property
    def _busy(self) -> bool:
        return self._process is not None or self._awaited is not None

    def _tell_idle(self) -> None:
        while self._when_idle and not self._busy:
            waiting = self._when_idle.pop(0)
            try:
                waiting.call()
            except JobyardError as error:
                waiting.give_up(error)

    def consider(self) -> None:
        """Begin a round if it is worth it, or go on with one. Cheap when there is nothing to do."""
        journal = self._journal
        if self._process is not None or journal.failed is not None:
            return
        if self._awaited is not None:
            ticket, then = self._awaited
            if journal.synced >= ticket:
                self._awaited = None
                then()
        elif not self._held and self._is_worth_it():
            self._askers, self._asked = self._asked, []
            self._finish_bytes = self._machine.state.finish_bytes
            self._before_bytes = journal.size
            self._awaited = journal.seal(), self._sealed

    def close(self) -> None:
        """Stop an archivist at work: what it has not finished, the next one does."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def _is_worth_it(self) -> bool:
        if self._asked or self._journal_is_long() or self._jobs_wait():
            return True
        return self._hidden.due_at() is not None and self._hidden.are_due(clock.now().boot)

    def _journal_is_long(self) -> bool:
        """On a disk that is almost full, also as soon as that would give back half of what the journal takes."""
        journal = self._journal
        since = journal.bytes_since_snapshot
        if journal.low_space and journal.size > 2 * (live := self._live_bytes) + LOW_SLACK_BYTES:
            return since > self._not_before or live < self._failed_live // 2
        return since > max(SLACK_BYTES, journal.size // 2, self._not_before)

    @property
    def _live_bytes(self) -> int:
        """About the size of a snapshot."""
        state = self._machine.state
        return state.unfinished_bytes + state.finished_bytes + JOB_BYTES * len(state.jobs)

    def _jobs_wait(self) -> bool:
        machine = self._machine
        due = machine.eviction.archive_due(machine.rules.limits)
        return due and machine.state.finish_count >= self._not_before_finish

    def _sealed(self) -> None:
        self._upto = self._journal.sealed
        if self._upto > self._journal.covered:
            self._start()
        else:  # a new start after a failure came in between, or nothing was written since the last snapshot
            self._hidden.gone()
            self._end(self._compacted(0, None))

    def _start(self) -> None:
        command = [sys.executable, "-P", "-m", "jobyard.supervisor.archivist", str(self._directory), str(self._upto)]
        command += ["--kept-attempts", str(self._machine.state.kept_attempts), "--parent", str(os.getpid())]
        command += ["--history", str(self._history), "--retention", str(self._retention())]
        command += ["--output", self._output_dir()]
        process = None
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            note_own(process.pid)
            self._pidfd = os.pidfd_open(process.pid)
        except OSError as error:
            if process is not None:
                process.kill()
                process.communicate()
            self._failed(StorageUnavailable(f"the archivist could not be started: {error}"), later=True)
            return
        self._process = process
        self.watch(self._pidfd, self._ended)

    def _ended(self) -> None:
        code, said, complaint = self._reap()
        if code != 0:
            self._void = False
            self._failed(_failure(code, complaint), later=code > 0)  # one that was killed may fare better next time
            return
        archived = json.loads(said)["archived"]
        self._archived(archived)
        self._void = False
        self.settle()  # jobs leave memory before segments are removed
        self._awaited = self._journal.compacted(self._upto), lambda: self._removed(archived)
        self.consider()

    def _removed(self, archived: dict[str, Any]) -> None:
        left = self._journal.left_behind
        self._not_before = self._failed_live = 0
        if left is None:
            self._hidden.gone()
            log.info("journal: compacted up to segment %d, %d bytes left", self._upto, self._journal.size)
        else:
            self._hidden.put_off(clock.now().boot)
            log.warning("journal: segments could not be removed: %s", left)
        trouble = self.trouble if left is None else f"segments could not be removed: {left}"
        self._end(self._compacted(archived["stored"], trouble))

    def _compacted(self, stored: int, trouble: str | None) -> Compacted:
        return Compacted(self._upto, self._before_bytes, self._journal.size, stored, trouble)

    def _failed(self, error: JobyardError, *, later: bool) -> None:
        log.warning("journal: not compacted: %s", error.message)
        self._hidden.put_off(clock.now().boot)
        if later:
            self._later()
        self._end(error)

    def _end(self, answer: Compacted | JobyardError) -> None:
        """The round is over. As many jobs may have finished meanwhile, and then nothing more may happen for long."""
        askers, self._askers = self._askers, []
        for tell in askers:
            tell(answer)
        self._tell_idle()
        if self._asked or isinstance(answer, Compacted):
            self.consider()

    def _reap(self) -> tuple[int, bytes, bytes]:
        """Exit code of the archivist that has ended, and what it said."""
        process, self._process = self._process, None
        assert process is not None
        self.unwatch(self._pidfd)
        os.close(self._pidfd)
        said, complaint = process.communicate()
        return process.returncode, said, complaint

    def _archived(self, told: dict[str, Any]) -> None:
        """What the archivist said of the history: finished jobs that it holds may leave memory."""
        if told["aside"]:
            log.error("history: the file was damaged; it is kept as %s, and a new one begun", told["aside"])
        if told["left_behind"]:
            log.warning("output of jobs forgotten for their age could not be removed: %s", told["left_behind"])
        self.trouble = told["trouble"]
        if self.trouble is not None:
            log.warning("history: it cannot be written (%s); finished jobs stay in memory for now", self.trouble)
            self._archive_later()
        elif not self._void:
            log.info("history: %d jobs archived, %d forgotten for their age", told["stored"], told["expired"])
            self._not_before_finish = 0
            self.take_in(e.Archived(told["upto"], self._finish_bytes))

    def _later(self) -> None:
        """Do not try again before as much has been written, and as many jobs have finished, once more."""
        slack = LOW_SLACK_BYTES if self._journal.low_space else SLACK_BYTES
        self._not_before = self._journal.bytes_since_snapshot + slack
        self._failed_live = self._live_bytes
        self._archive_later()

    def _archive_later(self) -> None:
        state = self._machine.state
        self._not_before_finish = state.finish_count + max(SLACK_JOBS, len(state.jobs) // 3)


def _failure(code: int, complaint: bytes) -> JobyardError:
    """Why the archivist ended with this code; it says an error as on the wire, unless that is a fault of ours."""
    try:
        return errors.from_wire(json.loads(complaint)["error"])
    except (ValueError, LookupError, TypeError):
        why = complaint.decode(errors="backslashreplace").strip()[-500:] or "it said nothing"
        return StorageUnavailable(f"the archivist ended with code {code}: {why}")
