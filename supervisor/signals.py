"""Signals as readable bytes, so that the loop handles them between two steps and nothing runs inside a handler."""

from __future__ import annotations

import os
import signal

_NAMES = ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGBREAK")
WATCHED = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))


def hold_back() -> None:
    """Let those that come from here on wait for ``Signals``: a stop in the middle of a start is to end what runs."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)


class Signals:
    """Watches the signals of ``WATCHED`` from its creation to ``close``, and those that were held back before."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._before = {number: signal.signal(number, _ignore) for number in WATCHED}
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)

    def fileno(self) -> int:
        return self._read

    def take(self) -> list[signal.Signals]:
        """Signals that came since the last call."""
        try:
            return [signal.Signals(number) for number in os.read(self._read, 4096)]
        except BlockingIOError:
            return []

    def close(self) -> None:
        signal.set_wakeup_fd(-1)
        for number, before in self._before.items():
            signal.signal(number, before)
        os.close(self._read)
        os.close(self._write)


def _ignore(number: int, frame: object) -> None:
    """The byte in the wakeup pipe is all that is wanted."""
