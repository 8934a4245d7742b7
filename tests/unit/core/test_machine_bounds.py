"""What would grow, hang or crash if nobody looked: leaks, numbers from jobs, pools and queues that a reload removes."""

from __future__ import annotations

import math

import pytest
from bench import RULES, Bench
from jobyard.protocol.job import Policy, Progress, RetryPolicy
from jobyard.protocol.retry import LONGEST_S
from jobyard.supervisor.core import effects as f
from jobyard.supervisor.core import events as e
from jobyard.supervisor.core.rules import Limits, PoolRule, QueueRule, Rules

AGAIN = Policy(retry=RetryPolicy(max_attempts=3, delays_s=(5.0,)))


@pytest.mark.parametrize("asked", [math.nan, -5.0, -math.inf])
def test_retry_later_with_no_sensible_time_is_at_once(asked: float) -> None:
    bench = Bench()
    job = bench.submit(policy=AGAIN)
    bench.run(job)
    bench.end(job, "retry_later", delay_s=asked)
    assert job.state == "queued"


def test_retry_later_for_ever_is_bounded() -> None:
    bench = Bench()
    job = bench.submit(policy=AGAIN)
    bench.run(job)
    bench.end(job, "retry_later", delay_s=math.inf)
    assert job.state == "scheduled"
    assert bench.machine.wake_at() == bench.now.boot + LONGEST_S


def test_progress_of_a_lost_attempt_is_forgotten() -> None:
    bench = Bench()
    job = bench.submit()
    bench.run(job)
    bench.step(e.Progressed(bench.running[job.id], Progress(1.0, 2.0, "half", bench.now.wall)))
    assert bench.machine.info(job).progress is not None
    bench.step(e.ZygoteGone("default", "z"))
    assert job.state == "queued"
    assert bench.machine.progress == {}


def test_finished_jobs_over_the_limit_go_without_further_events_however_many_ended_at_once() -> None:
    rules = Rules(RULES.queues, RULES.pools, Limits(finished_jobs=10, unarchived_bytes=0))
    bench = Bench(rules)
    bench.step(e.SubmitAsked("t", [bench.want(queue="off") for _ in range(2000)]))
    bench.step(e.CancelAsked("c", list(bench.state.jobs), "me"))
    steps = 0
    while (wake := bench.machine.wake_at()) is not None and wake <= bench.now.boot:
        bench.step(e.Tick())
        steps += 1
        assert steps < 10
    assert len(bench.state.finished) == 10


def test_deadlines_of_jobs_that_are_over_do_not_pile_up() -> None:
    bench = Bench(Rules(RULES.queues, RULES.pools, Limits(finished_jobs=10, unarchived_bytes=0)))
    for round_number in range(12):
        bench.step(e.SubmitAsked(round_number, [bench.want(queue="off", expires_s=1e8) for _ in range(1000)]))
        open_ids = [job.id for job in bench.state.jobs.values() if job.state == "queued"]
        bench.step(e.CancelAsked("c", open_ids, "me"))
    bench.step(e.Tick())
    assert len(bench.machine.timers) < 5000


def test_cancelled_jobs_do_not_pile_up_behind_one_that_waits() -> None:
    bench = Bench(Rules(RULES.queues, RULES.pools, Limits(finished_jobs=10, unarchived_bytes=0)))
    first = bench.submit(queue="off", priority=10)
    for round_number in range(5):
        bench.step(e.SubmitAsked(round_number, [bench.want(queue="off") for _ in range(1000)]))
        bench.step(e.CancelAsked("c", [job.id for job in bench.state.jobs.values() if job.priority == 0], "me"))
    heap = bench.state.queue("off").heap
    assert len(heap) <= 2002
    assert heap.top() == (-10, first.id)


def test_queue_that_a_reload_removed_a_moment_ago_can_be_paused() -> None:
    bench = Bench()
    bench.step(e.Configured(Rules()), e.QueueSetAsked("t", ["mail"], "paused"))
    assert bench.replies["t"].queues == ["mail"]


def test_removed_pool_is_retired_after_what_was_started_in_it() -> None:
    bench = Bench(Rules({"default": QueueRule()}, {"default": PoolRule(concurrency=2, spare=0)}))
    job = bench.submit()
    child = e.Child("default", "z", 1, 1001, 1)
    bench.step(e.ChildReady(child), e.Configured(Rules({}, {"other": PoolRule()})))
    bench.step(e.ChildReady(e.Child("default", "z", 2, 1002, 1)))
    assert [type(effect) for effect in bench.last.durable] == [f.Discard]
    assert job.state == "queued"


def test_start_and_removal_in_one_step_keep_their_order() -> None:
    bench = Bench()
    bench.submit()
    bench.ready()
    assert any(isinstance(effect, f.Go) for effect in bench.last.durable)
    bench.step(e.Configured(Rules({"default": QueueRule("other")}, {"other": PoolRule()})))
    assert f.Retire("default", "z") in bench.last.durable
    assert bench.machine.pools.get("default").zygote is None


def test_stop_does_not_wait_for_a_zygote_that_cannot_be_fenced_and_its_job_is_not_run_again() -> None:
    bench = Bench()
    job = bench.submit()
    bench.run(job)
    bench.step(e.ZygoteGone("default", "z", fenced=False))
    assert job.state == "running"
    bench.step(e.StopAsked("s", "wait"))
    assert f.Stopped() in bench.last.durable
    assert job.state == "running"


def test_job_of_a_zygote_that_is_fenced_later_runs_again() -> None:
    bench = Bench()
    job = bench.submit()
    bench.run(job)
    bench.step(e.ZygoteGone("default", "z", fenced=False))
    bench.step(e.ZygoteGone("default", "z", fenced=True))
    assert (job.state, job.losses) == ("queued", 1)
    assert bench.machine.pools.unfenced == set()


def test_children_that_die_before_they_have_a_job_are_replaced_ever_more_slowly() -> None:
    bench = Bench()
    bench.ready()
    waits = []
    job = bench.submit(queue="off")
    for kid in range(1, 6):
        if kid == 4:  # it was given a job, and not told to begin: that makes no difference
            bench.ask(e.QueueSetAsked(None, ["off"], "open"))
        void = job.state == "running"
        assert void == (kid >= 4)
        bench.step(e.ChildExited(e.Child("default", "z", kid, 1000 + kid, 1), kid, e.Exit(0.0, exit_code=3, void=void)))
        assert bench.last.prepare == []
        wake = bench.machine.wake_at()
        assert wake is not None
        waits.append(wake - bench.now.boot)
        bench.wait(waits[-1] + 0.01)
        assert [type(effect) for effect in bench.last.prepare] == [f.Prepare]
        bench.ready()
    assert waits == sorted(waits) and waits[-1] > 10 * waits[0]
    bench.run(job)
    bench.end(job)
    assert bench.machine.pools.get("default").hold_s < waits[0] * 2, "a job that ended well proves the children"


def test_written_durability_waits_for_the_disk() -> None:
    bench = Bench()
    bench.step(e.SubmitAsked("first", [bench.want()], "written"))
    assert list(bench.kinds()) == ["Submitted"]
    assert bench.last.early == []


def test_step_that_reserves_ids_says_so() -> None:
    bench = Bench()
    assert bench.step(e.SubmitAsked("first", [bench.want()], "memory")).reserves
    assert not bench.step(e.SubmitAsked("second", [bench.want()], "memory")).reserves


def test_children_are_made_after_the_sync_until_the_first_is_there() -> None:
    bench = Bench(Rules(pools={"default": PoolRule(concurrency=2, spare=0)}))
    for _ in range(2):
        bench.submit()
        assert any(isinstance(effect, f.Prepare) for effect in bench.last.durable)
        assert not bench.last.prepare
    bench.ready()
    bench.submit()
    bench.end(bench.state.jobs[1])
    assert bench.last.prepare
