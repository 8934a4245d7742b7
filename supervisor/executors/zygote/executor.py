"""The executor port in front of a zygote: the supervisor's side of its channel and of its children's sockets.

Owns one zygote from start to fence. Decides nothing about jobs; keeps no clock of its own but for how often a child's
progress is read.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import time
import uuid
from typing import Any

from ....protocol.errors import JobyardError
from ....protocol.job import Usage
from ...clock import MONOTONIC, Timer
from ...core.effects import Order
from ...core.events import (
    Child,
    ChildExited,
    ChildReady,
    Exit,
    LogGrown,
    OutputRefused,
    PrepareFailed,
    ZygoteGone,
    ZygoteUp,
)
from .. import run_as
from ..base import Caps, ExecutorEvent, PoolSpec
from ..hearing import Ear
from ..launch import Launched, boot_message, cannot_start, last_errors, launch, scratch_root
from ..mailbox import Mailbox
from ..orders import send_go, start_message
from ..orphans import no_orphan_left
from . import channel
from .control import now
from .deadlines import Deadlines
from .fence import MARK, fence
from .limits import boot_id
from .loop import Loop
from .page import Page
from .procs import start_time
from .wire import Wire

log = logging.getLogger("jobyard.pools")
MODULE = "jobyard.supervisor.executors.zygote.zygote"
OUTSTANDING_MAX = 64  # children asked for and not yet made; more could fill the queues of both sides
ANSWER = "answer"  # key of the deadline at which a zygote should have done what it was asked, by child; 0 is the next
ANSWER_S, ANSWER_AGAIN_S = 10.0, 2.0
_SUPERVISOR_FULL = "the supervisor is at its limit of open files"


class _Kid:
    """A child as seen from here. ``ear`` is None if its socket could not be received."""

    __slots__ = ("bound", "child", "ear", "exited", "output_name")

    def __init__(self, child: Child, ear: Ear | None) -> None:
        self.child = child
        self.ear = ear
        self.bound = False
        self.exited = False
        self.output_name: str | None = None  # of files that were made for it


class ZygoteExecutor:
    """One zygote and its children.

    Args:
        generation: number of this supervisor's life, higher than that of every one before it.
        salt: names the journal; a zygote serves only one.
    """

    caps = Caps(survives_supervisor=True, splits_streams=True)

    def __init__(self, spec: PoolSpec, *, generation: int, salt: str) -> None:
        self.pool = spec.name
        self.uuid = uuid.uuid4().hex
        self._spec = spec
        self._generation = generation
        self._salt = salt
        self._socket_path = os.path.join(spec.runtime_dir, f"z-{self.uuid[:8]}")
        self._loop = Loop()
        self._fd = self._loop.fileno()
        self._boot_id = boot_id()
        self._deadlines = Deadlines()
        self._timer = Timer(MONOTONIC)
        self._mailbox = Mailbox(self._loop)
        timer = self._timer.fileno()
        assert timer is not None
        self._loop.watch(timer, self._time_passed)
        self._kids: dict[int, _Kid] = {}
        self._wanted = 0
        self._outstanding = 0
        self._launched: Launched | None = None
        self._started = 0
        self._wire: Wire | None = None
        self._page: Page | None = None
        self._why: str | None = None
        self._late: set[int] = set()
        self._gone = False
        self._closed = False

    # -- the port ------------------------------------------------------------------------------------------------------

    def fileno(self) -> int:
        return self._fd

    def start(self) -> None:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with listener:
                listener.bind(self._socket_path)
                listener.listen(8)
                sock.connect(self._socket_path)
                boot = boot_message(self._spec, self.uuid)
                self._launched = launch(self._spec, boot, MODULE, [], {MARK: self.uuid}, [listener.fileno()])
        except (OSError, ValueError, JobyardError) as error:
            sock.close()
            self._gone = True
            self._mailbox.post(ZygoteGone(self.pool, self.uuid, True, cannot_start(self._spec, error)))
            return
        self._started = start_time(self._launched.pid)
        self._loop.watch(self._launched.pidfd, self._died)
        self._wire = Wire(self._loop, sock, channel.TO_SUPERVISOR, self._message, self._cut_off)
        self._wire.put(channel.Hello(channel.ADOPTION_VERSION, self._generation, self._salt))

    def prepare(self, count: int) -> None:
        self._wanted += count
        self._ask()

    def go(self, child: Child, order: Order) -> None:
        kid = self._kids.get(child.kid)
        if kid is None or kid.bound or kid.exited:
            return
        kid.bound = True
        if order.timeout_s is not None:
            self._expect(child.kid, order.timeout_s + order.grace_s + ANSWER_S)
        # The zygote must know the attempt before the child can end it.
        start = start_message(child.kid, order)
        if self._spec.user is not None:
            kid.output_name = start.output_name
            run_as.make_output_files(self._spec.user, self._spec.output_dir, start.output_name)
        self._put(start, lambda: self._send_order(kid, order))

    def discard(self, child: Child) -> None:
        self._put(channel.Discard(child.kid))

    def kill(self, child: Child, kind: str, grace_s: float, reason: str | None) -> None:
        self._put(channel.Kill(child.kid, kind, grace_s, reason))
        if child.kid in self._kids:
            self._expect(child.kid, grace_s + ANSWER_S)

    def ack(self, child: Child, seq: int) -> None:
        kid = self._kids.get(child.kid)
        if kid is None or not kid.exited:
            return
        del self._kids[child.kid]
        if kid.ear is not None:
            kid.ear.close()
        if kid.output_name is not None:
            run_as.remove_empty_files(self._spec.output_dir, kid.output_name)
        self._put(channel.Ack([seq]))

    def follow(self, child: Child, size: int) -> None:
        if self._gone or self._wire is None:
            self._mailbox.post(LogGrown(child, done=True))
        else:
            self._put(channel.Follow(child.kid, size))

    def retire(self) -> None:
        self._put(channel.Retire())

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._launched is not None:
            if not self._gone:
                self._fence(self._launched)
            shutil.rmtree(scratch_root(self._spec, self.uuid), ignore_errors=True)
            os.close(self._launched.pidfd)
            os.close(self._launched.errors)
        if self._wire is not None:
            self._wire.close()
        for kid in self._kids.values():
            if kid.ear is not None:
                kid.ear.close()
        if self._page is not None:
            self._page.close()
        _unlink(self._socket_path)
        self._timer.close()
        self._mailbox.close()
        self._loop.close()

    def events(self) -> list[ExecutorEvent]:
        if not self._closed:
            self._loop.run_once(0)
            self._set_timer()  # an ear may have set a deadline
        return self._mailbox.take()

    # -- to the zygote -------------------------------------------------------------------------------------------------

    def _put(self, message: channel.Message, then: Any = None) -> None:
        if self._wire is not None:
            self._wire.put(message, then=then)

    def _ask(self) -> None:
        count = min(self._wanted, OUTSTANDING_MAX - self._outstanding)
        if count > 0:
            self._wanted -= count
            self._outstanding += count
            self._put(channel.Prepare(count))
            self._expect(0, ANSWER_S)

    def _send_order(self, kid: _Kid, order: Order) -> None:
        if kid.ear is None:
            return
        try:
            send_go(kid.ear.sock, order, None)
        except (OSError, JobyardError) as error:
            self._put(channel.Kill(kid.child.kid, "stop", 0.0, f"its arguments cannot be handed over: {error}"))
            return
        kid.ear.listen_later()
        self._set_timer()

    # -- from the zygote -----------------------------------------------------------------------------------------------

    def _message(self, message: Any, fds: list[int]) -> None:
        match message:
            case channel.Made():
                self._made(message, fds)
                return
            case channel.Welcome() if fds and self._page is None:
                self._page = Page(fds.pop())
            case channel.Ready():
                self._ready(message)
            case channel.PrepareFailed():
                self._mailbox.put(PrepareFailed(self.pool, self.uuid, message.failed + self._wanted, message.why))
                self._wanted = 0
                self._answered(message.failed)
            case channel.Exits():
                for exit in message.exits:
                    self._exited(channel.Gone(*exit))
            case channel.Grown():
                kid = self._kids.get(message.kid)
                child = kid.child if kid is not None else Child(self.pool, self.uuid, message.kid)
                self._mailbox.put(LogGrown(child, message.done))
            case channel.Unwritten():
                base = os.path.join(self._spec.output_dir, message.name)
                self._mailbox.put(OutputRefused(base, message.size, message.errno))
            case channel.Refused():
                self._why = message.why
        channel.close_all(fds)

    def _ready(self, message: channel.Ready) -> None:
        assert self._launched is not None
        for warning in message.warnings:
            log.warning("pool %s: %s", self.pool, warning)
        pid = self._launched.pid
        self._mailbox.put(ZygoteUp(self.pool, self.uuid, pid, self._started, self._boot_id, self._socket_path))

    def _made(self, made: channel.Made, fds: list[int]) -> None:
        self._answered(len(made.kids))
        sockets: list[int | None] = [*fds] if len(fds) == len(made.kids) else [None] * len(made.kids)
        for (kid, pid, slot), fd in zip(made.kids, sockets, strict=True):
            self._add(kid, pid, slot, fd)
        self._ask()

    def _add(self, kid: int, pid: int, slot: int, fd: int | None) -> None:
        """A child was made; ``fd`` is its socket, which could not be received if it is None."""
        try:
            started = start_time(pid)
        except OSError:  # no descriptor is free
            if fd is not None:
                os.close(fd)
            fd, started = None, 0
        child = Child(self.pool, self.uuid, kid, pid, started)
        if fd is None or self._page is None:
            self._kids[kid] = _Kid(child, None)
            self._put(channel.Discard(kid))
            self._mailbox.put(PrepareFailed(self.pool, self.uuid, 1, _SUPERVISOR_FULL))
        else:
            sock = channel.Socket(*channel.SOCKET, 0, fd)
            ear = Ear(self._loop, self._deadlines, child, sock, self._page.slot(slot), self._mailbox.put, _nothing)
            self._kids[kid] = _Kid(child, ear)
            self._mailbox.put(ChildReady(child))

    def _exited(self, gone: channel.Gone) -> None:
        kid = self._kids.get(gone.kid)
        if kid is None or kid.ear is None:
            self._put(channel.Ack([gone.seq]))
            self._kids.pop(gone.kid, None)
            return
        if kid.exited:
            return
        kid.exited = True
        self._deadlines.drop((ANSWER, gone.kid))
        usage = Usage(gone.cpu_user_s, gone.cpu_system_s, gone.peak_bytes, gone.base_bytes, True)
        exit = Exit(gone.at, gone.exit_code, gone.signal, gone.killed, usage, gone.survivors, gone.reason)
        end = kid.ear.drain()  # before the exit is told: word of what happened comes first
        self._mailbox.put(ChildExited(kid.child, gone.seq, exit, end))

    # -- time ----------------------------------------------------------------------------------------------------------

    def _time_passed(self, events: int) -> None:
        self._timer.clear()
        for what, number in self._deadlines.due(now()):
            kid = self._kids.get(number)
            if what == ANSWER:
                self._overdue(number)
            elif kid is not None and kid.ear is not None:
                kid.ear.listen()
        self._set_timer()

    def _set_timer(self) -> None:
        self._timer.set(self._deadlines.next_at())

    def _expect(self, number: int, seconds: float) -> None:
        self._late.discard(number)
        self._deadlines.set((ANSWER, number), now() + seconds)
        self._set_timer()

    def _answered(self, count: int = 1) -> None:
        """So many children were made, or could not be."""
        self._outstanding -= count
        self._late.discard(0)
        if self._outstanding > 0:
            self._deadlines.set((ANSWER, 0), now() + ANSWER_S)
        else:
            self._deadlines.drop((ANSWER, 0))

    def _overdue(self, number: int) -> None:
        """It hangs, unless the whole machine was asleep: look once more, then end it, so that its slots get free."""
        if number not in self._late:
            self._late.add(number)
            self._deadlines.set((ANSWER, number), now() + ANSWER_AGAIN_S)
        elif self._launched is not None and not self._gone:
            self._why = f"its zygote did not answer for {ANSWER_S:g} s and was killed"
            signal.pidfd_send_signal(self._launched.pidfd, signal.SIGKILL)

    # -- its end -------------------------------------------------------------------------------------------------------

    def _cut_off(self) -> None:
        """The connection is gone. If the zygote is dead its pidfd tells; otherwise it has another supervisor."""

    def _died(self, events: int) -> None:
        launched = self._launched
        assert launched is not None
        self._gone = True
        self._loop.forget(launched.pidfd)
        if self._wire is not None:
            self._wire.drain()
        fenced, why = self._fence(launched)
        for kid in self._kids.values():
            end = kid.ear.drain() if kid.ear is not None and not kid.exited else None
            if end is not None:  # it was done, and only its exit was not told any more
                kid.exited = True
                self._mailbox.put(ChildExited(kid.child, 0, Exit(time.time()), end))
        self._mailbox.put(ZygoteGone(self.pool, self.uuid, fenced, why))

    def _fence(self, launched: Launched) -> tuple[bool, str]:
        """Kill all that is left; also says how the zygote ended."""
        children = [(kid.child.pid, kid.child.pid_started) for kid in self._kids.values()]
        fenced = fence(self.uuid, launched.pid, self._started, self._boot_id, children)
        _, status = os.waitpid(launched.pid, 0 if fenced else os.WNOHANG)
        fenced = fenced and no_orphan_left()
        code = os.waitstatus_to_exitcode(status)
        if self._why is not None:
            return fenced, self._why
        if code < 0:
            return fenced, f"its zygote was killed by {signal.Signals(-code).name}"
        errors = last_errors(launched.errors)
        return fenced, "" if code == 0 else f"its zygote ended with exit code {code}\n{errors}".rstrip()


def _nothing() -> None:
    """A forked child is ready as soon as it is made."""


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
