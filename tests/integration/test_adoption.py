"""Running jobs outlive their supervisor: the next one takes them over with all that they are and have done."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiers
from jobyard import Job, OutcomeUnknown
from jobyard.client import guard_lock
from jobyard.client.processes import Process
from jobyard.protocol.job import AttemptInfo
from jobyard.protocol.messages import Reload
from live import Yard, wait_for
from supervisors import Impostor

Make = Callable[..., Yard]
WIDE = "[defaults]\ngrace = 1\nretries = 0\n[pools.default]\nconcurrency = 220\n"
SMALL = "[defaults]\ngrace = 1\nretries = 0\n[pools.default]\nconcurrency = 2\n"


def begun(yard: Yard) -> list[tuple[int, int, int]]:
    """(job, attempt, pid) of every run of ``begin_and_sleep``."""
    path = yard.path("begun")
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(job), int(attempt), int(pid)) for job, attempt, pid in map(str.split, lines)]


def sleepers(yard: Yard, count: int, seconds: float = 600, **options: Any) -> list[Job[Any]]:
    """That many jobs more which run and do nothing."""
    before = len(begun(yard))
    client = yard.client().options(**options)
    jobs = [client.submit("jobs:begin_and_sleep", str(yard.path("begun")), seconds) for _ in range(count)]
    wait_for("all to run", lambda: len(begun(yard)) == before + count)
    return jobs


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def text(job: Job[Any]) -> list[str]:
    return [line.text for line in job.logs()]


def attempts(yard: Yard, job: Job[Any]) -> list[AttemptInfo]:
    return yard.client().get(job.id).info().attempts


def start(yard: Yard, *arguments: str) -> None:
    said = yard.start(*arguments)
    assert "pid" in said, said


# -- what runs ---------------------------------------------------------------------------------------------------------


def test_fifty_jobs_of_which_twenty_end_and_one_is_late_while_nobody_is_there(make_yard: Make) -> None:
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


def test_two_hundred_children_are_taken_over_in_one_go(make_yard: Make) -> None:
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


def test_soft_and_hard_limits_and_a_cancel_work_on_adopted_jobs(make_yard: Make) -> None:
    yard = make_yard(WIDE)
    client = yard.client()
    soft = client.options(soft_timeout=1.5).submit("jobs:sleep_softly", str(yard.path("soft")))
    (hard,) = sleepers(yard, 1, timeout=1.5)
    cleaning = client.submit("jobs:clean_up", str(yard.path("cleaned")))
    wait_for("all to run", lambda: client.status().counts["running"] == 3)
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


def test_zygote_without_a_supervisor_stays_as_long_as_it_has_something_to_tell(make_yard: Make) -> None:
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


# -- what does not fit any more ----------------------------------------------------------------------------------------


def test_zygote_of_another_description_is_retired_and_its_jobs_hold_their_slots(make_yard: Make) -> None:
    yard = make_yard(SMALL)
    client = yard.client()
    first = client.submit("jobs:end_when_told", str(yard.path("go")), "return")
    (second,) = sleepers(yard, 1)
    (old,) = yard.zygotes()
    yard.kill()
    yard.config.write_text(yard.config.read_text() + 'env = { COLOUR = "green" }\n')
    start(yard)
    client = yard.client()
    pool = wait_for("a fresh zygote", lambda: [one for one in client.status().pools if one.state == "up"])[0]
    assert pool.pid != old and (pool.running, pool.retiring) == (2, 1)
    third = client.submit("jobs:who")
    assert not third.wait(timeout=0.5), "both slots are taken"
    yard.path("go").touch()
    assert client.get(first.id).result(timeout=10) == "return"
    third.result(timeout=10)
    client.get(second.id).cancel(grace=0)
    wait_for("the old one to end", lambda: not lives(old))
    assert client.status().pools[0].retiring == 0


def test_changed_code_of_jobs_makes_a_fresh_zygote_with_another_code_version(make_yard: Make) -> None:
    yard = make_yard(SMALL)
    (before,) = sleepers(yard, 1)
    yard.kill()
    with yard.path("jobs.py").open("a") as code:
        code.write("\n\ndef added():\n    return 'new'\n")
    start(yard)
    after = yard.client().submit("jobs:added")
    assert after.result(timeout=20) == "new"
    versions = [attempts(yard, job)[0].code_version for job in (before, after)]
    assert all(versions) and versions[0] != versions[1]
    assert yard.client().get(before.id).state == "running"


def test_reload_starts_a_fresh_zygote_for_changed_code_while_the_old_one_finishes(make_yard: Make) -> None:
    yard = make_yard(SMALL)
    client = yard.client()
    running = client.submit("jobs:end_when_told", str(yard.path("go")), "return")
    wait_for("it to print", lambda: text(running))
    (old,) = yard.zygotes()
    with yard.path("jobs.py").open("a") as code:
        code.write("\n\ndef added():\n    return 'new'\n")
    client.reload()
    after = client.submit("jobs:added")
    assert after.result(timeout=20) == "new"
    assert lives(old)
    yard.path("go").touch()
    assert running.result(timeout=10) == "return"
    wait_for("the old one to end", lambda: not lives(old))
    assert attempts(yard, running)[0].code_version != attempts(yard, after)[0].code_version


def test_retiring_zygote_is_taken_over_and_stays_retiring(make_yard: Make) -> None:
    yard = make_yard(SMALL)
    client = yard.client()
    (job,) = sleepers(yard, 1)
    (old,) = yard.zygotes()
    client.reload()
    (new,) = wait_for("a fresh one", lambda: [pid for pid in yard.zygotes() if pid != old])
    yard.kill()
    start(yard)
    client = yard.client()
    status = client.status().pools[0]
    assert (status.pid, status.retiring) == (new, 1)
    client.get(job.id).cancel(grace=0)
    wait_for("the old one to end", lambda: not lives(old))


def test_jobs_of_a_pool_that_is_no_more_finish(make_yard: Make) -> None:
    yard = make_yard(SMALL + "[pools.other]\nconcurrency = 1\n[queues.side]\npool = 'other'\n")
    job = yard.client().options(queue="side").submit("jobs:end_when_told", str(yard.path("go")), "return")
    wait_for("it to print", lambda: text(job))
    yard.kill()
    yard.config.write_text('allow = ["jobs:*"]\n' + SMALL)
    start(yard)
    yard.path("go").touch()
    assert yard.client().get(job.id).result(timeout=10) == "return"
    wait_for("its zygote to end", lambda: yard.client().status().pools[0].name == "default" and len(yard.left()) < 6)


def test_jobs_without_a_zygote_are_stopped_by_an_orderly_end_and_lost_by_a_kill(make_yard: Make) -> None:
    yard = make_yard(SMALL + 'start = "spawn"\n')
    (job,) = sleepers(yard, 1)
    assert yard.leave() == 0
    start(yard)
    wait_for("it to run again", lambda: len(begun(yard)) == 2)
    yard.kill()
    start(yard)
    wait_for("it to run again", lambda: len(begun(yard)) == 3)
    assert [attempt.outcome for attempt in attempts(yard, job)] == ["cancelled", "lost", None]


# -- zygotes that cannot be taken over ---------------------------------------------------------------------------------


def test_zygote_that_hangs_is_given_a_moment_and_then_ended_with_its_jobs(make_yard: Make) -> None:
    yard = make_yard("[defaults]\ngrace = 1\n[pools.default]\nconcurrency = 2\n")
    (job,) = sleepers(yard, 1)
    ((_, _, pid),) = begun(yard)
    (zygote,) = yard.zygotes()
    os.kill(zygote, signal.SIGSTOP)
    yard.kill()
    began_at = time.time()
    start(yard)
    assert 4 < time.time() - began_at < 15
    assert not lives(pid) and not lives(zygote)
    wait_for("it to run again", lambda: len(begun(yard)) == 2)
    lost, again = attempts(yard, job)
    assert (lost.outcome, again.outcome) == ("lost", None)
    assert lost.ended_at is not None and lost.ended_at > began_at + 4, "not before it was killed"


def test_refusal_stops_the_start_harms_nothing_and_names_the_way_out(make_yard: Make) -> None:
    yard = make_yard("[defaults]\ngrace = 1\n[pools.default]\nconcurrency = 2\n")
    (job,) = sleepers(yard, 1)
    ((_, _, pid),) = begun(yard)
    yard.kill()
    with Impostor(yard, generation=1000):
        pass
    said = yard.start()
    assert yard.process is not None and yard.process.wait(10) == 5
    error = said["error"]
    assert error["code"] == "adoption_refused" and "generation 1000" in error["message"]
    assert "jobctl up --fence" in error["hint"]
    assert lives(pid)
    start(yard, "--fence")
    assert not lives(pid)
    wait_for("it to run again", lambda: len(begun(yard)) == 2)
    assert [attempt.outcome for attempt in attempts(yard, job)] == ["lost", None]


def test_missing_socket_does_not_mean_that_its_zygote_is_dead(make_yard: Make) -> None:
    yard = make_yard("[defaults]\ngrace = 1\n[pools.default]\nconcurrency = 2\n")
    (job,) = sleepers(yard, 1)
    ((_, _, pid),) = begun(yard)
    yard.kill()
    for path in yard.path(".jobyard/run").glob("z-*"):
        path.unlink()
    start(yard)
    assert not lives(pid), "it must not run beside its next attempt"
    wait_for("it to run again", lambda: len(begun(yard)) == 2)
    assert [attempt.outcome for attempt in attempts(yard, job)] == ["lost", None]


def test_attempt_that_the_journal_does_not_know_ends_before_anything_starts(make_yard: Make) -> None:
    yard = make_yard("[defaults]\ngrace = 1\n[pools.default]\nconcurrency = 2\n")
    yard.zygotes()
    journal, kept = yard.path(".jobyard/journal"), yard.path("kept")
    wait_for("two spare children", lambda: yard.client().status().pools[0].spare == 2)
    shutil.copytree(journal, kept)
    sleepers(yard, 1)
    ((_, _, pid),) = begun(yard)
    yard.kill()
    shutil.rmtree(journal)
    kept.rename(journal)
    start(yard)
    assert not lives(pid)
    client = yard.client()
    assert client.status().counts["running"] == 0
    assert client.submit("jobs:add", 1, 2).result(timeout=10) == 3


def test_attempt_that_its_zygote_does_not_know_is_lost_and_the_others_go_on(make_yard: Make) -> None:
    yard = make_yard("[defaults]\ngrace = 1\n[pools.default]\nconcurrency = 3\n")
    ended = yard.client().submit("jobs:end_when_told", str(yard.path("go")), "return")
    (staying,) = sleepers(yard, 1)
    wait_for("it to print", lambda: text(ended))
    yard.kill()
    yard.path("go").touch()
    with Impostor(yard, generation=1) as impostor:
        impostor.acknowledge(1)
    start(yard)
    assert yard.client().get(ended.id).result(timeout=10) == "return"
    assert [attempt.outcome for attempt in attempts(yard, ended)] == ["lost", "ok"]
    assert [attempt.outcome for attempt in attempts(yard, staying)] == [None]


# -- jobctl ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def guarded(make_yard: Make) -> Iterator[Yard]:
    """A yard whose supervisor has a guard."""
    yard = make_yard(WIDE, start=False)
    assert jobctl(yard, "up", "-d").returncode == 0
    yield yard
    jobctl(yard, "down", "--now")


def jobctl(yard: Yard, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jobyard", "--config", str(yard.config), *words]
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    return subprocess.run(
        command, capture_output=True, text=True, cwd=yard.directory, timeout=90, check=False, env=environment
    )


def test_restart_under_submits_from_four_clients_shows_no_client_an_error(guarded: Yard) -> None:
    yard = guarded
    (job,) = sleepers(yard, 1)
    stop, errors = threading.Event(), []
    acked: list[int] = []

    def load() -> None:
        client = yard.client(timeout=30)
        while not stop.is_set():
            try:
                acked.append(client.submit("jobs:add", 1, 2).id)
            except Exception as error:
                errors.append(error)
                return

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    before = yard.client().status().pid
    try:
        for _ in range(tiers.size(2, 10, 50)):
            wanted = len(acked) + 50
            wait_for("more submits", lambda wanted=wanted: len(acked) > wanted)
            done = jobctl(yard, "restart", "--json")
            assert done.returncode == 0, done.stderr
            told = json.loads(done.stdout)
            assert told["former_pid"] == before and told["pid"] != before and told["running"] >= 1
            before = told["pid"]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert errors == []
    client = yard.client(timeout=60)
    assert len(set(acked)) == len(acked)
    wait_for("all to be done", lambda: client.status().counts["succeeded"] == len(acked), 60)
    assert client.status().counts["running"] == 1
    assert [attempt.outcome for attempt in attempts(yard, job)] == [None]
    tiers.report("T1", "jobctl restart under submits", submits=len(acked), errors=0, repeated=0, lost=0)


def test_restart_refuses_a_config_with_mistakes_and_the_supervisor_stays(guarded: Yard) -> None:
    pid = guarded.client().status().pid
    good = guarded.config.read_text()
    guarded.config.write_text(good + "colour = 'red'\n")
    done = jobctl(guarded, "restart")
    assert done.returncode == 2 and "colour" in done.stderr
    guarded.config.write_text(good)
    assert guarded.client().status().pid == pid


def test_restart_of_a_supervisor_without_a_guard_says_what_else_to_do(yard: Yard) -> None:
    done = jobctl(yard, "restart")
    assert done.returncode == 6
    assert str(yard.pid) in done.stderr and "jobctl down --keep" in done.stderr
    assert yard.client().status().pid == yard.pid


def test_down_keep_leaves_jobs_for_the_next_up(guarded: Yard) -> None:
    (job,) = sleepers(guarded, 1)
    ((_, _, pid),) = begun(guarded)
    done = jobctl(guarded, "down", "--keep")
    assert (done.returncode, done.stdout) == (0, "stopped; 1 running job left for the next jobctl up\n")
    assert lives(pid)
    assert jobctl(guarded, "status").returncode == 3
    assert jobctl(guarded, "up", "-d").returncode == 0
    assert guarded.client().get(job.id).state == "running"
    assert jobctl(guarded, "down", "--keep").returncode == 0
    fenced = jobctl(guarded, "up", "-d", "--fence")
    assert fenced.returncode == 0, fenced.stderr
    assert not lives(pid)


@pytest.mark.parametrize("late_s", [0.0, 0.3, 0.45])
def test_stop_that_comes_in_the_pause_or_in_the_start_after_a_crash_ends_what_runs(
    guarded: Yard, late_s: float
) -> None:
    sleepers(guarded, 1)
    ((_, _, pid),) = begun(guarded)
    owner = guard_lock.guarded(guarded.path(".jobyard"))
    assert owner is not None
    os.kill(owner.supervisor, signal.SIGKILL)
    wait_for("its death", lambda: not lives(owner.supervisor))
    time.sleep(late_s)  # the pause takes 0.2 s, and the next one begins then
    os.kill(owner.guard, signal.SIGTERM)
    with Process(owner.guard) as guard:
        assert guard.ended(30)
    assert not lives(pid)
    assert "Traceback" not in guarded.path(".jobyard/supervisor.out").read_text()


def test_fence_holds_for_one_start_alone(guarded: Yard) -> None:
    jobctl(guarded, "down", "--keep")
    assert jobctl(guarded, "up", "-d", "--fence").returncode == 0
    (job,) = sleepers(guarded, 1)
    pid = guarded.client().status().pid
    os.kill(pid, signal.SIGKILL)
    wait_for("the next supervisor", lambda: guarded.client().status().pid != pid)
    assert [attempt.outcome for attempt in attempts(guarded, job)] == [None]


def test_zygote_that_hangs_while_it_loads_ends_with_its_supervisor(make_yard: Make) -> None:
    yard = make_yard(SMALL)
    (known,) = yard.zygotes()
    yard.path("hang.py").write_text("import os, time\nopen('hangs', 'w').write(str(os.getpid()))\ntime.sleep(1000)\n")
    yard.config.write_text(yard.config.read_text().replace("[pools.default]", '[pools.default]\npreload = ["hang"]'))
    with pytest.raises(OutcomeUnknown):
        yard.client().request(Reload(), timeout=2)
    hanging = int(wait_for("one to hang", lambda: yard.path("hangs").exists() and yard.path("hangs").read_text()))
    yard.kill()
    wait_for("it to end", lambda: not lives(hanging))
    assert lives(known)
