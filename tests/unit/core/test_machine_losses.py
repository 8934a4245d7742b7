"""What becomes of jobs whose zygote or process is gone: lost, or never told to begin."""

from __future__ import annotations

from bench import Bench
from jobyard.protocol.job import Policy, RetryPolicy
from jobyard.supervisor.core import events as e


def test_lost_attempts_are_repeated_up_to_the_limit() -> None:
    bench = Bench()
    job = bench.submit()
    for loss in (1, 2, 3):
        zygote = bench.machine.pools.get("default").zygote
        assert zygote is not None
        bench.kids += 1
        bench.step(e.ChildReady(e.Child("default", zygote, bench.kids)))
        assert job.state == "running"
        bench.step(e.ZygoteGone("default", zygote), e.ZygoteUp("default", f"z{loss}", 1, 1, "boot"))
    assert (job.state, job.losses, job.spent, job.reason) == ("failed", 3, 0, "lost 3 times")


def test_attempts_that_were_never_told_to_begin_spend_nothing_however_often() -> None:
    bench = Bench()
    policy = Policy(retry=RetryPolicy(max_attempts=1), on_lost="fail")
    job = bench.submit(policy=policy)
    for _ in range(5):
        bench.run(job)
        bench.end(job, "crash", signal="SIGKILL", void=True)
        zygote = bench.machine.pools.get("default").zygote
        assert zygote is not None
        bench.run(job)
        kid = bench.running[job.id].kid
        bench.step(
            e.ZygoteGone("default", zygote, void=frozenset({kid})), e.ZygoteUp("default", f"z{kid}", 1, 1, "boot")
        )
    assert (job.state, job.attempt, job.spent, job.losses) == ("queued", 10, 0, 0)
    bench.run(job)
    bench.ask(e.CancelAsked(None, [job.id], "me"))
    bench.end(job, "crash", signal="SIGKILL", void=True)
    assert job.state == "cancelled"


def test_void_is_said_of_single_children_of_a_zygote() -> None:
    bench = Bench()
    one, other = bench.submit(), bench.submit()
    bench.run(one)
    bench.run(other)
    bench.step(e.ZygoteGone("default", "z", void=frozenset({bench.running[one.id].kid})))
    assert [(job.attempts[0].outcome, job.losses) for job in (one, other)] == [("cancelled", 0), ("lost", 1)]


def test_unfenced_zygote_keeps_its_jobs_running() -> None:
    bench = Bench()
    job = bench.submit()
    bench.run(job)
    bench.step(e.ZygoteGone("default", "z", fenced=False))
    assert job.state == "running"
    bench.step(e.ZygoteGone("default", "z"))
    assert job.state == "queued"


def test_on_lost_fail_and_a_cancel_wish_end_a_lost_job() -> None:
    bench = Bench()
    one, other = bench.submit(policy=Policy(on_lost="fail")), bench.submit()
    bench.run(one)
    bench.run(other)
    bench.ask(e.CancelAsked(None, [other.id], "me"))
    bench.step(e.ZygoteGone("default", "z"))
    assert (one.state, other.state) == ("failed", "cancelled")
