"""Where the supervisor is: the socket's path, who named it, and why nobody answers there.

Owns the order in which an address is looked for: the ``socket`` argument, the ``config`` argument, ``JOBYARD_SOCKET``
(set in every job, so that a job reaches its own supervisor), then the config that is found from the working directory.
Opens no connection but to explain a failure.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from ..protocol.errors import BadArguments, InvalidConfig, SupervisorUnavailable
from ..protocol.plain import dataclass

SOCKET_VARIABLE = "JOBYARD_SOCKET"


@dataclass(frozen=True)
class Target:
    """The socket at ``path``, named by ``origin``; ``state_dir`` is the supervisor's, where that is known."""

    path: str
    origin: str
    state_dir: Path | None = None

    @property
    def endpoint(self) -> str:
        return f"ipc://{self.path}"

    def is_absent(self) -> bool:
        """Whether waiting would not help: no supervisor of this user ever listened here, or it was stopped in order.

        A supervisor that was killed leaves its socket behind, and may be on its way back, unless its guard is gone too.
        """
        try:
            found = os.stat(self.path)
        except OSError:
            return True
        if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.geteuid():
            return True
        from .guard_lock import is_abandoned

        return is_abandoned(self.state_dir or Path(self.path).parent.parent)  # where it is unless the config says so

    def unavailable(self) -> SupervisorUnavailable:
        """The error that says what was tried, what is wrong there, and what to do about it."""
        trouble, hint = self._trouble()
        tried = f"{self.path} ({self.origin}): {trouble}"
        return SupervisorUnavailable(f"no supervisor answers; tried {tried}", hint=hint, details={"tried": [tried]})

    def _trouble(self) -> tuple[str, str]:
        import socket as sockets  # only a failure needs it

        try:
            found = os.stat(self.path)
            if not stat.S_ISSOCK(found.st_mode):
                return "not a socket", "give the socket of the supervisor, or none to find it by the config"
            if found.st_uid != os.geteuid():
                from ..conf.paths import be_user, user_name

                return f"it belongs to user {user_name(found.st_uid)} and answers nobody else", be_user(found.st_uid)
            with sockets.socket(sockets.AF_UNIX) as probe:
                probe.setblocking(False)
                probe.connect(self.path)
        except BlockingIOError:
            pass  # its queue of those who want to connect is full
        except ConnectionRefusedError:
            return "nobody listens (left behind by a supervisor that was killed)", "jobctl up"
        except PermissionError:
            return "this user may not enter", "be the user that runs the supervisor"
        except OSError as error:
            return (error.strerror or str(error)).lower(), "jobctl up"
        return "something listens there, but does not answer", "jobctl status, or a longer Client(timeout=...)"


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
        return Target(_path(os.fspath(socket), "socket="), "given as socket=")
    named = environ.get(SOCKET_VARIABLE)
    if named and config is None:
        return Target(_path(named, SOCKET_VARIABLE), f"from {SOCKET_VARIABLE}")
    return _from_config(None if config is None else os.fspath(config), environ)


def _from_config(config: str | None, environ: Mapping[str, str]) -> Target:
    from ..conf import find, paths, settings  # of no use to a job's process, which is told its socket

    try:
        file = find.find_config(config, Path.cwd(), environ)
    except find.NoConfig as error:
        tried = ["socket=: not given", f"{SOCKET_VARIABLE}: not set", f"config: {error.message}"]
        raise SupervisorUnavailable(
            "no supervisor to talk to; tried " + "; ".join(tried),
            hint="run this in the project's directory, or give Client(config=...); for a new project: jobctl init",
            details={"tried": tried},
        ) from None
    places = paths.paths_for(settings.Settings(file=file), environ)
    if os.path.exists(places.socket) and find.leaves_places(file, environ):
        return Target(str(places.socket), f"by {file}", places.state_dir)
    from ..conf import loader  # reading all of the config takes longer than to ask the supervisor

    try:
        found, origin = loader.load(file, environ=environ).settings, f"by {file}"
    except InvalidConfig:
        # A supervisor that runs goes on with the config it has read: if it listens where it would by default, find it.
        found, origin = settings.Settings(file=file), f"the default place beside {file}, which has mistakes"
        if not os.path.exists(paths.paths_for(found, environ).socket):
            raise
    places = paths.paths_for(found, environ)
    return Target(str(places.socket), origin, places.state_dir)


def _path(address: str, source: str) -> str:
    path = address.removeprefix("ipc://")
    if "://" in path or not path or "\0" in path:
        raise BadArguments(f"{source} {address!r} is not the path of a socket", hint="give a path, or ipc:///path")
    return os.path.abspath(path)
