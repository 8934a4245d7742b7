"""The exclusive right to write in a state directory, held by one process for as long as it lives."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from types import TracebackType

from ...protocol.errors import JobyardError


class AlreadyLocked(JobyardError):
    """Another process holds the lock.

    Attributes:
        pid: of the holder, None if it did not say.
    """

    code = "already_locked"

    def __init__(self, directory: Path, pid: int | None) -> None:
        self.pid = pid
        holder = "another process" if pid is None else f"process {pid}"
        super().__init__(
            f"{directory} is in use by {holder}",
            hint="jobctl status shows it; jobctl down stops it",
            details={"directory": str(directory), "pid": pid},
        )


class DirectoryLock:
    """A lock on ``directory``, taken at once or not at all. The kernel drops it when the process ends in any way.

    The file stays when the lock goes: removing it would let two processes lock two files of one name.

    Raises:
        AlreadyLocked: somebody else has it.
        OSError: there is no such directory, or it cannot be locked.
    """

    def __init__(self, directory: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(directory / "lock", flags, 0o600)
        try:
            self._take(directory)
        except BaseException:
            os.close(self._fd)
            raise

    def release(self) -> None:
        """Let the next one have it. Harmless when done twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> DirectoryLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _take(self, directory: Path) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyLocked(directory, self._holder()) from None
        with contextlib.suppress(OSError):  # the pid is for people; a full disk must not keep the supervisor down
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def _holder(self) -> int | None:
        text = os.pread(self._fd, 32, 0).strip()
        return int(text) if text.isdigit() else None
