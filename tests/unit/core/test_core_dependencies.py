"""Jobs that wait for others, step by step. No process, no socket, no clock."""

from __future__ import annotations

import pytest
from bench import RULES, WALL, Bench
from jobyard.protocol.errors import JobNotFound, QueueFull, TooLarge
from jobyard.protocol.job import Parent
from jobyard.supervisor.core import effects as f
from jobyard.supervisor.core import events as e
from jobyard.supervisor.core.machine import UNBLOCK_BATCH
from jobyard.supervisor.core.rules import Limits, Rules
from jobyard.supervisor.core.state import Job


def finish(bench: Bench, job: Job, kind: str = "ok") -> None:
    bench.run(job)
    bench.end(job, kind)


def test_child_starts_when_its_parent_has_succeeded_and_not_before() -> None:
    bench = Bench()
    parent = bench.submit()
    child = bench.submit(after=[parent.id])
    assert child.state == "blocked"
    bench.run(parent)
    bench.ready()
    assert child.state == "blocked"
    bench.wait(7)
    bench.end(parent)
    assert list(bench.kinds()) == ["Ended", "Promoted", "Started"]
    assert child.state == "running"
    assert child.attempts[0].wait_s == 0.0, "it waited for its parent, not for room"


def test_child_waits_for_all_of_its_parents() -> None:
    bench = Bench()
    parents = [bench.submit() for _ in range(3)]
    child = bench.submit(after=[job.id for job in parents])
    for job in parents:
        assert child.state == "blocked"
        finish(bench, job)
    assert child.state != "blocked"


def test_a_retry_of_the_parent_is_no_end_of_it() -> None:
    bench = Bench()
    parent = bench.submit()
    child = bench.submit(after=[parent.id])
    finish(bench, parent, "error")
    assert (parent.state, child.state) == ("scheduled", "blocked")


@pytest.mark.parametrize("end", ["give_up", "cancel", "expire"])
def test_child_of_a_parent_that_does_not_succeed_is_cancelled_with_its_own_children_and_told_why(end: str) -> None:
    bench = Bench()
    parent = bench.submit(expires_s=5.0)
    child = bench.submit(after=[parent.id, bench.submit().id])
    grandchild = bench.submit(after=[child.id])
    if end == "cancel":
        bench.ask(e.CancelAsked(None, [parent.id], "me"))
    elif end == "expire":
        bench.wait(5)
    else:
        finish(bench, parent, end)
    ended = "failed" if end == "give_up" else "was cancelled"
    assert (child.state, grandchild.state) == ("cancelled", "cancelled")
    assert child.reason == f"job {parent.id}, for which it waited, {ended}"
    assert grandchild.reason == f"job {child.id}, for which it waited, was cancelled"
    notices = [(one.job_id, one.kind) for one in bench.last.durable if isinstance(one, f.Notify)]
    assert (child.id, "cancelled") in notices and (grandchild.id, "cancelled") in notices


def test_child_that_is_to_run_anyway_runs_and_knows_how_its_parents_ended() -> None:
    bench = Bench()
    good, bad, gone = bench.submit(), bench.submit(), bench.submit()
    child = bench.submit(after=[good.id, bad.id, gone.id], on_parent_failure="run")
    finish(bench, good)
    finish(bench, bad, "give_up")
    bench.ask(e.CancelAsked(None, [gone.id], "me"))
    bench.run(child)
    (order,) = [one.order for one in bench.last.durable if isinstance(one, f.Go) and one.order.job_id == child.id]
    assert order.parents == {good.id: "succeeded", bad.id: "failed", gone.id: "cancelled"}


def test_outcome_of_a_parent_that_has_ended_before_counts_at_once() -> None:
    bench = Bench()
    good, bad = bench.submit(), bench.submit()
    finish(bench, good)
    finish(bench, bad, "give_up")
    assert bench.submit(after=[good.id]).state in ("queued", "running")
    assert bench.submit(after=[bad.id], on_parent_failure="run").state in ("queued", "running")
    child = bench.submit(after=[good.id, bad.id])
    assert (child.state, list(bench.kinds())) == ("cancelled", ["Submitted", "Cancelled"])


@pytest.mark.parametrize("parent, why", [(77, "the last id is 1"), (1, "its records were pruned")])
def test_parent_must_exist_and_nothing_is_stored_if_it_does_not(parent: int, why: str) -> None:
    bench = Bench()
    bench.ask(e.CancelAsked(None, [bench.submit().id], "me"))
    bench.ask(e.RemoveAsked(None, [1]))
    reply = bench.ask(e.SubmitAsked(None, [bench.want(), bench.want(after=[parent])]))
    assert isinstance(reply, JobNotFound)
    assert reply.message == f"after: there is no job {parent}: {why}"
    assert bench.last.records == []


def test_a_submit_sent_again_gives_its_job_though_the_parent_is_pruned() -> None:
    bench = Bench()
    parent = bench.submit()
    finish(bench, parent)
    want = bench.want(after=[parent.id])
    first = bench.ask(e.SubmitAsked(None, [want]))
    bench.ask(e.RemoveAsked(None, [parent.id]))
    again = bench.ask(e.SubmitAsked(None, [want]))
    assert (again.jobs[0].id, again.jobs[0].existing) == (first.jobs[0].id, True)


def test_number_of_parents_is_bounded_and_what_they_take_is_counted() -> None:
    bench = Bench(Rules(RULES.queues, RULES.pools, Limits(parents=2, unfinished_bytes=1000)))
    ids = [bench.submit(queue="off").id for _ in range(3)]
    reply = bench.ask(e.SubmitAsked(None, [bench.want(after=ids)]))
    assert isinstance(reply, TooLarge)
    assert reply.message == "after names 3 jobs; the limit is 2"
    reply = bench.ask(e.SubmitAsked(None, [bench.want(after=ids[:2]) for _ in range(3)]))
    assert isinstance(reply, QueueFull)


def test_delay_counts_from_the_submit_and_holds_after_the_parents_have_ended() -> None:
    bench = Bench()
    parent = bench.submit()
    child, late = bench.submit(after=[parent.id], delay_s=10.0), bench.submit(after=[parent.id], at=WALL + 10)
    bench.wait(4)
    finish(bench, parent)
    assert (child.state, late.state) == ("scheduled", "scheduled")
    assert bench.machine.wake_at() == 110.0
    bench.wait(5.999)
    assert child.state == "scheduled"
    bench.wait(0.001)
    assert "scheduled" not in (child.state, late.state)


def test_delay_that_passes_while_the_job_is_blocked_costs_nothing_more() -> None:
    bench = Bench()
    parent = bench.submit(queue="off")
    child = bench.submit(after=[parent.id], delay_s=10.0)
    bench.wait(20)
    assert child.state == "blocked"
    bench.ask(e.CancelAsked(None, [parent.id], "me"))
    other = bench.submit(after=[parent.id], delay_s=10.0, on_parent_failure="run")
    assert (child.state, other.state) == ("cancelled", "scheduled")


def test_wall_clock_set_back_does_not_hold_a_job_that_was_given_no_time() -> None:
    bench = Bench()
    parent = bench.submit(queue="off")
    child = bench.submit(after=[parent.id], on_parent_failure="run")
    bench.machine.step(e.Now(101.0, WALL - 3600), [e.ClockStepped(), e.CancelAsked(None, [parent.id], "me")])
    assert child.state == "queued"


def test_blocked_job_expires() -> None:
    bench = Bench()
    child = bench.submit(after=[bench.submit(queue="off").id], expires_s=5.0)
    bench.wait(5)
    assert (child.state, child.reason) == ("cancelled", "expired before it could start")


def test_blocked_job_can_be_cancelled_and_its_parent_goes_on() -> None:
    bench = Bench()
    parent = bench.submit()
    child = bench.submit(after=[parent.id])
    bench.ask(e.CancelAsked(None, [child.id], "me", "not needed"))
    assert (child.state, child.reason, parent.state) == ("cancelled", "not needed", "queued")
    finish(bench, parent)
    assert bench.machine.info(child).parents == [Parent(parent.id, "succeeded")]


def test_pruned_parent_stays_known_to_its_child() -> None:
    bench = Bench()
    done, other = bench.submit(), bench.submit(queue="off")
    child = bench.submit(after=[done.id, other.id])
    finish(bench, done)
    bench.ask(e.RemoveAsked(None, [done.id]))
    assert child.state == "blocked"
    assert bench.machine.info(child).parents == [Parent(done.id, "succeeded"), Parent(other.id, "queued")]
    bench.ask(e.QueueSetAsked(None, ["off"], "open"))
    finish(bench, other)
    assert child.state != "blocked"


def test_parent_that_is_retried_is_waited_for_again() -> None:
    bench = Bench()
    first, second = bench.submit(), bench.submit(queue="off")
    child = bench.submit(after=[first.id, second.id])
    finish(bench, first)
    bench.ask(e.RetryAsked(None, first.id, "me"))
    bench.ask(e.QueueSetAsked(None, ["off"], "open"))
    bench.ask(e.SetAsked(None, [first.id], "me", priority=-5))
    finish(bench, second)
    assert (second.state, child.state) == ("succeeded", "blocked")
    finish(bench, first)
    assert child.state != "blocked"


def test_child_that_is_retried_waits_for_parents_that_are_unfinished_and_excuses_those_that_failed() -> None:
    bench = Bench()
    parent = bench.submit()
    child = bench.submit(after=[parent.id])
    finish(bench, parent, "give_up")
    assert child.state == "cancelled"
    bench.ask(e.RetryAsked(None, child.id, "me"))
    assert child.state in ("queued", "running"), "somebody asked for it, knowing that its parent had failed"
    bench.ask(e.CancelAsked(None, [child.id], "me"))
    if child.state == "running":
        bench.end(child, "stopped", killed="cancel")
    bench.ask(e.RetryAsked(None, parent.id, "me"))
    bench.ask(e.RetryAsked(None, child.id, "me"))
    assert child.state == "blocked"
    finish(bench, parent, "give_up")
    assert (child.state, child.reason) == ("cancelled", f"job {parent.id}, for which it waited, failed")


def test_retry_of_a_child_whose_failed_parent_is_pruned_runs_it() -> None:
    bench = Bench()
    parent = bench.submit()
    child = bench.submit(after=[parent.id])
    bench.ask(e.CancelAsked(None, [parent.id], "me"))
    bench.ask(e.RemoveAsked(None, [parent.id]))
    bench.ask(e.RetryAsked(None, child.id, "me"))
    assert child.state in ("queued", "running")


def test_replaced_parent_is_cancelled_and_its_children_with_it() -> None:
    bench = Bench()
    parent = bench.submit(key="k", queue="off")
    child = bench.submit(after=[parent.id])
    bench.submit(key="k", on_duplicate="replace")
    assert (parent.state, child.state) == ("cancelled", "cancelled")


def test_very_many_children_are_let_go_some_at_a_time_without_further_events() -> None:
    bench = Bench()
    parent = bench.submit(queue="off")
    bench.step(e.SubmitAsked("t", [bench.want(after=[parent.id]) for _ in range(UNBLOCK_BATCH + 10)]))
    bench.ask(e.CancelAsked(None, [parent.id], "me"))
    assert bench.state.counts["blocked"] == 10
    assert bench.machine.wake_at() == bench.now.boot
    bench.step(e.Tick())
    assert (bench.state.counts["blocked"], bench.machine.wake_at()) == (0, None)


def test_a_long_chain_is_cancelled_from_its_beginning() -> None:
    bench = Bench()
    last = bench.submit(queue="off")
    for _ in range(3 * UNBLOCK_BATCH):
        bench.machine.step(bench.now, [e.SubmitAsked(None, [bench.want(after=[last.id])])])
        last = bench.state.jobs[last.id + 1]
    bench.ask(e.CancelAsked(None, [1], "me"))
    while bench.machine.wake_at() is not None:
        bench.step(e.Tick())
    assert last.state == "cancelled"


def test_children_are_let_go_while_the_supervisor_stops() -> None:
    bench = Bench()
    parent = bench.submit()
    child = bench.submit(after=[parent.id])
    bench.run(parent)
    bench.step(e.StopAsked("s", "wait"))
    bench.end(parent)
    assert child.state == "queued"
    assert f.Stopped() in bench.last.durable


def test_blocked_job_that_is_given_a_delay_waits_for_it_though_the_wall_clock_was_set_back() -> None:
    bench = Bench()
    parent = bench.submit(queue="off")
    child = bench.submit(after=[parent.id], on_parent_failure="run")
    back = e.Now(bench.now.boot, bench.now.wall - 3600.0)
    bench.machine.step(back, [e.SetAsked("t", [child.id], "me", delay_s=30.0)])
    bench.machine.step(back, [e.CancelAsked("c", [parent.id], "me")])
    assert child.state == "scheduled"
