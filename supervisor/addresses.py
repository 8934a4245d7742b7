"""Where clients connect, as the config says: the entrances of both sockets, and who may do what behind them.

Owns the choice between IPC and TCP, the ports that are kept to, and the key file of this user's own clients.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..conf import keys
from ..conf.paths import Paths
from ..conf.settings import Settings, SupervisorSettings
from ..conf.users import Clients
from ..protocol.errors import InvalidConfig
from .admission import Admission
from .entrance import CannotListen, Entrance, IpcEntrance, Keyring, TcpEntrance

log = logging.getLogger("jobyard")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Both entrances; ``close`` takes back what clients find them by."""

    requests: Entrance
    events: Entrance
    admission: Admission
    close: Callable[[], None]


def open_addresses(
    settings: Settings, paths: Paths, clients: Clients | None, requests_max: Callable[[], int]
) -> Addresses:
    """Begin to listen, without letting anybody in yet.

    Raises:
        InvalidConfig: an address cannot be had, or a key file is not as we left it.
    """
    if not paths.tcp:
        uids = clients.uids if clients else frozenset[int]()
        requests = IpcEntrance(str(paths.socket), clients)
        try:
            events = IpcEntrance(str(paths.events_socket), clients)
        except InvalidConfig:
            requests.close()
            raise
        return Addresses(requests, events, Admission(uids, None, requests_max), lambda: None)
    keyring = Keyring(paths.keys_dir)
    server = keys.server_key(paths.keys_dir, settings.supervisor.host)
    over_tcp = _tcp_entrances(settings.supervisor, paths, server, keyring)
    own = keys.KeyFile(Keyring.OWNER, over_tcp[0].told, server.public_key, *keyring.own_pair)
    keys.write(paths.own_key, own)
    return Addresses(*over_tcp, Admission(frozenset(), keyring, requests_max), lambda: paths.own_key.unlink(True))


def _tcp_entrances(
    given: SupervisorSettings, paths: Paths, server: keys.ServerKey, keyring: Keyring
) -> tuple[TcpEntrance, TcpEntrance]:
    def at(port: int, events_port: int) -> tuple[TcpEntrance, TcpEntrance]:
        requests = TcpEntrance(given.host, port, server, keyring)
        try:
            return requests, TcpEntrance(given.host, events_port, server, keyring)
        except CannotListen:
            requests.close()
            raise

    if given.port:
        return at(given.port, given.port + 1)
    try:
        return at(server.port, server.events_port)
    except CannotListen as error:
        found = at(0, 0)
        log.warning(
            "%s; from now on it is port %d, and keys that were given out name the old one", error, found[0].port
        )
        keys.write(paths.keys_dir / keys.SERVER, replace(server, port=found[0].port, events_port=found[1].port))
        return found
