"""Waiting for processes that are not our children, and signalling them, without ever hitting a reused pid."""

from __future__ import annotations

import os
import select
import signal
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from ..protocol.errors import Unauthorised

_POLL_S_MAX = 86_400.0  # it takes no longer than 24 days at once


class Process:
    """A process held by its pidfd from ``with`` to its end. One that is gone already counts as ended."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._fd = -1

    def __enter__(self) -> Self:
        try:
            self._fd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            pass
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def ended(self, timeout_s: float) -> bool:
        """Wait for its end, at most ``timeout_s``, which may be infinite."""
        if self._fd < 0:
            return True
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        until = time.monotonic() + timeout_s
        while not poll.poll(1000 * min(max(until - time.monotonic(), 0.0), _POLL_S_MAX)):
            if time.monotonic() >= until:
                return False
        return True

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens if it has ended.

        Raises:
            Unauthorised: it belongs to somebody else.
        """
        try:
            if self._fd >= 0:
                signal.pidfd_send_signal(self._fd, number)
        except ProcessLookupError:
            pass
        except PermissionError:
            raise Unauthorised(f"process {self.pid} belongs to another user", hint=f"sudo kill {self.pid}") from None


def tree_rss_bytes(pid: int) -> int | None:
    """Resident memory of a process and all below it, pages that they share counted in each; None if it is gone."""
    total, found = None, [pid]
    for one in found:
        try:
            pages = int(Path(f"/proc/{one}/statm").read_bytes().split()[1])
            for task in os.listdir(f"/proc/{one}/task"):
                found += map(int, Path(f"/proc/{one}/task/{task}/children").read_bytes().split())
        except (OSError, IndexError, ValueError):  # it has ended, or is not ours to see
            continue
        total = (total or 0) + pages * os.sysconf("SC_PAGE_SIZE")
    return total
