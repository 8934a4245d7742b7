"""The zygote: a small process with a pool's modules loaded, which forks a child for each attempt.

Owns its loop, its children's numbers, and what it tells the supervisor. It outlives the supervisor, and goes on keeping
deadlines and results meanwhile. It decides nothing about jobs. Started by ``executor.py`` as
``python -P -m jobyard.supervisor.executors.zygote.zygote``.
"""

from __future__ import annotations

import os
import select
import signal
from typing import Any

from . import channel, code_version, limits
from .boot import Booted, boot
from .cgroup import Groups, Kernel
from .control import Control, Kid, now
from .deadlines import Deadlines
from .kill import signal_group
from .link import Link
from .logs import WRITER, Logs
from .loop import Loop
from .nursery import Nursery
from .procs import start_time
from .reaper import OUTPUT, SWEEP, Reaper
from .scratch import remove

LONELY = "lonely"
LONELY_S = 60.0  # without a supervisor and without anything to tell one
CHILD_WAIT_MS = 2


class Zygote:
    """Everything one zygote has."""

    def __init__(self, booted: Booted) -> None:
        self._boot = booted.boot
        self._booted = booted
        self._pid = os.getpid()
        self._known: set[int] = set()
        self._kids: dict[int, Kid] = {}
        self._exits: dict[int, channel.Gone] = {}
        self._untold: list[channel.Gone] = []
        self._owed = 0
        self._retiring = False
        self._left = False
        self._page = booted.page
        self._groups = _groups(booted.boot)
        self._nursery = Nursery(booted.boot, booted.page, booted.open_files)
        self._loop = Loop()
        self._deadlines = Deadlines()
        self._wakeup = self._watch_children()
        self._control = Control(
            self._deadlines,
            _slay,
            self._stuck,
            stack_dump=self._boot.stack_dump,
        )
        self._logs = Logs(
            self._loop,
            self._deadlines,
            self._known,
            self._page,
            self._boot,
            lambda kid, done: self._link.put(channel.Grown(kid, done)),
            lambda kid: self._reaper.output_done(kid),
            lambda unwritten: self._link.put(unwritten),
        )
        self._reaper = Reaper(
            self._boot,
            self._deadlines,
            self._control,
            self._logs,
            self._known,
            lambda: self._link.drain(),
            self._wait_for_child,
            self._ended,
        )
        self._link = Link(self._loop, booted.listener, self._greet, self._message, self._lost)
        self._lost()

    # -- the loop ------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Until it is retired and has nothing left, or is left alone with nothing to tell."""
        while not self._finished():
            self._loop.run_once(self._timeout_s())
            for key in self._deadlines.due(now()):
                self._expire(*key)
            self._tell_exits()
            if self._owed:
                self._make()
        self._logs.close()

    def _timeout_s(self) -> float | None:
        if self._owed:
            return 0.0
        at = self._deadlines.next_at()
        return None if at is None else max(0.0, at - now())

    def _expire(self, what: str, number: int) -> None:
        if what == SWEEP:
            self._reaper.sweep_again()
            self._children_ended(0)  # those that ended while it waited
        elif what == OUTPUT:
            self._reaper.output_done(number)
        elif what == WRITER:
            self._logs.restart()
        elif what == LONELY:
            self._left = not self._link.connected
        elif number in self._kids:
            self._control.expire(what, self._kids[number])

    def _finished(self) -> bool:
        if self._left and not self._exits and all(kid.start is None for kid in self._kids.values()):
            return True  # children without an attempt die with this process
        return self._retiring and not self._kids and not len(self._logs)

    # -- the supervisor ------------------------------------------------------------------------------------------------

    def _greet(self) -> None:
        """Tell a supervisor everything."""
        self._deadlines.drop((LONELY, 0))
        self._left = False
        self._owed = 0
        self._link.put(self._welcome(), (self._page.fd,))
        kids = list(self._kids.values())
        for first in range(0, len(kids), channel.KIDS_PER_MESSAGE):
            batch = kids[first : first + channel.KIDS_PER_MESSAGE]
            self._link.put(channel.Kids([_listed(kid) for kid in batch]), tuple(kid.sock.fileno() for kid in batch))
        self._untold = list(self._exits.values())
        self._tell_exits()
        self._link.put(channel.Ready(self._booted.warnings, self._booted.code_version))

    def _welcome(self) -> channel.Welcome:
        return channel.Welcome(
            channel.ADOPTION_VERSION,
            self._boot.uuid,
            self._pid,
            start_time(self._pid),
            limits.boot_id(),
            self._boot.output_dir,
            self._boot.scratch_root,
            not self._retiring and code_version.name(self._booted.sources) == self._booted.code_version,
        )

    def _lost(self) -> None:
        self._deadlines.set((LONELY, 0), now() + LONELY_S)

    def _message(self, message: Any) -> None:
        match message:
            case channel.Prepare():
                self._prepare(message.wanted)
            case channel.Ack():
                self._acknowledged(message.seqs)
            case channel.Retire():
                self._retire()
            case channel.Follow():
                self._logs.follow(message.kid, message.size)
            case channel.Start() | channel.Kill() | channel.Discard():
                if (kid := self._kids.get(message.kid)) is not None:
                    self._of_kid(message, kid)

    def _of_kid(self, message: channel.Start | channel.Kill | channel.Discard, kid: Kid) -> None:
        match message:
            case channel.Start():
                if kid.start is None and not kid.ended:
                    kid.group = self._groups.make(kid.id, kid.pid) if self._groups is not None else None
                    self._control.bind(kid, message)
                    self._logs.bind(kid, message.output_name)
            case channel.Kill():
                if kid.start is not None:
                    self._control.stop(kid, message.kind, message.grace_s, message.reason)
            case channel.Discard():
                if kid.start is None:
                    self._control.slay(kid)

    def _prepare(self, count: int) -> None:
        if self._retiring:
            self._link.put(channel.PrepareFailed(count, "this zygote is retiring"))
        else:
            self._owed += count

    def _retire(self) -> None:
        self._retiring = True
        if self._owed:
            self._link.put(channel.PrepareFailed(self._owed, "this zygote is retiring"))
            self._owed = 0
        for kid in self._kids.values():
            if kid.start is None:
                self._control.slay(kid)

    # -- making children -----------------------------------------------------------------------------------------------

    def _make(self) -> None:
        kids, error = self._nursery.make(self._owed)
        for kid in kids:
            self._kids[kid.id] = kid
            self._reaper.add(kid)
        if kids:
            made = channel.Made([[kid.id, kid.pid, kid.slot_index] for kid in kids])
            self._link.put(made, tuple(kid.sock.fileno() for kid in kids))
        self._owed -= len(kids)
        if error is not None:
            why = f"cannot make a child: {error.strerror} (errno {error.errno})"
            self._link.put(channel.PrepareFailed(self._owed, why))
            self._owed = 0

    # -- their ends ----------------------------------------------------------------------------------------------------

    def _watch_children(self) -> int:
        """A descriptor that is readable when some child has ended."""
        read, write = os.pipe()
        os.set_blocking(read, False)
        os.set_blocking(write, False)
        signal.signal(signal.SIGCHLD, _nothing)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        self._loop.watch(read, self._children_ended)
        return read

    def _children_ended(self, events: int) -> None:
        self._forget_signals()
        self._reaper.observe()

    def _wait_for_child(self) -> None:
        self._forget_signals()
        select.select([self._wakeup], [], [], CHILD_WAIT_MS / 1000)

    def _forget_signals(self) -> None:
        try:
            os.read(self._wakeup, 4096)
        except BlockingIOError:
            pass

    def _stuck(self, kid: Kid) -> None:
        self._reaper.stuck(kid)

    def _ended(self, kid: Kid, gone: channel.Gone) -> None:
        channel.close_all(kid.pipes)
        kid.pipes = ()
        if kid.start is not None and kid.slot.has_scratch():
            remove(self._boot.scratch_root, kid.start.job_id, kid.start.attempt, self._known)
        self._exits[gone.seq] = gone
        self._untold.append(gone)

    def _tell_exits(self) -> None:
        while self._untold:
            batch = self._untold[: channel.EXITS_PER_MESSAGE]
            del self._untold[: channel.EXITS_PER_MESSAGE]
            self._link.put(channel.Exits([list(gone) for gone in batch]))

    def _acknowledged(self, seqs: list[int]) -> None:
        for seq in seqs:
            gone = self._exits.pop(seq, None)
            if gone is not None:
                self._nursery.free(self._kids.pop(gone.kid))


def _listed(kid: Kid) -> list[int]:
    job_id, attempt = (kid.start.job_id, kid.start.attempt) if kid.start is not None else (0, 0)
    started = 0 if kid.ended else start_time(kid.pid)
    return [kid.id, kid.pid, started, kid.slot_index, job_id, attempt]


def _slay(kid: Kid) -> None:
    if kid.group is not None:
        kid.group.kill()
    signal_group(kid.pid, signal.SIGKILL)


def _groups(boot: channel.Boot) -> Groups | None:
    """Only where a limit needs one: to make a group takes a tenth of a millisecond."""
    if boot.cgroup is None or (boot.memory_max_bytes is None and boot.nproc is None):
        return None
    return Groups(Kernel(), boot.cgroup, boot.uuid[:8], boot.memory_max_bytes, boot.nproc)


def _nothing(number: int, frame: object) -> None:
    """The byte in the wakeup pipe is all that is wanted."""


def main() -> None:
    limits.die_with_parent(os.getppid())  # one that hangs while it loads is known to nobody else
    booted = boot()
    limits.outlive_parent()
    Zygote(booted).run()
    os._exit(0)


if __name__ == "__main__":
    main()
