"""Forking children, several in a row.

Owns what a child is born with: its socket, the pipes of its output, its slot of the shared page, its number. A page of
memory that this process writes to after a fork is copied first, so what can be done before or after a row of forks is
not done between them.
"""

from __future__ import annotations

import _socket
import os
from time import monotonic  # bound here: each look-up copies pages

from . import channel, child, limits
from .channel import Boot
from .child import run_forked
from .control import Kid
from .page import SLOTS, Page, Slot

ROW_MAX = 8  # then the others get their turn; what is written to in between is copied once for all of a row
ROW_S = 0.01  # a row takes no longer, as far as the last one tells: deadlines wait for its end


class _Birth:
    """A child that is about to be forked.

    ``fd`` is its end of its socket, ``reads`` and ``writes`` are the ends of the pipes of its output.
    """

    __slots__ = ("fd", "ours", "reads", "slot", "slot_index", "writes")

    def __init__(self, slot_index: int, slot: Slot) -> None:
        """Raises OSError: no descriptor is free."""
        self.slot_index = slot_index
        self.slot = slot
        self.ours, its = _socket.socketpair(*channel.SOCKET)
        self.fd = its.detach()
        pipes: list[int] = []
        try:
            for _ in range(3):
                pipes += os.pipe()
        except OSError:
            channel.close_all([self.fd, *pipes])
            self.ours.close()
            raise
        slot.clear()
        self.reads = (pipes[0], pipes[2], pipes[4])
        self.writes = (pipes[1], pipes[3], pipes[5])

    def close_childs(self) -> None:
        """What only the child needs."""
        channel.close_all((self.fd, *self.writes))

    def close(self) -> None:
        self.close_childs()
        self.ours.close()
        channel.close_all(self.reads)


class Nursery:
    """Makes the children of this process."""

    def __init__(self, boot: Boot, page: Page, open_files: tuple[int, int]) -> None:
        self._page = page
        self._pid = os.getpid()
        sock = channel.Socket(*channel.SOCKET, 0, child.SOCKET_FD)  # some socket here, in each child its own
        prepare = child.confinement(boot, open_files, limits.oom_score())
        self._child = child.Child(boot, sock, limits.peak_since_fork, prepare)
        self._free_slots = list(range(SLOTS - 1, -1, -1))
        self._last_kid = 0
        self._row = 2  # until it is known how long a row takes

    def make(self, count: int) -> tuple[list[Kid], OSError | None]:
        """Some children that wait for their attempts, ``count`` at most; with what went wrong, if something did."""
        births, error = self._conceive(min(count, self._row))
        fork = os.fork
        given = [(self._pid, birth.fd, birth.writes, self._child.run, birth.slot) for birth in births]
        pids: list[int] = []
        began = monotonic() if count > 1 else 0.0
        try:
            for one in given:
                pid = fork()
                if pid == 0:
                    run_forked(*one)
                pids.append(pid)
        except OSError as failed:
            error = failed
        if count > 1:
            self._measured(len(pids), monotonic() - began)
        kids = [self._kid(birth, pid) for birth, pid in zip(births, pids, strict=False)]
        for birth in births[len(pids) :]:
            birth.close()
            self._free_slots.append(birth.slot_index)
        return kids, error

    def _measured(self, length: int, took_s: float) -> None:
        """Make the next row shorter if this one was too long, else a bit longer."""
        if took_s > ROW_S:
            self._row = max(1, int(length * ROW_S / took_s))
        elif self._row < ROW_MAX:
            self._row += 1

    def free(self, kid: Kid) -> None:
        """It is gone and done with: its slot may be another's."""
        kid.sock.close()
        self._free_slots.append(kid.slot_index)

    def _conceive(self, count: int) -> tuple[list[_Birth], OSError | None]:
        births: list[_Birth] = []
        try:
            for _ in range(count):
                if not self._free_slots:
                    raise OSError(0, f"there are {SLOTS} already")
                index = self._free_slots[-1]
                births.append(_Birth(index, self._page.slot(index)))
                self._free_slots.pop()
        except OSError as error:
            return births, error
        return births, None

    def _kid(self, birth: _Birth, pid: int) -> Kid:
        birth.close_childs()
        self._last_kid += 1
        kid = Kid(self._last_kid, pid, birth.ours, birth.slot_index, birth.slot)
        kid.pipes = birth.reads
        return kid
