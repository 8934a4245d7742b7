"""The invariants of ``State``: what a bug would break first. Tests and the simulator call it after every step."""

from __future__ import annotations

from ...protocol.states import BLOCKED, FINISHED, QUEUED, RUNNING, SCHEDULED, STATES
from .state import State


def check(state: State) -> None:
    """Raises AssertionError, naming the job, where something derived no longer agrees with what it derives from."""
    _check_jobs(state)
    _check_counts(state)
    _check_indexes(state)
    _check_dependencies(state)


def _check_jobs(state: State) -> None:
    for job in state.jobs.values():
        name = f"job {job.id}"
        assert job.state in STATES, name
        assert (job.child is not None) == (job.state == RUNNING), f"{name}: a child while {job.state}"
        assert (job.finished_at is not None) == (job.state in FINISHED), f"{name}: finished_at while {job.state}"
        assert job.result is None or job.state == "succeeded", f"{name}: a result while {job.state}"
        dropped = job.shown is not None and job.state in FINISHED
        assert job.has_arguments != dropped, f"{name}: {len(job.payload)} bytes of arguments while {job.state}"
        assert job.due_boot is None or job.state in (SCHEDULED, BLOCKED), f"{name}: due while {job.state}"
        assert job.spent <= job.policy.retry.max_attempts, f"{name}: spent {job.spent}"
        assert job.id <= state.last_id, f"{name}: over the last id {state.last_id}"
        last = job.attempts[-1] if job.attempts else None
        assert (last is not None) == (job.attempt > 0), f"{name}: attempt {job.attempt}"
        assert last is None or last.number == job.attempt, f"{name}: last attempt is {last}"
        assert last is None or (last.outcome is None) == (job.state == RUNNING), f"{name}: outcome while {job.state}"


def _check_counts(state: State) -> None:
    for wanted in STATES:
        found = sum(job.state == wanted for job in state.jobs.values())
        assert state.counts[wanted] == found, f"{wanted}: counted {state.counts[wanted]}, found {found}"
    for name, queue in state.queues.items():
        for wanted in STATES:
            found = sum(job.state == wanted and job.queue == name for job in state.jobs.values())
            assert queue.counts[wanted] == found, (
                f"queue {name}, {wanted}: counted {queue.counts[wanted]}, found {found}"
            )
    finished = sum(job.held_bytes for job in state.jobs.values() if job.state in FINISHED)
    unfinished = sum(job.held_bytes for job in state.jobs.values() if job.state not in FINISHED)
    assert (state.finished_bytes, state.unfinished_bytes) == (finished, unfinished)
    for pool, count in state.pool_running.items():
        found = sum(job.child is not None and job.attempts[-1].pool == pool for job in state.jobs.values())
        assert count == found, f"pool {pool}: counted {count}, found {found}"


def _check_indexes(state: State) -> None:
    assert state.uids == {job.uid: job.id for job in state.jobs.values()}
    assert set(state.finished) == {job.id for job in state.jobs.values() if job.state in FINISHED}
    assert state.children == {(job.child[0], job.child[1]): job.id for job in state.jobs.values() if job.child}
    for key, job_id in state.keys.items():
        job = state.jobs[job_id]
        assert job.key == key and job.state not in FINISHED, f"key {key} names job {job_id}, which is {job.state}"
    for name, queue in state.queues.items():
        top = queue.heap.top()
        queued = [(-job.priority, job.id) for job in state.jobs.values() if job.state == QUEUED and job.queue == name]
        assert top == min(queued, default=None), f"queue {name}: its heap begins with {top}"


def _check_dependencies(state: State) -> None:
    children: dict[int, set[int]] = {}
    settled = set()
    for job in state.jobs.values():
        name = f"job {job.id}"
        assert job.state != BLOCKED or job.parents, f"{name}: blocked by nothing"
        for parent_id, ended in job.parents.items():
            children.setdefault(parent_id, set()).add(job.id)
            parent = state.jobs.get(parent_id)
            open_parent = parent is not None and parent.state not in FINISHED
            assert parent_id < job.id, f"{name}: waits for {parent_id}, which is younger"
            assert ended in FINISHED or open_parent, f"{name}: waits for {parent_id}, which will not end"
            assert ended is None or job.state != BLOCKED or not open_parent, f"{name}: {parent_id} has not {ended}"
        failed = job.failed_parent
        assert failed is None or job.on_parent_failure == "cancel", f"{name}: would run after {failed}"
        if job.state == BLOCKED and (failed is not None or all(job.parents.values())):
            settled.add(job.id)
        assert job.attempt or failed is None or job.state in (BLOCKED, "cancelled"), (
            f"{name}: {job.state} after {failed}"
        )
    assert {one: set(several) for one, several in state.dependencies.children.items()} == children
    assert set(state.dependencies.settled) == settled
