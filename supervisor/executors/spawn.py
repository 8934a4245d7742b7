"""The executor port without fork: a fresh interpreter for each child, watched by the supervisor itself.

Owns its children from exec to exit, deadlines included, so they end with the supervisor. For systems on which a process
must not fork, and for pools that want nothing shared. Slower, and the last of a tree can only be found by its
environment; otherwise its children behave as those of a zygote do.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import time
import uuid

from ...protocol import logfile
from ...protocol.errors import JobyardError
from ..core.effects import Order
from ..core.events import (
    Child,
    ChildExited,
    ChildReady,
    LogGrown,
    OutputRefused,
    PrepareFailed,
    ZygoteGone,
    ZygoteUp,
)
from . import scratch_removal
from .base import Caps, ExecutorEvent, PoolSpec
from .disposal import dispose
from .equipment import equipment
from .growth import Growth
from .hearing import HEAR, Ear
from .launch import Launched, boot_message, cannot_start, last_errors, launch
from .orders import send_go, start_message
from .orphans import kill_orphans, no_orphan_left
from .zygote import excess, scratch
from .zygote.channel import Gone
from .zygote.control import STALL, Control, Kid, now
from .zygote.deadlines import Deadlines
from .zygote.fence import MARK, fence, identities, kill_marked
from .zygote.kids import exit_of
from .zygote.kill import freeze_and_kill, kill_below, signal_group, signal_one, tree
from .zygote.limits import boot_id
from .zygote.page import SLOTS, Page
from .zygote.procs import cpu_s, start_time
from .zygote.reaper import gone

MODULE = "jobyard.supervisor.executors.spawn_child"
CHILD_MARK = "JOBYARD_CHILD"  # environment variable that tells one child's processes from another's


class _Spawned:
    """A child as this executor sees it."""

    __slots__ = ("child", "ear", "exited", "kid", "launched", "seen_size", "up", "watched_size")

    def __init__(self, child: Child, kid: Kid, launched: Launched) -> None:
        self.child = child
        self.kid = kid
        self.launched = launched
        self.ear: Ear | None = None
        self.up = False
        self.exited = False
        self.watched_size: int | None = None
        self.seen_size = 0


class SpawnExecutor:
    """Children of one pool. ``generation`` and ``salt`` are of no use here: nobody takes these children over."""

    caps = Caps(survives_supervisor=False, splits_streams=False)

    def __init__(self, spec: PoolSpec, *, generation: int, salt: str) -> None:
        self.pool = spec.name
        self.uuid = uuid.uuid4().hex
        self._spec = spec
        self._owner = None if spec.user is None else (spec.user.uid, spec.user.gid)
        self._boot = boot_message(spec, self.uuid)
        with contextlib.ExitStack() as made:  # all or nothing
            self._page = Page.create()
            made.callback(self._page.close)
            self._loop, self._timer, self._mailbox = equipment(self._time_passed)
            for part in (self._loop, self._timer, self._mailbox):
                made.callback(part.close)
            self._growth = Growth(self._loop, self._files_grew)
            made.pop_all()
        self._fd = self._loop.fileno()
        self._deadlines = Deadlines()
        self._control = Control(self._deadlines, _slay, self._stuck, stack_dump=spec.stack_dump)
        self._free_slots = list(range(SLOTS - 1, -1, -1))
        self._kids: dict[int, _Spawned] = {}
        self._last_kid = 0
        self._retiring = False
        self._gone = False
        self._closed = False

    # -- the port ------------------------------------------------------------------------------------------------------

    def fileno(self) -> int:
        return self._fd

    def start(self) -> None:
        if os.access(self._spec.python, os.X_OK):
            pid = os.getpid()
            scratch_removal.note(self._spec.runtime_dir, self.uuid, self._boot.scratch_root)
            self._mailbox.post(ZygoteUp(self.pool, self.uuid, pid, start_time(pid), boot_id()))
        else:
            self._gone = True
            why = cannot_start(self._spec, FileNotFoundError(2, "no such program"))
            self._mailbox.post(ZygoteGone(self.pool, self.uuid, True, why))

    def prepare(self, count: int) -> None:
        for made in range(count):
            try:
                if self._retiring:
                    raise OSError(0, "it is retiring")
                self._spawn()
            except (OSError, ValueError, JobyardError) as error:
                why = cannot_start(self._spec, error)
                self._mailbox.post(PrepareFailed(self.pool, self.uuid, count - made, why))
                return

    def go(self, child: Child, order: Order) -> None:
        spawned = self._kids.get(child.kid)
        if spawned is None or spawned.ear is None or spawned.kid.start is not None or spawned.exited:
            return
        start = start_message(child.kid, order)
        self._control.bind(spawned.kid, start)
        output = self._output_file(start.output_name)
        try:
            send_go(spawned.ear.sock, order, output)
        except (OSError, JobyardError) as error:
            self.kill(child, "stop", 0.0, f"its arguments cannot be handed over: {error}")
        self._set_timer()

    def _output_file(self, name: str) -> str | None:
        """The file that a child is to print to; None if it cannot be made, then what it prints is lost."""
        base = os.path.join(self._spec.output_dir, name)
        path = logfile.data_file(base, logfile.HEAD)
        try:
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        except OSError as error:
            self._mailbox.post(OutputRefused(base, 0, error.errno or errno.EIO))
            return None
        return path

    def discard(self, child: Child) -> None:
        spawned = self._kids.get(child.kid)
        if spawned is not None and spawned.kid.start is None and not spawned.exited:
            self._control.slay(spawned.kid)
            self._set_timer()

    def kill(self, child: Child, kind: str, grace_s: float, reason: str | None) -> None:
        spawned = self._kids.get(child.kid)
        if spawned is not None and spawned.kid.start is not None and not spawned.exited:
            self._control.stop(spawned.kid, kind, grace_s, reason)
            self._set_timer()

    def ack(self, child: Child, seq: int) -> None:
        spawned = self._kids.get(child.kid)
        if spawned is not None and spawned.exited:
            self._forget(spawned)
            self._retired()

    def follow(self, child: Child, size: int) -> None:
        spawned = self._kids.get(child.kid)
        if spawned is None or spawned.exited or spawned.kid.start is None:
            self._mailbox.post(LogGrown(child, done=True))
            return
        spawned.watched_size = size
        path = os.path.join(self._spec.output_dir, spawned.kid.start.output_name)
        try:
            self._growth.watch(os.path.dirname(path))
        except OSError:  # no word of growth then, only of the end
            return
        self._files_grew()

    def retire(self) -> None:
        self._retiring = True
        for spawned in self._kids.values():
            self.discard(spawned.child)
        self._retired()

    def leave(self) -> None:
        self.close()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        roots = [spawned.kid.pid for spawned in self._kids.values() if not spawned.exited]
        known: dict[int, int] = {}
        try:
            known = identities(freeze_and_kill(roots))
        except OSError:  # no descriptor is free to look at what is below them
            for pid in roots:
                signal_one(pid, signal.SIGKILL)
        fence(self.uuid, 0, 0, None, known.items())
        for spawned in list(self._kids.values()):
            if not spawned.exited:
                self._release(spawned)
                os.waitpid(spawned.kid.pid, os.WNOHANG)
            self._forget(spawned)
        no_orphan_left()
        scratch_removal.remove(self._spec.runtime_dir, self.uuid)
        self._page.close()
        self._growth.close()
        self._timer.close()
        self._mailbox.close()
        self._loop.close()

    def events(self) -> list[ExecutorEvent]:
        if not self._closed:
            self._loop.run_once(0)
            self._set_timer()  # an ear may have set a deadline
        return self._mailbox.take()

    # -- children ------------------------------------------------------------------------------------------------------

    def _spawn(self) -> None:
        """Start a child.

        Raises:
            OSError: there is no room for it.
            ValueError: its environment cannot be passed on.
        """
        if not self._free_slots:
            raise OSError(0, f"there are {SLOTS} already")
        number, slot_index = self._last_kid + 1, self._free_slots[-1]
        slot = self._page.slot(slot_index)
        slot.clear()
        mark = {MARK: self.uuid, CHILD_MARK: self._mark(number)}
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            arguments = [str(os.getpid()), str(slot_index)]
            fds = [its.fileno(), null, self._page.fd]
            launched = launch(self._spec, self._boot, MODULE, arguments, mark, fds)
        except BaseException:
            ours.close()
            raise
        finally:
            its.close()
            os.close(null)
        self._last_kid = number
        self._free_slots.pop()
        kid = Kid(number, launched.pid, ours, slot_index, slot)
        child = Child(self.pool, self.uuid, number, kid.pid, launched.started)
        spawned = self._kids[number] = _Spawned(child, kid, launched)
        spawned.ear = Ear(
            self._loop,
            self._deadlines,
            child,
            ours,
            slot,
            self._mailbox.put,
            lambda: self._came_up(spawned),
            lambda fds: dispose(self._owner, fds),
        )
        spawned.ear.listen()
        self._loop.watch(launched.pidfd, lambda events: self._ended(spawned))

    def _mark(self, number: int) -> str:
        return f"{self.uuid}.{number}"

    def _came_up(self, spawned: _Spawned) -> None:
        if not spawned.up:
            spawned.up = True
            self._mailbox.put(ChildReady(spawned.child))
            if self._retiring:
                self._control.slay(spawned.kid)

    def _ended(self, spawned: _Spawned) -> None:
        """Its process is dead and not yet reaped, so its group cannot be anybody else's."""
        kid = spawned.kid
        signal_group(kid.pid, signal.SIGKILL)
        used_s = cpu_s(kid.pid)
        survivors = self._kill_rest(kid)
        _, status, usage = os.wait4(kid.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        why = excess.of_exit(self._boot, code, used_s) if kid.killed is None else None
        self._report(spawned, gone(kid.id, kid, code, usage, time.time(), survivors, why))

    def _kill_rest(self, kid: Kid) -> int:
        """Kill what the dead child has left behind; gives how many processes could not be killed."""
        try:
            return max(len(kill_marked(f"{CHILD_MARK}={self._mark(kid.id)}")), kill_orphans())
        except OSError:  # no descriptor is free to look, so there may be some
            return 1

    def _stuck(self, kid: Kid) -> None:
        """It outlives SIGKILL: its slot is freed, and it is reaped by whoever comes after this process."""
        self._report(self._kids[kid.id], gone(kid.id, kid, None, None, time.time(), len(tree([kid.pid])), None))

    def _report(self, spawned: _Spawned, gone: Gone) -> None:
        errors = last_errors(spawned.launched.errors) if not spawned.up else ""
        self._release(spawned)
        spawned.exited = True
        if not spawned.up:
            why = f"a child of pool {self.pool} ended before it was ready\n{errors}".rstrip()
            self._mailbox.put(PrepareFailed(self.pool, self.uuid, 1, why))
            self._forget(spawned)
            self._retired()
            return
        exit = exit_of(gone, void=spawned.kid.start is None)
        end = spawned.ear.drain() if spawned.ear is not None else None
        self._mailbox.put(ChildExited(spawned.child, gone.seq, exit, end))
        if spawned.watched_size is not None:
            self._mailbox.put(LogGrown(spawned.child, done=True))

    def _release(self, spawned: _Spawned) -> None:
        """Let go of the process; what it said can still be read."""
        kid = spawned.kid
        self._control.release(kid)
        self._loop.forget(spawned.launched.pidfd)
        os.close(spawned.launched.pidfd)
        os.close(spawned.launched.errors)
        if kid.start is not None and kid.slot.has_scratch():
            path = scratch.path(self._boot.scratch_root, kid.start.job_id, kid.start.attempt)
            with contextlib.suppress(OSError):  # no room for another process: it goes with the others
                scratch_removal.remove_tree(path)

    def _forget(self, spawned: _Spawned) -> None:
        del self._kids[spawned.kid.id]
        self._free_slots.append(spawned.kid.slot_index)
        if spawned.ear is not None:
            spawned.ear.close()

    def _retired(self) -> None:
        if self._retiring and not self._kids and not self._gone:
            self._gone = True
            self._mailbox.post(ZygoteGone(self.pool, self.uuid, True, ""))

    # -- time and growth -----------------------------------------------------------------------------------------------

    def _time_passed(self, events: int) -> None:
        self._timer.clear()
        for what, number in self._deadlines.due(now()):
            spawned = self._kids.get(number)
            if spawned is None or spawned.ear is None:
                continue
            if what == HEAR:
                spawned.ear.listen()
            elif not spawned.exited:
                if what == STALL:
                    self._note_output(spawned)
                self._control.expire(what, spawned.kid)
        self._set_timer()

    def _note_output(self, spawned: _Spawned) -> None:
        """What it has printed since the last look is a sign of life; nobody has noted when it came."""
        size = self._output_size(spawned)
        if size > spawned.seen_size:
            spawned.seen_size = size
            spawned.kid.slot.beat(now())

    def _output_size(self, spawned: _Spawned) -> int:
        """0 while there is none."""
        start = spawned.kid.start
        assert start is not None
        base = os.path.join(self._spec.output_dir, start.output_name)
        try:
            return os.stat(logfile.data_file(base, logfile.HEAD)).st_size
        except OSError:
            return 0

    def _set_timer(self) -> None:
        self._timer.set(self._deadlines.next_at())

    def _files_grew(self) -> None:
        for spawned in self._kids.values():
            if spawned.watched_size is None or spawned.kid.start is None:
                continue
            if self._output_size(spawned) > spawned.watched_size:
                spawned.watched_size = None
                self._mailbox.post(LogGrown(spawned.child))


def _slay(kid: Kid) -> None:
    """Kill what is below the child while it is stopped: as a subreaper it keeps all of that until it dies itself."""
    with contextlib.suppress(OSError):  # no descriptor is free to look: the rest is found by its mark in the end
        kill_below(kid.pid)
    signal_one(kid.pid, signal.SIGKILL)
