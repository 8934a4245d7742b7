"""Changing jobs that wait, removing and pruning jobs that have ended."""

from __future__ import annotations

import math

import pytest
from bench import WALL, Bench
from jobyard.protocol.errors import JobNotFound, QueueDraining, WrongState
from jobyard.protocol.job import Policy
from jobyard.protocol.messages import Changed, Pruned, Removed
from jobyard.supervisor.core import effects as f
from jobyard.supervisor.core import events as e
from jobyard.supervisor.core.upkeep import prunable


def test_priority_of_a_queued_job_decides_from_then_on() -> None:
    bench = Bench()
    jobs = [bench.submit(), bench.submit(priority=5), bench.submit()]
    assert bench.ask(e.SetAsked(None, [3, 2], "me", priority=7)) == Changed([3, 2])
    bench.ask(e.SetAsked(None, [2], "me", priority=-1))
    assert bench.run_in_turn(len(jobs)) == [3, 1, 2]


def test_job_that_is_moved_to_another_queue_starts_from_there_alone() -> None:
    bench = Bench()
    job = bench.submit(queue="off")
    bench.ready()
    bench.ask(e.SetAsked(None, [job.id], "me", queue="mail"))
    assert (job.state, bench.state.queue("mail").counts["running"]) == ("running", 1)
    bench.ask(e.QueueSetAsked(None, ["off"], "open"))
    bench.ready()
    assert bench.state.counts["running"] == 1


def test_moved_job_does_not_block_the_head_of_its_old_queue() -> None:
    bench = Bench()
    first, second = bench.submit(), bench.submit()
    bench.ask(e.SetAsked(None, [first.id], "me", queue="off"))
    bench.ready()
    assert (first.state, second.state) == ("queued", "running")


def test_job_is_not_moved_to_a_queue_that_drains() -> None:
    bench = Bench()
    job = bench.submit()
    bench.ask(e.QueueSetAsked(None, ["mail"], "draining"))
    assert isinstance(bench.ask(e.SetAsked(None, [job.id], "me", priority=3, queue="mail")), QueueDraining)
    assert (job.queue, job.priority, bench.last.records) == ("default", 0, [])


def test_scheduled_job_is_let_go_now() -> None:
    bench = Bench()
    job = bench.submit(delay_s=100.0)
    bench.ready()
    bench.ask(e.SetAsked(None, [job.id], "me", delay_s=0.0))
    assert job.state == "running"


def test_retry_that_waits_is_let_go_now() -> None:
    bench = Bench()
    job = bench.submit()
    bench.run(job)
    bench.end(job, "error")
    bench.ready()
    bench.ask(e.SetAsked(None, [job.id], "me", delay_s=0.0))
    assert (job.state, job.attempt) == ("running", 2)


def test_queued_job_is_put_off_and_starts_when_due_and_never_before() -> None:
    bench = Bench()
    job, other = bench.submit(queue="mail"), bench.submit(queue="mail")
    bench.ask(e.SetAsked(None, [job.id, other.id], "me", delay_s=5.0))
    bench.ask(e.SetAsked(None, [other.id], "me", at=WALL + 9))
    bench.ready(2)
    bench.wait(4.999)
    assert (job.state, other.state) == ("scheduled", "scheduled")
    bench.wait(0.001)
    assert (job.state, other.state) == ("running", "scheduled")
    bench.end(job)
    bench.wait(4)
    assert other.state == "running"


def test_job_whose_time_is_changed_twice_follows_the_last_one() -> None:
    bench = Bench()
    job = bench.submit(delay_s=5.0)
    bench.ask(e.SetAsked(None, [job.id], "me", delay_s=50.0))
    bench.wait(49)
    assert job.state == "scheduled"
    bench.ask(e.SetAsked(None, [job.id], "me", delay_s=5.0))
    bench.wait(5)
    assert job.state == "queued"


def test_several_deadlines_of_one_job_that_come_together_promote_or_cancel_it_once() -> None:
    bench = Bench()
    job, other = bench.submit(delay_s=5.0, queue="off"), bench.submit(delay_s=500.0, expires_s=9.0)
    for job_id in (job.id, other.id):
        bench.ask(e.SetAsked(None, [job_id], "me", delay_s=6.0 if job_id == job.id else 600.0))
        bench.ask(e.SetAsked(None, [job_id], "me", delay_s=5.0 if job_id == job.id else 500.0))
    bench.wait(20)
    assert (job.state, other.state) == ("queued", "cancelled")


def test_time_of_a_blocked_job_is_changed_where_it_is() -> None:
    bench = Bench()
    parent = bench.submit()
    child, soon = bench.submit(after=[parent.id]), bench.submit(after=[parent.id], delay_s=50.0)
    bench.ask(e.SetAsked(None, [child.id], "me", delay_s=50.0))
    bench.ask(e.SetAsked(None, [soon.id], "me", delay_s=0.0))
    assert (child.state, soon.state) == ("blocked", "blocked")
    bench.run(parent)
    bench.end(parent)
    assert child.state == "scheduled"
    assert soon.state != "scheduled"


def test_timeout_of_a_waiting_job_is_changed_or_lifted() -> None:
    bench = Bench()
    job = bench.submit(policy=Policy(timeout_s=5.0))
    bench.ask(e.SetAsked(None, [job.id], "me", priority=1))
    assert job.policy.timeout_s == 5.0
    bench.ask(e.SetAsked(None, [job.id], "me", limited=True, timeout_s=9.0))
    assert job.policy == Policy(timeout_s=9.0)
    bench.ask(e.SetAsked(None, [job.id], "me", limited=True))
    assert job.policy.timeout_s is None


def test_what_does_not_wait_is_left_alone_and_said() -> None:
    bench = Bench()
    running, waiting = bench.submit(), bench.submit(delay_s=5)
    bench.run(running)
    assert bench.ask(e.SetAsked(None, [running.id, waiting.id], "me", priority=3)) == Changed([2], [1])
    assert (running.priority, waiting.priority) == (0, 3)
    reply = bench.ask(e.SetAsked(None, [running.id], "me", priority=3))
    assert isinstance(reply, WrongState)
    assert reply.message == "job 1 does not wait: its state is running"
    assert isinstance(bench.ask(e.SetAsked(None, [waiting.id, 99], "me", priority=9)), JobNotFound)
    assert waiting.priority == 3


def test_removed_jobs_are_gone_and_others_stay() -> None:
    bench = Bench()
    done, waiting = bench.submit(), bench.submit()
    bench.run(done)
    bench.end(done)
    assert bench.ask(e.RemoveAsked(None, [waiting.id, done.id, done.id])) == Removed([done.id], [waiting.id])
    assert list(bench.state.jobs) == [waiting.id]
    reply = bench.ask(e.RemoveAsked(None, [waiting.id]))
    assert isinstance(reply, WrongState)
    assert reply.hint == f"jobctl cancel {waiting.id}"
    assert isinstance(bench.ask(e.RemoveAsked(None, [done.id])), JobNotFound)


def old_and_new(bench: Bench) -> None:
    """Four that failed, and four that were cancelled, a minute apart."""
    for _ in range(4):
        failed, cancelled = bench.submit(), bench.submit(queue="off")
        bench.run(failed)
        bench.end(failed, "give_up")
        bench.ask(e.CancelAsked(None, [cancelled.id], "me"))
        bench.wait(60)


@pytest.mark.parametrize(
    "older_s, states, left",
    [
        (120.0, [], [7, 8]),
        (150.0, [], [5, 6, 7, 8]),
        (150.0, ["failed"], [2, 4, 5, 6, 7, 8]),
        (-math.inf, ["cancelled"], [1, 3, 5, 7]),
        (0.0, [], []),
    ],
)
def test_prune_forgets_what_is_old_enough_and_in_the_states_asked_for(
    older_s: float, states: list[str], left: list[int]
) -> None:
    bench = Bench()
    old_and_new(bench)
    bench.submit()
    before = bench.now.wall - older_s
    found = list(prunable(bench.state, before, states))
    assert bench.ask(e.PruneAsked(None, found)) == Pruned(8 - len(left))
    assert list(bench.state.jobs) == [*left, 9]


def test_prune_counts_each_job_once_wherever_it_was() -> None:
    bench = Bench()
    old_and_new(bench)
    bench.ask(e.RetryAsked(None, 4, "me"))
    assert bench.ask(e.PruneAsked(None, [1, 2, 4], [2, 3, 4, 77], True)) == Pruned(3, True)
    assert list(bench.state.jobs) == [3, 4, 5, 6, 7, 8]
    [notice] = [effect for effect in bench.last.durable if isinstance(effect, f.Notify)]
    assert (notice.kind, notice.ids) == ("pruned", (1, 2, 77))


def test_job_that_ended_while_the_history_was_asked_stays_since_the_history_may_have_what_it_was() -> None:
    bench = Bench()
    done, ended_since = bench.submit(), bench.submit()
    for job in (done, ended_since):
        bench.run(job)
        bench.end(job)
    asked = [ended_since.id, done.id]
    assert bench.ask(e.RemoveAsked(None, asked, kept=[ended_since.id])) == Removed([done.id], [ended_since.id])
    assert list(bench.state.jobs) == [ended_since.id]


def test_removed_jobs_may_be_in_the_history_alone() -> None:
    bench = Bench()
    old_and_new(bench)
    waiting = bench.submit(delay_s=9)
    assert bench.ask(e.RemoveAsked(None, [77, waiting.id, 1], [77])) == Removed([77, 1], [waiting.id])
    assert bench.ask(e.RemoveAsked(None, [77, waiting.id], [77])) == Removed([77], [waiting.id])
    assert isinstance(bench.ask(e.RemoveAsked(None, [77])), JobNotFound)


def test_jobs_that_have_left_memory_do_not_wait() -> None:
    bench = Bench()
    waiting = bench.submit(delay_s=9)
    assert bench.ask(e.SetAsked(None, [waiting.id], "me", 5, archived=[77])) == Changed([waiting.id], [77])
    reply = bench.ask(e.SetAsked(None, [], "me", 5, archived=[77]))
    assert isinstance(reply, WrongState)
    assert reply.message == "job 77 does not wait: it has ended"
