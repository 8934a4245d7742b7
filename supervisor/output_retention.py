"""When to remove old output, and the process that does it (``output_pruner.py``).

Looks only when an attempt ends: nothing grows while none does, so an idle system is not woken. The loop is never held
up: it is told by a descriptor what the process has to say.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable

from ..conf.settings import OutputSettings
from .executors.orphans import note_own

log = logging.getLogger("jobyard")
PAUSE_S = 60.0  # at least, between two looks
PAUSE_FACTOR = 50.0  # a look may take a fiftieth of the time
LOOK_S = 3600.0  # for what is too old
_READ_BYTES = 64 * 1024


class Retention:
    """At most one pruner at a time.

    Args:
        settings: the ``[output]`` in force.
        running: the names of the outputs of all attempts that run.
        watch, unwatch: tell the loop of a descriptor.
    """

    def __init__(
        self,
        directory: str,
        settings: Callable[[], OutputSettings],
        running: Callable[[], list[str]],
        watch: Callable[[int, Callable[[], None]], None],
        unwatch: Callable[[int], None],
    ) -> None:
        self._directory = directory
        self._settings = settings
        self._running = running
        self._watch = watch
        self._unwatch = unwatch
        self._process: subprocess.Popen[bytes] | None = None
        self._list_fd = -1
        self._said = b""
        self._began_at = self._look_at = time.monotonic()
        self._pause_s = PAUSE_S
        self._ended_count = 0
        self._left: tuple[int, int] | None = None  # outputs and bytes after the last look

    def attempt_ended(self) -> None:
        """Look if there may be something to remove."""
        self._ended_count += 1
        if self._process is None and time.monotonic() - self._look_at >= self._pause_s and self._is_due():
            self._start()

    def close(self) -> None:
        """Stop a pruner at work: what it has not removed, the next one does."""
        if self._process is not None:
            self._process.kill()
            self._finish()

    def _is_due(self) -> bool:
        settings = self._settings()
        if settings.keep_s is settings.keep_count is settings.total_bytes is None:
            return False
        if self._left is None or time.monotonic() - self._look_at >= LOOK_S:
            return True
        count, size = self._left
        many = settings.keep_count is not None and count + self._ended_count > settings.keep_count
        most = size + self._ended_count * settings.max_job_bytes
        return many or (settings.total_bytes is not None and most > settings.total_bytes)

    def _start(self) -> None:
        settings = self._settings()
        limits = (settings.keep_s, settings.keep_count, settings.total_bytes)
        self._began_at = self._look_at = time.monotonic()
        self._ended_count, self._said = 0, b""
        try:
            self._list_fd = os.memfd_create("running")
            command = [sys.executable, "-P", "-m", "jobyard.supervisor.output_pruner", self._directory]
            command += [str(self._list_fd), *("none" if limit is None else str(limit) for limit in limits)]
            self._process = subprocess.Popen(
                command,
                pass_fds=[self._list_fd],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # what an interpreter may say there, on its way in and out, is no answer
            )
            note_own(self._process.pid)
        except OSError as error:
            log.warning("old output cannot be removed: %s", error)
            self._close_list()
            return
        assert self._process.stdout is not None
        self._watch(self._process.stdout.fileno(), self._readable)

    def _readable(self) -> None:
        assert self._process is not None and self._process.stdout is not None and self._process.stdin is not None
        said = os.read(self._process.stdout.fileno(), _READ_BYTES)
        self._said += said
        if not said:
            self._finish()
        elif not self._process.stdin.closed:
            os.write(self._list_fd, json.dumps(self._running()).encode())
            self._process.stdin.close()

    def _finish(self) -> None:
        process, self._process = self._process, None
        assert process is not None and process.stdout is not None and process.stdin is not None
        self._unwatch(process.stdout.fileno())
        process.stdout.close()
        process.stdin.close()
        self._close_list()
        self._pause_s = max(PAUSE_S, PAUSE_FACTOR * (time.monotonic() - self._began_at))
        code = process.wait()
        if code > 0:
            said = self._said.decode(errors="backslashreplace").strip()
            log.warning("old output could not be removed: %s (exit code %d)", said, code)
        elif code == 0:
            pruned = json.loads(self._said.splitlines()[-1])
            self._left = pruned["count"], pruned["size"]
            if pruned["removed_count"]:
                removed = pruned["removed_count"], pruned["removed_bytes"]
                log.info("output: removed that of %d attempts, %d bytes; that of %d is left", *removed, pruned["count"])

    def _close_list(self) -> None:
        if self._list_fd >= 0:
            os.close(self._list_fd)
            self._list_fd = -1
