"""A child from its fork to its exit: confined, waiting, running one attempt, telling how it ended.

Owns the order of these steps and the mapping from what the job did to the one ``End`` message. Knows no supervisor: it
has a socket, a slot of the shared page, and three pipes. Nothing in here may return to the code it was forked from.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # ``signal`` goes through enums: 100 copied pages in each child
import _socket
import _thread
import fcntl
import importlib
import os
import resource
import signal
import sys
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from functools import partial
from os import _exit, closerange, dup2, getpid, setsid
from types import FrameType
from typing import Any, NoReturn

from ....protocol import codec, failure, target
from ....protocol.current import CURRENT
from ....protocol.errors import (
    CancelRequested,
    GiveUp,
    NotAllowed,
    ProtocolError,
    RetryLater,
    SoftTimeout,
    TooLarge,
)
from ....protocol.states import CUT_OFF
from . import channel, excess, joblog, limits, stacks, stdio
from .channel import Boot, End, Go, Socket, Stop
from .child_job import ChildJob
from .control import LATE, SOFT
from .joblog import LOGGING_FD
from .limits import die_with_parent
from .page import Slot

SOCKET_FD = 3  # LOGGING_FD is 4
FIRST_FREE_FD = 5
FD_MAX = 1 << 20
REHEARSALS = 20  # a function is specialised after 8 calls, its instructions after some more
_SIOCOUTQ = 0x5411
_RESULT_BYTES_MAX = codec.MESSAGE_BYTES_MAX - (1 << 20)  # leaves room for the rest of the message
_POKE = channel.encode(channel.Poke())
_OUTSIDE = Stop("outside", "received SIGTERM")
# Looked up once: each look-up of an attribute, in code that is not rehearsed, costs the child some copied pages.
_set_signal, _set_wakeup_fd = _signal.signal, _signal.set_wakeup_fd
_SIGCHLD, _SIGTERM, _SIG_DFL = _signal.SIGCHLD, _signal.SIGTERM, _signal.SIG_DFL


class Child:
    """Waits for one attempt, runs it, and ends the process. Made before the fork, so that no child has to.

    Args:
        peak: gives the most memory that the process has held so far.
        prepare: runs before the child is given anything; if it fails, so does the attempt.
    """

    def __init__(self, boot: Boot, sock: Socket, peak: Callable[[], int], prepare: Callable[[], None]) -> None:
        self._boot = boot
        # To read a field of a named tuple costs a child three copied pages, so that what each needs is read here.
        self._allow = boot.allow
        self._scratch_root = boot.scratch_root
        self._result_bytes = min(boot.result_bytes, _RESULT_BYTES_MAX)
        self._sock = sock
        self._peak = peak
        self._prepare = prepare
        self._slot: Slot
        self._pid = 0
        self._base = 0
        self._job: ChildJob | None = None
        self._asked: Stop | None = None
        self._cancel_task: Callable[[], None] | None = None
        self._in_job = False
        self._over = False
        self._masks: dict[int, Any] = {}  # what the threads that are forking had blocked

    def run(self, slot: Slot) -> NoReturn:
        """The life of this process."""
        try:
            self.live(slot)
            _exit(0)
        except BaseException:
            _exit(CUT_OFF)

    def live(self, slot: Slot) -> None:
        """All of it but the end of the process."""
        self._slot = slot
        self._pid = getpid()
        _living.append(self)
        _set_signal(_SIGTERM, self._terminated)
        end = self._attempt()
        self._flush()
        if getpid() == self._pid:  # otherwise a process that the job forked came back from its function
            self._send(end)

    # -- the attempt ---------------------------------------------------------------------------------------------------

    def _attempt(self) -> End:
        try:
            try:
                _signal.pthread_sigmask(_signal.SIG_SETMASK, ())  # from here on a SIGTERM that came before is heard
                problem = _try(self._prepare)
                value = self._call(self._wait(), problem)
            finally:
                self._over = True
        except BaseException as error:
            return self._failed(error)
        return self._returned(value)

    def _wait(self) -> Go:
        while True:
            message = self._receive(0)
            if isinstance(message, Go):
                return message
            if message is not None:
                self._stop(message)

    def _call(self, go: Go, problem: BaseException | None) -> Any:
        self._base = self._peak()
        self._slot.set_base(self._base)
        if go.output is not None:
            _redirect(go.output)
        self._job = ChildJob(go, self._slot, self._scratch_root, self._poke)
        CURRENT.set(self._job)
        if problem is not None:
            raise problem
        args, kwargs = codec.unpack_arguments(go.payload)
        function = target.load(go.ref, self._allow)
        self._in_job = True
        value = function(*args, **kwargs)
        # To look at the class alone is cheaper by 20 copied pages.
        return self._run_async(value) if hasattr(value, "__await__") and isinstance(value, Coroutine) else value

    def _run_async(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        import asyncio  # slow to import; only async jobs pay for it

        async def main() -> Any:
            task = asyncio.current_task()
            assert task is not None
            loop = asyncio.get_running_loop()

            def unwind() -> None:
                try:
                    if self._boot.stack_dump and self._asked is not None and self._asked.kind in LATE:
                        stacks.write_tasks(asyncio.all_tasks(), sys.stderr)
                finally:  # the job may have closed stderr
                    task.cancel()

            def cancel() -> None:
                loop.call_soon_threadsafe(unwind)

            self._cancel_task = cancel
            try:
                return await coroutine
            finally:
                self._cancel_task = None

        try:
            return asyncio.run(main())
        except asyncio.CancelledError as error:
            if self._asked is None:
                raise
            raise _exception(self._asked) from error

    # -- being stopped -------------------------------------------------------------------------------------------------

    def _terminated(self, number: int, frame: FrameType | None) -> None:
        """SIGTERM: the reason was sent before it, unless somebody else sent it."""
        if self._over:
            return
        stops = []
        while (message := self._receive(channel.DONTWAIT)) is not None:
            if isinstance(message, Stop):
                stops.append(message)
        hard = [stop for stop in stops if stop.kind != SOFT]
        self._stop((hard or stops or [_OUTSIDE])[0])

    def _stop(self, stop: Stop) -> None:
        self._asked = stop
        if self._job is not None:
            self._job.asked_to_stop(stop)
        if self._cancel_task is not None:
            self._cancel_task()
        else:
            raise _exception(stop)

    # A process that the job forks is to be ended by SIGTERM as any other, also by one that comes at once: Python would
    # note it for a handler and forget it in the new process. So SIGTERM is held back over the fork.

    def before_fork(self) -> None:
        self._masks[_thread.get_ident()] = _signal.pthread_sigmask(_signal.SIG_BLOCK, (signal.SIGTERM,))

    def after_fork(self) -> None:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, self._masks.pop(_thread.get_ident()))

    def in_fork(self) -> None:
        if signal.getsignal(signal.SIGTERM) == self._terminated:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self.after_fork()

    # -- the end -------------------------------------------------------------------------------------------------------

    def _returned(self, value: Any) -> End:
        try:
            result = codec.pack_value(value, "result")
            if len(result) > self._result_bytes:
                raise TooLarge(
                    f"the result has {len(result):,} bytes, over the limit of {self._result_bytes:,}",
                    hint="write it to a file and return the file's Path",
                )
        except BaseException as error:
            return self._end("final", error=error)
        return self._end("ok", result)

    def _failed(self, error: BaseException) -> End:
        match error:
            case RetryLater():
                return self._retry_later(error)
            case GiveUp():
                return self._end("give_up", error=error)
            case CancelRequested() if self._asked is not None and self._asked.kind != SOFT:
                return self._end("stopped", error=error)
            case NotAllowed() | ProtocolError() if not self._in_job:
                return self._end("final", error=error)
            case SystemExit():
                return self._end("error", error=error, message=f"the job called sys.exit({error.code!r:.200})")
        return self._end("error", error=error, message=excess.of_error(error, self._boot))

    def _retry_later(self, error: RetryLater) -> End:
        delay_s = None
        if error.delay is not None:
            from ....protocol.options import duration

            try:
                delay_s = duration(error.delay)
            except Exception as bad:
                return self._end("error", error=bad, message=f"RetryLater(delay={error.delay!r:.200}): {bad}")
        return self._end("retry_later", error=error, delay_s=delay_s, counted=bool(error.count))

    def _end(
        self,
        kind: str,
        result: bytes | None = None,
        *,
        error: BaseException | None = None,
        message: str | None = None,
        delay_s: float | None = None,
        counted: bool = False,
    ) -> End:
        info = None if error is None else failure.describe(error, self._boot.traceback_bytes, message)
        return End(kind, result, info, delay_s, counted, self._usage())

    def _usage(self) -> list[Any] | None:
        own, below = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        try:
            peak = max(self._peak() - self._base, below.ru_maxrss * 1024, 0)
        except OSError:  # the job has left no descriptor free
            return None
        return [own.ru_utime + below.ru_utime, own.ru_stime + below.ru_stime, peak, self._base, False]

    def _flush(self) -> None:
        for stream in (joblog, sys.stdout, sys.stderr, stdio):
            try:
                stream.flush()
            except BaseException:  # closed or broken by the job: there is nothing left to save
                continue

    # -- the socket ----------------------------------------------------------------------------------------------------

    def _receive(self, flags: int) -> Go | Stop | None:
        """The next message; with ``flags`` 0, wait for it, otherwise None if there is none."""
        try:
            data, fds = channel.receive(self._sock, flags)
        except OSError:  # nothing more is there, or the job has closed the socket
            data, fds = b"", []
        if not data:
            if not flags:
                os._exit(0)  # nobody is left who could give this child anything
            return None
        if not fds:
            return channel.decode(data, channel.TO_CHILD)  # type: ignore[no-any-return]
        message: Go | Stop = channel.decode(channel.content(data, fds), channel.TO_CHILD)
        channel.close_all(fds)
        return message

    def _send(self, end: End) -> None:
        """Send the end; it always finds room, since little else is ever sent."""
        try:
            self._send_now(end)
        except OSError:  # the job has left no descriptor free
            os.closerange(FIRST_FREE_FD, FD_MAX)
            self._send_now(end)

    def _send_now(self, end: End) -> None:
        data, fds = channel.packet(channel.encode(end))
        channel.send(self._sock, data, fds, wait=True)

    def _poke(self) -> None:
        """Tell of progress, unless the last word of it was not heard yet."""
        try:
            unheard = fcntl.ioctl(self._sock.fileno(), _SIOCOUTQ, b"\0\0\0\0")
            if unheard == b"\0\0\0\0":
                channel.send(self._sock, _POKE)
        except OSError:  # the job has closed the socket; its end will tell
            pass


def confinement(boot: Boot, open_files: tuple[int, int], oom_score: bytes) -> Callable[[], None]:
    """What puts a process under the limits of every attempt. To be called with its descriptors in place."""
    more: list[Callable[[], object]] = []
    if boot.nproc is not None:
        more.append(partial(limits.limit_processes, boot.nproc))
    if boot.cpu_s is not None:
        more.append(partial(limits.limit_cpu, boot.cpu_s))
    if boot.nice:
        more.append(partial(os.nice, boot.nice))
    if boot.memory_max_bytes is not None:
        more.append(partial(limits.limit_memory, boot.memory_max_bytes))
    if boot.child_setup is not None:
        more.append(partial(call_by_name, boot.child_setup))
    return partial(_confine, open_files, oom_score, more)


def _confine(open_files: tuple[int, int], oom_score: bytes, more: list[Callable[[], object]]) -> None:
    limits.become_subreaper()
    limits.limit_open_files(open_files)
    limits.offer_to_oom_killer(oom_score)
    for limit in more:
        limit()


def call_by_name(name: str) -> None:
    """Call the function ``pkg.mod:function`` of the config, without arguments."""
    module, _, function = name.partition(":")
    getattr(importlib.import_module(module), function)()


_living: list[Child] = []  # the child that this process has become, if it has


def mind_forks() -> None:
    """In a process that becomes a child, or forks children: what is to happen when a job forks."""
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_fork)


def _before_fork() -> None:
    for child in _living:
        child.before_fork()


def _after_fork() -> None:
    for child in _living:
        child.after_fork()


def _in_fork() -> None:
    for child in _living:
        child.in_fork()


def rehearse(boot: Boot, slot: Slot) -> None:
    """Take the way of an attempt a few times in the zygote, so that the interpreter has specialised its code.

    Otherwise every child would do that for itself, and copy 50 more pages to write it down.
    """
    signals = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    boot = boot._replace(allow=["builtins:*"], nproc=None, cpu_s=None, nice=0, memory_max_bytes=None, child_setup=None)
    prepare = confinement(boot, resource.getrlimit(resource.RLIMIT_NOFILE), limits.oom_score(0))
    go = channel.encode(Go(0, 0, "", "builtins:int", codec.pack_arguments((), {}), 1, 0, None, None, "", None))
    for _ in range(REHEARSALS):
        ours, its = _socket.socketpair(*channel.SOCKET)
        channel.send(ours, go)
        child = Child(boot, its, limits.peak_since_fork, prepare)
        copy_context().run(child.live, slot)
        ours.close()
        its.close()
    _living.clear()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, signals)
    slot.clear()


def run_forked(
    parent: int, sock: int, pipes: tuple[int, int, int], run: Callable[[Slot], NoReturn], slot: Slot
) -> NoReturn:
    """The child's life after the fork. ``pipes`` are the write ends of stdout, stderr and logging."""
    try:
        _set_wakeup_fd(-1)
        _set_signal(_SIGCHLD, _SIG_DFL)
        setsid()
        die_with_parent(parent)
        stdout, stderr, logging = pipes
        dup2(sock, SOCKET_FD, False)
        dup2(stdout, 1)
        dup2(stderr, 2)
        dup2(logging, LOGGING_FD, False)
        closerange(FIRST_FREE_FD, FD_MAX)
        run(slot)
    finally:
        _exit(CUT_OFF)


def _exception(stop: Stop) -> BaseException:
    kind = SoftTimeout if stop.kind == SOFT else CancelRequested
    return kind(stop.reason or f"asked to stop: {stop.kind}")


def _try(prepare: Callable[[], None]) -> BaseException | None:
    try:
        prepare()
    except Exception as error:
        return error
    return None


def _redirect(path: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
    for number in (1, 2):
        os.dup2(fd, number)
    os.dup2(fd, LOGGING_FD, inheritable=False)
    os.close(fd)
