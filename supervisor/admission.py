"""What those who got in may ask for, and how much of it at once.

Owns rights and counts of requests under way. The user of the supervisor may do everything; further users, and holders
of keys, may submit and read. What a request means is none of its business but for its verb.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from ..protocol import messages as m
from ..protocol.errors import InvalidConfig, RateLimited, Unauthorised
from .entrance import Keyring
from .sockets import Peer
from .token import UNREAD, Token

READ_VERBS = frozenset(one.VERB for one in m.READS)
CLIENT_VERBS = READ_VERBS | {m.Submit.VERB}  # what others than the owner may ask
# By these somebody sees what is wrong and stops it, so there is always room for some more of them.
ADMIN_VERBS = frozenset(one.VERB for one in (m.Ping, m.Status, m.Cancel, m.SetQueue, m.Stop, m.Reload, m.Counters))
ADMIN_RESERVE = 64
_UNCOUNTED = frozenset((UNREAD, m.Wait.VERB, m.Logs.VERB))  # requests that wait are bounded where they are parked
_IS_NOBODY, _IS_CLIENT, _IS_ALL = range(3)  # each may do what the one before may


class Admission:
    """One per supervisor.

    Args:
        uids: of further users who may submit and read, over IPC.
        keyring: over TCP, who may do what; None over IPC.
        requests_max: requests of one connection that are under way.
    """

    def __init__(self, uids: frozenset[int], keyring: Keyring | None, requests_max: Callable[[], int]) -> None:
        self._rights = _IpcRights(uids) if keyring is None else _KeyRights(keyring)
        self._requests_max = requests_max
        self._under_way: dict[bytes, int] = {}  # by connection

    def admit(self, token: Token) -> None:
        """Take a request in; ``done`` is to be called with its answer.

        Raises:
            Unauthorised: its sender may not ask for that, or nothing any more.
            RateLimited: its connection has too many under way.
        """
        verb, peer = token.verb, token.peer
        count, limit = 0, self._requests_max()
        if verb not in _UNCOUNTED:
            count = self._under_way[peer.route] = self._under_way.get(peer.route, 0) + 1
        rights = self._rights(peer.client)
        if rights < _IS_ALL and (rights == _IS_NOBODY or verb not in CLIENT_VERBS):
            raise _refused(peer, verb, rights)
        if count > limit and (verb not in ADMIN_VERBS or count > limit + ADMIN_RESERVE):
            raise RateLimited(
                f"{count - 1:,} requests of this connection are under way already",
                hint="wait for answers before sending more, or raise [limits] connection_requests",
            )

    def done(self, token: Token) -> None:
        """The request has its answer."""
        if token.verb in _UNCOUNTED:
            return
        left = self._under_way.get(token.peer.route, 0) - 1
        if left > 0:
            self._under_way[token.peer.route] = left
        else:
            self._under_way.pop(token.peer.route, None)


class _IpcRights:
    """By the user id that the kernel tells."""

    def __init__(self, uids: frozenset[int]) -> None:
        self._uids = uids
        self._own = os.geteuid()
        self._last = "", _IS_NOBODY  # most ask more than once

    def __call__(self, client: str) -> int:
        if client != self._last[0]:
            self._last = client, self._of(client)
        return self._last[1]

    def _of(self, client: str) -> int:
        uid = client.split(":")[-3:-2]
        if uid == [str(self._own)]:
            return _IS_ALL
        return _IS_CLIENT if uid and uid[0].isdigit() and int(uid[0]) in self._uids else _IS_NOBODY


class _KeyRights:
    """By the key with which the connection was made, looked up with each request."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def __call__(self, client: str) -> int:
        name, _, key = client.partition(":")
        if self._keyring.is_own(key):
            return _IS_ALL
        try:
            return _IS_CLIENT if key and self._keyring.knows(key) == name else _IS_NOBODY
        except InvalidConfig:  # its file was opened to others meanwhile
            return _IS_NOBODY


def _refused(peer: Peer, verb: str, rights: int) -> Unauthorised:
    if rights == _IS_NOBODY:
        return Unauthorised(f"{peer.who} may not use this supervisor (any more)", hint="ask whoever runs it for a key")
    return Unauthorised(f"{peer.who} may submit and read, and not {verb}", hint="be the user that runs the supervisor")
