"""When to compact the journal, and the archivist process that does it. The loop is never held up: it is told by a
descriptor when the archivist has ended."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from .journal.journal import Journal

log = logging.getLogger("jobyard.journal")
SLACK_BYTES = 48 * 1024 * 1024  # with the open segment the size stays below 2 x live + 64 MiB


class Compaction:
    """At most one archivist at a time. ``watch`` and ``unwatch`` are set by the driver."""

    def __init__(self, journal: Journal, directory: Path, kept_attempts: int) -> None:
        self._journal = journal
        self._kept_attempts = kept_attempts
        self._directory = directory
        self._seal_ticket: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._upto = 0
        self._not_before = 0
        self.watch: Callable[[int, Callable[[], None]], None]
        self.unwatch: Callable[[int], None]

    def consider(self) -> None:
        """Begin if it is worth it, or go on: seal, then start the archivist. Cheap when there is nothing to do."""
        journal = self._journal
        if self._process is not None or journal.failed is not None:
            return
        if self._seal_ticket is not None:
            if journal.synced >= self._seal_ticket:
                self._seal_ticket = None
                self._start(journal.sealed)
        elif journal.bytes_since_snapshot > max(SLACK_BYTES, journal.size // 2, self._not_before):
            self._seal_ticket = journal.seal()

    def close(self) -> None:
        """Stop an archivist at work: what it has not finished, the next one does."""
        if self._process is not None:
            self._process.kill()
            self._ended()

    def _start(self, upto: int) -> None:
        self._upto = upto
        command = [sys.executable, "-P", "-m", "jobyard.supervisor.archivist"]
        command += [str(self._directory), str(upto), "--kept-attempts", str(self._kept_attempts)]
        process = None
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            self._pidfd = os.pidfd_open(process.pid)
        except OSError as error:
            log.warning("the archivist could not be started: %s", error)
            if process is not None:
                process.kill()
                process.communicate()
            self._later()
            return
        self._process = process
        self.watch(self._pidfd, self._ended)

    def _ended(self) -> None:
        process, self._process = self._process, None
        assert process is not None
        self.unwatch(self._pidfd)
        os.close(self._pidfd)
        said = process.communicate()[1].decode(errors="backslashreplace").strip()
        if process.returncode == 0:
            try:
                self._journal.compacted(self._upto)
                self._not_before = 0
                log.info("journal: compacted up to segment %d, %d bytes left", self._upto, self._journal.size)
            except OSError as error:
                log.warning("journal: segments could not be removed: %s", error)
        elif process.returncode > 0:
            log.warning("the archivist failed (%d): %s", process.returncode, said[-500:])
            self._later()

    def _later(self) -> None:
        """Do not try again before as much has been written once more."""
        self._not_before = self._journal.bytes_since_snapshot + SLACK_BYTES
