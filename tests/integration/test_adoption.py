"""Running jobs outlive their supervisor: the next one takes them over with all that they are and have done."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import tiers
from live import MakeYard, Yard, lives, wait_for
from sleepers import SMALL, WIDE, attempts, begun, sleepers, start, text

# -- what runs ---------------------------------------------------------------------------------------------------------


def test_fifty_jobs_of_which_twenty_end_and_one_is_late_while_nobody_is_there(make_yard: MakeYard) -> None:
    yard = make_yard(WIDE)
    client, go = yard.client(), yard.path("go")
    ways = ["return", "fail", "exit", "die"] * 5
    ending = [client.submit("jobs:end_when_told", str(go), how) for how in ways]
    (late,) = sleepers(yard, 1, timeout=3.0)
    staying = sleepers(yard, 29)
    wait_for("all to print", lambda: all(text(job) for job in ending))
    pids = [job.info().attempts[0].pid for job in [*ending, late]]

    yard.kill()
    killed_at = time.time()
    go.touch()
    wait_for("20 to end and one to be killed", lambda: not any(map(lives, pids)))
    ended_by = time.time()
    start(yard)

    expected = {
        "return": ("succeeded", "ok", 0, None, "return"),
        "fail": ("failed", "error", 0, None, None),
        "exit": ("failed", "exited", 7, None, None),
        "die": ("failed", "signalled", None, "SIGKILL", None),
    }
    client = yard.client()
    for how, job in zip(ways, ending, strict=True):
        info = client.get(job.id).info()
        (attempt,) = info.attempts
        assert (info.state, attempt.outcome, attempt.exit_code, attempt.signal, info.result) == expected[how]
        assert attempt.ended_at is not None and killed_at <= attempt.ended_at <= ended_by
        assert attempt.usage is not None and attempt.usage.base_rss_bytes > 0
        assert text(client.get(job.id)) == [f"begun {how}", f"told {how}"]
    info = client.get(late.id).info()
    assert [attempt.outcome for attempt in info.attempts] == ["timeout"]
    assert info.finished_at is not None and info.finished_at <= ended_by
    assert client.status().counts["running"] == 29
    client.cancel([job.id for job in staying], grace=0)
    for job in staying:
        assert client.get(job.id).wait(timeout=20)
        assert [attempt.outcome for attempt in attempts(yard, job)] == ["cancelled"]
    assert len(begun(yard)) == 30, "none was run twice"
    tiers.report("T1", "50 jobs over a kill", recorded=20, late=1, running=29, repeated=0, lost=0)


def test_two_hundred_children_are_taken_over_in_one_go(make_yard: MakeYard) -> None:
    yard = make_yard(WIDE)
    jobs = sleepers(yard, 205)
    pids = {pid for _, _, pid in begun(yard)}
    yard.kill()
    start(yard)
    client = yard.client()
    assert client.status().counts["running"] == 205
    assert {attempt.pid for job in jobs for attempt in attempts(yard, job)} == pids
    client.cancel([job.id for job in jobs], grace=0)
    assert all(client.get(job.id).wait(timeout=30) for job in jobs)
    assert len(begun(yard)) == 205
    assert client.submit("jobs:add", 1, 2).result(timeout=10) == 3


def test_adopted_job_tells_its_progress_and_its_result(yard: Yard) -> None:
    job = yard.client().submit("jobs:count_up", 150)
    wait_for("progress", lambda: job.progress)
    yard.restart()
    again = yard.client().get(job.id)
    first = wait_for("progress that is known again", lambda: again.progress)
    wait_for("more of it", lambda: again.progress is None or again.progress.done > first.done)
    assert again.wait(timeout=20)
    assert [attempt.outcome for attempt in attempts(yard, job)] == ["ok"]


def test_soft_and_hard_limits_and_a_cancel_work_on_adopted_jobs(make_yard: MakeYard) -> None:
    yard = make_yard(WIDE)
    client = yard.client()
    soft = client.options(soft_timeout=1.5).submit("jobs:sleep_softly", str(yard.path("soft")))
    (hard,) = sleepers(yard, 1, timeout=1.5)
    cleaning = client.submit("jobs:clean_up", str(yard.path("cleaned")))
    wait_for("all to run", lambda: client.status().counts["running"] == 3 and text(cleaning))
    yard.restart()
    client = yard.client()
    assert client.get(soft.id).result(timeout=20) == "soft"
    assert client.get(hard.id).wait(timeout=20)
    assert [attempt.outcome for attempt in attempts(yard, hard)] == ["timeout"]
    client.get(cleaning.id).cancel(grace=10, reason="enough")
    assert client.get(cleaning.id).wait(timeout=20)
    assert yard.path("cleaned").read_text() == "cleaned up"
    assert client.get(cleaning.id).info().reason == "enough"


def test_follower_of_the_output_goes_on_with_the_same_attempt_and_no_line_is_lost_or_doubled(yard: Yard) -> None:
    job = yard.client(timeout=60).submit("jobs:print_until", str(yard.path("stop")))
    seen: list[str] = []
    follower = threading.Thread(target=lambda: seen.extend(line.text for line in job.logs(follow=True)))
    follower.start()
    for _ in range(3):
        wait_for("output", lambda: text(yard.client().get(job.id)))
        yard.restart()
    yard.path("stop").touch()
    follower.join(30)
    assert not follower.is_alive()
    assert seen == [f"1 {number}" for number in range(len(seen) - 1)] + ["1 done"]
    assert yard.client().get(job.id).result(timeout=10) == len(seen) - 1


def test_child_that_waits_is_taken_over_and_runs_the_next_job(yard: Yard) -> None:
    (zygote,) = yard.zygotes()
    wait_for("two spare children", lambda: yard.client().status().pools[0].spare == 2)
    children = set(Path(f"/proc/{zygote}/task/{zygote}/children").read_text().split())
    yard.kill()
    start(yard)
    assert yard.client().status().pools[0].pid == zygote
    assert str(yard.client().submit("jobs:who").result(timeout=10)["pid"]) in children


# -- orderly ends ------------------------------------------------------------------------------------------------------


def test_sigusr1_leaves_the_running_jobs_and_sigterm_stops_them(yard: Yard) -> None:
    (job,) = sleepers(yard, 1)
    ((_, _, pid),) = begun(yard)
    assert yard.leave() == 0
    assert lives(pid)
    start(yard)
    assert yard.client().get(job.id).info().state == "running"
    assert yard.stop() == 0
    assert not lives(pid)
    start(yard)
    wait_for("it to run again", lambda: len(begun(yard)) == 2)
    assert [attempt.outcome for attempt in attempts(yard, job)] == ["cancelled", None]


def test_zygote_without_a_supervisor_stays_as_long_as_it_has_something_to_tell(make_yard: MakeYard) -> None:
    yard = make_yard(SMALL)
    job = yard.client().submit("jobs:end_when_told", str(yard.path("go")), "return")
    wait_for("it to print", lambda: text(job))
    (zygote,) = yard.zygotes()
    pid = job.info().attempts[0].pid
    yard.leave()
    yard.path("go").touch()
    wait_for("its end", lambda: not lives(pid))
    assert lives(zygote)
    start(yard)
    assert yard.client().get(job.id).result(timeout=10) == "return"


def test_jobs_without_a_zygote_are_stopped_by_an_orderly_end_and_lost_by_a_kill(make_yard: MakeYard) -> None:
    yard = make_yard(SMALL + 'start = "spawn"\n')
    (job,) = sleepers(yard, 1)
    assert yard.leave() == 0
    start(yard)
    wait_for("it to run again", lambda: len(begun(yard)) == 2)
    yard.kill()
    start(yard)
    wait_for("it to run again", lambda: len(begun(yard)) == 3)
    assert [attempt.outcome for attempt in attempts(yard, job)] == ["cancelled", "lost", None]
