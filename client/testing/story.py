"""What has happened to the jobs of an ``InlineClient``, as notices: for those who ask for events.

Owns the notices and their numbers. Nothing happens while a test waits, so whoever follows comes to an end.
"""

from __future__ import annotations

import time
from typing import Any

from ...protocol import notices as n
from ...protocol import states, topics
from ...protocol.errors import BadArguments
from ...protocol.job import AttemptInfo, JobInfo

EPOCH = 1


class Story:
    """The notices of one client, oldest first."""

    def __init__(self) -> None:
        self._notices: list[n.Notice] = []

    def tell(self, kind: str, info: JobInfo | None = None, **more: Any) -> None:
        """Something has happened, to ``info`` as it is now; ``more`` are fields of a ``Notice``."""
        if info is not None:
            more = {
                "job_id": info.id, "ref": info.ref, "name": info.name, "queue": info.queue, "state": info.state,
                "attempt": info.attempt, "run_at": info.run_at if info.state == states.SCHEDULED else None, **more,
            }  # fmt: skip
        self._notices.append(n.Notice(EPOCH, len(self._notices) + 1, time.time(), kind, **more))

    def tell_end(self, info: JobInfo, attempt: AttemptInfo) -> None:
        """An attempt has ended, and ``info`` is what became of the job."""
        error = attempt.error
        text = None if error is None else f"{error.type.removeprefix('builtins.')}: {error.message}"
        self.tell(n.ENDED, info, outcome=attempt.outcome, text=text)
        following = info.state if info.finished else n.RETRY_SCHEDULED
        self.tell(following, info, outcome=attempt.outcome, text=info.reason or text)

    def answer(self, request: n.Events) -> n.EventsReply:
        """
        Raises:
            BadArguments: a position that is still to come.
        """
        head = len(self._notices)
        since = 0 if request.oldest else head if request.seq is None else request.seq
        if request.epoch not in (None, EPOCH) or since > head:
            raise BadArguments(f"there is no notice {request.seq} yet; the last one is {head}")
        wanted = request.filter
        found = [one for one in self._notices[since:] if topics.matches(wanted, one.kind, one.job_id, one.queue)]
        return n.EventsReply(EPOCH, head, found, "", 1, ended=True)
