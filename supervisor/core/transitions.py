"""Which state may follow which, and through which record. The one table: ``State`` refuses everything else, and the
diagram in the documentation is made from it."""

from __future__ import annotations

from ...protocol.states import BLOCKED, CANCELLED, FAILED, QUEUED, RUNNING, SCHEDULED, SUCCEEDED
from .records import Cancelled, Changed, Ended, Promoted, Requeued, Started, Submitted

NEW = "new"  # not yet a job

TRANSITIONS: dict[tuple[str, type], frozenset[str]] = {
    (NEW, Submitted): frozenset({SCHEDULED, BLOCKED, QUEUED}),
    (SCHEDULED, Promoted): frozenset({QUEUED}),
    (BLOCKED, Promoted): frozenset({QUEUED, SCHEDULED}),
    (QUEUED, Started): frozenset({RUNNING}),
    (RUNNING, Ended): frozenset({SUCCEEDED, FAILED, CANCELLED, SCHEDULED, QUEUED}),
    (SCHEDULED, Cancelled): frozenset({CANCELLED}),
    (BLOCKED, Cancelled): frozenset({CANCELLED}),
    (QUEUED, Cancelled): frozenset({CANCELLED}),
    (SCHEDULED, Changed): frozenset({QUEUED}),
    (QUEUED, Changed): frozenset({SCHEDULED}),
    (SUCCEEDED, Requeued): frozenset({QUEUED, BLOCKED}),
    (FAILED, Requeued): frozenset({QUEUED, BLOCKED}),
    (CANCELLED, Requeued): frozenset({QUEUED, BLOCKED}),
}


class IllegalRecord(Exception):
    """A record that does not fit the state: a bug, never a user's mistake. Nothing was changed."""


def check_transition(job_id: int, before: str, record: type, after: str) -> None:
    """Raises IllegalRecord unless the table allows it."""
    if after not in TRANSITIONS.get((before, record), frozenset()):
        raise IllegalRecord(f"job {job_id}: {record.__name__} may not take it from {before} to {after}")


def mermaid() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2"]
    for (before, record), afters in TRANSITIONS.items():
        source = "[*]" if before == NEW else before
        lines += [f"    {source} --> {after}: {record.__name__}" for after in sorted(afters)]
    return "\n".join(lines)
