"""Why a job is in its state, in the very words."""

from __future__ import annotations

import pytest
from bench import RULES, Bench
from jobyard.protocol.job import Policy, RetryPolicy
from jobyard.protocol.messages import Explanation
from jobyard.supervisor.core import events as e
from jobyard.supervisor.core.rules import PoolRule, QueueRule, Rules
from jobyard.supervisor.core.state import Job
from jobyard.supervisor.core.why import explain


def why(bench: Bench, job: Job, **troubles: str) -> Explanation:
    return explain(bench.machine, job, bench.now, troubles)


def text(bench: Bench, job: Job, **troubles: str) -> str:
    return str(why(bench, job, **troubles))


def codes(bench: Bench, job: Job) -> list[str]:
    return [reason.code for reason in why(bench, job).reasons]


def ran_before(bench: Bench, seconds: float, **given: object) -> None:
    """A job that took so long."""
    job = bench.submit(**given)
    bench.run(job)
    bench.wait(seconds)
    bench.end(job)


# -- queued ------------------------------------------------------------------------------------------------------------


def test_place_in_a_full_queue_with_who_holds_it_and_when_it_may_start() -> None:
    bench = Bench()
    ran_before(bench, 50.0, queue="mail")
    holder = bench.submit(queue="mail")
    bench.run(holder)
    waiting = [bench.submit(queue="mail") for _ in range(3)]
    bench.submit(queue="mail", priority=-1)
    bench.wait(41)
    assert text(bench, waiting[2]) == (
        "job 5 is queued: 3rd in mail, which is at its limit, 1 of 1; held by 2 for 41 s; estimated start in 1m 49s"
    )
    found = why(bench, waiting[2])
    assert (found.position, found.hint) == (3, "")
    assert [(one.code, one.jobs, one.seconds) for one in found.reasons] == [
        ("no_room", [2], None), ("held", [2], 41.0), ("estimate", [], 109.0),
    ]  # fmt: skip


def test_full_pool_names_who_has_been_there_longest_and_counts_other_queues_in_the_estimate() -> None:
    bench = Bench()
    ran_before(bench, 10.0)
    first = bench.submit()
    bench.run(first)
    bench.wait(2)
    second = bench.submit(queue="mail")
    bench.run(second)
    ahead, job = bench.submit(priority=5, queue="mail"), bench.submit()
    assert ahead.state == "queued"
    assert text(bench, job) == (
        "job 5 is queued: 1st in default, whose pool default is at its limit, 2 of 2; held by 2 for 2.0 s and 1 more; "
        "estimated start in 10 s"
    )


def test_nothing_is_estimated_of_what_never_ran() -> None:
    bench = Bench()
    bench.run(bench.submit(queue="mail"))
    assert codes(bench, bench.submit(queue="mail")) == ["no_room", "held"]


def test_job_for_which_there_is_room_starts_soon() -> None:
    bench = Bench()
    job = bench.submit()
    assert text(bench, job) == (
        "job 1 is queued: 1st in default, and there is room: it starts as soon as a process is ready"
    )
    bench.step(e.PrepareFailed("default", "z", 1, "EAGAIN"))
    assert codes(bench, job) == ["pool_held"]


def test_paused_queue_is_named_with_what_ends_it() -> None:
    bench = Bench()
    found = why(bench, bench.submit(queue="off"))
    assert str(found) == "job 1 is queued: its queue off is paused; 1st in off"
    assert found.hint == "jobctl resume off"


def test_draining_queue_is_no_obstacle() -> None:
    bench = Bench()
    job = bench.submit()
    bench.ask(e.QueueSetAsked(None, ["default"], "draining"))
    assert codes(bench, job) == ["starting"]


def test_queue_that_a_reload_removed_is_named() -> None:
    bench = Bench()
    job = bench.submit(queue="mail")
    bench.step(e.Configured(Rules({"default": QueueRule()}, RULES.pools)))
    found = why(bench, job)
    assert str(found) == "job 1 is queued: the config does not declare its queue mail any more; 1st in mail"
    assert found.hint == "jobctl set 1 --to-queue NAME"


def test_pool_that_is_not_up_is_named_with_its_trouble() -> None:
    bench = Bench(zygote=False)
    job = bench.submit()
    assert text(bench, job) == "job 1 is queued: its pool default is not up: it is starting; 1st in default"
    assert "not up: No module named 'app'; 1st" in text(bench, job, default="No module named 'app'")
    assert why(bench, job).hint == "jobctl status"


def test_supervisor_that_stops_is_named() -> None:
    bench = Bench()
    job = bench.submit()
    bench.step(e.StopAsked("s", "wait"))
    assert codes(bench, job) == ["stopping", "place"]


# -- parents that wait for their children ------------------------------------------------------------------------------


def test_child_without_a_slot_is_named_when_all_slots_are_taken_by_jobs_that_submitted_such_ones() -> None:
    bench = Bench()
    parents = [bench.submit(), bench.submit()]
    for parent in parents:
        bench.run(parent)
    children = [bench.submit(parent=parent.id) for parent in parents]
    words = (
        "each of the 2 places of pool default is held by a job that has submitted another which needs one, "
        "such as {0}, which submitted {1}: if it waits for that, neither will ever end"
    )
    assert codes(bench, children[1]) == ["deadlock", "no_room", "held"]
    assert why(bench, children[1]).reasons[0].text == words.format(2, 4)
    assert codes(bench, parents[0]) == ["deadlock", "running"]
    assert why(bench, parents[0]).reasons[0].text == words.format(1, 3)
    assert why(bench, parents[0]).hint.startswith("raise the limit")


def test_there_is_no_deadlock_while_one_slot_is_held_by_a_job_that_waits_for_nothing() -> None:
    bench = Bench()
    parent, other = bench.submit(), bench.submit()
    bench.run(parent)
    bench.run(other)
    child = bench.submit(parent=parent.id)
    assert codes(bench, child) == ["no_room", "held"]
    assert codes(bench, parent) == ["running", "child"]
    assert why(bench, parent).hint == f"jobctl why {child.id}"


def test_deadlock_in_a_queue_of_one() -> None:
    bench = Bench()
    parent = bench.submit(queue="mail")
    bench.run(parent)
    child = bench.submit(queue="mail", parent=parent.id)
    assert why(bench, child).reasons[0].text.startswith("the only place of queue mail is held by a job")


def test_deadlock_across_two_queues() -> None:
    rules = Rules(
        {"a": QueueRule("default", 1), "b": QueueRule("default", 1)}, {"default": PoolRule(concurrency=5, spare=1)}
    )
    bench = Bench(rules)
    first, second = bench.submit(queue="a"), bench.submit(queue="b")
    bench.run(first)
    bench.run(second)
    bench.submit(queue="b", parent=first.id)
    assert codes(bench, first) == ["running", "child"]
    child = bench.submit(queue="a", parent=second.id)
    assert codes(bench, child)[0] == "deadlock"
    assert codes(bench, first)[0] == "deadlock"


# -- the other states --------------------------------------------------------------------------------------------------


def test_scheduled_job_says_when_and_why() -> None:
    bench = Bench()
    job = bench.submit(delay_s=7384.0)
    assert text(bench, job) == "job 1 is scheduled: its time comes in 2h 03m"
    assert why(bench, job).hint == "jobctl set 1 --now"
    failed = bench.submit()
    bench.run(failed)
    bench.end(failed, "error")
    bench.wait(1.8)
    assert text(bench, failed) == (
        "job 2 is scheduled: it is tried again in 3.2 s, after app.Oops: no; 1 of its 3 attempts are spent"
    )


def test_blocked_job_says_for_whom_it_waits_and_what_if_that_fails() -> None:
    bench = Bench()
    running, queued = bench.submit(), bench.submit(queue="off")
    bench.run(running)
    child = bench.submit(after=[running.id, queued.id], delay_s=90.0)
    assert text(bench, child) == (
        "job 3 is blocked: it waits for job 1 (running) and 2 (queued); "
        "it is cancelled if one of them does not succeed; and it does not start before 1m 30s have passed"
    )
    assert why(bench, child).hint == "jobctl why 1"
    many = [bench.submit(queue="off").id for _ in range(7)]
    found = text(bench, bench.submit(after=many, on_parent_failure="run"))
    assert "8 (queued) and 2 more; it runs however they end" in found


def test_running_job_says_since_when_and_until_when() -> None:
    bench = Bench()
    job = bench.submit(policy=Policy(timeout_s=60.0))
    bench.run(job)
    bench.wait(41)
    assert text(bench, job) == "job 1 is running: attempt 1 of 3 has run for 41 s; its timeout ends it in 19 s"
    bench.ask(e.CancelAsked(None, [job.id], "me", "not needed"))
    assert codes(bench, job) == ["running", "cancelling", "timeout"]
    bench.step(e.ZygoteGone("default", "z", fenced=False))
    assert codes(bench, job)[0] == "unfenced"


@pytest.mark.parametrize(
    "end, attempts, words",
    [
        ("ok", 3, "job 1 succeeded: attempt 1 of 3, 5.0 s ago"),
        ("error", 1, "job 1 failed: app.Oops: no, 5.0 s ago; no attempts are left"),
        (
            "give_up",
            3,
            "job 1 failed: app.Oops: no, 5.0 s ago; 2 of its 3 attempts were left, but such an end is final",
        ),
        ("crash", 1, "job 1 failed: its process was killed by SIGSEGV, 5.0 s ago; no attempts are left"),
    ],
)
def test_finished_job_says_how_it_ended_and_what_was_left(end: str, attempts: int, words: str) -> None:
    bench = Bench()
    job = bench.submit(policy=Policy(retry=RetryPolicy(max_attempts=attempts)))
    bench.run(job)
    bench.end(job, end, **({"signal": "SIGSEGV"} if end == "crash" else {}))
    bench.wait(5)
    found = why(bench, job)
    assert str(found) == words
    assert found.hint == ("" if end == "ok" else "jobctl retry 1")


def test_cancelled_job_says_why_and_names_its_parent() -> None:
    bench = Bench()
    parent = bench.submit(queue="off")
    child = bench.submit(after=[parent.id])
    bench.ask(e.CancelAsked(None, [parent.id], "me"))
    assert text(bench, parent) == "job 1 was cancelled: somebody asked for it, 0.0 s ago"
    found = why(bench, child)
    assert str(found) == "job 2 was cancelled: job 1, for which it waited, was cancelled, 0.0 s ago"
    assert found.reasons[0].jobs == [1]


def test_very_long_queues_are_not_counted_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobyard.supervisor.core.why.AHEAD_MAX", 5)
    bench = Bench()
    jobs = [bench.submit(queue="off") for _ in range(9)]
    assert why(bench, jobs[4]).position == 5
    found = why(bench, jobs[5])
    assert (found.position, found.reasons[1].text) == (None, "behind 5 others or more in off")
