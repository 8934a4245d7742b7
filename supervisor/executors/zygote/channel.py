"""The messages between supervisor, zygote, log writer and child: their names, fields and version, and their framing.

Owns how a message becomes one packet of a SOCK_SEQPACKET socket, and which descriptors go beside it. Knows nothing of
what anybody does on receipt. A message is the msgpack list ``[name, field, ...]``; what does not fit into a packet
travels as an anonymous file.
"""

from __future__ import annotations

import _socket
import os
from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgpack

from ....protocol import codec
from ....protocol.errors import ProtocolError, TooLarge

ADOPTION_VERSION = 1
ADOPTION_VERSIONS = (1,)  # spoken by a zygote of this release
Socket = _socket.socket  # what the class of ``socket`` is built on, and takes half as long to make
# Those of ``socket`` are enums: to combine two of them is Python code, for which a child copies 20 pages.
SOCKET = (_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
DONTWAIT, PEEK = _socket.MSG_DONTWAIT, _socket.MSG_PEEK
INLINE_BYTES_MAX = 64 * 1024  # longer messages go by anonymous file; a packet of 212 KB is EMSGSIZE
PACKET_BYTES_MAX = 72 * 1024
OUTPUT_FD = 4  # number under which a zygote is given ``Boot.output_fd``
KIDS_PER_MESSAGE = 200  # the kernel takes at most 253 descriptors beside one packet
EXITS_PER_MESSAGE = 200

_MEMFD_FLAGS = getattr(os, "MFD_CLOEXEC", 0)


# -- at start, by anonymous file ---------------------------------------------------------------------------------------


class Boot(NamedTuple):
    """All that a zygote or a spawned child needs to know of its pool; the fields of ``PoolSpec`` mean the same here.

    ``scratch_root`` is the directory in which attempts may have a directory of their own; ``output_fd`` is
    ``output_dir`` for a user who cannot get there by its path.
    """

    uuid: str
    pool: str
    cwd: str
    path: list[str]
    allow: list[str]
    output_dir: str
    scratch_root: str
    preload: list[str]
    setup: str | None
    child_setup: str | None
    nofile: int | None
    nproc: int | None
    nice: int
    memory_max_bytes: int | None
    result_bytes: int
    traceback_bytes: int
    max_job_bytes: int
    cpu_s: int | None
    stack_dump: bool
    cgroup: str | None
    output_fd: int | None


# -- supervisor to zygote ----------------------------------------------------------------------------------------------


class Hello(NamedTuple):
    """First message. A lower generation is refused, a higher one replaces the older connection."""

    version: int
    generation: int
    salt: str


class Prepare(NamedTuple):
    wanted: int


class Start(NamedTuple):
    """Binds an attempt to a child and arms its deadlines; sent before ``Go`` is sent to the child."""

    kid: int
    job_id: int
    attempt: int
    output_name: str
    timeout_s: float | None
    soft_timeout_s: float | None
    stall_timeout_s: float | None
    grace_s: float


class Discard(NamedTuple):
    kid: int


class Kill(NamedTuple):
    kid: int
    kind: str
    grace_s: float
    reason: str | None


class Ack(NamedTuple):
    seqs: list[int]


class Follow(NamedTuple):
    kid: int
    size: int


class Retire(NamedTuple):
    """Take no new work; end after the last exit is acknowledged."""


# -- zygote to supervisor ----------------------------------------------------------------------------------------------


class Welcome(NamedTuple):
    """Answers ``Hello``; beside it goes the descriptor of the shared page.

    ``fresh``: it takes new work, and none of the code that it has loaded has changed since.
    """

    version: int
    uuid: str
    pid: int
    pid_started: int
    boot_id: str
    output_dir: str
    scratch_root: str
    fresh: bool


class Kids(NamedTuple):
    """Children that exist, each ``[kid, pid, pid_started, slot, job_id, attempt]``, with a descriptor for each.

    ``pid_started`` is 0 for one that has ended, ``job_id`` for one that was given no attempt.
    """

    kids: list[list[int]]


class Ready(NamedTuple):
    """Everything that a supervisor must know has been said; ``warnings`` are for people."""

    warnings: list[str]
    code_version: str


class Refused(NamedTuple):
    """The zygote will not serve this connection, or cannot serve at all."""

    why: str


class Made(NamedTuple):
    """New children, each ``[kid, pid, slot]``; beside the message goes the supervisor's end of each one's socket.

    When they started is for the supervisor to look up: that costs a process which has just forked 70 copied pages.
    """

    kids: list[list[int]]


class PrepareFailed(NamedTuple):
    failed: int
    why: str


class Gone(NamedTuple):
    """A child and its tree have ended. ``base_bytes`` is its memory before the job's own code, 0 if that never ran;
    ``reason`` names the limit that it went over, if that is known."""

    seq: int
    kid: int
    exit_code: int | None
    signal: str | None
    killed: str | None
    at: float
    cpu_user_s: float
    cpu_system_s: float
    peak_bytes: int
    base_bytes: int
    survivors: int
    reason: str | None = None


class Exits(NamedTuple):
    """Exits that are not acknowledged, each a ``Gone``."""

    exits: list[list[Any]]


class Grown(NamedTuple):
    kid: int
    done: bool


# -- zygote and log writer ---------------------------------------------------------------------------------------------


class Open(NamedTuple):
    """Beside it go the read ends of stdout, stderr and logging. ``again``: an earlier writer may have begun with it;
    ``slot`` of the shared page is told of output as a sign of life."""

    kid: int
    name: str
    again: bool
    slot: int


class Watch(NamedTuple):
    kid: int
    size: int


class Grew(NamedTuple):
    kid: int


class Unwritten(NamedTuple):
    """So many bytes of this output the disk has refused by now, lately with ``errno``. The zygote passes it on."""

    name: str
    size: int
    errno: int


class Done(NamedTuple):
    """All three streams have ended, and everything is written."""

    kid: int


# -- to and from the child ---------------------------------------------------------------------------------------------


class Go(NamedTuple):
    """Run this. ``output`` is the file that stdout and stderr go to where there is no log writer; ``parents`` are pairs
    of id and state."""

    job_id: int
    attempt: int
    uid: str
    ref: str
    payload: bytes
    max_attempts: int
    tried: int
    timeout_s: float | None
    tags: dict[str, str] | None
    queue: str
    output: str | None
    parents: Sequence[tuple[int, str]] = ()


class Stop(NamedTuple):
    """Says why a SIGTERM follows. kind: as in ``Exit.killed``, or "soft" for the soft timeout."""

    kind: str
    reason: str | None


class Up(NamedTuple):
    """A spawned child is ready for ``Go``."""


class Poke(NamedTuple):
    """There is new progress in the child's slot of the shared page."""


class End(NamedTuple):
    """The child's last. ``error`` is ``[type, message, traceback, kinds]``, ``usage`` has the fields of ``Usage``."""

    kind: str
    result: bytes | None
    error: list[Any] | None
    delay_s: float | None
    counted: bool
    usage: list[Any] | None


class Large(NamedTuple):
    """Stands for the message of ``size`` bytes in the anonymous file beside it."""

    size: int


Message = tuple[Any, ...]
Kinds = dict[str, type[Any]]


def kinds(*classes: type[Any]) -> Kinds:
    """The messages that somebody understands, for ``decode``."""
    return {cls.__name__: cls for cls in classes}


TO_ZYGOTE = kinds(Hello, Prepare, Start, Discard, Kill, Ack, Follow, Retire)
TO_SUPERVISOR = kinds(Welcome, Kids, Ready, Refused, Made, PrepareFailed, Exits, Grown, Unwritten)
TO_WRITER = kinds(Open, Watch)
FROM_WRITER = kinds(Grew, Unwritten, Done)
TO_CHILD = kinds(Go, Stop)
FROM_CHILD = kinds(Up, Poke, End)
BOOT = kinds(Boot)
_LARGE = kinds(Large)

# One packer for all messages: a new one allocates a buffer of 256 KiB.
_pack = msgpack.Packer(buf_size=4096).pack


def encode(message: Message) -> bytes:
    """The bytes of a message.

    Raises:
        TooLarge: longer than a message may be.
    """
    data: bytes = _pack([type(message).__name__, *message])
    if len(data) > codec.MESSAGE_BYTES_MAX:
        raise TooLarge(f"a message of {len(data):,} bytes is over the limit of {codec.MESSAGE_BYTES_MAX:,}")
    return data


def decode(data: bytes, known: Kinds) -> Any:
    """The message in ``data``, which one of our own processes wrote.

    Raises:
        ProtocolError: not a message of ``known``. The types of its fields are the sender's word.
    """
    try:
        parts = msgpack.unpackb(data)
        return known[parts[0]](*parts[1:])
    except Exception as error:  # msgpack raises eight different classes on bad input
        raise ProtocolError(f"not a message that is understood here ({type(error).__name__})") from None


def decode_foreign(data: bytes, known: Kinds) -> Any:
    """As ``decode``, for what a process wrote in which a job runs: held to the caps of an envelope.

    Raises:
        ProtocolError: not a message of ``known``, or over the caps. The types of its fields are the sender's word.
        TooLarge: longer than a message may be.
    """
    parts = codec.unpack(data)
    cls = known.get(parts[0]) if isinstance(parts, list) and parts and isinstance(parts[0], str) else None
    if cls is None:
        raise ProtocolError("not a message that is understood here")
    try:
        return cls(*parts[1:])
    except TypeError:
        raise ProtocolError(f"a {parts[0]} message with {len(parts) - 1} fields") from None


_LARGE_HEAD = encode(Large(0))[:-1]


# -- packets -----------------------------------------------------------------------------------------------------------


def send(sock: Socket, data: bytes, fds: tuple[int, ...] = (), wait: bool = False) -> bool:
    """Send one packet with ``fds`` beside it; False if the queue is full and ``wait`` is not set.

    Raises:
        OSError: the other side is gone.
    """
    beside = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array("i", fds))] if fds else []
    try:
        sock.sendmsg([data], beside, 0 if wait else DONTWAIT)
    except BlockingIOError:
        return False
    return True


def receive(sock: Socket, flags: int = 0) -> tuple[bytes, list[int]]:
    """One packet and the descriptors beside it, which now belong to the caller; ``b""`` is the end of the connection.

    Descriptors for which this process has no room are missing, all of one packet together.

    Raises:
        BlockingIOError: nothing is there, with ``DONTWAIT`` in ``flags``.
    """
    try:
        data, beside, got, _ = sock.recvmsg(PACKET_BYTES_MAX, _BESIDE_BYTES, flags | _CLOEXEC)
    except ConnectionResetError:  # told once when the other side left something unread; what it sent comes after
        try:
            data, beside, got, _ = sock.recvmsg(PACKET_BYTES_MAX, _BESIDE_BYTES, flags | _CLOEXEC)
        except ConnectionResetError:
            return b"", []
    if not beside:
        return data, []
    fds = _descriptors(beside)
    if got & _socket.MSG_CTRUNC:
        close_all(fds)
        fds = []
    return data, fds


def _descriptors(beside: list[tuple[int, int, bytes]]) -> list[int]:
    fds = array("i")
    for level, kind, raw in beside:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            fds.frombytes(raw[: len(raw) - len(raw) % fds.itemsize])
    return list(fds)


_CLOEXEC = getattr(_socket, "MSG_CMSG_CLOEXEC", 0)
_BESIDE_BYTES = _socket.CMSG_SPACE(4 * 253)  # as many descriptors as the kernel passes at once


def close_all(fds: list[int] | tuple[int, ...]) -> None:
    for fd in fds:
        os.close(fd)


def file_of(data: bytes, name: str) -> int:
    """An anonymous file that holds ``data``, at its start.

    Raises:
        OSError: no descriptor or no memory left.
    """
    fd = os.memfd_create(name, _MEMFD_FLAGS)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.lseek(fd, 0, os.SEEK_SET)
    except BaseException:
        os.close(fd)
        raise
    return fd


def packet(data: bytes) -> tuple[bytes, tuple[int, ...]]:
    """What to send for ``data``: itself, or a ``Large`` and a descriptor, which the caller closes after sending."""
    if len(data) <= INLINE_BYTES_MAX:
        return data, ()
    return encode(Large(len(data))), (file_of(data, "jobyard-message"),)


def is_large(data: bytes) -> bool:
    """Whether a packet is a ``Large``."""
    return data.startswith(_LARGE_HEAD)


def content(data: bytes, fds: list[int]) -> bytes:
    """The message that a packet of ``packet`` stands for. The descriptors stay the caller's.

    Raises:
        ProtocolError: the descriptor is not what was announced.
    """
    if not fds:
        return data
    size = decode_foreign(data, _LARGE).size
    try:
        if not isinstance(size, int) or not 0 < size <= codec.MESSAGE_BYTES_MAX or os.fstat(fds[0]).st_size != size:
            raise ProtocolError("a large message of another size than announced")
        found = os.pread(fds[0], size, 0)
    except OSError as error:
        raise ProtocolError(f"a large message that cannot be read: {error.strerror}") from None
    if len(found) != size:
        raise ProtocolError("a large message that was cut")
    return found
