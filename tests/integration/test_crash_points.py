"""The table of crash points, with real processes: where in an attempt's life which of them is killed, and what becomes
of it.

Moments that last are observed; a process is held there by SIGSTOP. Those between a record and its consequence are set
up in the journal of a supervisor that was killed: what it would have written last is added by hand. (Being submitted,
running and archived are in test_crashes, test_kills, test_adoption and test_history; power loss is the simulator's.)
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import msgpack
import pytest
from jobyard import Job, SupervisorUnavailable
from jobyard.conf.settings import JournalSettings
from jobyard.supervisor.core import records as r
from jobyard.supervisor.recovery import make_durable, recover
from live import MakeYard, Yard, lives, wait_for
from small_disk import failing_calls, needs_strace
from supervisors import Impostor

CONFIG = "[defaults]\ngrace = 1\nretry = { max_attempts = 2, delay = 0 }\n[pools.default]\nconcurrency = 1\n"
HANGING_SYNC = "fdatasync:delay_enter=30000000"  # until the end of the context
HELD = CONFIG + "[queues.held]\npaused = true\n"
whatever_dies = pytest.mark.parametrize("dies", [("zygote",), ("supervisor",), ("supervisor", "zygote")], ids="+".join)


def stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def hold(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    wait_for("it to stand", lambda: stopped(pid))


def release(pid: int) -> None:
    os.kill(pid, signal.SIGCONT)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_for("its end", lambda: not lives(pid))


def children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def counts(yard: Yard) -> dict[str, int]:
    """Jobs by state; told also while the disk is known to hang, of what is decided and not on disk yet."""
    try:
        return yard.client(timeout=2).status().counts
    except SupervisorUnavailable:
        return {}


def outcomes(yard: Yard, job: Job[Any]) -> list[str | None]:
    return [attempt.outcome for attempt in yard.client().get(job.id).info().attempts]


def ends_as(yard: Yard, job: Job[Any], state: str, *expected: str) -> None:
    """The job is finished in this state, and these are all its attempts."""
    again = yard.client().get(job.id)
    assert again.wait(timeout=30), again.info()
    assert (again.info().state, outcomes(yard, job)) == (state, list(expected))


def write(yard: Yard, *records: r.Record) -> None:
    """Add to the journal of a supervisor that was killed."""
    journal = recover(yard.path(".jobyard/journal"), JournalSettings(), 20).journal
    make_durable(journal, list(records))
    journal.close()


def started(yard: Yard) -> r.Started:
    """The last start that the journal of a killed supervisor has."""
    recovered = recover(yard.path(".jobyard/journal"), JournalSettings(), 20)
    recovered.journal.close()
    (((zygote, kid), job_id),) = recovered.state.children.items()
    job = recovered.state.jobs[job_id]
    assert job.child is not None
    return r.Started(job_id, job.attempt, job.attempts[-1].started_at, zygote, kid, job.child[2], job.child[3])


def begin(yard: Yard, how: str = "return") -> tuple[Job[Any], int, int]:
    """A job that runs until it is told to end, its process and its zygote."""
    job = yard.client().submit("jobs:end_when_told", str(yard.path("go")), how)
    wait_for("it to print", lambda: [line.text for line in job.logs()])
    (zygote,) = yard.zygotes()
    return job, job.info().attempts[-1].pid, zygote


# -- prepared, start not on disk ---------------------------------------------------------------------------------------


def test_prepared_child_that_is_killed_is_replaced_and_no_attempt_is_spent(make_yard: MakeYard) -> None:
    yard = make_yard(CONFIG)
    (zygote,) = yard.zygotes()
    for pid in wait_for("a spare child", lambda: children(zygote)):
        kill(pid)
    ends_as(yard, yard.client().submit("jobs:add", 1, 2), "succeeded", "ok")


@whatever_dies
def test_job_that_was_not_given_to_a_prepared_child_stays_queued_and_spends_nothing(
    make_yard: MakeYard, dies: tuple[str, ...]
) -> None:
    yard = make_yard(HELD)
    job = yard.client().options(queue="held").submit("jobs:add", 1, 2)
    (zygote,) = yard.zygotes()
    wait_for("a spare child", lambda: yard.client().status().pools[0].spare)
    if "supervisor" in dies:
        yard.kill()
    if "zygote" in dies:
        kill(zygote)
    if "supervisor" in dies:
        assert "pid" in yard.start()
    assert yard.client().get(job.id).info().state == "queued"
    yard.client().resume("held")
    ends_as(yard, job, "succeeded", "ok")


# -- start synced, go not sent -----------------------------------------------------------------------------------------


def start_on_disk(make_yard: MakeYard) -> tuple[Yard, Job[Any], int, int]:
    """A killed supervisor whose journal says that a job was started in a spare child, which knows nothing of it."""
    yard = make_yard(HELD)
    job = yard.client().options(queue="held").submit("jobs:begin_and_sleep", str(yard.path("begun")), 0.2)
    (zygote,) = yard.zygotes()
    wait_for("a spare child", lambda: yard.client().status().pools[0].spare)
    yard.kill()
    with Impostor(yard, generation=1) as impostor:
        kid, pid, pid_started, *_ = impostor.kids()[0]
    recovered = recover(yard.path(".jobyard/journal"), JournalSettings(), 20)
    (uuid,) = recovered.state.zygotes
    make_durable(recovered.journal, [r.Started(job.id, 1, 1.8e9, uuid, kid, pid, pid_started)])
    recovered.journal.close()
    return yard, job, pid, zygote


def runs(yard: Yard) -> int:
    return len(yard.path("begun").read_text().splitlines())


@pytest.mark.parametrize("added", ["", "nice = 1\n"], ids=["zygote kept", "zygote retired"])
def test_start_without_its_go_is_given_it_by_the_next_supervisor(make_yard: MakeYard, added: str) -> None:
    yard, job, _, _ = start_on_disk(make_yard)
    yard.config.write_text(yard.config.read_text().replace("[pools.default]\n", "[pools.default]\n" + added))
    assert "pid" in yard.start()
    ends_as(yard, job, "succeeded", "ok")
    assert runs(yard) == 1


def test_start_without_its_go_whose_child_has_died_meanwhile_spends_no_attempt(make_yard: MakeYard) -> None:
    yard, job, pid, _ = start_on_disk(make_yard)
    kill(pid)
    yard.config.write_text(yard.config.read_text().replace("paused = true", "paused = false"))
    assert "pid" in yard.start()
    ends_as(yard, job, "succeeded", "cancelled", "ok")
    assert runs(yard) == 1


@needs_strace
@pytest.mark.parametrize("dies", ["child", "zygote"])
def test_start_whose_child_or_zygote_dies_before_the_go_spends_neither_an_attempt_nor_a_loss(
    make_yard: MakeYard, dies: str
) -> None:
    """A sync that hangs holds the supervisor at this point."""
    yard = make_yard(CONFIG)
    (zygote,) = yard.zygotes()
    client = yard.client().options(retries=0, on_lost="fail", durability="memory")
    assert client.submit("jobs:add", 1, 2).result(timeout=20) == 3  # it has reserved a block of ids
    wait_for("a spare child", lambda: yard.client().status().pools[0].spare)
    with failing_calls(yard.pid, HANGING_SYNC):
        job = client.submit("jobs:begin_and_sleep", str(yard.path("begun")), 0.2)
        wait_for("its start to be decided", lambda: counts(yard).get("running"))
        if dies == "child":
            hold(zygote)  # it tells of all of them at once, so that none is given the job of another
        for pid in children(zygote) if dies == "child" else [zygote]:
            kill(pid)
        if dies == "child":
            release(zygote)
        wait_for("word of that", lambda: counts(yard).get("queued"))
    ends_as(yard, job, "succeeded", "cancelled", "ok")
    assert job.info().attempts[0].reason == "its process ended before it was told to begin"
    assert runs(yard) == 1


def test_start_without_its_go_whose_zygote_has_died_too_runs_again(make_yard: MakeYard) -> None:
    yard, job, pid, zygote = start_on_disk(make_yard)
    kill(zygote)
    yard.config.write_text(yard.config.read_text().replace("paused = true", "paused = false"))
    assert "pid" in yard.start()
    assert not lives(pid)
    ends_as(yard, job, "succeeded", "lost", "ok")
    assert runs(yard) == 1


# -- running -----------------------------------------------------------------------------------------------------------


def test_running_child_that_is_killed_is_tried_again(make_yard: MakeYard) -> None:
    yard = make_yard(CONFIG)
    job, pid, _ = begin(yard)
    os.kill(pid, signal.SIGKILL)
    yard.path("go").touch()
    ends_as(yard, job, "succeeded", "signalled", "ok")


@whatever_dies
def test_tree_of_a_running_job_goes_on_or_is_gone_before_it_runs_again(
    make_yard: MakeYard, dies: tuple[str, ...]
) -> None:
    yard = make_yard(CONFIG)
    job = yard.client().submit("jobs:stubborn", str(yard.path("pids")))
    tree = wait_for("a job with grandchildren", lambda: pids_in(yard, 2))
    (zygote,) = yard.zygotes()
    if "supervisor" in dies:
        yard.kill()
    if "zygote" in dies:
        kill(zygote)
    if "supervisor" in dies:
        assert "pid" in yard.start()
    if dies == ("supervisor",):
        assert all(map(lives, tree)) and outcomes(yard, job) == [None]
    else:
        wait_for("it to run again", lambda: len(pids_in(yard, 4)) == 4)
        assert not any(map(lives, tree)), "nothing of the first attempt is left"
        assert outcomes(yard, job) == ["lost", None]
    yard.client().get(job.id).cancel(grace=0)
    assert yard.client().get(job.id).wait(timeout=20)
    assert not any(map(lives, pids_in(yard, 2)))


def pids_in(yard: Yard, count: int) -> list[int]:
    path = yard.path("pids")
    found = list(map(int, path.read_text().split())) if path.exists() else []
    return found if len(found) >= count else []


# -- returned, result not sent -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dies", "expected"),
    [
        (("child",), ["signalled", "ok"]),
        (("zygote",), ["lost", "ok"]),
        (("supervisor",), ["ok"]),
        (("supervisor", "zygote"), ["lost", "ok"]),
    ],
    ids="+".join,
)
def test_result_that_was_not_sent_is_lost_unless_the_supervisor_alone_dies(
    make_yard: MakeYard, dies: tuple[str, ...], expected: list[str]
) -> None:
    yard = make_yard(CONFIG)
    returned = yard.path("returned")
    job = yard.client().submit("jobs:return_and_linger", str(returned), str(yard.path("go")))
    wait_for("its return", returned.exists)
    (zygote,) = yard.zygotes()
    if "supervisor" in dies:
        yard.kill()
    if "child" in dies:
        kill(int(job.info().attempts[0].pid))
    if "zygote" in dies:
        kill(zygote)
    yard.path("go").touch()
    if "supervisor" in dies:
        assert "pid" in yard.start()
    ends_as(yard, job, "succeeded", *expected)
    assert len(returned.read_text().splitlines()) == len(expected)


# -- result waiting ----------------------------------------------------------------------------------------------------


def result_waits(make_yard: MakeYard) -> tuple[Yard, Job[Any], int]:
    """The job has returned, and its supervisor, which stands, has not read it."""
    yard = make_yard(CONFIG)
    job, pid, zygote = begin(yard)
    hold(yard.pid)
    yard.path("go").touch()
    wait_for("the job's end", lambda: not lives(pid))
    return yard, job, zygote


@pytest.mark.parametrize(
    ("dies", "expected"),
    [(("zygote",), ["ok"]), (("supervisor",), ["ok"]), (("supervisor", "zygote"), ["lost", "ok"])],
    ids=["zygote", "supervisor", "supervisor+zygote"],
)
def test_result_that_waits_stands_unless_both_die(
    make_yard: MakeYard, dies: tuple[str, ...], expected: list[str]
) -> None:
    yard, job, zygote = result_waits(make_yard)
    if "zygote" in dies:
        os.kill(zygote, signal.SIGKILL)
    if "supervisor" in dies:
        yard.kill()
        assert "pid" in yard.start()
    else:
        release(yard.pid)
    ends_as(yard, job, "succeeded", *expected)


# -- end written, not synced -------------------------------------------------------------------------------------------


@needs_strace
def test_end_that_is_being_synced_while_the_zygote_dies_stands_and_is_recorded_once(make_yard: MakeYard) -> None:
    yard = make_yard(CONFIG)
    job, _, zygote = begin(yard)
    with failing_calls(yard.pid, HANGING_SYNC):
        yard.path("go").touch()
        wait_for("its end to be decided", lambda: counts(yard).get("succeeded"))
        kill(zygote)
        wait_for("word of that", lambda: yard.client().status().pools[0].pid != zygote)
    yard.restart()
    ends_as(yard, job, "succeeded", "ok")


# -- end on disk -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dies", [("supervisor",), ("supervisor", "zygote")], ids="+".join)
def test_end_that_is_on_disk_and_was_not_acknowledged_stands_and_is_recorded_once(
    make_yard: MakeYard, dies: tuple[str, ...]
) -> None:
    yard, job, zygote = result_waits(make_yard)
    yard.kill()
    start = started(yard)
    result = msgpack.packb("of the first supervisor")
    write(yard, r.Ended(job.id, start.attempt, start.at + 1, "ok", "succeeded", 0, result=result))
    if "zygote" in dies:
        kill(zygote)
    assert "pid" in yard.start()
    client = yard.client()
    assert client.get(job.id).info().result == "of the first supervisor"
    assert client.submit("jobs:add", 1, 2).result(timeout=20) == 3
    yard.kill()
    with Impostor(yard, generation=2) as impostor:
        assert impostor.exits() == [], "it was acknowledged"
    assert "pid" in yard.start()
    ends_as(yard, job, "succeeded", "ok")


# -- cancel durable, kill not sent -------------------------------------------------------------------------------------


@whatever_dies
def test_cancel_that_did_not_reach_the_process_is_done(make_yard: MakeYard, dies: tuple[str, ...]) -> None:
    yard = make_yard(CONFIG)
    job, pid, zygote = begin(yard)
    if "supervisor" in dies:
        yard.kill()
        start = started(yard)
        write(yard, r.CancelRequested(job.id, start.at + 1, "me", "enough", 0.0))
    else:
        hold(zygote)
        job.cancel(grace=0, reason="enough")
    if "zygote" in dies:
        os.kill(zygote, signal.SIGKILL)
    if "supervisor" in dies:
        assert "pid" in yard.start()
    ends_as(yard, job, "cancelled", "cancelled" if dies == ("supervisor",) else "lost")
    assert not lives(pid)
    assert yard.client().get(job.id).info().reason == "enough"


def test_cancelled_job_that_ended_by_itself_before_the_kill_has_its_actual_end(make_yard: MakeYard) -> None:
    yard = make_yard(CONFIG)
    job, pid, zygote = begin(yard)
    hold(zygote)
    job.cancel(grace=5)
    yard.path("go").touch()
    wait_for("its end", lambda: not lives(pid))
    release(zygote)
    ends_as(yard, job, "succeeded", "ok")


# -- deadline while no supervisor is there -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dies", "expected"),
    [(("supervisor",), ["timeout"]), (("supervisor", "zygote"), ["lost"])],
    ids=["supervisor", "supervisor+zygote"],
)
def test_deadline_that_comes_while_nobody_is_there(
    make_yard: MakeYard, dies: tuple[str, ...], expected: list[str]
) -> None:
    yard = make_yard(CONFIG)
    client = yard.client().options(timeout=1.5, grace=0, retries=0)
    job = client.submit("jobs:begin_and_sleep", str(yard.path("begun")), 600)
    wait_for("it to run", lambda: yard.path("begun").exists())
    pid = job.info().attempts[0].pid
    (zygote,) = yard.zygotes()
    yard.kill()
    if "zygote" in dies:
        kill(zygote)
    wait_for("the child's end", lambda: not lives(pid))
    assert "pid" in yard.start()
    wait_for("its end to be recorded", lambda: outcomes(yard, job)[0])
    assert outcomes(yard, job)[:1] == expected
