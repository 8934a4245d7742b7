"""Keys for connections over TCP: their files, and which of them are valid. What is in a key is none of its business.

Three kinds of files, all JSON, all readable by their owner alone, which is looked at whenever one is read:

- a *key file* has all that a client needs: the address, the supervisor's public key, and the client's own pair;
- ``keys/server`` in the state directory is the supervisor's own pair and the ports that it keeps to;
- each ``keys/HEX`` beside it makes one client's public key valid; whoever removes the file revokes the key.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import shlex
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from ..protocol import schema
from ..protocol.errors import BadArguments, InvalidConfig, ProtocolError
from ..protocol.plain import dataclass
from .paths import STATE_DIR, secure_directory, unusable, user_name

SERVER = "server"
FILE_BYTES_MAX = 4096
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HEX = re.compile(r"[0-9a-f]{64}")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KeyFile:
    """What a client needs; keys as ZeroMQ writes them, 40 characters."""

    name: str
    address: str
    server_key: str
    public_key: str
    secret_key: str


@dataclass(frozen=True, slots=True)
class ServerKey:
    """The supervisor's. ``port`` is that of requests, ``events_port`` of the status stream."""

    public_key: str
    secret_key: str
    port: int
    events_port: int


@dataclass(frozen=True, slots=True)
class Grant:
    """One valid key: whose it is, and since when (seconds since the epoch)."""

    name: str
    public_key: str
    created_at: float


def valid_name(name: str) -> str:
    """
    Raises:
        BadArguments: nobody can have this name.
    """
    if not _NAME.fullmatch(name):
        raise BadArguments(
            f"{name!r} is not a name for a key", hint="use letters, digits and . _ -, at most 64, as in: web-1"
        )
    return name


# -- which keys are valid ----------------------------------------------------------------------------------------------


def grants(directory: Path) -> list[Grant]:
    """Every valid key, by name.

    Raises:
        InvalidConfig: one of the files is not as we left it.
    """
    try:
        names = [name for name in os.listdir(directory) if _HEX.fullmatch(name)]
    except FileNotFoundError:
        return []
    found = [one for one in (granted(directory, name) for name in names) if one is not None]
    return sorted(found, key=lambda one: (one.name, one.created_at))


def granted(directory: Path, mark: str) -> Grant | None:
    """The grant of the public key whose 32 bytes are ``mark`` in hexadecimal, if it is valid now.

    Raises:
        InvalidConfig: its file is not as we left it.
    """
    try:
        return read(directory / mark, Grant)
    except FileNotFoundError:
        return None


def grant(directory: Path, mark: str, name: str, public_key: str, at_most: int) -> None:
    """Make a key valid.

    Raises:
        BadArguments: somebody has a key of this name. InvalidConfig: there are ``at_most`` keys already.
    """
    with _alone(directory):  # or two who ask at once would both find that there is none
        there = grants(directory)
        if any(one.name == name for one in there):
            raise BadArguments(f"there is a key {name!r} already", hint=f"jobctl key revoke {name}, or another name")
        if len(there) >= at_most:
            raise _refused(f"there are {len(there):,} keys already", "jobctl key revoke NAME, or raise [limits] keys")
        write(directory / mark, Grant(name, public_key, time.time()))


def revoke(directory: Path, name: str) -> int:
    """Make the keys of this name invalid; how many there were.

    Raises:
        InvalidConfig: there was none, but a file that is not as we left it may be it.
    """
    count, unread = 0, None
    for path in directory.glob("*") if directory.is_dir() else ():
        try:
            one = granted(directory, path.name) if _HEX.fullmatch(path.name) else None
        except InvalidConfig as error:  # which is not to keep another key valid
            unread = error
            continue
        if one is not None and one.name == name:
            path.unlink(missing_ok=True)
            _sync(directory)
            count += 1
    if unread is not None and not count:
        raise unread
    return count


def server_key(directory: Path, host: str) -> ServerKey:
    """The supervisor's key, made where there is none; two who make one at the same time get the same."""
    secure_directory(directory)
    path = directory / SERVER
    try:
        return read(path, ServerKey)
    except FileNotFoundError:
        with contextlib.suppress(FileExistsError):  # somebody was faster, and theirs is as good
            write(path, ServerKey(*make_pair(), *_free_ports(host)), replace=False)
        return read(path, ServerKey)


def make_pair() -> tuple[str, str]:
    """A public key and its secret one."""
    import zmq  # it makes them; nobody else here needs it

    public, secret = zmq.curve_keypair()
    return public.decode(), secret.decode()


def mark_of(public_key: str) -> str:
    """The 32 bytes of a public key in hexadecimal."""
    from zmq.utils import z85

    return bytes(z85.decode(public_key.encode())).hex()


def endpoint(host: str, port: int) -> str:
    """An address as ZeroMQ writes it."""
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"


def _free_ports(host: str) -> list[int]:
    import socket

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as one, socket.socket(family) as other:
        one.bind((host, 0))
        other.bind((host, 0))
        return [int(each.getsockname()[1]) for each in (one, other)]


# -- files -------------------------------------------------------------------------------------------------------------


def read(path: Path, kind: type[T]) -> T:
    """What is in a file of ours.

    Raises:
        FileNotFoundError: there is none.
        InvalidConfig: it is somebody else's, open to others, or not of this kind.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _refused(f"{path} cannot be read: {error.strerror}", f"ls -l {shlex.quote(str(path))}") from None
    try:
        _check_owner(path, os.fstat(fd))
        data = os.read(fd, FILE_BYTES_MAX)
    finally:
        os.close(fd)
    return _parse(path, data, kind)


def write(path: Path, content: Any, *, replace: bool = True, setting: str = STATE_DIR) -> None:
    """Put ``content`` into a file for its owner alone, whole or not at all.

    Args:
        replace: take the place of a file that is there.
        setting: what names another directory, for hints.

    Raises:
        FileExistsError: there is one, and it is not to be replaced.
        StorageUnavailable, InvalidConfig: it cannot be written.
    """
    new = path.with_name(f".{path.name[:32]}.{secrets.token_hex(8)}")
    data = json.dumps(schema.to_wire(content), indent=1).encode() + b"\n"
    try:
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(fd)
            _put_in_place(new, path, replace)
        finally:
            new.unlink(missing_ok=True)
        _sync(path.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise unusable(path, error, setting) from None


def _put_in_place(new: Path, path: Path, replace: bool) -> None:
    if replace:
        os.replace(new, path)
    else:
        os.link(new, path)


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Nobody else makes a key here meanwhile."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _sync(directory: Path) -> None:
    """Have the names in it on disk: a key that was revoked must not come back after a power failure."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _check_owner(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _refused(f"{path} is not a file", f"ls -l {shlex.quote(str(path))}")
    if found.st_uid != os.geteuid():
        raise _refused(
            f"{path} belongs to user {user_name(found.st_uid)}, not to user {user_name(os.geteuid())}",
            f"chown {user_name(os.geteuid())} {shlex.quote(str(path))}, if it is meant for this user",
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise _refused(
            f"{path} is open to other users (mode {stat.S_IMODE(found.st_mode):04o})",
            f"chmod 600 {shlex.quote(str(path))}, and if others may have read it, a new key",
        )


def _parse(path: Path, data: bytes, kind: type[T]) -> T:
    try:
        return schema.from_wire(kind, json.loads(data))
    except (ValueError, RecursionError, ProtocolError):
        raise _refused(f"{path} is not a key that jobyard has written", "jobctl key new NAME makes one") from None


def _refused(message: str, hint: str) -> InvalidConfig:
    return InvalidConfig(message, hint=hint, details={"problems": [message]})
