"""Refused requests: how many there were, and what the log says of them: of those that cost their sender nothing only
some.

A peer that sends garbage, or more than it may, could else fill the disk with the log.
"""

from __future__ import annotations

import logging
import time

from ..protocol.errors import JobyardError, RateLimited, Unauthorised
from ..protocol.messages import Submit
from .sockets import Peer
from .token import Token

log = logging.getLogger("jobyard.requests")
INTERVAL_S = 10.0
LINES_AT_ONCE = 20  # in each interval
SAID_CHARS_MAX = 1_000  # what is refused is repeated in the message, and may take megabytes


class Refusals:
    """One per supervisor.

    Attributes:
        count: of all since the start.
    """

    def __init__(self) -> None:
        self.count = 0
        self._left = LINES_AT_ONCE
        self._since = time.monotonic()
        self._omitted = 0

    def malformed(self, peer: Peer, error: JobyardError) -> None:
        """A request could not be read."""
        self.count += 1
        self._cheap(f"refused a malformed request from {peer.who}: {error.message[:SAID_CHARS_MAX]}")

    def refused(self, token: Token, error: JobyardError) -> None:
        """A request is answered with an error."""
        self.count += 1
        message = error.message[:SAID_CHARS_MAX]
        said = f"refused {token.verb} from {token.peer.who}: {message} ({error.code})"
        if isinstance(error, RateLimited):
            self._cheap(said)
        else:
            matters = token.verb == Submit.VERB or isinstance(error, Unauthorised)
            log.log(logging.ERROR if matters else logging.INFO, "%s", said)

    def _cheap(self, said: str) -> None:
        now = time.monotonic()
        if now - self._since >= INTERVAL_S:
            self._left, self._since = LINES_AT_ONCE, now
        if self._left <= 0:
            self._omitted += 1
            return
        self._left -= 1
        omitted, self._omitted = self._omitted, 0
        log.warning("%s%s", said, f" (and {omitted:,} such lines left out before)" if omitted else "")
