"""The lock that a guard holds while it lives. It names the guard and its supervisor.

Owns the file and what can be told from it: who guards, and whether a supervisor that is away is expected back.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import time
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from ..conf.paths import unusable
from ..protocol.errors import JobyardError
from ..protocol.plain import dataclass
from .processes import Process

FILE_NAME = "guard.lock"
LOOK_S, LOOK_PAUSE_S = 1.0, 0.001  # how long, and how often, a look of somebody else is waited for
OUTPUT_NAME = "supervisor.out"  # beside it: what a guard in the background, and its supervisors, print


@dataclass(frozen=True)
class Guarded:
    """``supervisor``: the pid of the one started last, 0 before the first."""

    guard: int
    supervisor: int


class AlreadyGuarded(JobyardError):
    """A supervisor already runs here."""

    code: ClassVar[str] = "already_running"


class GuardLock:
    """Held from ``with`` to its end; the kernel frees it when the process dies. No child inherits it.

    Raises:
        AlreadyGuarded: on entering, when another guard has it.
        StorageUnavailable, InvalidConfig: on entering, when its file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def __enter__(self) -> Self:
        try:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            self._take()
            self.name(0)
        except OSError as error:
            refusal = self._taken() if isinstance(error, BlockingIOError) else unusable(self._path, error)
            self.__exit__()
            raise refusal from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _take(self) -> None:
        """Somebody who only looks whether it is taken has it for a moment, and is waited for.

        Raises:
            BlockingIOError: another guard has it.
        """
        until = time.monotonic() + LOOK_S
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if guarded(self._path.parent) is not None or time.monotonic() >= until:
                    raise
            time.sleep(LOOK_PAUSE_S)

    def _taken(self) -> AlreadyGuarded:
        owner = _read(self._fd)
        if owner.supervisor and has_ended(owner.supervisor):
            what, hint = between_lives(self._path.parent, owner.guard)
            return AlreadyGuarded(f"{what} for {self._path.parent}", hint=hint, details={"pid": owner.guard})
        pid = owner.supervisor or owner.guard
        message = f"a supervisor already runs for {self._path.parent} (pid {pid})"
        return AlreadyGuarded(message, hint="jobctl status", details={"pid": pid})

    def name(self, supervisor: int) -> None:
        """Note the supervisor's pid."""
        os.pwrite(self._fd, f"{os.getpid():<11}{supervisor:<11}\n".encode(), 0)


def guarded(directory: Path) -> Guarded | None:
    """Who guards the supervisor of this state directory; None if nobody does."""
    try:
        fd = os.open(directory / FILE_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(fd)
    finally:
        os.close(fd)
    return None


def last_guarded(directory: Path) -> Guarded | None:
    """Who guarded last, whether it lives or not; None if that is not known.

    Takes no lock: whoever tries one has it for a moment, in which a guard that starts would be refused.
    """
    try:
        fd = os.open(directory / FILE_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = _read(fd)
    finally:
        os.close(fd)
    return found if found.guard and found.supervisor else None


def living_guard(directory: Path) -> int | None:
    """The pid of the guard that guarded last, if it lives."""
    last = last_guarded(directory)
    return None if last is None or has_ended(last.guard) else last.guard


def between_lives(directory: Path, guard: int) -> tuple[str, str]:
    """What to say while this guard is there and its supervisor is not, and what to do."""
    output = directory / OUTPUT_NAME
    hint = f"less {shlex.quote(str(output))}" if output.exists() else "look where jobctl up runs"
    return f"its jobctl up (pid {guard}) starts another supervisor", hint


def is_abandoned(directory: Path) -> bool:
    """Whether the last supervisor of this state directory and its guard are gone, so that none is expected back."""
    last = last_guarded(directory)
    return last is not None and has_ended(last.guard) and has_ended(last.supervisor)


def has_lost_guard(directory: Path, supervisor: int) -> bool:
    """Whether this supervisor had a guard that is gone, so that nobody would start it again."""
    last = last_guarded(directory)
    return last is not None and last.supervisor == supervisor and has_ended(last.guard)


def has_ended(pid: int) -> bool:
    try:
        with Process(pid) as process:
            return process.ended(0)
    except (OSError, OverflowError):  # no number of a process, or one that a thread has by now
        return False


def _read(fd: int) -> Guarded:
    words = os.pread(fd, 64, 0).split()
    pids = [int(word) for word in words[:2] if word.isdigit()]
    return Guarded(*pids) if len(pids) == 2 else Guarded(0, 0)
