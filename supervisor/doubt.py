"""Submits that are sent again: what they are told when something stands in their way.

The first time they may have been stored, and then "refused" would be wrong. Owns for which errors that is so.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ..protocol.errors import (
    HistoryUnavailable,
    JobyardError,
    OutcomeUnknown,
    QueueFull,
    RateLimited,
    StorageUnavailable,
)
from ..protocol.ids import is_uid, uid_time
from ..protocol.messages import Request, Submission, Submit
from .core.state import State

# These say nothing about the submit itself. A full queue is that of requests that wait for the catalogue.
_PASSING = (StorageUnavailable, HistoryUnavailable, RateLimited, QueueFull)


@contextlib.contextmanager
def doubted(resent: bool) -> Iterator[None]:
    """Raises OutcomeUnknown, in place of an error that passes, for a submit that is sent again."""
    try:
        yield
    except _PASSING as error:
        if not resent:
            raise
        raise _unknown(error) from None


def told(request: Request, error: JobyardError, state: State | None = None) -> JobyardError:
    """What to answer to a request that is refused before the machine has seen it.

    What is wrong with a submit may be so only since it was stored: the config may be another by now.

    Args:
        state: tells whether it was stored; not needed for an error that passes.
    """
    if not isinstance(request, Submit) or isinstance(error, OutcomeUnknown):
        return error
    resent = [job for job in request.jobs if job.resent]
    in_doubt = bool(resent) if isinstance(error, _PASSING) else any(_may_be_stored(job, state) for job in resent)
    return _unknown(error) if in_doubt else error


def _may_be_stored(job: Submission, state: State | None) -> bool:
    if state is None or not is_uid(job.uid):
        return False
    return job.uid in state.uids or uid_time(job.uid) <= state.pruned_until


def _unknown(error: JobyardError) -> OutcomeUnknown:
    why = f"this submit was sent before, and whether it was stored then cannot be told now: {error.message}"
    return OutcomeUnknown(why, hint="send it again later: a repeated submit is one job")
