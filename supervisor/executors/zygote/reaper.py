"""From the death of a child to the word that nothing of it is left.

Owns observing exits, sweeping what they leave behind, and reaping. An exit is reported when the whole tree is gone and
its output is written; a tree that cannot be killed is reported as such, so that it does not hold its slot for ever.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable

from . import excess
from .channel import Boot, Gone
from .control import REPORT_S, Control, Kid, now
from .deadlines import Deadlines
from .kill import OwnChildren, freeze_and_kill, reap, signal_group, sweep, tree
from .logs import Logs
from .procs import cpu_s

SWEEP, OUTPUT = "sweep", "output"
SWEEP_S = 0.03  # how long one sweep may hold up the others
SWEEP_AGAIN_S = 0.01
FREEZE_S = 0.3  # a tree that lives so much longer than its child is frozen before it is killed
OUTPUT_S = 2.0  # an exit waits so long for its last output: for a busy machine, or a writer that is started again


class _Grave:
    """A child that is dead and reaped, whose exit cannot be reported yet."""

    __slots__ = ("at", "code", "kid", "reason", "since", "survivors", "swept", "usage")

    def __init__(self, kid: Kid, code: int | None, usage: resource.struct_rusage | None) -> None:
        self.kid = kid
        self.code = code  # negative for a signal, None if it lives
        self.usage = usage
        self.at = time.time()
        self.since = now()
        self.swept = False
        self.survivors = 0
        self.reason: str | None = None


class Reaper:
    """Watches the children of this process.

    Args:
        known: pids of children that are not to be swept away.
        hear: takes in all that the supervisor has sent.
        wait: waits for the end of some child, a few milliseconds at most.
        report: told when nothing is left of a child.
    """

    def __init__(
        self,
        boot: Boot,
        deadlines: Deadlines,
        control: Control,
        logs: Logs,
        known: set[int],
        hear: Callable[[], None],
        wait: Callable[[], None],
        report: Callable[[Kid, Gone], None],
    ) -> None:
        self._boot = boot
        # Read here once: the zygote copies pages for each look at a field.
        self._bounded = boot.cpu_s is not None or boot.cgroup is not None
        self._deadlines = deadlines
        self._control = control
        self._logs = logs
        self._known = known
        self._hear = hear
        self._wait = wait
        self._report = report
        self._children = OwnChildren()
        self._by_pid: dict[int, Kid] = {}
        self._graves: dict[int, _Grave] = {}
        self._unkillable: set[int] = set()
        self._last_seq = 0

    def add(self, kid: Kid) -> None:
        """A child was made."""
        self._by_pid[kid.pid] = kid
        self._known.add(kid.pid)

    def observe(self) -> None:
        """Handle every child that has ended."""
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            kid = self._by_pid.get(found.si_pid)
            if kid is None:
                self._other(found.si_pid)
            else:
                if kid.start is None:  # it may have been given an attempt, also while others were buried here
                    self._hear()
                self._bury(kid)

    def stuck(self, kid: Kid) -> None:
        """This child outlives SIGKILL: it sits in the kernel. Its slot is freed; it is swept when it comes out."""
        self._by_pid.pop(kid.pid, None)
        self._unkillable.add(kid.pid)
        grave = self._dig(kid, None, None)
        grave.survivors = len(tree([kid.pid]))
        self._swept(grave)

    def sweep_again(self) -> None:
        """The rest of an earlier sweep is due."""
        left = self._sweep()
        waiting = [grave for grave in self._graves.values() if not grave.swept]
        age_s = now() - min((grave.since for grave in waiting), default=now())
        if left and age_s >= REPORT_S:
            self._known.update(left)
            self._unkillable.update(left)
            for grave in waiting:
                grave.survivors = len(left)
            left = []
        elif left and age_s >= FREEZE_S:
            freeze_and_kill(left)
        if left:
            self._sweep_later()
            return
        for grave in waiting:
            self._swept(grave)

    def output_done(self, kid_id: int) -> None:
        """The output of a child is complete, or was waited for long enough."""
        grave = self._graves.get(kid_id)
        if grave is not None and grave.swept:
            self._finish(grave)

    def _bury(self, kid: Kid) -> None:
        """The child is dead but not reaped, so its pid and its group cannot be anybody else's yet."""
        if any(pid not in self._known for pid in self._children.pids()):
            if kid.group is not None:
                kid.group.kill()
            signal_group(kid.pid, signal.SIGKILL)
            clean = not self._sweep()
        else:
            clean = True
        used_s = cpu_s(kid.pid) if self._bounded else 0.0
        _, status, usage = os.wait4(kid.pid, 0)
        del self._by_pid[kid.pid]
        self._known.discard(kid.pid)
        grave = self._dig(kid, os.waitstatus_to_exitcode(status), usage)
        if self._bounded and kid.killed is None:
            self._blame(grave, used_s)
        if clean:
            self._swept(grave)
        else:
            self._sweep_later()

    def _blame(self, grave: _Grave, used_s: float) -> None:
        """Note the limit that it went over, if it is known to have done so."""
        code, group = grave.code or 0, grave.kid.group
        grave.reason = excess.of_exit(self._boot, code, used_s)
        if code == -signal.SIGKILL and group is not None and group.ran_out():
            grave.kid.killed, grave.reason = "oom", excess.of_memory(self._boot)

    def _dig(self, kid: Kid, code: int | None, usage: resource.struct_rusage | None) -> _Grave:
        self._control.release(kid)
        grave = self._graves[kid.id] = _Grave(kid, code, usage)
        return grave

    def _other(self, pid: int) -> None:
        """A child that runs no attempt: the log writer, a helper, or what a dead attempt left."""
        reap(pid)
        self._known.discard(pid)
        if pid == self._logs.pid:
            self._logs.writer_ended()
        if pid in self._unkillable:
            self._unkillable.discard(pid)
            self._sweep_later()

    def _sweep(self) -> list[int]:
        return sweep(self._children.pids, self._known, self._wait, SWEEP_S)

    def _sweep_later(self) -> None:
        self._deadlines.set((SWEEP, 0), now() + SWEEP_AGAIN_S)

    def _swept(self, grave: _Grave) -> None:
        grave.swept = True
        if grave.kid.start is None or self._logs.end(grave.kid.id):
            self._finish(grave)
        else:
            self._deadlines.set((OUTPUT, grave.kid.id), now() + OUTPUT_S)

    def _finish(self, grave: _Grave) -> None:
        kid = grave.kid
        del self._graves[kid.id]
        if kid.group is not None:
            kid.group.remove()
        self._deadlines.drop((OUTPUT, kid.id))
        self._last_seq += 1
        self._report(kid, gone(self._last_seq, kid, grave.code, grave.usage, grave.at, grave.survivors, grave.reason))


def gone(
    seq: int,
    kid: Kid,
    code: int | None,
    usage: resource.struct_rusage | None,
    at: float,
    survivors: int,
    reason: str | None,
) -> Gone:
    """How a child ended. ``code`` is negative for a signal."""
    base = kid.slot.base()
    return Gone(
        seq=seq,
        kid=kid.id,
        exit_code=code if code is not None and code >= 0 else None,
        signal=signal_name(-code) if code is not None and code < 0 else None,
        killed=kid.killed,
        at=at,
        cpu_user_s=usage.ru_utime if usage else 0.0,
        cpu_system_s=usage.ru_stime if usage else 0.0,
        peak_bytes=max(0, usage.ru_maxrss * 1024 - base) if usage and base else 0,
        base_bytes=base,
        survivors=survivors,
        reason=reason,
    )


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"
