"""Where the supervisor is: a socket's path or a key file, who named it, and why nobody answers there.

Owns the order in which an address is looked for: the ``socket`` argument, the ``config`` argument, ``JOBYARD_SOCKET``
(set in every job, so that a job reaches its own supervisor), then the config that is found from the working directory.
Opens no connection but to explain a failure.

A key file, by its name ``*.key``, stands for a supervisor that is reached over TCP. It is read for each connection,
since a supervisor that was started again has written another.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..protocol.errors import BadArguments, InvalidConfig, SupervisorUnavailable, Unauthorised
from ..protocol.plain import dataclass

if TYPE_CHECKING:
    from ..conf.keys import KeyFile

_PROBE_S = 0.5
SOCKET_VARIABLE, KEY_VARIABLE = "JOBYARD_SOCKET", "JOBYARD_KEY"
KEY_SUFFIX = ".key"


@dataclass(frozen=True, slots=True)
class Door:
    """What a connection is made with: an address of ZeroMQ, and over TCP the keys."""

    endpoint: str
    key: KeyFile | None = None

    def beside(self, told: str) -> Door:
        """Another socket of the same supervisor, as it tells of it: a path, or an address with a port of its own.

        The host is the one by which the supervisor was reached: what it calls itself may be of no use here.
        """
        if self.key is None:
            return Door(f"ipc://{told}")
        host, port = self.endpoint.rpartition(":")[0], told.rpartition(":")[2]
        return Door(f"{host}:{port}", self.key)


@dataclass(frozen=True)
class Target:
    """The socket or key file at ``path``, named by ``origin``.

    Attributes:
        state_dir: the supervisor's, where that is known.
        given: the address of TCP, if one was named; else it is in the key file.
    """

    path: str
    origin: str
    state_dir: Path | None = None
    given: str | None = None

    @property
    def is_tcp(self) -> bool:
        return self.path.endswith(KEY_SUFFIX)

    @property
    def home(self) -> Path:
        """The supervisor's state directory, or where it would be unless the config says so."""
        return self.state_dir or Path(self.path).parent.parent

    @property
    def argument(self) -> str:
        """What names the same supervisor as ``socket=``."""
        return self.given or self.path

    def door(self) -> Door:
        """
        Raises:
            FileNotFoundError: there is no key file.
            InvalidConfig: it is not one of this user's alone.
        """
        if not self.is_tcp:
            return Door(f"ipc://{self.path}")
        from ..conf import keys

        key = keys.read(Path(self.path), keys.KeyFile)
        return Door(self.given or key.address, key)

    def unauthorised(self) -> Unauthorised:
        """The error for a key that was refused."""
        return Unauthorised(
            f"the supervisor does not know the key in {self.path} ({self.origin})",
            hint="whoever runs it can make another: jobctl key new NAME",
        )

    def is_absent(self) -> bool:
        """Whether waiting would not help: no supervisor of this user ever listened here, or it was stopped in order.

        One whose guard is there may be on its way back; so may one that has left its socket behind, as when it is
        killed, unless both are gone.
        """
        from .guard_lock import is_abandoned, living_guard

        try:
            found = os.stat(self.path)
        except OSError:
            return living_guard(self.home) is None
        if not self.is_tcp and (not stat.S_ISSOCK(found.st_mode) or not self._may_connect(found)):
            return True
        return is_abandoned(self.home)

    def _may_connect(self, found: os.stat_result) -> bool:
        return found.st_uid == os.geteuid() or (os.geteuid() != 0 and os.access(self.path, os.W_OK))

    def unavailable(self) -> SupervisorUnavailable:
        """The error that says what was tried, what is wrong there, and what to do about it."""
        trouble, hint = self._trouble()
        tried = f"{self.path} ({self.origin}): {trouble}"
        return SupervisorUnavailable(f"no supervisor answers; tried {tried}", hint=hint, details={"tried": [tried]})

    def _trouble(self) -> tuple[str, str]:
        import socket as sockets  # only a failure needs it

        try:
            found = os.stat(self.path)
            if self.is_tcp:
                return self._trouble_over_tcp()
            if not stat.S_ISSOCK(found.st_mode):
                return "not a socket", "give the socket of the supervisor, or none to find it by the config"
            if not self._may_connect(found):
                from ..conf.paths import be_user, user_name

                return f"it belongs to user {user_name(found.st_uid)} and answers nobody else", be_user(found.st_uid)
            with sockets.socket(sockets.AF_UNIX) as probe:
                probe.setblocking(False)
                probe.connect(self.path)
        except BlockingIOError:
            pass  # its queue of those who want to connect is full
        except ConnectionRefusedError:
            return self._left("nobody listens (left behind by a supervisor that was killed)")
        except FileNotFoundError as error:
            return self._left(str(error.strerror).lower())
        except PermissionError:
            return "this user may not enter", "be the user that runs the supervisor"
        except OSError as error:
            return (error.strerror or str(error)).lower(), "jobctl up"
        if found.st_uid != os.geteuid():
            return "it does not let this user in", "whoever runs it can name this user in [supervisor] clients"
        return "something listens there, but does not answer", "jobctl status, or a longer Client(timeout=...)"

    def _left(self, trouble: str) -> tuple[str, str]:
        """Nobody listens: unless a guard is about to change that, the trouble is this."""
        from .guard_lock import between_lives, living_guard

        guard = living_guard(self.home)
        if guard is None:
            return trouble, "jobctl up"
        what, hint = between_lives(self.home, guard)
        return f"nobody listens; {what}", hint

    def _trouble_over_tcp(self) -> tuple[str, str]:
        import socket as sockets

        door = self.door()
        host, _, port = door.endpoint.removeprefix("tcp://").rpartition(":")
        try:
            sockets.create_connection((host.strip("[]"), int(port)), timeout=_PROBE_S).close()
        except ConnectionRefusedError:
            return f"nobody listens at {door.endpoint}", "jobctl up"
        except (OSError, ValueError) as error:
            return f"{door.endpoint}: {str(error).lower()}", "see whether the address is right"
        return (
            f"what listens at {door.endpoint} does not answer, or is not the supervisor of this key",
            "jobctl status, or a new key: jobctl key new NAME",
        )


def find_target(
    socket: str | os.PathLike[str] | None, config: str | os.PathLike[str] | None, environ: Mapping[str, str]
) -> Target:
    """The socket to connect to.

    Raises:
        BadArguments: ``socket`` is not a usable address.
        SupervisorUnavailable: nothing names a socket; lists the places.
        InvalidConfig: the config cannot be read.
    """
    if socket is not None:
        return _named(os.fsdecode(socket), "socket=", "given as socket=", environ)
    named = environ.get(SOCKET_VARIABLE)
    if named and config is None:
        return _named(named, SOCKET_VARIABLE, f"from {SOCKET_VARIABLE}", environ)
    return _from_config(None if config is None else os.fsdecode(config), environ)


def _named(address: str, source: str, origin: str, environ: Mapping[str, str]) -> Target:
    if not address.startswith("tcp://"):
        return Target(_path(address, source), origin)
    key = environ.get(KEY_VARIABLE)
    if key:
        if not key.endswith(KEY_SUFFIX):
            raise BadArguments(f"{KEY_VARIABLE} {key!r} is not the path of a key file", hint="its name ends in .key")
        return Target(os.path.abspath(key), f"{address} {origin}", given=address)
    try:
        found = _from_config(None, environ)
    except (SupervisorUnavailable, InvalidConfig):
        found = None
    if found is None or not found.is_tcp:
        raise BadArguments(
            f"{source} {address!r} needs a key, and none is given",
            hint=f"set {KEY_VARIABLE} to the path of a key file, or give that path instead of the address",
        )
    return Target(found.path, f"{address} {origin}", found.state_dir, given=address)


def _from_config(config: str | None, environ: Mapping[str, str]) -> Target:
    from ..conf import find  # of no use to a job's process, which is told its socket

    try:
        file = find.find_config(config, Path.cwd(), environ)
    except find.NoConfig as error:
        tried = ["socket=: not given", f"{SOCKET_VARIABLE}: not set", f"config: {error.message}"]
        raise SupervisorUnavailable(
            "no supervisor to talk to; tried " + "; ".join(tried),
            hint="run this in the project's directory, or give Client(config=...); for a new project: jobctl init",
            details={"tried": tried},
        ) from None
    return configured(file, environ)


def configured(
    file: Path, environ: Mapping[str, str], env_name: str | None = None, overrides: Sequence[str] = ()
) -> Target:
    """The socket of the supervisor of this config, with ``--env`` and ``--set`` as ``load`` takes them.

    Raises:
        InvalidConfig: the config has mistakes, and no supervisor is where it says in spite of them.
    """
    from ..conf import find, paths, settings  # of no use to a job's process, which is told its socket

    if not env_name and not overrides:
        places = paths.paths_for(settings.Settings(file=file), environ)
        if os.path.exists(places.socket) and find.leaves_places(file, environ):
            return Target(str(places.socket), f"by {file}", places.state_dir)
    from ..conf import loader  # reading all of the config takes longer than to ask the supervisor

    try:
        found = loader.load(file, environ=environ, env_name=env_name, overrides=overrides).settings
    except InvalidConfig:
        salvaged = loader.salvage(file, environ=environ, env_name=env_name, overrides=overrides)
        usual = settings.Settings(file=file)
        for one in (salvaged, usual) if salvaged else ():  # what moves it may be what was written last
            places = paths.paths_for(one, environ)
            if os.path.exists(places.address):
                return Target(str(places.address), f"by {file}, which has mistakes", places.state_dir)
        raise
    places = paths.paths_for(found, environ)
    return Target(str(places.address), f"by {file}", places.state_dir)


def _path(address: str, source: str) -> str:
    path = address.removeprefix("ipc://")
    if "://" in path or not path or "\0" in path or not _is_utf8(path):
        raise BadArguments(
            f"{source} {address!r} is not the path of a socket", hint="give a path, ipc:///path or tcp://host:port"
        )
    return os.path.abspath(path)


def _is_utf8(text: str) -> bool:
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False
