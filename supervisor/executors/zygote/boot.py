"""From exec to a zygote that may fork: confined, its pool's modules loaded, nothing else running in it.

Owns what a zygote refuses to become: a process with threads. A zygote that cannot start tells its supervisor why.
"""

from __future__ import annotations

import fcntl
import gc
import importlib
import os
import signal
import socket
import sys
from typing import NoReturn

from ....protocol import failure
from ....protocol.errors import JobyardError, ProtocolError
from .. import slices
from . import channel, child, code_version, joblog, limits, stacks, stdio
from .channel import Boot
from .page import Page

LISTENER_FD = 3
REFUSE_S = 10.0
_WHY_BYTES_MAX = 16 * 1024
_BLOCKED = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}  # the supervisor ends a zygote, not the terminal


class CannotStart(JobyardError):
    """The zygote cannot start."""


class Booted:
    """A zygote that is ready to serve. ``open_files`` is the limit for its children, ``sources`` the code that counts
    as loaded, and ``code_version`` its version."""

    def __init__(
        self, boot: Boot, listener: socket.socket, page: Page, open_files: tuple[int, int], warnings: list[str]
    ) -> None:
        self.sources = code_version.sources(boot.allow)
        self.code_version = code_version.name(self.sources)
        self.boot = boot
        self.page = page
        self.listener = listener
        self.open_files = open_files
        self.warnings = warnings


def boot() -> Booted:
    """Prepare this process; one that cannot be a zygote tells why and does not return."""
    signal.pthread_sigmask(signal.SIG_SETMASK, _BLOCKED)
    description = read_stdin()
    os.closerange(child.FIRST_FREE_FD, child.FD_MAX)
    output_fd = _moved(channel.OUTPUT_FD)
    os.dup2(0, channel.OUTPUT_FD)  # no descriptor of ours may have a number that a child uses
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=LISTENER_FD)
    listener.set_inheritable(False)
    try:
        given = _understood(description)
        if given.output_fd is not None:
            given = given._replace(output_fd=output_fd)
        open_files = limits.open_files(given.nofile)
        _confine()
        if given.stack_dump:
            stacks.install()
        page = Page.create()
        warnings = _load(given)
        child.rehearse(given, page.slot(0))
    except BaseException as error:
        _refuse(listener, error)
    booted = Booted(given, listener, page, open_files, warnings)
    gc.collect()
    gc.freeze()
    return booted


def _moved(fd: int) -> int | None:
    """The same file under a number that no child uses; None if there is none."""
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, child.FIRST_FREE_FD)
    except OSError:
        return None


def _understood(description: bytes) -> Boot:
    try:
        given: Boot = channel.decode(description, channel.BOOT)
    except ProtocolError:
        raise CannotStart(
            "the jobyard of this interpreter is of another version than the supervisor's",
            hint=f"install the same version for {sys.executable}",
        ) from None
    return given


def read_stdin() -> bytes:
    """Everything on standard input, which is /dev/null from then on."""
    data = b""
    while part := os.read(0, 1 << 20):
        data += part
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    return data


def enter(given: Boot) -> None:
    """Go where the pool's code is, and make printing safe.

    Raises:
        CannotStart: there is no such directory.
    """
    try:
        os.chdir(given.cwd)
    except OSError as error:
        raise CannotStart(f"cannot enter the pool's directory {given.cwd!r}: {error.strerror}") from None
    sys.path[:0] = given.path
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")


def _confine() -> None:
    limits.default_signals()
    limits.become_subreaper()
    limits.no_core_files()
    stdio.line_buffered()
    os.umask(0o077)
    if not os.path.exists(f"/proc/self/task/{os.getpid()}/children"):
        raise CannotStart(
            "this kernel does not list the children of a process", hint='use start = "spawn" for this pool'
        )
    limits.raise_open_files()
    slices.shorten(inherited=False)


def _load(given: Boot) -> list[str]:
    """Run the pool's own start-up code; returns warnings about what it left behind."""
    enter(given)
    joblog.install()
    warnings = []
    if given.setup is not None:
        child.call_by_name(given.setup)
        warnings += _leftovers(given.setup)
    for module in given.preload:
        importlib.import_module(module)
        warnings += _leftovers(module)
    _flush()
    return warnings


def _leftovers(name: str) -> list[str]:
    """What a fork would not carry over.

    Raises:
        CannotStart: threads.
    """
    threads = len(os.listdir("/proc/self/task"))
    if threads > 1:
        raise CannotStart(
            f"after loading {name} the zygote has {threads} threads, and a process with threads cannot fork safely",
            hint=f"start them in the job, or take {name} out of preload and setup",
        )
    sockets = sum(1 for target in _descriptors() if target.startswith("socket:")) - 1
    return [f"{name} has opened {sockets} socket(s) in the zygote; children do not inherit them"] if sockets > 0 else []


def _descriptors() -> list[str]:
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
        except OSError:  # the one that listed them
            continue
    return found


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


def _refuse(listener: socket.socket, error: BaseException) -> NoReturn:
    """Tell the supervisor that waits at the other end, and leave."""
    why = failure.describe(error, _WHY_BYTES_MAX)
    text = why[1] if isinstance(error, CannotStart) else f"{why[0]}: {why[1]}\n{why[2]}"
    listener.settimeout(REFUSE_S)
    try:
        sock, _ = listener.accept()
        sock.settimeout(REFUSE_S)
        channel.receive(sock)
        channel.send(sock, channel.encode(channel.Refused(text)), wait=True)
    except OSError:
        pass
    os._exit(1)
