"""The executor port in front of a zygote: the supervisor's side of its channel and of its children's sockets.

Owns one zygote from start, or adoption, to fence, and how long it may take to answer. Decides nothing about jobs.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import time
import uuid
from collections.abc import Callable
from typing import Any

from ....protocol.errors import JobyardError, ProtocolError
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
from .. import run_as, scratch_removal
from ..base import Caps, ExecutorEvent, PoolSpec
from ..disposal import dispose, require_room
from ..equipment import equipment
from ..hearing import Ear
from ..launch import boot_message, cannot_start, digest, launch
from ..orders import send_go, start_message
from ..orphans import no_orphan_left
from . import channel, heard
from .adoption import Adoption
from .control import now
from .deadlines import Deadlines
from .fence import MARK
from .kids import Kid, exit_of
from .page import Page, Slot
from .process import Found, ZygoteProcess
from .procs import start_below
from .wire import Wire

log = logging.getLogger("jobyard.pools")
MODULE = "jobyard.supervisor.executors.zygote.zygote"
OUTSTANDING_MAX = 64  # children asked for and not yet made; more could fill the queues of both sides
ANSWER = "answer"  # key of the deadline at which a zygote should have done what it was asked, by child; 0 is the next
ANSWER_S, ANSWER_AGAIN_S = 10.0, 2.0
NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # what an OSError says of this process, and of no other
SUPERVISOR_FULL = "the supervisor is at its limit of open files (raise it: ulimit -n, or LimitNOFILE= in the unit)"


class ZygoteExecutor:
    """One zygote and its children.

    Args:
        origin: the pool to start one for, or the one that is to be adopted.
        generation: number of this supervisor's life, higher than that of every one before it.
        salt: names the journal; a zygote serves only one.

    Attributes:
        up: it serves this supervisor. objection: why a zygote that lives cannot be adopted as it is.
    """

    caps = Caps(survives_supervisor=True, splits_streams=True)

    def __init__(self, origin: PoolSpec | Found, *, generation: int, salt: str) -> None:
        self._origin = origin
        if isinstance(origin, Found):
            self.pool, self.uuid, self._socket_path = origin.pool, origin.uuid, origin.socket
        else:
            self.pool, self.uuid = origin.name, uuid.uuid4().hex
            self._socket_path = os.path.join(origin.runtime_dir, f"z-{self.uuid[:8]}")
        self.up = False
        self.objection: str | None = None
        self._generation, self._salt = generation, salt
        self._loop, self._timer, self._mailbox = equipment(self._time_passed)
        self._fd = self._loop.fileno()
        self._deadlines = Deadlines()
        self._kids: dict[int, Kid] = {}
        self._wanted = self._outstanding = 0
        self._process: ZygoteProcess | None = None
        self._welcome: channel.Welcome | None = None
        self._adoption = Adoption(origin) if isinstance(origin, Found) else None
        self._wire: Wire | None = None
        self._page: Page | None = None
        self._why: str | None = None
        self._late: set[int] = set()
        self._gone = self._closed = False

    # -- the port ------------------------------------------------------------------------------------------------------

    def fileno(self) -> int:
        return self._fd

    def start(self) -> None:
        """Start it, or ask the one that was found.

        Raises:
            ProcessLookupError: it has ended, and what it has started is to be fenced.
            OSError: it cannot be reached.
        """
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            if isinstance(self._origin, Found):
                self._process = ZygoteProcess.find(self._origin)
                sock.setblocking(False)  # one that hangs may have no room for another connection
                sock.connect(self._socket_path)
            elif not self._launch(self._origin, sock):
                sock.close()
                return
        except BaseException:
            sock.close()
            raise
        assert self._process is not None
        self._loop.watch(self._process.pidfd, self._died)
        self._wire = Wire(self._loop, sock, channel.TO_SUPERVISOR, self._message, self._cut_off, self._dispose)
        self._wire.put(channel.Hello(channel.ADOPTION_VERSION, self._generation, self._salt))

    def _launch(self, spec: PoolSpec, sock: socket.socket) -> bool:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with listener:
                listener.bind(self._socket_path)
                listener.listen(8)
                sock.connect(self._socket_path)
                boot = boot_message(spec, self.uuid)
                launched = launch(spec, boot, MODULE, [], {MARK: self.uuid}, [listener.fileno()])
        except (OSError, ValueError, JobyardError) as error:
            self._gone = True
            self._mailbox.post(ZygoteGone(self.pool, self.uuid, True, cannot_start(spec, error)))
            return False
        self._process = ZygoteProcess.launched(launched, spec.user)
        return True

    def prepare(self, count: int) -> None:
        self._wanted += count
        self._ask()

    def go(self, child: Child, order: Order) -> None:
        kid = self._kids.get(child.kid)
        if kid is None or (ear := kid.ear) is None or kid.bound or kid.exited or self._gone:
            return
        kid.bound = True
        if order.timeout_s is not None:
            self._expect(child.kid, order.timeout_s + order.grace_s + ANSWER_S)
        # The zygote must know the attempt before the child can end it.
        start = start_message(child.kid, order)
        if self._owner is not None and self._output_dir:  # none if its pool left the config: then they were made before
            kid.output_name = start.output_name
            run_as.make_output_files(self._owner, self._output_dir, start.output_name)
        self._put(start, lambda: self._send_order(kid, ear, order))

    def discard(self, child: Child) -> None:
        self._put(channel.Discard(child.kid))

    def kill(self, child: Child, kind: str, grace_s: float, reason: str | None) -> None:
        if child.kid in self._kids and not self._kids[child.kid].exited:  # otherwise no answer would come
            self._put(channel.Kill(child.kid, kind, grace_s, reason))
            self._expect(child.kid, grace_s + ANSWER_S)

    def ack(self, child: Child, seq: int) -> None:
        kid = self._kids.get(child.kid)
        if kid is None or not kid.exited:
            return
        del self._kids[child.kid]
        if kid.ear is not None:
            kid.ear.close()
        if kid.output_name is not None:
            run_as.remove_empty_files(self._output_dir, kid.output_name)
        self._put(channel.Ack([seq]))

    def follow(self, child: Child, size: int) -> None:
        if self._gone or self._wire is None or child.kid not in self._kids:
            self._mailbox.post(LogGrown(child, done=True))
        else:
            self._put(channel.Follow(child.kid, size))

    def retire(self) -> None:
        self._put(channel.Retire())

    def leave(self) -> None:
        if self.up or isinstance(self._origin, Found):
            self._let_go()
        else:  # nobody could find it again
            self.close()

    def close(self) -> None:
        if self._closed:
            return
        if self._process is not None and not self._gone:
            self._fence(self._process)
        scratch_removal.remove(os.path.dirname(self._socket_path), self.uuid, self._owner and self._owner[0])
        with contextlib.suppress(OSError):  # gone, or on a disk that takes no change: the next start removes it
            os.unlink(self._socket_path)
        self._let_go()

    def _let_go(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._process is not None:
            self._process.close()
        if self._wire is not None:
            self._wire.close()
        for kid in self._kids.values():
            if kid.ear is not None:
                kid.ear.close()
        if self._page is not None:
            self._page.close()
        self._timer.close()
        self._mailbox.close()
        self._loop.close()

    def events(self) -> list[ExecutorEvent]:
        self.work()
        return self._mailbox.take()

    @property
    def pid(self) -> int:
        """Of its process; 0 before it has one."""
        known = self._process or self._origin
        return known.pid if isinstance(known, ZygoteProcess | Found) else 0

    @property
    def settled(self) -> bool:
        """It serves this supervisor, or has ended."""
        return self.up or self._gone

    def work(self) -> None:
        """Take in what has come; ``events`` will tell it."""
        if not self._closed:
            self._loop.run_once(0)
            self._set_timer()  # an ear may have set a deadline

    @property
    def _output_dir(self) -> str:
        """Where its jobs' output lies. What a zygote of another user says of that is not gone by."""
        believed = self._owner is None
        return self._welcome.output_dir if believed and self._welcome is not None else self._origin.output_dir

    @property
    def _owner(self) -> tuple[int, int] | None:
        """The user and group that it runs as; None if they are this process's own."""
        return None if self._process is None else self._process.owner

    def _dispose(self, fds: list[int]) -> None:
        dispose(self._owner, fds)

    # -- to the zygote -------------------------------------------------------------------------------------------------

    def _put(self, message: channel.Message, then: Callable[[], None] | None = None) -> None:
        if self._wire is not None:
            self._wire.put(message, then=then)

    def _ask(self) -> None:
        count = min(self._wanted, OUTSTANDING_MAX - self._outstanding)
        if count > 0:
            self._wanted -= count
            self._outstanding += count
            self._put(channel.Prepare(count))
            self._expect(0, ANSWER_S)

    def _send_order(self, kid: Kid, ear: Ear, order: Order) -> None:
        kid.begun = True
        if ear.slot.base():  # adopted: it was let go before, and more would lie unread in its socket
            ear.tell_progress()
        else:
            try:
                send_go(ear.sock, order, None)
            except (OSError, JobyardError) as error:
                self._put(channel.Kill(kid.child.kid, "stop", 0.0, f"its arguments cannot be handed over: {error}"))
                return
        ear.listen_later()
        self._set_timer()

    # -- from the zygote -----------------------------------------------------------------------------------------------

    def _message(self, message: Any, fds: list[int]) -> None:
        """Whatever it says: it runs a pool's modules, perhaps as another user, and is not to end the supervisor.

        Descriptors that are made use of leave the list; the others are closed.
        """
        try:
            require_room(self._owner)
            heard.check(message)
            self._take(message, fds)
        except MemoryError:  # no fault of the zygote's, whose jobs go on: the next supervisor is told all of it again
            raise
        except Exception as error:  # it cannot be what a zygote of ours says, or there is a fault here
            if isinstance(error, OSError) and error.errno in NO_ROOM and self._adoption is not None and not self.up:
                self.objection = SUPERVISOR_FULL
                return
            self._why = self.objection = "its zygote said what it cannot mean, and was killed"
            log.exception("pool %s: %s", self.pool, self._why)
            if self._process is not None and not self._gone:
                self._process.kill()
        finally:
            self._dispose(fds)

    def _take(self, message: Any, fds: list[int]) -> None:
        match message:
            case channel.Made():
                self._made(message, fds)
            case channel.Welcome() if fds and self._page is None:
                self._welcome, self._page = message, Page(fds[0])
                del fds[0]
                scratch_removal.note(os.path.dirname(self._socket_path), self.uuid, message.scratch_root)
            case channel.Kids():
                self._listed(message, fds)
            case channel.Ready() if isinstance(self._origin, PoolSpec):
                self._came_up(self._origin, message)
            case channel.Ready() if self._adoption is not None:
                self._adoption.told = True
                for stranger in self._adoption.strangers:
                    self._put(channel.Kill(stranger, "stop", 0.0, "the journal does not know it"))
                self._settle(self._adoption)
            case channel.PrepareFailed():
                self._expected(message.failed)
                self._mailbox.put(PrepareFailed(self.pool, self.uuid, message.failed + self._wanted, message.why))
                self._wanted = 0
                self._answered(message.failed)
            case channel.Exits():
                for exit in message.exits:
                    self._exited(channel.Gone(*exit))
            case channel.Grown() if (kid := self._kids.get(message.kid)) is not None:
                self._mailbox.put(LogGrown(kid.child, message.done))
            case channel.Unwritten(name) if self._owner is None or name in {
                one.output_name for one in self._kids.values()
            }:
                base = os.path.join(self._output_dir, name)
                self._mailbox.put(OutputRefused(base, message.size, message.errno))
            case channel.Refused():
                self._why = self.objection = message.why

    def _came_up(self, spec: PoolSpec, ready: channel.Ready) -> None:
        process = self._process
        assert process is not None
        self.up = True
        for warning in ready.warnings:
            log.warning("pool %s: %s", self.pool, warning)
        found = (self._socket_path, digest(spec), ready.code_version)
        self._mailbox.put(ZygoteUp(self.pool, self.uuid, process.pid, process.started, process.boot_id, *found))

    def _listed(self, listed: channel.Kids, fds: list[int]) -> None:
        """Children of a zygote that is being adopted."""
        if len(fds) != len(listed.kids) or self._page is None or self._adoption is None:
            self.objection = SUPERVISOR_FULL
            return
        for kid, pid, started, slot, job_id, _ in listed.kids:
            known = started if started == start_below(pid, self.pid) else 0  # only such a process may be killed
            child = Child(self.pool, self.uuid, kid, pid, known)
            self._kids[kid] = Kid(child, self._ear(child, self._page.slot(slot), fds), begun=job_id != 0)
            self._adoption.add(child, bound=job_id != 0)

    def _settle(self, adoption: Adoption) -> None:
        """It is adopted once it has told everything, and nothing runs in it that must not."""
        if self.up or self.objection is not None or not adoption.told:
            return
        exited = {number for number, kid in self._kids.items() if kid.exited}
        if adoption.strangers - exited:
            return
        welcome = self._welcome
        self.objection = SUPERVISOR_FULL if welcome is None else adoption.objection(welcome)
        if welcome is not None and self.objection is None:
            self.up = True
            for event in adoption.events(welcome, exited):
                self._mailbox.put(event)

    def _made(self, made: channel.Made, fds: list[int]) -> None:
        self._expected(len(made.kids))
        if not self._kids.keys().isdisjoint(kid for kid, _, _ in made.kids):
            raise ProtocolError("children that were made before")
        self._answered(len(made.kids))
        sockets = fds if len(fds) == len(made.kids) else []
        for kid, pid, slot in made.kids:
            self._add(kid, pid, slot, sockets)
        self._ask()

    def _add(self, kid: int, pid: int, slot: int, fds: list[int]) -> None:
        """A child was made; its socket is the first of ``fds``, which are none if they could not be received."""
        try:
            started, lost = start_below(pid, self.pid), not fds
        except OSError:  # no descriptor is free
            started, lost = 0, True
            self._dispose([fds.pop(0)] if fds else [])
        child = Child(self.pool, self.uuid, kid, pid, started)
        if lost or self._page is None:
            self._kids[kid] = Kid(child, None)
            self._put(channel.Discard(kid))
            self._mailbox.put(PrepareFailed(self.pool, self.uuid, 1, SUPERVISOR_FULL))
        else:
            self._kids[kid] = Kid(child, self._ear(child, self._page.slot(slot), fds))
            self._mailbox.put(ChildReady(child))

    def _ear(self, child: Child, slot: Slot, fds: list[int]) -> Ear:
        if self._owner is not None:
            heard.check_socket(fds[0])
        sock = channel.Socket(*channel.SOCKET, 0, fds.pop(0))
        return Ear(self._loop, self._deadlines, child, sock, slot, self._mailbox.put, lambda: None, self._dispose)

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
        end = kid.ear.drain()  # before the exit is told: word of what happened comes first
        self._mailbox.put(ChildExited(kid.child, gone.seq, exit_of(gone, kid.void), end))
        if self._adoption is not None:
            self._settle(self._adoption)

    # -- time ----------------------------------------------------------------------------------------------------------

    def _time_passed(self, events: int) -> None:
        self._timer.clear()
        for what, number in self._deadlines.due(now()):
            if what == ANSWER:
                self._overdue(number)
            elif (kid := self._kids.get(number)) is not None and kid.ear is not None:
                kid.ear.listen()
        self._set_timer()

    def _set_timer(self) -> None:
        self._timer.set(self._deadlines.next_at())

    def _expect(self, number: int, seconds: float) -> None:
        self._late.discard(number)
        self._deadlines.set((ANSWER, number), now() + seconds)
        self._set_timer()

    def _expected(self, count: int) -> None:
        """So many are answered for. Raises ProtocolError: more than were asked for."""
        if count > self._outstanding:
            raise ProtocolError(f"{count} children, and {self._outstanding} were asked for")

    def _answered(self, count: int) -> None:
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
        elif self._process is not None and not self._gone:
            self._why = f"its zygote did not answer for {ANSWER_S:g} s and was killed"
            self._process.kill()

    # -- its end -------------------------------------------------------------------------------------------------------

    def _cut_off(self) -> None:
        """The connection is gone. If the zygote is dead its pidfd tells soon; one that lives is of no use any more."""
        self._expect(0, ANSWER_S)

    def _died(self, events: int) -> None:
        process = self._process
        assert process is not None
        self._gone = True
        self._loop.forget(process.pidfd)
        if self._wire is not None:
            self._wire.drain()
        fenced, why = self._fence(process)
        for kid in self._kids.values():
            end = kid.ear.drain() if kid.ear is not None and not kid.exited else None
            if end is not None and (fenced or end.kind == "ok"):  # done but not told; a retry awaits the fence
                kid.exited = True
                self._mailbox.put(ChildExited(kid.child, 0, Exit(time.time()), end))
        void = frozenset(number for number, kid in self._kids.items() if kid.void)
        self._mailbox.put(ZygoteGone(self.pool, self.uuid, fenced, why, void))

    def _fence(self, process: ZygoteProcess) -> tuple[bool, str]:
        """Kill all that is left; also says how the zygote ended."""
        children = [kid.child for kid in self._kids.values()]
        if isinstance(self._origin, Found):
            children += self._origin.running
        fenced, how = process.fence(self.uuid, children)
        return fenced and no_orphan_left(), self._why or how
