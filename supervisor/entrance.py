"""How clients get in: an IPC address that only certain users reach, or TCP with a key that must be known.

Owns the listening socket, which stays ours from the first bind to the end, and who may connect to it. libzmq is only
lent it: by itself it would remove whatever lies at the path of an IPC address, and give up the address whenever it
stops listening. What those who got in may ask for is decided in ``admission.py``.

The caller holds the directory lock, so a socket file that lies at the path is a dead supervisor's.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket as sockets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import zmq

from ..conf import keys
from ..conf.users import Clients
from ..protocol.errors import InvalidConfig, JobyardError

log = logging.getLogger("jobyard")
BACKLOG = 128
ZAP_DOMAIN = b"jobyard"
_ZAP_ADDRESS, _ZAP_VERSION = "inproc://zeromq.zap.01", b"1.0"
_CURVE_KEY_BYTES = 32
Source = tuple[Any, Callable[[], None]]  # something to be watched, and what to do when it can be read


class Entrance(Protocol):
    """One address.

    Attributes:
        told: what clients are told of it.
        endpoint: what libzmq calls it.
        credential: the property of a message by which its sender is known.
    """

    told: str
    endpoint: str
    credential: str

    def prepare(self, context: zmq.Context[Any], socket: zmq.Socket[bytes]) -> list[Source]:
        """Set who may connect, before the first bind."""
        ...

    def lend(self) -> int:
        """A descriptor to listen on, which libzmq may close."""
        ...

    def all_valid(self) -> bool:
        """Whether everybody who was let in still would be; after a no, whoever came in before is forgotten."""
        ...

    def close(self) -> None: ...


class IpcEntrance:
    """For this user, and for ``clients`` where there are some."""

    credential = "Peer-Address"  # made by the kernel: name:uid:gid:pid

    def __init__(self, path: str, clients: Clients | None) -> None:
        """
        Raises:
            InvalidConfig: something else is in the way, or the system refuses.
        """
        self.told = path
        self.endpoint = f"ipc://{path}"
        self._uids = {os.geteuid(), *(clients.uids if clients else ())}
        _clear(path)
        self._listening = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            self._listening.bind(path)  # whoever was faster keeps his socket, and we do not start
            if clients is not None:
                os.chown(path, -1, clients.group, follow_symlinks=False)
                os.chmod(path, 0o660)
            self._listening.listen(BACKLOG)
            self._listening.setblocking(False)
        except OSError as error:
            self._listening.close()
            raise InvalidConfig(f"cannot listen on {path}: {error.strerror}", hint=f"ls -l {path}") from None
        finally:
            os.umask(before)

    def prepare(self, context: zmq.Context[Any], socket: zmq.Socket[bytes]) -> list[Source]:
        for uid in self._uids:
            socket.set(zmq.IPC_FILTER_UID, uid)
        return []

    def lend(self) -> int:
        return os.dup(self._listening.fileno())

    def all_valid(self) -> bool:
        return True  # users do not change

    def close(self) -> None:
        self._listening.close()
        with contextlib.suppress(OSError):
            os.unlink(self.told)


def _clear(path: str) -> None:
    """Remove what a dead supervisor left, and nothing else."""
    try:
        found = os.lstat(path)
        if stat.S_ISSOCK(found.st_mode) and found.st_uid == os.geteuid():
            os.unlink(path)
            return
    except FileNotFoundError:
        return
    except OSError as error:
        raise InvalidConfig(f"cannot listen on {path}: {error.strerror}", hint=f"ls -l {path}") from None
    raise InvalidConfig(f"{path} is in the way: it is not a socket of this user", hint=f"look at it with: ls -l {path}")


class TcpEntrance:
    """For those whose key is known; everything on the way is encrypted."""

    credential = "User-Id"  # given by ``_Doorman``: name:key in hexadecimal

    def __init__(self, host: str, port: int, server: keys.ServerKey, keyring: Keyring) -> None:
        """
        Args:
            port: 0 for any that is free.

        Raises:
            CannotListen: the address cannot be had.
        """
        family = sockets.AF_INET6 if ":" in host else sockets.AF_INET
        self._listening = sockets.socket(family, sockets.SOCK_STREAM)
        self._listening.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
        try:
            self._listening.bind((host, port))
            self._listening.listen(BACKLOG)
            self._listening.setblocking(False)
        except OSError as error:
            self._listening.close()
            taken = error.errno == errno.EADDRINUSE
            hint = "set [supervisor] port to another one" if taken else "set [supervisor] host to one of this machine"
            raise CannotListen(f"cannot listen on {host} port {port}: {error.strerror}", hint=hint) from None
        self.port: int = self._listening.getsockname()[1]
        self.told = self.endpoint = keys.endpoint(host, self.port)
        self._is_ipv6 = ":" in host
        self._server = server
        self._keyring = keyring
        self._doorman: _Doorman | None = None

    def prepare(self, context: zmq.Context[Any], socket: zmq.Socket[bytes]) -> list[Source]:
        self._doorman = doorman = _Doorman(context, self._keyring)
        socket.set(zmq.IPV6, self._is_ipv6)
        socket.set(zmq.CURVE_SERVER, 1)
        socket.set(zmq.CURVE_SECRETKEY, self._server.secret_key.encode())
        socket.set(zmq.ZAP_DOMAIN, ZAP_DOMAIN)
        socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)  # nobody gets in while nobody answers for it
        return [(doorman.socket, doorman.answer)]

    def lend(self) -> int:
        return os.dup(self._listening.fileno())

    def all_valid(self) -> bool:
        let_in = self._doorman.let_in if self._doorman is not None else set()
        if all(map(self._keyring.is_there, let_in)):
            return True
        let_in.clear()
        return False

    def close(self) -> None:
        self._listening.close()


class CannotListen(InvalidConfig):
    """Another program has the port, or the address is none of this machine."""


class _Doorman:
    """Answers libzmq's question, by RFC 27, whether a key may come in; the loop watches its socket.

    Attributes:
        let_in: every key that came in since this was last emptied.
    """

    def __init__(self, context: zmq.Context[Any], keyring: Keyring) -> None:
        self.socket = context.socket(zmq.REP)
        self.socket.set(zmq.LINGER, 0)
        self.socket.bind(_ZAP_ADDRESS)
        self._keyring = keyring
        self.let_in: set[str] = set()

    def answer(self) -> None:
        while int(self.socket.get(zmq.EVENTS)) & zmq.POLLIN:
            version, sequence, _, _, _, mechanism, *credentials = self.socket.recv_multipart(zmq.DONTWAIT)
            mark = credentials[0].hex() if credentials and len(credentials[0]) == _CURVE_KEY_BYTES else ""
            name = None
            if version == _ZAP_VERSION and mechanism == b"CURVE" and mark:
                name = self._name(mark)
            verdict = (b"400", b"no such key", b"")
            if name is not None:
                verdict = (b"200", b"", f"{name}:{mark}".encode())
                self.let_in.add(mark)
            self.socket.send_multipart([_ZAP_VERSION, sequence, *verdict, b""])

    def _name(self, mark: str) -> str | None:
        try:
            return self._keyring.knows(mark)
        except JobyardError as error:  # a key file that others can read is as good as none
            log.error("a key is refused: %s", error.message)
            return None


class Keyring:
    """Who may come in over TCP: one key of this user's own, made anew at each start, and those that were granted.

    A key is named here by the 32 bytes of its public half, in hexadecimal.
    """

    OWNER = "owner"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.own_pair = keys.make_pair()
        self._own = keys.mark_of(self.own_pair[0])

    def is_own(self, key: str) -> bool:
        return key == self._own

    def knows(self, key: str) -> str | None:
        """The name of whoever has this key; looked up anew each time, so that what is revoked is so at once.

        Raises:
            InvalidConfig: its file is not as we left it.
        """
        if self.is_own(key):
            return self.OWNER
        found = keys.granted(self.directory, key)
        return None if found is None else found.name

    def is_there(self, key: str) -> bool:
        """As ``knows``, without reading the file."""
        return self.is_own(key) or os.path.exists(self.directory / key)
