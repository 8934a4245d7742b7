"""How attempts start and end: what an exit means, and what becomes of the job."""

from __future__ import annotations

from dataclasses import dataclass

from ...protocol import redaction, retry
from ...protocol.job import ErrorInfo, Usage
from ...protocol.states import (
    CANCELLED,
    CANCELLED_ATTEMPT,
    ERROR,
    EXITED,
    FAILED,
    LOST,
    OK,
    OOM,
    QUEUED,
    SCHEDULED,
    SIGNALLED,
    STALLED,
    SUCCEEDED,
    TIMEOUT,
)
from .effects import AckExit, Discard, Go, Kill, Order
from .events import Child, ChildExited, End, Exit
from .records import Ended, Started
from .state import Job
from .turn import Turn

_KILLED = {"cancel": CANCELLED_ATTEMPT, "timeout": TIMEOUT, "stall": STALLED, "stop": CANCELLED_ATTEMPT, "oom": OOM}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a job after an attempt: its state, and when it may run again if it may."""

    state: str
    counted: bool = True
    delay_s: float = 0.0
    reason: str | None = None


def start(turn: Turn, job: Job, child: Child) -> None:
    """Give ``job`` to ``child``."""
    wait_s = max(0.0, turn.now.wall - job.run_at)
    turn.record(
        Started(job.id, job.attempt + 1, turn.now.wall, child.zygote, child.kid, child.pid, child.pid_started, wait_s)
    )
    turn.durable(Go(child, order(job)))
    turn.notify(job, "started")


def go_on(turn: Turn, job: Job) -> None:
    """An adopted child runs ``job``, or was to. What the last supervisor may have left undone is done again."""
    turn.durable(Go(child_of(job), order(job)))
    if job.cancel is not None:
        kill(turn, job, "cancel", job.cancel.grace_s, job.cancel.reason)


def order(job: Job) -> Order:
    """All that a child needs to run the job's present attempt."""
    policy = job.policy
    return Order(
        job_id=job.id,
        attempt=job.attempt,
        uid=job.uid,
        ref=job.ref,
        payload=job.payload,
        max_attempts=policy.retry.max_attempts,
        tried=job.spent,
        timeout_s=policy.timeout_s,
        soft_timeout_s=policy.soft_timeout_s,
        stall_timeout_s=policy.stall_timeout_s,
        grace_s=policy.grace_s,
        tags=job.tags,
        queue=job.queue,
        parents={parent_id: ended for parent_id, ended in job.parents.items() if ended is not None},
    )


def child_of(job: Job) -> Child:
    """The child that runs ``job`` now."""
    assert job.child is not None
    zygote, kid, pid, pid_started = job.child
    return Child(job.attempts[-1].pool, zygote, kid, pid, pid_started)


def kill(turn: Turn, job: Job, kind: str, grace_s: float | None, reason: str | None) -> None:
    turn.kill(Kill(child_of(job), kind, job.policy.grace_s if grace_s is None else grace_s, reason))


def discard(turn: Turn, child: Child) -> None:
    turn.durable(Discard(child))


def decide_exit(turn: Turn, event: ChildExited) -> None:
    """A child is gone. An exit told twice is only acknowledged again."""
    job_id = turn.state.children.get((event.child.zygote, event.child.kid))
    if job_id is not None:
        _end(turn, turn.state.jobs[job_id], event.exit, event.end)
    turn.durable(AckExit(event.child, event.seq))


def decide_lost(turn: Turn, job: Job, void: bool = False) -> None:
    """What ran the job, or was to (``void``), went down, and all its processes are known to be dead."""
    if void:
        _end(turn, job, Exit(at=turn.now.wall, void=True), None)
        return
    verdict = _after_loss(turn, job)
    _record_end(turn, job, LOST, Exit(at=turn.now.wall), None, verdict)


def classify(exit: Exit, end: End | None) -> str:
    """The outcome. What really happened wins: a job that answered before the kill landed did end so."""
    if exit.void:
        return CANCELLED_ATTEMPT
    if end is not None and end.kind == "ok":
        return OK
    if end is not None and end.kind != "stopped":
        return ERROR
    if exit.killed is not None:
        return _KILLED[exit.killed]
    if exit.signal is not None or (end is not None and end.kind == "stopped"):
        return SIGNALLED
    return EXITED


def judge(job: Job, outcome: str, exit: Exit, end: End | None) -> Verdict:
    """What becomes of the job."""
    if outcome == OK:
        return Verdict(SUCCEEDED)
    if job.cancel is not None:
        return Verdict(CANCELLED, reason=job.cancel.reason)
    if exit.void:
        return Verdict(QUEUED, counted=False, reason="its process ended before it was told to begin")
    if exit.survivors:
        return Verdict(FAILED, reason=f"{exit.survivors} of its processes could not be killed; it is not tried again")
    if exit.killed == "stop" and outcome == CANCELLED_ATTEMPT:
        return Verdict(QUEUED, counted=False, reason="stopped with the supervisor")
    if end is not None and end.kind in ("give_up", "final"):
        return Verdict(FAILED)
    if end is not None and end.kind == "retry_later" and not end.counted:
        return _again(_retry_later_s(job, end, job.spent + 1), counted=False)
    if not retry.may_retry(job.policy, job.spent + 1, outcome, end.error if end else None):
        return Verdict(FAILED)
    if end is not None and end.kind == "retry_later":
        return _again(_retry_later_s(job, end, job.spent + 1))
    return _again(retry.delay_s(job.policy.retry, job.uid, job.spent + 1))


def _retry_later_s(job: Job, end: End, failure: int) -> float:
    """What the job asked for comes from a process that runs somebody else's code: it may be any number, or none."""
    if end.delay_s is None:
        return retry.delay_s(job.policy.retry, job.uid, failure)
    return min(max(0.0, end.delay_s), retry.LONGEST_S)


def _again(delay_s: float, counted: bool = True) -> Verdict:
    return Verdict(SCHEDULED if delay_s > 0 else QUEUED, counted, delay_s)


def _after_loss(turn: Turn, job: Job) -> Verdict:
    if job.cancel is not None:
        return Verdict(CANCELLED, counted=False, reason=job.cancel.reason)
    if job.policy.on_lost == "fail":
        return Verdict(FAILED, counted=False, reason="lost, and on_lost is fail")
    if job.losses + 1 >= turn.rules.limits.losses:
        return Verdict(FAILED, counted=False, reason=f"lost {job.losses + 1} times")
    return Verdict(QUEUED, counted=False)


def _end(turn: Turn, job: Job, exit: Exit, end: End | None) -> None:
    outcome = classify(exit, end)
    _record_end(turn, job, outcome, exit, end, judge(job, outcome, exit, end))


def _record_end(turn: Turn, job: Job, outcome: str, exit: Exit, end: End | None, verdict: Verdict) -> None:
    signal = exit.signal or ("SIGTERM" if outcome == SIGNALLED else None)
    reason = verdict.reason or (job.cancel.reason if job.cancel else None) or exit.reason
    turn.record(
        Ended(
            id=job.id,
            attempt=job.attempt,
            at=exit.at,
            outcome=outcome,
            state=verdict.state,
            exit_code=exit.exit_code,
            signal=signal,
            reason=reason,
            error=_error(job, end),
            usage=_usage(exit, end),
            result=end.result if end is not None and outcome == OK else None,
            counted=verdict.counted,
            run_at=0.0 if verdict.state not in (QUEUED, SCHEDULED) else turn.now.wall + verdict.delay_s,
            due_boot=turn.now.boot + verdict.delay_s if verdict.state == SCHEDULED else None,
        )
    )
    turn.notify(job, "ended", outcome)


def _error(job: Job, end: End | None) -> ErrorInfo | None:
    """What the attempt raised, as it may be kept."""
    error = end.error if end is not None else None
    return error if error is None or job.shown is None else redaction.scrub(error, job.payload, job.shown)


def _usage(exit: Exit, end: End | None) -> Usage | None:
    return end.usage if end is not None and end.usage is not None else exit.usage
