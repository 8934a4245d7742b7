"""Submitting: idempotent uids, keys, limits, and when a job may first run."""

from __future__ import annotations

from ...protocol.errors import DuplicateJob, JobyardError, OutcomeUnknown, QueueDraining, QueueFull, TooLarge
from ...protocol.ids import uid_time
from ...protocol.messages import Accepted
from ...protocol.messages import Submitted as SubmittedReply
from ...protocol.states import RUNNING
from . import attempts
from .effects import Reply
from .events import SubmitAsked, Wanted
from .job import PARENT_BYTES
from .pools import queue_mode
from .records import Cancelled, CancelRequested, IdsReserved, NewJob, Submitted
from .state import Job
from .turn import Turn, no_such_job

ID_BLOCK = 1000


class Plan:
    """What a submit will do, decided in full before anything changes."""

    def __init__(self) -> None:
        self.new: list[NewJob] = []
        self.accepted: list[Accepted] = []
        self.replaced: list[Job] = []
        self.uids: dict[str, int] = {}
        self.keys: dict[str, int] = {}


def decide_submit(turn: Turn, event: SubmitAsked, next_id: int) -> int:
    """All of the jobs or none; gives back the next free id."""
    try:
        plan = _plan(turn, event.jobs, next_id)
    except JobyardError as error:
        turn.reply(event.token, error)
        return next_id
    for job in plan.replaced:
        _replace(turn, job)
    weak = event.durability == "memory" and bool(plan.new)
    reserve = weak and turn.state.reserved_id < plan.new[-1].id
    if reserve:
        turn.record(IdsReserved(plan.new[-1].id + ID_BLOCK))
        turn.effects.reserves = True
    if plan.new:
        turn.record(Submitted(plan.new))
    reply = Reply(event.token, SubmittedReply(plan.accepted))
    if weak and not reserve:
        turn.effects.early.append(reply)  # its id is in a block that no crash gives out again
    else:
        turn.durable(reply)
    for new in plan.new:  # after the reply, which need not wait for what 10,000 of these take
        turn.notify(turn.state.jobs[new.id], "submitted")
    return next_id + len(plan.new)


def _plan(turn: Turn, wanted: list[Wanted], next_id: int) -> Plan:
    plan = Plan()
    stored = len(wanted) > 1 and any(_stored_as(turn, want) is not None for want in wanted)
    for want in wanted:
        existing = plan.uids.get(want.uid, _stored_as(turn, want))
        if existing is None:
            existing = _stands_for(turn, plan, want) if stored and want.resent else _by_key(turn, plan, want)
        elif want.key is not None:
            plan.keys[want.key] = existing  # as the first time: what follows with its key stands for it
        if existing is not None:
            plan.accepted.append(Accepted(existing, want.uid, True))
            continue
        _refuse(turn, want)
        new = _new_job(turn, want, next_id + len(plan.new))
        plan.new.append(new)
        plan.uids[want.uid] = new.id
        if want.key is not None:
            plan.keys[want.key] = new.id
        plan.accepted.append(Accepted(new.id, want.uid))
    _check_limits(turn, plan)
    return plan


def _stored_as(turn: Turn, want: Wanted) -> int | None:
    """The id under which it is known from an earlier send."""
    return turn.state.uids.get(want.uid, want.archived_id)


def _stands_for(turn: Turn, plan: Plan, want: Wanted) -> int:
    """The job that has the key of ``want``, which was sent with others that were stored then, and was not itself.

    Raises:
        OutcomeUnknown: that job has ended since. To store another now would do the same work twice.
    """
    existing = None
    if want.key is not None:
        existing = plan.keys.get(want.key, turn.state.keys.get(want.key))
    if existing is None:
        raise OutcomeUnknown(
            f"this submit was sent before, and was stored then; which job stood for {want.name} has been forgotten",
            hint="nothing was stored twice; find its jobs with jobctl list",
        )
    return existing


def _by_key(turn: Turn, plan: Plan, want: Wanted) -> int | None:
    """The unfinished job that stands for ``want`` because it has its key, if that is what ``on_duplicate`` says."""
    if want.key is None:
        return None
    planned = plan.keys.get(want.key)
    existing = turn.state.keys.get(want.key) if planned is None else planned
    if existing is None or (want.on_duplicate == "replace" and planned is None):
        if existing is not None:
            plan.replaced.append(turn.state.jobs[existing])
        return None
    if want.on_duplicate == "raise":
        _require_known_time(turn, want)  # or it may be stored, and "refused" would be wrong
        raise DuplicateJob(f"job {existing} with the key {want.key!r} is not finished yet", details={"id": existing})
    return existing


def _require_known_time(turn: Turn, want: Wanted) -> None:
    if want.resent and uid_time(want.uid) <= turn.state.pruned_until:
        raise OutcomeUnknown(
            "this submit was sent before, and jobs of its time have been pruned: it cannot be known whether it ran",
            hint="look for its effects; submit it anew if it did not run",
        )


def _refuse(turn: Turn, want: Wanted) -> None:
    _require_known_time(turn, want)
    rule = turn.rules.queues.get(want.queue)
    if rule is not None and queue_mode(turn.state.queue(want.queue), rule) == "draining":
        raise QueueDraining(f"queue {want.queue} is draining: it takes no new jobs", hint=f"jobctl resume {want.queue}")
    if len(want.after) > turn.rules.limits.parents:
        raise TooLarge(
            f"after names {len(want.after):,} jobs; the limit is {turn.rules.limits.parents:,}",
            hint="let some job in between wait for them, or raise [limits] parents",
        )
    for parent_id in want.after:
        if parent_id not in turn.state.jobs and parent_id not in want.archived_parents:
            raise no_such_job(turn.state, parent_id, "after: ")


def _check_limits(turn: Turn, plan: Plan) -> None:
    limits, state = turn.rules.limits, turn.state
    if not plan.new:
        return  # it adds nothing, also where a limit was lowered meanwhile
    if state.unfinished_count + len(plan.new) > limits.unfinished_jobs:
        raise QueueFull(
            f"{state.unfinished_count:,} jobs are unfinished; the limit is {limits.unfinished_jobs:,}",
            hint="wait for some to finish, or raise [limits] unfinished_jobs",
        )
    size = sum(len(new.payload) + len(new.shown or b"") + PARENT_BYTES * len(new.after or ()) for new in plan.new)
    if state.unfinished_bytes + size > limits.unfinished_bytes:
        raise QueueFull(
            f"unfinished jobs hold {state.unfinished_bytes:,} bytes; the limit is {limits.unfinished_bytes:,}",
            hint="wait for some to finish, or raise [limits] unfinished_bytes",
        )


def _new_job(turn: Turn, want: Wanted, job_id: int) -> NewJob:
    now = turn.now
    run_at = now.wall + want.delay_s if want.at is None else want.at
    scheduled = run_at > now.wall
    return NewJob(
        id=job_id,
        uid=want.uid,
        ref=want.ref,
        name=want.name,
        payload=want.payload,
        queue=want.queue,
        priority=want.priority,
        policy=want.policy,
        created_at=now.wall,
        run_at=run_at if scheduled else now.wall,
        due_boot=now.boot + want.delay_s if scheduled and want.at is None else None,
        expires_at=None if want.expires_s is None else now.wall + want.expires_s,
        key=want.key,
        tags=want.tags or None,
        parent=want.parent,
        scheduled=scheduled,
        after=want.after or None,
        on_parent_failure=want.on_parent_failure,
        ended=_ended(turn, want) if want.archived_parents else None,
        shown=want.shown,
    )


def _ended(turn: Turn, want: Wanted) -> list[str | None]:
    """How those of the parents ended that have left memory; one that was put back meanwhile is here again."""
    return [None if one in turn.state.jobs else want.archived_parents.get(one) for one in want.after]


def _replace(turn: Turn, job: Job) -> None:
    if job.state == RUNNING:
        if job.cancel is None:
            turn.record(CancelRequested(job.id, turn.now.wall, "replaced", "replaced by a job with the same key"))
            attempts.kill(turn, job, "cancel", None, "replaced")
    else:
        turn.record(Cancelled([job.id], turn.now.wall, "replaced", "replaced by a job with the same key"))
        turn.notify(job, "cancelled")
