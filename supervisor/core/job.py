"""One job in memory. ``state.py`` has all of them, and alone changes them."""

from __future__ import annotations

from ...protocol.job import AttemptInfo, Policy
from . import records as r
from .transitions import NEW

JOB_BYTES = 2048  # memory that a finished job takes beside its values, about
PARENT_BYTES = 200  # what a parent takes, in the job and in the index
_NO_PARENTS: dict[int, str | None] = {}  # one for the many jobs that have none


class Job:
    """One job. Only ``State`` assigns its attributes.

    ``attempt`` numbers the last attempt; ``spent`` counts those that used up one of ``policy.retry.max_attempts``, and
    ``losses`` those that were lost. ``child`` is (zygote, kid, pid, pid_started) while running. ``run_at`` is
    ``created_at`` until it is given a time, or may run; a wall clock that was set back may make it an earlier one.

    ``parents`` says of each job of ``after`` how it ended, None while it has not; ``failed_parent`` is the one because
    of which this job will not run.

    ``shown`` is the payload without the values that are hidden, None if there are none; a job that has them is without
    a payload once it has ended.
    """

    __slots__ = (
        "attempt",
        "attempts",
        "cancel",
        "child",
        "created_at",
        "due_boot",
        "expires_at",
        "failed_parent",
        "finished_at",
        "id",
        "key",
        "losses",
        "name",
        "on_parent_failure",
        "parent",
        "parents",
        "payload",
        "policy",
        "priority",
        "queue",
        "reason",
        "ref",
        "result",
        "run_at",
        "shown",
        "spent",
        "state",
        "tags",
        "uid",
    )

    def __init__(self, new: r.NewJob, policy: Policy) -> None:
        self.id, self.uid, self.ref, self.name = new.id, new.uid, new.ref, new.name
        self.payload, self.queue, self.priority, self.policy = new.payload, new.queue, new.priority, policy
        self.shown = new.shown
        self.created_at, self.run_at, self.due_boot = new.created_at, new.run_at, new.due_boot
        self.expires_at, self.key, self.tags, self.parent = new.expires_at, new.key, new.tags, new.parent
        self.parents: dict[int, str | None] = _NO_PARENTS
        if new.after:
            self.parents = dict(zip(new.after, new.ended or [None] * len(new.after), strict=True))
        self.on_parent_failure = new.on_parent_failure
        self.failed_parent: int | None = None
        self.state = NEW
        self.attempt = self.spent = self.losses = 0
        self.attempts: tuple[AttemptInfo, ...] = ()
        self.child: tuple[str, int, int, int] | None = None
        self.cancel: r.CancelRequested | None = None
        self.reason: str | None = None
        self.result: bytes | None = None
        self.finished_at: float | None = None

    @property
    def held_bytes(self) -> int:
        """Memory for its values, as the limits count it."""
        values = len(self.payload) + len(self.shown or b"") + (len(self.result) if self.result else 0)
        return values + sum(map(_error_bytes, self.attempts)) + PARENT_BYTES * len(self.parents)

    @property
    def shown_payload(self) -> bytes:
        """The arguments as anybody but the job itself may see them."""
        return self.payload if self.shown is None else self.shown

    @property
    def has_arguments(self) -> bool:
        """Whether it can be run: not if hidden values were dropped at its end."""
        return self.shown is None or bool(self.payload)


def _error_bytes(info: AttemptInfo) -> int:
    return len(info.error.message) + len(info.error.traceback) if info.error else 0
