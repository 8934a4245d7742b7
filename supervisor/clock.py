"""The one clock of the supervisor: what time it is, a timer that wakes the loop, and word of clock steps.

Boot time (CLOCK_BOOTTIME) goes on while the machine is suspended and never jumps; delays use it. The deadlines of
attempts use the monotonic clock, which stands still meanwhile. The timer is a timerfd where the system has one, so that
it fires after a suspend too; elsewhere the loop's timeout serves.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import sys
import time
from pathlib import Path

from .core.events import Now

REALTIME, MONOTONIC, BOOTTIME = 0, 1, 7  # clocks of a Timer
_TFD_FLAGS = 0o2000000 | 0o4000  # TFD_CLOEXEC | TFD_NONBLOCK
_TFD_TIMER_ABSTIME, _TFD_TIMER_CANCEL_ON_SET = 1, 2
_FAR_FUTURE_S = 1 << 40


class _TimeSpec(ctypes.Structure):
    _fields_ = [("sec", ctypes.c_int64), ("nsec", ctypes.c_int64)]


class _TimerSpec(ctypes.Structure):
    _fields_ = [("interval", _TimeSpec), ("value", _TimeSpec)]


def boot_id() -> str:
    """Names this boot of the machine; falls back to the boot moment where the kernel has no name for it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"boot-{round(time.time() - time.monotonic(), -1):.0f}"


def now() -> Now:
    """This moment on both clocks."""
    return Now(_boot_s(), time.time())


def _boot_s() -> float:
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class Timer:
    """Readable from a given time on. Without timerfd ``fileno`` is None; ``timeout_s`` says how long to wait.

    Args:
        clock: what it goes by, one of the constants above; without timerfd it is the monotonic clock in any case.

    Raises:
        OSError: no descriptor is free.
    """

    def __init__(self, clock: int = BOOTTIME) -> None:
        self._fd = _timerfd(clock)
        self._at: float | None = None

    def fileno(self) -> int | None:
        return self._fd

    def set(self, at: float | None) -> None:
        """Fire at this time (None: never); a moment that has passed fires at once."""
        if at == self._at:
            return
        self._at = at
        if self._fd is not None:
            # 0 would disarm it; the kernel refuses what is farther away than it can count
            _settime(self._fd, 0.0 if at is None else min(max(at, 1e-9), _FAR_FUTURE_S), _TFD_TIMER_ABSTIME)

    def clear(self) -> None:
        """Take note that it fired."""
        self._at = None
        if self._fd is not None:
            _drain(self._fd)

    def timeout_s(self) -> float | None:
        """Seconds until it fires, for systems without timerfd; None where the descriptor does it, or if not set."""
        if self._fd is not None or self._at is None:
            return None
        return max(0.0, self._at - _boot_s())

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class StepWatch:
    """Readable when somebody sets the wall clock. ``fileno`` is None where the system cannot tell."""

    def __init__(self) -> None:
        self._fd = _timerfd(REALTIME)
        self._arm()

    def fileno(self) -> int | None:
        return self._fd

    def clear(self) -> None:
        if self._fd is not None:
            _drain(self._fd)
            self._arm()

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _arm(self) -> None:
        if self._fd is not None:
            _settime(self._fd, _FAR_FUTURE_S, _TFD_TIMER_ABSTIME | _TFD_TIMER_CANCEL_ON_SET)


def _timerfd(clock: int) -> int | None:
    """None where the system has none; raises OSError where it has no room for one."""
    if not sys.platform.startswith("linux"):
        return None
    fd: int = _libc().timerfd_create(clock, _TFD_FLAGS)
    if fd < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return fd


@functools.cache
def _libc() -> ctypes.CDLL:
    """Made once: each new one looks its functions up again, which takes longer than what they do."""
    return ctypes.CDLL(None, use_errno=True)


def _settime(fd: int, at: float, flags: int) -> None:
    seconds = int(at)
    value = _TimeSpec(seconds, int((at - seconds) * 1e9) if at else 0)
    spec = _TimerSpec(_TimeSpec(0, 0), value)
    if _libc().timerfd_settime(fd, flags, ctypes.byref(spec), None) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _drain(fd: int) -> None:
    try:
        os.read(fd, 8)
    except BlockingIOError:
        pass
    except OSError as error:
        if error.errno != errno.ECANCELED:
            raise
