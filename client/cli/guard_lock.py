"""The lock that a guard holds while it lives. It names the guard and its supervisor, and is true while it is held."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from ...protocol.errors import JobyardError

FILE_NAME = "guard.lock"


@dataclass(frozen=True, slots=True)
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
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def __enter__(self) -> Self:
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _read(self._fd)
            self.__exit__()
            pid = owner.supervisor or owner.guard
            raise AlreadyGuarded(
                f"a supervisor already runs for {self._path.parent} (pid {pid})",
                hint="jobctl status",
                details={"pid": pid},
            ) from None
        self.name(0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        os.close(self._fd)
        self._fd = -1

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


def _read(fd: int) -> Guarded:
    words = os.pread(fd, 64, 0).split()
    pids = [int(word) for word in words[:2] if word.isdigit()]
    return Guarded(*pids) if len(pids) == 2 else Guarded(0, 0)
