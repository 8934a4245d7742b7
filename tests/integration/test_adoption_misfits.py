"""Zygotes that the next supervisor keeps to their end, or cannot take over: what becomes of their jobs."""

from __future__ import annotations

import os
import shutil
import signal
import time

import pytest
from jobyard import OutcomeUnknown
from jobyard.protocol.messages import Reload
from live import MakeYard, lives, wait_for
from sleepers import SMALL, attempts, begun, sleepers, start, text
from supervisors import Impostor

RETRIED = "[defaults]\ngrace = 1\n[pools.default]\nconcurrency = 2\n"

# -- what does not fit any more ----------------------------------------------------------------------------------------


def test_zygote_of_another_description_is_retired_and_its_jobs_hold_their_slots(make_yard: MakeYard) -> None:
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


def test_changed_code_of_jobs_makes_a_fresh_zygote_with_another_code_version(make_yard: MakeYard) -> None:
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


def test_reload_starts_a_fresh_zygote_for_changed_code_while_the_old_one_finishes(make_yard: MakeYard) -> None:
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


def test_retiring_zygote_is_taken_over_and_stays_retiring(make_yard: MakeYard) -> None:
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


def test_jobs_of_a_pool_that_is_no_more_finish(make_yard: MakeYard) -> None:
    yard = make_yard(SMALL + "[pools.other]\nconcurrency = 1\n[queues.side]\npool = 'other'\n")
    job = yard.client().options(queue="side").submit("jobs:end_when_told", str(yard.path("go")), "return")
    wait_for("it to print", lambda: text(job))
    yard.kill()
    yard.config.write_text('allow = ["jobs:*"]\n' + SMALL)
    start(yard)
    yard.path("go").touch()
    assert yard.client().get(job.id).result(timeout=10) == "return"
    wait_for("its zygote to end", lambda: yard.client().status().pools[0].name == "default" and len(yard.left()) < 6)


# -- zygotes that cannot be taken over ---------------------------------------------------------------------------------


def test_zygote_that_hangs_is_given_a_moment_and_then_ended_with_its_jobs(make_yard: MakeYard) -> None:
    yard = make_yard(RETRIED)
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


def test_refusal_stops_the_start_harms_nothing_and_names_the_way_out(make_yard: MakeYard) -> None:
    yard = make_yard(RETRIED)
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


def test_missing_socket_does_not_mean_that_its_zygote_is_dead(make_yard: MakeYard) -> None:
    yard = make_yard(RETRIED)
    (job,) = sleepers(yard, 1)
    ((_, _, pid),) = begun(yard)
    yard.kill()
    for path in yard.path(".jobyard/run").glob("z-*"):
        path.unlink()
    start(yard)
    assert not lives(pid), "it must not run beside its next attempt"
    wait_for("it to run again", lambda: len(begun(yard)) == 2)
    assert [attempt.outcome for attempt in attempts(yard, job)] == ["lost", None]


def test_attempt_that_the_journal_does_not_know_ends_before_anything_starts(make_yard: MakeYard) -> None:
    yard = make_yard(RETRIED)
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


def test_attempt_that_its_zygote_does_not_know_is_lost_and_the_others_go_on(make_yard: MakeYard) -> None:
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


def test_zygote_that_hangs_while_it_loads_ends_with_its_supervisor(make_yard: MakeYard) -> None:
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
