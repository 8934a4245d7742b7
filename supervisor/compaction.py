"""When to compact the journal and to archive finished jobs, and the archivist process that does both.

The loop is never held up: it is told by a descriptor when the archivist has ended.
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

from ..protocol.errors import HistoryUnavailable, JobyardError
from . import clock
from .core import events as e
from .core.machine import Machine
from .journal.journal import Journal

log = logging.getLogger("jobyard.journal")
SLACK_BYTES = 48 * 1024 * 1024  # with the open segment the size stays below 2 x live + 64 MiB
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
        held: nothing is begun while this is not 0, so that what is being removed is not archived once more.
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
        self.held = 0
        self._journal = journal
        self._machine = machine
        self._directory = directory
        self._history = history
        self._retention = retention
        self._output_dir = output_dir
        self._remove_within = remove_within
        self._hidden_within = hidden_within
        self._hidden_since: float | None = None  # the journal holds hidden values of jobs that have ended
        self._hidden_anew: float | None = None  # as well, beyond what the archivist at work takes in
        if any(machine.state.jobs[job_id].shown is not None for job_id in machine.state.finished):
            self.values_dropped()
        self._seal_ticket: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._upto = 0
        self._finish_bytes = 0
        self._not_before = 0
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
            give_up: is called instead, with an error, if that takes longer than ``[history] remove_within``.
        """
        self._when_idle.append(_Waiting(call, give_up, clock.now().boot + self._remove_within()))
        self._tell_idle()

    def wake_at(self) -> float | None:
        """Boot time at which somebody has waited for too long, or hidden values are to leave the journal."""
        waits = [self._when_idle[0].until] if self._when_idle else []
        if self._hidden_since is not None and not (self._busy or self.held or self._journal.failed):
            waits.append(self._hidden_since + self._hidden_within())
        return min(waits, default=None)

    def values_dropped(self) -> None:
        """A job with hidden values has ended: what the journal has of them is to go in time."""
        if self._busy:
            self._hidden_anew = self._hidden_anew or clock.now().boot
        else:
            self._hidden_since = self._hidden_since or clock.now().boot

    def mind_deadlines(self, now: float) -> None:
        """Refuse those who have waited for too long, and begin if hidden values have been in the journal for long."""
        if self._values_are_due(now):
            self.consider()
        while self._when_idle and self._when_idle[0].until <= now:
            who = "the archivist is about to begin" if self._process is None else f"archivist {self._process.pid} works"
            message = f"nothing was removed: {who}, and was waited for as long as [history] remove_within says"
            self._when_idle.pop(0).give_up(HistoryUnavailable(message, hint="try again later"))

    def history_lost(self) -> None:
        """The history was set aside: what an archivist at work has stored may have gone with it."""
        self._void = self._busy

    @property
    def _busy(self) -> bool:
        return self._process is not None or self._seal_ticket is not None

    def _tell_idle(self) -> None:
        while self._when_idle and not self._busy:
            self._when_idle.pop(0).call()

    def consider(self) -> None:
        """Begin if it is worth it, or go on: seal, then start the archivist. Cheap when there is nothing to do."""
        journal = self._journal
        if self._process is not None or journal.failed is not None:
            return
        if self._seal_ticket is not None:
            if journal.synced >= self._seal_ticket:
                self._seal_ticket = None
                self._start(journal.sealed)
        elif not self.held and (self._journal_is_long() or self._jobs_wait() or self._values_are_due(clock.now().boot)):
            self._finish_bytes = self._machine.state.finish_bytes
            self._seal_ticket = journal.seal()

    def close(self) -> None:
        """Stop an archivist at work: what it has not finished, the next one does."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def _journal_is_long(self) -> bool:
        journal = self._journal
        return journal.bytes_since_snapshot > max(SLACK_BYTES, journal.size // 2, self._not_before)

    def _jobs_wait(self) -> bool:
        machine = self._machine
        due = machine.eviction.archive_due(machine.rules.limits)
        return due and machine.state.finish_count >= self._not_before_finish

    def _put_values_off(self) -> None:
        """It failed: do not try again at once."""
        if self._hidden_since is not None or self._hidden_anew is not None:
            self._hidden_since, self._hidden_anew = clock.now().boot, None

    def _values_are_due(self, now: float) -> bool:
        return self._hidden_since is not None and now >= self._hidden_since + self._hidden_within()

    def _start(self, upto: int) -> None:
        self._upto = upto
        command = [sys.executable, "-P", "-m", "jobyard.supervisor.archivist", str(self._directory), str(upto)]
        command += ["--kept-attempts", str(self._machine.state.kept_attempts), "--parent", str(os.getpid())]
        command += ["--history", str(self._history), "--retention", str(self._retention())]
        command += ["--output", self._output_dir()]
        process = None
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            self._pidfd = os.pidfd_open(process.pid)
        except OSError as error:
            log.warning("the archivist could not be started: %s", error)
            self._put_values_off()
            if process is not None:
                process.kill()
                process.communicate()
            self._later()
            return
        self._process = process
        self.watch(self._pidfd, self._ended)

    def _ended(self) -> None:
        code, said, complaint = self._reap()
        if code:
            self._put_values_off()
        if code == 0:
            self._archived(json.loads(said)["archived"])
            self._compacted()
        elif code > 0:
            why = complaint.decode(errors="backslashreplace").strip()
            log.warning("the archivist failed (%d): %s", code, why[-500:])
            self._later()
        self._void = False
        self._tell_idle()
        if code == 0:  # as many may have finished meanwhile, and then nothing more may happen for long
            self.settle()
            self.consider()

    def _reap(self) -> tuple[int, bytes, bytes]:
        """Exit code of the archivist that has ended, and what it said."""
        process, self._process = self._process, None
        assert process is not None
        self.unwatch(self._pidfd)
        os.close(self._pidfd)
        said, complaint = process.communicate()
        return process.returncode, said, complaint

    def _compacted(self) -> None:
        try:
            self._journal.compacted(self._upto)
            self._not_before = 0
            self._hidden_since, self._hidden_anew = self._hidden_anew, None
            log.info("journal: compacted up to segment %d, %d bytes left", self._upto, self._journal.size)
        except OSError as error:
            log.warning("journal: segments could not be removed: %s", error)
            self._put_values_off()

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
        self._not_before = self._journal.bytes_since_snapshot + SLACK_BYTES
        self._archive_later()

    def _archive_later(self) -> None:
        state = self._machine.state
        self._not_before_finish = state.finish_count + max(SLACK_JOBS, len(state.jobs) // 3)
