"""What a child says to its supervisor: word of progress, and its end.

Owns the reading of one child's socket. The end is only looked at, never taken out: it stays in the kernel until it is
safe in the journal and the socket is closed, so a supervisor that dies in between finds it again. What arrives was
written by a process that runs somebody else's code, and is checked as such.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable

from ...protocol.errors import JobyardError
from ...protocol.job import ErrorInfo, Progress, Usage
from ..core.events import Child, End, Progressed
from .zygote import channel, heard
from .zygote.channel import Socket
from .zygote.control import now
from .zygote.deadlines import Deadlines
from .zygote.loop import ONCE, READ, Loop
from .zygote.page import Slot

HEAR = "hear"  # key of the deadline at which a child is listened to, by ``listen``
PROGRESS_S = 0.1
WORDS_AT_ONCE = 64  # that are read before others get their turn
WORDS_MAX = 10_000  # that the socket of a child which has ended may hold
END_KINDS = frozenset({"ok", "error", "give_up", "retry_later", "final", "stopped"})


class _Spare:
    """A descriptor that is used for nothing, and let go of where there is no other for an end that has come."""

    def __init__(self) -> None:
        self._fd = -1
        self.hold()

    def hold(self) -> None:
        if self._fd < 0:
            with contextlib.suppress(OSError):  # another thread has taken it: it is had again later
                self._fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


_spare = _Spare()


class Ear:
    """Listens to one child, once ``listen`` is called; closes ``sock`` in the end.

    A child that was just let go, or has told of progress, is not listened to for a while: its newest progress lies in
    its slot, so that whatever it says meanwhile, the last word is read. One that ends soon wakes nobody by saying so.
    """

    def __init__(
        self,
        loop: Loop,
        deadlines: Deadlines,
        child: Child,
        sock: Socket,
        slot: Slot,
        progressed: Callable[[Progressed], None],
        up: Callable[[], None],
        dispose: Callable[[list[int]], None] = channel.close_all,
    ) -> None:
        self.sock = sock
        self.slot = slot
        self.end: End | None = None
        self._loop = loop
        self._deadlines = deadlines
        self._child = child
        self._progressed = progressed
        self._up = up
        self._dispose = dispose
        self._watched = False

    def listen(self) -> None:
        """Listen from now on."""
        if self._watched:
            self._loop.change(self.sock.fileno(), READ | ONCE)
        else:
            self._watched = True
            self._loop.watch(self.sock.fileno(), self._readable, READ | ONCE)

    def listen_later(self) -> None:
        """Listen when the child has had some time."""
        self._deadlines.set((HEAR, self._child.kid), now() + PROGRESS_S)

    def drain(self) -> End | None:
        """Read all that is there; returns the child's end if it told one."""
        self._read(WORDS_MAX)
        return self.end

    def tell_progress(self) -> None:
        """Tell the child's newest progress, if it has told any."""
        if (noted := self.slot.noted()) is not None:
            self._progressed(Progressed(self._child, Progress(noted.done, noted.total, noted.text, noted.at)))

    def close(self) -> None:
        self._deadlines.drop((HEAR, self._child.kid))
        self._loop.forget(self.sock.fileno())
        self._dispose([self.sock.detach()])  # with what lies unread in it

    def _readable(self, events: int) -> None:
        poked = self._read(WORDS_AT_ONCE)
        if self.end is not None or events & ~(READ | ONCE):
            return  # nothing more will come
        if poked:
            self.listen_later()
        else:
            self.listen()

    def _read(self, words_max: int) -> bool:
        """True if there was word of anything but the end."""
        poked = False
        for _ in range(words_max):
            if self.end is not None:
                break
            try:
                data, fds = self._look()
                if not data:
                    break
                message = _understand(data, fds)
                strange = bool(fds)
                self._dispose(fds)
                _spare.hold()
                if isinstance(message, channel.End):
                    self.end = _end(message)
                    if self.end is not None:
                        break  # it stays where it is
                if strange:
                    self._dispose(channel.receive(self.sock, channel.DONTWAIT)[1])
                else:
                    self.sock.recv(1, channel.DONTWAIT)
            except OSError:  # nothing is there, or its zygote, which holds the same socket, was faster
                break
            if isinstance(message, channel.Up):
                self._up()
            poked = True
        if poked:
            self.tell_progress()
        return poked

    def _look(self) -> tuple[bytes, list[int]]:
        """The next message, which stays where it is.

        Raises:
            OSError: there is none.
        """
        data, fds = channel.receive(self.sock, channel.PEEK | channel.DONTWAIT)
        if fds or not channel.is_large(data):
            return data, fds
        _spare.release()
        return channel.receive(self.sock, channel.PEEK | channel.DONTWAIT)


def _understand(data: bytes, fds: list[int]) -> channel.Message | None:
    try:
        for fd in fds:
            fcntl.fcntl(fd, fcntl.F_GET_SEALS)  # refused by all but memory: to read another file may take for ever
        message: channel.Message = channel.decode_foreign(channel.content(data, fds), channel.FROM_CHILD)
    except (JobyardError, OSError):  # not ours: the job wrote into its socket
        return None
    return message


def _end(said: channel.End) -> End | None:
    """The end in a message, if everything in it is of its type."""
    fine = (
        isinstance(said.kind, str)
        and said.kind in END_KINDS
        and isinstance(said.result, bytes | None)
        and (said.kind != "ok" or said.result is not None)
        and isinstance(said.delay_s, float | int | None)
        and isinstance(said.counted, bool)
    )
    if not fine:
        return None
    try:
        return End(said.kind, said.result, _error(said.error), said.delay_s, said.counted, _usage(said.usage))
    except (TypeError, ValueError):
        return None


def _error(parts: object) -> ErrorInfo | None:
    if parts is None:
        return None
    if not isinstance(parts, list):
        raise TypeError
    kind, message, traceback, kinds = parts
    if not isinstance(kinds, list) or not all(isinstance(text, str) for text in (kind, message, traceback, *kinds)):
        raise TypeError
    return ErrorInfo(kind, message, traceback, tuple(kinds))


def _usage(parts: object) -> Usage | None:
    if parts is None:
        return None
    if not isinstance(parts, list):
        raise TypeError
    user, system, peak, base, approximate = parts
    if not (all(map(heard.is_number, (user, system))) and all(map(heard.is_count, (peak, base)))):
        raise TypeError
    return Usage(float(user), float(system), peak, base, bool(approximate))
