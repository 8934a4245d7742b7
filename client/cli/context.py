"""What a verb is given beside its arguments: output, environment, config and connection, the last two on first use."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .render import Output

if TYPE_CHECKING:
    from ...conf.loader import Loaded
    from ...conf.paths import Paths
    from ...protocol import messages  # defining so many classes takes time that --help has no use for
    from ...protocol.notices import Notice
    from ..address import Target
    from ..events import Since

REQUEST_TIMEOUT_S = 5.0
FOREVER = math.inf  # for requests that the supervisor parks


class Connection(Protocol):
    """A connection to the supervisor, as ``Line`` is one."""

    def request(self, request: messages.Request, timeout: float | None = None) -> Any:
        """The reply, or the error that was answered, raised. ``timeout`` in seconds, may be infinite."""
        ...

    def events(
        self,
        since: Since = None,
        *,
        job: int | None = None,
        queue: str | None = None,
        kinds: Sequence[str] | None = None,
    ) -> Iterator[Notice]:
        """What happens, as it happens."""
        ...

    def close(self) -> None: ...


Connect = Callable[["Context"], Connection]


class Context:
    """One run of jobctl."""

    def __init__(
        self, args: argparse.Namespace, out: Output, environ: Mapping[str, str], cwd: Path, connect: Connect
    ) -> None:
        self.args = args
        self.out = out
        self.environ = environ
        self.cwd = cwd
        self._connect = connect
        self.incomplete: str | None = None  # why a reply had not all that was asked for, if one had not
        self._connection: Connection | None = None
        self._loaded: Loaded | None = None

    def request(self, request: messages.Request, timeout: float = REQUEST_TIMEOUT_S) -> Any:
        """Ask the supervisor.

        Raises:
            JobyardError: what it answered, or SupervisorUnavailable.
        """
        reply = self.connection.request(request, timeout=timeout)
        why = getattr(reply, "incomplete", None)
        if why is not None:
            self.incomplete = str(why)
            self.out.say(f"warning: what has left the supervisor's memory is not shown: {why}")
        return reply

    @property
    def connection(self) -> Connection:
        """The connection to the supervisor."""
        if self._connection is None:
            self._connection = self._connect(self)
        return self._connection

    @property
    def config_file(self) -> Path:
        """The config file.

        Raises:
            InvalidConfig: there is none.
        """
        from ...conf import find

        return find.find_config(self.args.config, self.cwd, self.environ)

    @property
    def loaded(self) -> Loaded:
        """The config.

        Raises:
            InvalidConfig: there is none, or it has mistakes.
        """
        if self._loaded is None:
            from ...conf import loader

            self._loaded = loader.load(
                self.config_file, environ=self.environ, env_name=self.args.env, overrides=self.args.set
            )
        return self._loaded

    @property
    def paths(self) -> Paths:
        """Where the supervisor of this config keeps things."""
        from ...conf import paths

        return paths.paths_for(self.loaded.settings, self.environ)

    @property
    def target(self) -> Target:
        """Where the supervisor is that options, environment or config name.

        Raises:
            InvalidConfig: there is no config; or it has mistakes, and no supervisor is where it says in spite of them.
        """
        from ..address import configured, find_target

        if self.names_socket:
            return find_target(self.args.socket or None, None, self.environ)
        return configured(self.config_file, self.environ, self.args.env, self.args.set)

    @property
    def state_dir(self) -> Path:
        """That of the supervisor that is meant, as far as a config with mistakes still tells.

        Raises:
            InvalidConfig: there is no config, or --env, --set or a variable has a mistake.
        """
        if self.names_socket:
            return self.target.home
        from ...conf import loader, paths

        args = self.args
        found = loader.salvage(self.config_file, environ=self.environ, env_name=args.env, overrides=args.set)
        return self.paths.state_dir if found is None else paths.paths_for(found, self.environ).state_dir

    @property
    def names_socket(self) -> bool:
        """Whether the supervisor is named by its socket, so that the config here has nothing to do with it."""
        from ..address import SOCKET_VARIABLE

        return bool(self.args.socket or (self.environ.get(SOCKET_VARIABLE) and not self.args.config))

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


class Line:
    """Requests without the rest of ``Client``, which takes longer to load than an answer takes to come."""

    def __init__(self, target: Target) -> None:
        from ..link import Links

        self._target = target
        self._links = Links(target, REQUEST_TIMEOUT_S)

    def request(self, request: messages.Request, timeout: float | None = None) -> Any:
        return self._links.call(request, REQUEST_TIMEOUT_S if timeout is None else timeout)

    def events(
        self,
        since: Since = None,
        *,
        job: int | None = None,
        queue: str | None = None,
        kinds: Sequence[str] | None = None,
    ) -> Iterator[Notice]:
        from ..sync import Client

        with Client(socket=self._target.argument) as client:
            yield from client.events(since, job=job, queue=queue, kinds=kinds)

    def close(self) -> None:
        self._links.close()


def connect_to_supervisor(context: Context) -> Connection:
    """For the supervisor that options, environment or config name; raises as ``Context.target``."""
    return Line(context.target)
