"""The zygote's side of the output: the pipes of every attempt, and the log writer that empties them.

Owns the read ends until the writer has reported that it is done with them, so that a writer that died can be replaced
without losing a byte. A job that prints nothing never reaches the writer.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Callable

from . import channel, writer
from .channel import Boot
from .control import Kid, now
from .deadlines import Deadlines
from .kill import signal_one
from .loop import ONCE, READ, Loop
from .page import Page
from .wire import Wire

WRITER = "writer"  # key of the deadline at which a writer is started again
RESTART_S = 1.0  # for a writer that lived shorter than this


class _Stream:
    __slots__ = ("fds", "handed", "name", "slot", "watch")

    def __init__(self, kid: Kid, name: str) -> None:
        self.fds = kid.pipes
        self.slot = kid.slot_index
        self.name = name
        self.handed = False
        self.watch: int | None = None


class Logs:
    """All attempts whose pipes are open.

    Args:
        known: pids that are not to be swept away.
        page: has the children's signs of life; output is one.
        grown: told once of a followed child whose output grew, or is complete (True).
        done: told when the output of a child is complete.
        unwritten: told of output that the disk refuses.
    """

    def __init__(
        self,
        loop: Loop,
        deadlines: Deadlines,
        known: set[int],
        page: Page,
        boot: Boot,
        grown: Callable[[int, bool], None],
        done: Callable[[int], None],
        unwritten: Callable[[channel.Unwritten], None],
    ) -> None:
        self._loop = loop
        self._deadlines = deadlines
        self._known = known
        self._page = page
        self._boot = boot
        self._grown = grown
        self._done = done
        self._unwritten = unwritten
        self._streams: dict[int, _Stream] = {}
        self._wire: Wire | None = None
        self._started_at = 0.0
        self.pid: int | None = None

    def bind(self, kid: Kid, name: str) -> None:
        """The pipes of this child carry the output of an attempt; they are Logs' from now on."""
        stream = self._streams[kid.id] = _Stream(kid, name)
        number, kid.pipes = kid.id, ()

        def readable(events: int) -> None:
            if events & READ:  # otherwise it was closed, and nothing is in it
                self._hand_over(number)

        for fd in stream.fds:
            self._loop.watch(fd, readable, READ | ONCE)

    def end(self, kid: int) -> bool:
        """All processes of the attempt are gone; True if its output is complete, otherwise ``done`` will be called."""
        stream = self._streams.get(kid)
        if stream is None:
            return True
        if not stream.handed:
            if not _has_data(stream.fds):
                self._close(kid)
                return True
            self._hand_over(kid)
        return False

    def follow(self, kid: int, size: int) -> None:
        """Call ``grown`` once when the output is larger than ``size``, or complete."""
        stream = self._streams.get(kid)
        if stream is None:
            self._grown(kid, True)
            return
        stream.watch = size
        if stream.handed:
            self._tell(channel.Watch(kid, size))

    def writer_ended(self) -> None:
        """The writer was reaped: replace it, at once if it is not dying all the time."""
        self.pid = None
        if self._wire is not None:
            self._wire.close()
            self._wire = None
        if any(stream.handed for stream in self._streams.values()):
            restart_at = self._started_at + RESTART_S
            if restart_at > now():
                self._deadlines.set((WRITER, 0), restart_at)
            else:
                self.restart()

    def restart(self) -> None:
        """Give everything that the former writer had to a new one."""
        for kid, stream in self._streams.items():
            if stream.handed:
                self._open(kid, stream, again=True)

    def close(self) -> None:
        """Let the writer end once it has written what it has."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def __len__(self) -> int:
        return len(self._streams)

    def _hand_over(self, kid: int) -> None:
        stream = self._streams[kid]
        for fd in stream.fds:
            self._loop.forget(fd)
            os.set_blocking(fd, False)
        stream.handed = True
        self._open(kid, stream, again=False)

    def _open(self, kid: int, stream: _Stream, again: bool) -> None:
        if self._wire is None and (self._deadlines.get((WRITER, 0)) is not None or not self._start()):
            return  # it is opened when the writer is started again
        self._tell(channel.Open(kid, stream.name, again, stream.slot), stream.fds)
        if stream.watch is not None:
            self._tell(channel.Watch(kid, stream.watch))

    def _tell(self, message: channel.Message, fds: tuple[int, ...] = ()) -> None:
        if self._wire is not None:
            self._wire.put(message, fds)

    def _start(self) -> bool:
        """Fork a writer; False if that cannot be done now, then it is tried again."""
        try:
            ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError:
            self._deadlines.set((WRITER, 0), now() + RESTART_S)
            return False
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            its.close()
            self._deadlines.set((WRITER, 0), now() + RESTART_S)
            return False
        if pid == 0:
            writer.run(its, self._page, self._boot.output_dir, self._boot.output_fd, self._boot.max_job_bytes)
        its.close()
        self.pid = pid
        self._known.add(pid)
        self._started_at = now()
        self._wire = Wire(self._loop, ours, channel.FROM_WRITER, self._message, self._cut_off)
        return True

    def _cut_off(self) -> None:
        if self.pid is not None:  # it is not reaped yet, so this can hit nobody else
            signal_one(self.pid, signal.SIGKILL)

    def _message(self, message: channel.Grew | channel.Unwritten | channel.Done, fds: list[int]) -> None:
        if isinstance(message, channel.Unwritten):
            self._unwritten(message)
            return
        stream = self._streams.get(message.kid)
        if stream is None:
            return
        match message:
            case channel.Grew():
                stream.watch = None
                self._grown(message.kid, False)
            case channel.Done():
                self._close(message.kid)

    def _close(self, kid: int) -> None:
        stream = self._streams.pop(kid)
        for fd in stream.fds:
            self._loop.forget(fd)
            os.close(fd)
        if stream.watch is not None:
            self._grown(kid, True)
        if stream.handed:
            self._done(kid)


def _has_data(fds: tuple[int, ...]) -> bool:
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return any(events & select.POLLIN for _, events in poll.poll(0))
