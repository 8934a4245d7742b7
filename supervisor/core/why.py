"""Why a job is in the state that it is in, for people and programs. Pure: reads the machine, changes nothing.

Owns the words. What is known of a pool that is not up comes from outside, since the machine does not hear of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...protocol.job import AttemptInfo
from ...protocol.messages import Explanation, Reason
from ...protocol.states import BLOCKED, CANCELLED, ERROR, FINISHED, QUEUED, RUNNING, SCHEDULED, SUCCEEDED
from . import occupancy
from .events import Now
from .occupancy import Full
from .pools import queue_mode
from .state import Job
from .turn import due_at

if TYPE_CHECKING:
    from .machine import Machine

AHEAD_MAX = 10_000  # more are not counted, so that the loop is not held up
NAMED_MAX = 5
CAUSE_CHARS_MAX = 200
_UNSTICK = "raise the limit, give such jobs a queue and a pool of their own, or submit what follows with after="


@dataclass(frozen=True, slots=True)
class Scene:
    """What a job is looked at in. ``troubles``: what is wrong with pools, by name."""

    machine: Machine
    now: Now
    troubles: Mapping[str, str]


def explain(machine: Machine, job: Job, now: Now, troubles: Mapping[str, str]) -> Explanation:
    """Why ``job`` is in its state; ``troubles`` says what is wrong with pools."""
    scene = Scene(machine, now, troubles)
    if job.state == QUEUED:
        return _queued(scene, job)
    if job.state == RUNNING:
        return _running(scene, job)
    if job.state == BLOCKED:
        return _blocked(scene, job)
    return _scheduled(scene, job) if job.state == SCHEDULED else _finished(scene, job)


# -- queued ------------------------------------------------------------------------------------------------------------


def _queued(scene: Scene, job: Job) -> Explanation:
    obstacle = _closed(scene, job)
    ahead = scene.machine.state.queue(job.queue).heap.count_before(job.priority, job.id, AHEAD_MAX)
    position = ahead + 1 if ahead < AHEAD_MAX else None
    place = (
        f"{_ordinal(position)} in {job.queue}" if position else f"behind {AHEAD_MAX:,} others or more in {job.queue}"
    )
    if obstacle is not None:
        reason, hint = obstacle
        return Explanation(job.id, job.state, [reason, Reason("place", place)], position, hint)
    state, rules = scene.machine.state, scene.machine.rules
    full = occupancy.full_queue(state, rules, job.queue) or occupancy.full_pool(state, rules, job.queue)
    if full is None:
        return Explanation(job.id, job.state, [_starting(scene, job, place)], position)
    stuck = _deadlock(scene, job)
    what = "which" if full.name == f"queue {job.queue}" else f"whose {full.name}"
    text = f"{place}, {what} is at its limit, {len(full.holders)} of {full.limit}"
    reasons = [*stuck, Reason("no_room", text, full.holders[:NAMED_MAX]), _held(scene, full)]
    if not stuck:
        reasons += _estimate(scene, full, job, ahead)
    return Explanation(job.id, job.state, reasons, position, _UNSTICK if stuck else "")


def _closed(scene: Scene, job: Job) -> tuple[Reason, str] | None:
    """What would keep the job from starting however much room there was, and what to do about it."""
    machine = scene.machine
    rule = machine.rules.queues.get(job.queue)
    if machine.stopping is not None:
        return Reason("stopping", "the supervisor is stopping; it starts after the next jobctl up"), ""
    if rule is None:
        text = f"the config does not declare its queue {job.queue} any more"
        return Reason("queue_undeclared", text), f"jobctl set {job.id} --to-queue NAME"
    if queue_mode(machine.state.queue(job.queue), rule) == "paused":
        return Reason("queue_paused", f"its queue {job.queue} is paused"), f"jobctl resume {job.queue}"
    if machine.pools.get(rule.pool).zygote is None:
        trouble = scene.troubles.get(rule.pool, "it is starting")
        return Reason("pool_down", f"its pool {rule.pool} is not up: {trouble}"), "jobctl status"
    return None


def _starting(scene: Scene, job: Job, place: str) -> Reason:
    rule = scene.machine.rules.queues[job.queue]
    if scene.machine.pools.get(rule.pool).held:
        trouble = f" ({scene.troubles[rule.pool]})" if rule.pool in scene.troubles else ""
        text = f"{place}; its pool {rule.pool} could not make a process{trouble} and will try again soon"
        return Reason("pool_held", text)
    return Reason("starting", f"{place}, and there is room: it starts as soon as a process is ready")


def _held(scene: Scene, full: Full) -> Reason:
    """Who has the places, the one that has been there longest first."""
    jobs = scene.machine.state.jobs
    holders = sorted((jobs[job_id] for job_id in full.holders), key=lambda one: one.attempts[-1].started_at)
    first = holders[0]
    seconds = _since(first.attempts[-1].started_at, scene.now)
    others = f" and {len(holders) - 1} more" if len(holders) > 1 else ""
    ids = [one.id for one in holders[:NAMED_MAX]]
    return Reason("held", f"held by {first.id} for {_span(seconds)}{others}", ids, seconds)


def _estimate(scene: Scene, full: Full, job: Job, ahead: int) -> list[Reason]:
    """Of a full pool, the other queues' jobs that come first count as well."""
    state, rules = scene.machine.state, scene.machine.rules
    if full.name.startswith("pool "):
        pool = rules.queues[job.queue].pool
        for name, rule in rules.queues.items():
            if rule.pool == pool and name != job.queue and queue_mode(state.queue(name), rule) != "paused":
                ahead += state.queue(name).heap.count_before(job.priority, job.id, AHEAD_MAX)
    seconds = occupancy.estimate_s(state, full, job, ahead, scene.now) if ahead < AHEAD_MAX else None
    return [] if seconds is None else [Reason("estimate", f"estimated start in {_span(seconds)}", [], seconds)]


def _deadlock(scene: Scene, job: Job) -> list[Reason]:
    """The job was submitted in one that runs, and every place that it could have is held by such a one."""
    state, rules = scene.machine.state, scene.machine.rules
    parent = state.jobs.get(job.parent) if job.parent is not None else None
    if parent is None or parent.state != RUNNING:
        return []
    stuck = occupancy.stuck_submitters(state, rules)
    for full in occupancy.full_for(state, rules, job.queue):
        if full.holders and all(holder in stuck for holder in full.holders):
            return [_deadlocked(full, parent.id, job.id)]
    return []


def _deadlocked(full: Full, parent_id: int, child_id: int) -> Reason:
    each = "the only place" if full.limit == 1 else f"each of the {full.limit} places"
    text = (
        f"{each} of {full.name} is held by a job that has submitted another which needs one, "
        f"such as {parent_id}, which submitted {child_id}: if it waits for that, neither will ever end"
    )
    return Reason("deadlock", text, [parent_id, child_id])


# -- the other states --------------------------------------------------------------------------------------------------


def _running(scene: Scene, job: Job) -> Explanation:
    state, rules = scene.machine.state, scene.machine.rules
    since_s = _since(job.attempts[-1].started_at, scene.now)
    reasons = [Reason("running", f"attempt {_tries(job)} has run for {_span(since_s)}", [], since_s)]
    hint = ""
    if job.child is not None and job.child[0] in scene.machine.pools.unfenced:
        text = "what ran it is gone, but not all of its processes can be killed; it goes on when they have ended"
        reasons.insert(0, Reason("unfenced", text))
    if job.cancel is not None:
        reasons.append(Reason("cancelling", f"it was asked to stop{_because(job.cancel.reason)}"))
    if job.policy.timeout_s is not None:
        left_s = max(0.0, job.policy.timeout_s - since_s)
        reasons.append(Reason("timeout", f"its timeout ends it in {_span(left_s)}", [], left_s))
    child_id = occupancy.stuck_submitters(state, rules).get(job.id)
    if child_id is not None:
        stuck = _deadlock(scene, state.jobs[child_id])
        hint = _UNSTICK if stuck else f"jobctl why {child_id}"
        waits = Reason("child", f"job {child_id}, which it submitted, is queued and has no room", [child_id])
        reasons = [*stuck, *reasons] if stuck else [*reasons, waits]
    return Explanation(job.id, job.state, reasons, hint=hint)


def _blocked(scene: Scene, job: Job) -> Explanation:
    jobs = scene.machine.state.jobs
    pending = [parent_id for parent_id, ended in job.parents.items() if ended is None]
    if not pending or job.failed_parent is not None:
        text = "the jobs for which it waited have ended; it goes on in a moment"
        return Explanation(job.id, job.state, [Reason("parents", text, list(job.parents)[:NAMED_MAX])])
    named = [f"{parent_id} ({jobs[parent_id].state})" for parent_id in pending[:NAMED_MAX]]
    if len(pending) > NAMED_MAX:
        named.append(f"{len(pending) - NAMED_MAX} more")
    reasons = [Reason("parents", "it waits for job " + _listed(named), pending[:NAMED_MAX])]
    if job.on_parent_failure == "run":
        reasons.append(Reason("on_parent_failure", "it runs however they end"))
    else:
        one = "that" if len(pending) == 1 else "one of them"
        reasons.append(Reason("on_parent_failure", f"it is cancelled if {one} does not succeed"))
    wait_s = due_at(job, scene.now) - scene.now.boot
    if job.run_at > job.created_at and wait_s > 0:
        reasons.append(Reason("delay", f"and it does not start before {_span(wait_s)} have passed", [], wait_s))
    return Explanation(job.id, job.state, reasons, hint=f"jobctl why {pending[0]}")


def _scheduled(scene: Scene, job: Job) -> Explanation:
    wait_s = max(0.0, due_at(job, scene.now) - scene.now.boot)
    if job.attempts:
        text = f"it is tried again in {_span(wait_s)}, after {_end(job.attempts[-1])}"
        spent = f"{job.spent} of its {job.policy.retry.max_attempts} attempts are spent"
        reasons = [Reason("retry", text, [], wait_s), Reason("attempts", spent)]
    else:
        reasons = [Reason("delay", f"its time comes in {_span(wait_s)}", [], wait_s)]
    return Explanation(job.id, job.state, reasons, hint=f"jobctl set {job.id} --now")


def _finished(scene: Scene, job: Job) -> Explanation:
    assert job.finished_at is not None and job.state in FINISHED
    ago_s = _since(job.finished_at, scene.now)
    when = f"{_span(ago_s)} ago"
    if job.state == SUCCEEDED:
        reason = Reason("succeeded", f"attempt {_tries(job)}, {when}", [], ago_s)
        return Explanation(job.id, job.state, [reason])
    if job.state == CANCELLED:
        parents = [] if job.failed_parent is None else [job.failed_parent]
        reasons = [Reason("cancelled", f"{job.reason or 'somebody asked for it'}, {when}", parents, ago_s)]
    else:
        how = _end(job.attempts[-1]) if job.attempts else "it was never started"
        left = max(0, job.policy.retry.max_attempts - job.spent)
        most = job.policy.retry.max_attempts
        then = f"{left} of its {most} attempts were left, but such an end is final" if left else "no attempts are left"
        reasons = [Reason("failed", f"{how}, {when}", [], ago_s), Reason("attempts", job.reason or then)]
    hint = f"jobctl retry {job.id}" if job.has_arguments else "submit it anew: its hidden values are gone"
    return Explanation(job.id, job.state, reasons, hint=hint)


# -- words -------------------------------------------------------------------------------------------------------------


def _tries(job: Job) -> str:
    return f"{job.spent + (job.state == RUNNING)} of {job.policy.retry.max_attempts}"


def _end(attempt: AttemptInfo) -> str:
    """How an attempt ended, in a few words."""
    if attempt.outcome == ERROR and attempt.error is not None:
        kind = attempt.error.type.removeprefix("builtins.")
        first = attempt.error.message.strip().partition("\n")[0][:CAUSE_CHARS_MAX]
        return f"{kind}: {first}" if first else kind
    words = {
        "timeout": "it ran into its timeout",
        "stalled": "it gave no sign of life",
        "exited": f"its process ended with exit code {attempt.exit_code}",
        "signalled": f"its process was killed by {attempt.signal}",
        "oom": "its process was killed for want of memory",
        "lost": "what ran it went down",
        "cancelled": "it was stopped",
    }
    return words.get(attempt.outcome or "", attempt.outcome or "")


def _because(reason: str | None) -> str:
    return f": {reason}" if reason else ""


def _since(at: float, now: Now) -> float:
    return max(0.0, now.wall - at)


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _ordinal(number: int) -> str:
    teens = number % 100 in (11, 12, 13)
    return f"{number:,}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def _span(seconds: float) -> str:
    """A length of time, as exact as people want it."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02d}m" if hours < 24 else f"{hours // 24}d {hours % 24}h"
