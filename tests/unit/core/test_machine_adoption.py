"""A new supervisor finds zygotes that live: what it lets go on, what it does again, and what it gives up."""

from __future__ import annotations

import pytest
from bench import RULES, WALL, Bench
from jobyard.supervisor.core import effects as f
from jobyard.supervisor.core import events as e
from jobyard.supervisor.core.check import check
from jobyard.supervisor.core.machine import Machine
from jobyard.supervisor.core.state import Job, State

LATER = e.Now(200.0, WALL + 100.0)


class Next:
    """The supervisor after the one of ``bench``, which was killed with all its records on disk."""

    def __init__(self, bench: Bench) -> None:
        self.state = State()
        for record in bench.records:
            self.state.apply(record)
        self.machine = Machine(self.state, RULES)
        self.machine.begin(LATER, "boot")

    def step(self, *events: e.Event) -> f.Effects:
        effects = self.machine.step(LATER, events)
        check(self.state)
        return effects

    def adopt(self, *kids: int, current: bool = True, then: list[e.Event] | None = None) -> f.Effects:
        return self.step(e.ZygoteAdopted("default", "z", current, frozenset(kids)), *(then or []))

    def job(self, job_id: int) -> Job:
        return self.state.jobs[job_id]


def gos(effects: f.Effects) -> list[int]:
    return [effect.order.job_id for effect in effects.durable if isinstance(effect, f.Go)]


def running(bench: Bench) -> tuple[Job, e.Child]:
    job = bench.submit()
    bench.run(job)
    return job, bench.running[job.id]


def test_running_attempt_is_given_to_its_child_again_and_goes_on() -> None:
    bench = Bench()
    job, child = running(bench)
    later = Next(bench)
    effects = later.adopt(child.kid)
    (go,) = [effect for effect in effects.durable if isinstance(effect, f.Go)]
    assert (go.child, go.order.job_id, go.order.attempt) == (child, job.id, 1)
    assert (effects.records, effects.kills) == ([], [])
    later.step(e.ChildExited(child, 7, e.Exit(at=WALL + 50.0, exit_code=0), e.End("ok", b"r")))
    after = later.job(job.id)
    assert (after.state, after.result, after.attempt, after.finished_at) == ("succeeded", b"r", 1, WALL + 50.0)


def test_cancel_that_was_asked_for_is_asked_for_again_with_its_grace_and_reason() -> None:
    bench = Bench()
    job, child = running(bench)
    bench.ask(e.CancelAsked(None, [job.id], "me", "enough", 3.0))
    effects = Next(bench).adopt(child.kid)
    assert effects.kills == [f.Kill(child, "cancel", 3.0, "enough")]
    assert gos(effects) == [job.id], "the zygote must know the attempt before it can end it"


@pytest.mark.parametrize("order", ["exit first", "zygote first"])
def test_exit_while_nobody_was_there_is_recorded_with_the_zygotes_time_and_acknowledged(order: str) -> None:
    bench = Bench()
    job, child = running(bench)
    later = Next(bench)
    exited = e.ChildExited(child, 9, e.Exit(at=WALL + 40.0, signal="SIGTERM", killed="timeout"), None)
    adopted = e.ZygoteAdopted("default", "z", True, frozenset([child.kid]))
    events = [exited, adopted] if order == "exit first" else [adopted, exited]
    effects = later.step(*events)
    attempt = later.job(job.id).attempts[-1]
    assert (attempt.outcome, attempt.ended_at) == ("timeout", WALL + 40.0)
    assert f.AckExit(child, 9) in effects.durable


def test_exit_whose_end_is_on_disk_is_only_acknowledged() -> None:
    bench = Bench()
    job, child = running(bench)
    bench.end(job)
    later = Next(bench)
    effects = later.adopt(child.kid, then=[e.ChildExited(child, 1, e.Exit(at=WALL), e.End("ok", b"another"))])
    assert [type(record).__name__ for record in effects.records] == []
    assert later.job(job.id).result == b"r"
    assert f.AckExit(child, 1) in effects.durable


def test_child_without_an_attempt_is_a_spare_one_and_gets_the_next_job() -> None:
    bench = Bench()
    bench.ready()
    later = Next(bench)
    later.adopt(5, then=[e.ChildReady(e.Child("default", "z", 5, 1005, 1))])
    queued = bench.want()
    effects = later.step(e.SubmitAsked(None, [queued]))
    assert [effect.child.kid for effect in effects.durable if isinstance(effect, f.Go)] == [5]


def test_child_whose_start_is_on_disk_and_never_reached_it_is_no_spare_one() -> None:
    bench = Bench()
    job, child = running(bench)
    later = Next(bench)
    effects = later.adopt(child.kid, then=[e.ChildReady(child)])
    assert gos(effects) == [job.id]
    assert not any(isinstance(effect, f.Discard) for effect in effects.durable)
    assert len(later.machine.pools.get("default").free) == 0


def test_attempt_that_its_zygote_does_not_know_is_lost_and_the_others_go_on() -> None:
    bench = Bench()
    (first, child), (second, other) = running(bench), running(bench)
    later = Next(bench)
    effects = later.adopt(other.kid)
    assert (later.job(first.id).state, later.job(first.id).attempts[0].outcome) == ("queued", "lost")
    assert (later.job(second.id).state, gos(effects)) == ("running", [second.id])
    assert child.kid != other.kid


def test_zygote_that_does_not_fit_takes_no_new_work_and_its_jobs_hold_their_slots() -> None:
    bench = Bench()
    jobs = [running(bench), running(bench)]
    waiting = bench.submit()
    later = Next(bench)
    spare = e.Child("default", "z", 50, 1050, 1)
    effects = later.adopt(*(child.kid for _, child in jobs), 50, current=False, then=[e.ChildReady(spare)])
    assert f.Retire("default", "z") in effects.durable and f.Discard(spare) in effects.durable
    later.step(e.ZygoteUp("default", "z2", 2, 2, "boot"), e.ChildReady(e.Child("default", "z2", 1, 2001, 1)))
    assert later.job(waiting.id).state == "queued", "the pool has two slots"
    (_, child), _ = jobs
    later.step(e.ChildExited(child, 1, e.Exit(at=WALL), e.End("ok", b"r")))
    assert later.job(waiting.id).state == "running"


def test_of_two_zygotes_that_fit_the_one_that_came_later_stays() -> None:
    bench = Bench()
    bench.step(e.ZygoteUp("default", "z2", 2, 2, "boot"))
    later = Next(bench)
    adopted = [e.ZygoteAdopted("default", uuid, True, frozenset()) for uuid in later.state.zygotes]
    effects = later.step(*adopted)
    assert [effect.zygote for effect in effects.durable if isinstance(effect, f.Retire)] == ["z"]
    assert later.machine.pools.get("default").zygote == "z2"


def test_zygote_of_a_pool_that_is_no_more_finishes_what_it_runs() -> None:
    bench = Bench()
    job, child = running(bench)
    later = Next(bench)
    later.machine.rules = type(RULES)(queues={}, pools={})
    effects = later.adopt(child.kid, current=False)
    assert f.Retire("default", "z") in effects.durable
    later.step(e.ChildExited(child, 1, e.Exit(at=WALL), e.End("ok", b"r")), e.ZygoteGone("default", "z"))
    assert later.job(job.id).state == "succeeded"
    assert later.state.zygotes == {}


def keepable(bench: Bench) -> None:
    bench.step(e.ZygoteUp("default", "kept", 3, 3, "boot", socket="/run/z-kept"))


def stops(effects: f.Effects) -> bool:
    return any(isinstance(effect, f.Stopped) for effect in effects.durable)


def test_stop_that_keeps_leaves_what_can_be_taken_over_at_once_and_starts_nothing() -> None:
    bench = Bench()
    keepable(bench)
    job, _ = running(bench)
    waiting = bench.submit(queue="off")
    bench.ready()
    effects = bench.step(e.StopAsked(None, "keep"))
    assert stops(effects) and effects.kills == []
    assert not any(isinstance(effect, f.Discard) for effect in effects.durable)
    assert (bench.state.jobs[job.id].state, bench.state.jobs[waiting.id].state) == ("running", "queued")


def test_stop_that_keeps_stops_and_requeues_what_would_die_with_the_supervisor() -> None:
    bench = Bench()
    job, child = running(bench)
    effects = bench.step(e.StopAsked(None, "keep"))
    assert [kill.kind for kill in effects.kills] == ["stop"] and not stops(effects)
    effects = bench.step(e.ChildExited(child, 1, e.Exit(at=WALL, signal="SIGTERM", killed="stop")))
    assert stops(effects)
    assert (job.state, job.spent, job.losses) == ("queued", 0, 0)


@pytest.mark.parametrize(
    ("modes", "last"),
    [(("wait", "keep"), "keep"), (("keep", "wait"), "keep"), (("now", "keep"), "now"), (("wait", "now"), "now")],
)
def test_stop_that_was_asked_for_twice_is_the_more_urgent_one(modes: tuple[str, str], last: str) -> None:
    bench = Bench()
    running(bench)
    for mode in modes:
        bench.step(e.StopAsked(None, mode))
    assert bench.machine.stopping == last


def test_attempt_tells_the_version_of_the_code_that_its_zygote_has_loaded() -> None:
    bench = Bench()
    bench.step(e.ZygoteUp("default", "z2", 3, 3, "boot", digest="d", code_version="0123456789ab"))
    job, _ = running(bench)
    assert job.attempts[-1].code_version == "0123456789ab"
    assert Next(bench).job(job.id).attempts[-1].code_version == "0123456789ab"
