"""The process of a zygote as its supervisor has it in hand: one that it launched, or one that it found.

Owns the pidfd, so that no signal can reach another process, and the way to its certain end.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass

from ...core.events import Child
from ..launch import Launched, last_errors
from ..run_as import User
from .fence import fence
from .limits import boot_id
from .procs import is_dead, start_time, user_of
from .reaper import signal_name


@dataclass(frozen=True, slots=True)
class Found:
    """A zygote that an earlier supervisor has recorded.

    Attributes:
        output_dir: where its pool's jobs write their output, as far as the config says now.
        current: it was started with the description that its pool has now.
        running: children that run an attempt, as the journal says.
    """

    pool: str
    uuid: str
    pid: int
    pid_started: int
    boot_id: str
    socket: str
    output_dir: str
    current: bool
    running: tuple[Child, ...]


class ZygoteProcess:
    """One zygote's process.

    Args:
        owner: user and group that it runs as; None if they are this process's own.
        errors: the file behind its stderr if it is a child of this process, else None.
    """

    def __init__(
        self, pid: int, pidfd: int, started: int, owner: tuple[int, int] | None, errors: int | None = None
    ) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.started = started
        self.boot_id = boot_id()
        self.owner = owner
        self._errors = errors

    @classmethod
    def launched(cls, launched: Launched, user: User | None) -> ZygoteProcess:
        owner = None if user is None else (user.uid, user.gid)
        return cls(launched.pid, launched.pidfd, launched.started, owner, launched.errors)

    @classmethod
    def find(cls, found: Found) -> ZygoteProcess:
        """The living process of this zygote.

        Raises:
            ProcessLookupError: it has ended, whoever has its pid now.
            OSError: no descriptor is free.
        """
        if found.boot_id != boot_id():
            raise ProcessLookupError
        pidfd = os.pidfd_open(found.pid)
        try:
            if start_time(found.pid) != found.pid_started or is_dead(found.pid):
                raise ProcessLookupError
            user = user_of(found.pid)
        except OSError:
            os.close(pidfd)
            raise
        return cls(found.pid, pidfd, found.pid_started, None if user[0] == os.geteuid() else user)

    def kill(self) -> None:
        """Kill it alone; its end is told by ``pidfd``."""
        with contextlib.suppress(ProcessLookupError):  # it has ended, and whoever adopted it has reaped it
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def fence(self, uuid: str, children: Iterable[Child]) -> tuple[bool, str]:
        """Kill all that is left of it and of what it started; whether that is all dead, and how it ended by itself."""
        known = [(child.pid, child.pid_started) for child in children]
        fenced = fence(uuid, self.pid, self.started, self.boot_id, known)
        if self._errors is None:
            return fenced, ""
        _, status = os.waitpid(self.pid, 0 if fenced else os.WNOHANG)
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            return fenced, f"its zygote was killed by {signal_name(-code)}"
        why = f"its zygote ended with exit code {code}\n{last_errors(self._errors)}".rstrip()
        return fenced, why if code else ""

    def close(self) -> None:
        os.close(self.pidfd)
        if self._errors is not None:
            os.close(self._errors)
