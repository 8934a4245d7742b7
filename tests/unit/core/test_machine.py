"""The machine, event by event. No process, no socket, no clock."""

from __future__ import annotations

import pytest
from bench import RULES, WALL, Bench
from jobyard.protocol.errors import (
    DuplicateJob,
    JobNotFound,
    OutcomeUnknown,
    QueueDraining,
    QueueFull,
    WrongState,
)
from jobyard.protocol.job import Policy, RetryPolicy
from jobyard.supervisor.core import effects as f
from jobyard.supervisor.core import events as e
from jobyard.supervisor.core.machine import Machine
from jobyard.supervisor.core.rules import Limits, PoolRule, QueueRule, Rules
from jobyard.supervisor.core.state import State


def test_job_that_meets_a_ready_child_is_submitted_and_started_in_one_step() -> None:
    bench = Bench()
    bench.ready()
    job = bench.submit()
    assert list(bench.kinds()) == ["Submitted", "Started"]
    assert job.state == "running"
    assert [type(effect).__name__ for effect in bench.last.durable] == ["Reply", "Notify", "Go", "Notify"]
    assert bench.last.kills == []


def test_job_without_a_ready_child_waits_and_children_are_asked_for_once() -> None:
    bench = Bench()
    assert [effect for effect in bench.last.durable if isinstance(effect, f.Prepare)] == [f.Prepare("default", "z", 1)]
    for _ in range(2):
        bench.submit()
        assert f.Prepare("default", "z", 1) in bench.last.durable
    bench.submit()
    asked = [effect for effect in bench.last.durable if isinstance(effect, f.Prepare)]
    assert asked == bench.last.prepare == [], "two slots and a spare are all that is ever wanted"


def test_while_jobs_wait_for_slots_children_are_asked_for_in_rows() -> None:
    bench = Bench()
    jobs = [bench.submit() for _ in range(20)]
    bench.ready(3)
    assert bench.last.prepare == []
    bench.end(jobs[0])
    assert bench.last.prepare == [f.Prepare("default", "z", 5)], "the spare that was taken, and two for each slot"
    bench.ready(5)
    for job in jobs[1:5]:
        bench.end(job)
        assert bench.last.prepare == []
    bench.end(jobs[5])
    assert bench.last.prepare == [f.Prepare("default", "z", 5)]


def test_no_more_children_are_asked_for_than_jobs_wait() -> None:
    bench = Bench()
    jobs = [bench.submit() for _ in range(4)]
    bench.ready(3)
    bench.end(jobs[0])
    assert bench.last.prepare == [f.Prepare("default", "z", 2)], "the spare that was taken, and one for the last job"


def test_pool_without_spare_children_never_has_one_more_than_its_slots() -> None:
    bench = Bench(Rules({"default": QueueRule()}, {"default": PoolRule(concurrency=2, spare=0)}))
    jobs = [bench.submit() for _ in range(20)]
    bench.ready(2)
    bench.end(jobs[0])
    assert bench.last.prepare == [f.Prepare("default", "z", 1)]


def test_first_children_of_a_zygote_are_asked_for_after_its_identity_is_durable() -> None:
    bench = Bench(zygote=False)
    bench.submit()
    bench.step(e.ZygoteUp("default", "z", 1, 1, "boot"))
    assert bench.last.prepare == []
    assert f.Prepare("default", "z", 2) in bench.last.durable


def test_higher_priority_first_then_submission_order() -> None:
    bench = Bench()
    jobs = [bench.submit(priority=priority) for priority in (0, 10, 0, -10, 10)]
    assert bench.run_in_turn(len(jobs)) == [2, 5, 1, 3, 4]


def test_full_queue_does_not_block_another() -> None:
    bench = Bench()
    first, second = bench.submit(queue="mail", priority=10), bench.submit(queue="mail", priority=10)
    other = bench.submit()
    bench.ready(2)
    assert [first.state, second.state, other.state] == ["running", "queued", "running"]


def test_pool_limit_holds_across_queues() -> None:
    bench = Bench()
    for _ in range(4):
        bench.submit()
    bench.ready(4)
    assert bench.state.counts["running"] == 2


def test_paused_queue_starts_nothing_until_resumed() -> None:
    bench = Bench()
    bench.ready()
    job = bench.submit(queue="off")
    assert job.state == "queued"
    bench.ask(e.QueueSetAsked(None, ["off"], "open"))
    assert job.state == "running"


def test_draining_queue_finishes_what_it_has_and_refuses_new_jobs() -> None:
    bench = Bench()
    job = bench.submit(queue="mail")
    bench.ask(e.QueueSetAsked(None, ["mail"], "draining"))
    reply = bench.ask(e.SubmitAsked(None, [bench.want(queue="mail")]))
    assert isinstance(reply, QueueDraining)
    bench.ready()
    assert job.state == "running"


def test_delayed_job_starts_when_due_and_never_before() -> None:
    bench = Bench()
    bench.ready()
    job = bench.submit(delay_s=15.0)
    assert job.state == "scheduled"
    assert bench.machine.wake_at() == 115.0
    bench.wait(14.999)
    assert job.state == "scheduled"
    bench.wait(0.001)
    assert job.state == "running"


def test_job_due_at_a_wall_time_follows_the_wall_clock_when_it_is_set() -> None:
    bench = Bench()
    job = bench.submit(at=WALL + 3600)
    assert bench.machine.wake_at() == 100.0 + 3600
    bench.machine.step(e.Now(101.0, WALL + 3599), [e.ClockStepped()])
    assert bench.machine.wake_at() == 102.0
    bench.machine.step(e.Now(102.0, WALL + 3600), [e.Tick()])
    assert job.state == "queued"


def test_delayed_job_ignores_a_step_of_the_wall_clock() -> None:
    bench = Bench()
    job = bench.submit(delay_s=60.0)
    bench.machine.step(e.Now(101.0, WALL + 1e6), [e.ClockStepped()])
    assert job.state == "scheduled"
    assert bench.machine.wake_at() == 160.0


def test_job_not_started_in_time_expires() -> None:
    bench = Bench()
    job = bench.submit(expires_s=10.0, queue="off")
    bench.wait(10.0)
    assert (job.state, job.reason) == ("cancelled", "expired before it could start")


def test_failed_job_is_retried_after_its_delay_and_holds_no_slot_meanwhile() -> None:
    bench = Bench()
    job = bench.submit()
    for attempt in (1, 2, 3):
        bench.run(job)
        assert job.attempt == attempt
        bench.end(job, "error")
        assert bench.state.pool_running["default"] == 0
        if attempt < 3:
            assert job.state == "scheduled"
            bench.wait(4.9)
            assert job.state == "scheduled"
            bench.wait(0.1)
    assert job.state == "failed"
    assert [info.outcome for info in job.attempts] == ["error"] * 3


@pytest.mark.parametrize(
    ("kind", "given", "outcome", "state"),
    [
        ("ok", {}, "ok", "succeeded"),
        ("ok", {"killed": "timeout"}, "ok", "succeeded"),
        ("error", {}, "error", "scheduled"),
        ("give_up", {}, "error", "failed"),
        ("final", {}, "error", "failed"),
        ("crash", {"exit_code": 3}, "exited", "scheduled"),
        ("crash", {"signal": "SIGSEGV"}, "signalled", "scheduled"),
        ("crash", {"signal": "SIGKILL", "killed": "timeout"}, "timeout", "scheduled"),
        ("crash", {"signal": "SIGKILL", "killed": "stall"}, "stalled", "scheduled"),
        ("crash", {"signal": "SIGKILL", "killed": "oom"}, "oom", "scheduled"),
        ("stopped", {"exit_code": 0, "killed": "timeout"}, "timeout", "scheduled"),
        ("stopped", {"exit_code": 0}, "signalled", "scheduled"),
        ("crash", {"signal": "SIGTERM", "killed": "stop"}, "cancelled", "queued"),
        ("crash", {"signal": "SIGKILL", "killed": "timeout", "survivors": 2}, "timeout", "failed"),
        ("crash", {"signal": "SIGKILL", "void": True}, "cancelled", "queued"),
        ("stopped", {"signal": "SIGTERM", "void": True}, "cancelled", "queued"),
    ],
)
def test_outcome_and_what_becomes_of_the_job(kind: str, given: dict[str, object], outcome: str, state: str) -> None:
    bench = Bench()
    job = bench.submit()
    bench.run(job)
    bench.end(job, kind, **given)
    assert (job.attempts[-1].outcome, job.state) == (outcome, state)


def test_exit_told_twice_counts_once_and_is_acknowledged_twice() -> None:
    bench = Bench()
    job = bench.submit()
    bench.run(job)
    bench.end(job, "error", twice=True)
    assert job.spent == 1
    assert sum(isinstance(effect, f.AckExit) for effect in bench.last.durable) == 2


def test_retry_later_spends_no_attempt_unless_it_says_so() -> None:
    bench = Bench()
    job = bench.submit()
    bench.run(job)
    bench.end(job, "retry_later", delay_s=2.0)
    assert (job.state, job.spent, bench.machine.wake_at()) == ("scheduled", 0, 102.0)
    bench.wait(2.0)
    bench.run(job)
    bench.end(job, "retry_later", delay_s=0.0, counted=True)
    assert (job.state, job.spent) == ("queued", 1)


def test_cancel_of_waiting_job_is_immediate() -> None:
    bench = Bench()
    queued, scheduled = bench.submit(), bench.submit(delay_s=60.0)
    reply = bench.ask(e.CancelAsked(None, [queued.id, scheduled.id], "me", "why not"))
    assert (reply.cancelled, queued.state, scheduled.state) == ([1, 2], "cancelled", "cancelled")
    assert queued.reason == "why not"
    assert bench.kills == []


def test_cancel_of_running_job_kills_with_grace_and_ends_cancelled() -> None:
    bench = Bench()
    job = bench.submit(policy=Policy(grace_s=7.0))
    bench.run(job)
    bench.ask(e.CancelAsked(None, [job.id], "me"))
    assert (job.state, [(kill.kind, kill.grace_s) for kill in bench.kills]) == ("running", [("cancel", 7.0)])
    bench.ask(e.CancelAsked(None, [job.id], "me", None, 0.0))
    assert bench.kills[-1].grace_s == 0.0
    bench.end(job, "crash", signal="SIGKILL", killed="cancel")
    assert (job.state, job.attempts[-1].outcome) == ("cancelled", "cancelled")


def test_job_that_ended_before_the_kill_landed_keeps_its_outcome() -> None:
    bench = Bench()
    job = bench.submit()
    bench.run(job)
    bench.ask(e.CancelAsked(None, [job.id], "me"))
    bench.end(job, "ok", killed="cancel")
    assert (job.state, job.result) == ("succeeded", b"r")


def test_failing_job_with_a_cancel_wish_is_not_retried() -> None:
    bench = Bench()
    job = bench.submit()
    bench.run(job)
    bench.ask(e.CancelAsked(None, [job.id], "me"))
    bench.end(job, "error")
    assert job.state == "cancelled"


def test_cancel_of_finished_job_says_so_and_changes_nothing() -> None:
    bench = Bench()
    job = bench.submit()
    bench.run(job)
    bench.end(job)
    before = len(bench.records)
    assert bench.ask(e.CancelAsked(None, [job.id], "me")).finished == [job.id]
    assert isinstance(bench.ask(e.CancelAsked(None, [99], "me")), JobNotFound)
    assert len(bench.records) == before


def test_finished_job_can_be_put_back_with_all_its_attempts() -> None:
    bench = Bench()
    job = bench.submit(policy=Policy(retry=RetryPolicy(max_attempts=1)))
    bench.run(job)
    assert isinstance(bench.ask(e.RetryAsked(None, job.id, "me")), WrongState)
    bench.end(job, "error")
    assert job.state == "failed"
    bench.ask(e.RetryAsked(None, job.id, "me"))
    bench.run(job)
    assert (job.attempt, job.spent) == (2, 0)
    bench.end(job)
    assert job.state == "succeeded"


def test_repeated_submit_of_one_uid_is_one_job() -> None:
    bench = Bench()
    want = bench.want()
    first = bench.ask(e.SubmitAsked(None, [want]))
    again = bench.ask(e.SubmitAsked(None, [want, want]))
    assert [(one.id, one.existing) for one in [*first.jobs, *again.jobs]] == [(1, False), (1, True), (1, True)]


def test_key_is_unique_among_unfinished_jobs() -> None:
    bench = Bench()
    job = bench.submit(key="k")
    assert bench.ask(e.SubmitAsked(None, [bench.want(key="k")])).jobs[0].id == job.id
    assert isinstance(bench.ask(e.SubmitAsked(None, [bench.want(key="k", on_duplicate="raise")])), DuplicateJob)
    new = bench.submit(key="k", on_duplicate="replace")
    assert (job.state, new.state, bench.state.keys) == ("cancelled", "queued", {"k": new.id})
    bench.run(new)
    bench.end(new)
    assert bench.submit(key="k").id != new.id


def test_replacing_a_running_job_cancels_it() -> None:
    bench = Bench()
    job = bench.submit(key="k")
    bench.run(job)
    new = bench.submit(key="k", on_duplicate="replace")
    assert [kill.child for kill in bench.kills] == [bench.running[job.id]]
    bench.end(job, "crash", signal="SIGTERM", killed="cancel")
    assert (job.state, new.state) == ("cancelled", "queued")
    assert bench.state.keys == {"k": new.id}


def test_submit_of_many_is_all_or_nothing() -> None:
    bench = Bench(Rules(limits=Limits(unfinished_jobs=2)))
    assert isinstance(bench.ask(e.SubmitAsked(None, [bench.want() for _ in range(3)])), QueueFull)
    assert not bench.state.jobs
    assert len(bench.ask(e.SubmitAsked(None, [bench.want(), bench.want()])).jobs) == 2


def test_payload_bytes_are_bounded() -> None:
    bench = Bench(Rules(limits=Limits(unfinished_bytes=10)))
    assert isinstance(bench.ask(e.SubmitAsked(None, [bench.want(payload=b"x" * 11)])), QueueFull)


def test_resent_submit_of_a_pruned_time_is_outcome_unknown_and_never_run() -> None:
    bench = Bench(Rules(limits=Limits(finished_jobs=0, unarchived_bytes=0)))
    want = bench.want()
    bench.ask(e.SubmitAsked(None, [want]))
    bench.run(bench.state.jobs[1])
    bench.end(bench.state.jobs[1])
    assert not bench.state.jobs, "pruned at once"
    resent = e.Wanted(**{**{name: getattr(want, name) for name in want.__slots__}, "resent": True})
    assert isinstance(bench.ask(e.SubmitAsked(None, [resent])), OutcomeUnknown)
    bench.t += 1
    later = bench.want(resent=True)
    assert bench.ask(e.SubmitAsked(None, [later])).jobs[0].existing is False


def test_weak_durability_gives_ids_of_a_durable_block_only() -> None:
    bench = Bench()
    bench.step(e.SubmitAsked("first", [bench.want()], "memory"))
    assert list(bench.kinds()) == ["IdsReserved", "Submitted"]
    assert bench.last.early == [], "the first of a block waits for the reservation"
    bench.step(e.SubmitAsked("second", [bench.want()], "memory"))
    assert [reply.token for reply in bench.last.early] == ["second"]
    fresh = State()
    fresh.apply(bench.records[0])
    fresh.apply(bench.records[2])
    assert fresh.reserved_id == 1001


def test_failed_prepare_spends_no_attempt_and_backs_off() -> None:
    bench = Bench()
    job = bench.submit()
    bench.step(e.PrepareFailed("default", "z", 2, "EAGAIN"))
    assert (bench.last.prepare, job.attempt) == ([], 0)
    assert bench.machine.wake_at() == pytest.approx(100.1)
    bench.wait(0.1)
    assert bench.last.prepare == [f.Prepare("default", "z", 2)]
    bench.step(e.PrepareFailed("default", "z", 2, "EAGAIN"))
    assert bench.machine.wake_at() == pytest.approx(100.3)


def test_reload_retires_the_old_zygote_whose_jobs_still_count() -> None:
    bench = Bench()
    job = bench.submit()
    bench.run(job)
    bench.ready()
    bench.step(e.ZygoteUp("default", "z2", 2, 2, "boot"))
    retired = [type(effect).__name__ for effect in bench.last.durable]
    assert retired == ["Discard", "Retire", "Prepare"]
    late = e.Child("default", "z", 99)
    bench.step(e.ChildReady(late))
    assert bench.last.durable == [f.Discard(late)]
    assert bench.state.pool_running["default"] == 1
    bench.end(job)
    assert job.state == "succeeded"


def test_stop_waits_for_running_jobs_and_starts_nothing() -> None:
    bench = Bench()
    running, queued = bench.submit(), bench.submit()
    bench.run(running)
    bench.ready()
    bench.end(queued) if queued.state == "running" else None
    waiting = bench.submit(delay_s=1.0)
    bench.ask(e.StopAsked(None, "wait"))
    assert not any(isinstance(effect, f.Stopped) for effect in bench.last.durable)
    bench.wait(2.0)
    assert waiting.state == "queued"
    bench.end(running)
    assert any(isinstance(effect, f.Stopped) for effect in bench.last.durable)
    assert waiting.state == "queued"


def test_stop_now_kills_and_requeues_without_counting() -> None:
    bench = Bench()
    job = bench.submit()
    bench.run(job)
    bench.ask(e.StopAsked(None, "now"))
    assert [kill.kind for kill in bench.kills] == ["stop"]
    bench.end(job, "stopped", killed="stop")
    assert (job.state, job.spent) == ("queued", 0)
    assert any(isinstance(effect, f.Stopped) for effect in bench.last.durable)


def test_finished_jobs_are_pruned_oldest_first() -> None:
    rules = Rules(
        queues=RULES.queues,
        pools={"default": PoolRule(concurrency=1, spare=1)},
        limits=Limits(finished_jobs=2, unarchived_bytes=0),
    )
    bench = Bench(rules)
    for _ in range(4):
        job = bench.submit()
        bench.run(job)
        bench.end(job)
    assert list(bench.state.jobs) == [3, 4]


def test_jobs_of_a_queue_that_is_no_longer_declared_wait() -> None:
    bench = Bench()
    job = bench.submit(queue="mail")
    bench.step(e.Configured(Rules(queues={"default": QueueRule()}, pools=RULES.pools)))
    bench.ready()
    assert job.state == "queued"
    bench.step(e.Configured(RULES))
    assert job.state == "running"


def test_after_a_reboot_a_delay_goes_by_the_wall_clock() -> None:
    bench = Bench()
    bench.submit(delay_s=60.0)
    state = State()
    for record in bench.records:
        state.apply(record)
    later = e.Now(5.0, WALL + 50)
    machine = Machine(state, RULES)
    machine.begin(later, "another boot")
    assert machine.wake_at() == pytest.approx(15.0)


def test_two_deadlines_of_one_job_at_one_moment_promote_it_once() -> None:
    bench = Bench()
    job = bench.submit()
    bench.run(job)
    bench.end(job, "error")
    bench.ask(e.CancelAsked(None, [job.id], "me"))
    bench.ask(e.RetryAsked(None, job.id, "me"))
    bench.run(job)
    bench.end(job, "error")
    bench.wait(60)
    assert job.state == "queued"
