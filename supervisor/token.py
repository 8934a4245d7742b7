"""The handle by which an answer finds its request."""

from __future__ import annotations

from dataclasses import dataclass

from .sockets import Peer

UNREAD = "?"  # the verb of a request that could not be read


@dataclass(frozen=True, slots=True)
class Token:
    """One request: who asked, under which id, and with which verb."""

    peer: Peer
    request_id: str
    verb: str
