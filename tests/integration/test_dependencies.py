"""Jobs that wait for others, and why, set, rm and prune, with a real supervisor."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import jobyard
import pytest
from live import Yard, wait_for


def test_child_runs_after_its_parents_and_sees_how_they_ended(yard: Yard) -> None:
    client = yard.client()
    slow = client.submit("jobs:sleep", 0.3)
    bad = client.options(retries=0).submit("jobs:fail")
    child = client.options(after=[slow, bad], on_parent_failure="run").submit("jobs:parents")
    spawned = client.options(after=child).submit("jobs:parents")
    assert child.result(timeout=20) == {slow.id: ("succeeded", 0.3), bad.id: ("failed", None)}
    assert spawned.result(timeout=20)[child.id][0] == "succeeded"
    ended_at, started_at = slow.info().finished_at, child.info().started_at
    assert ended_at is not None and started_at is not None and started_at >= ended_at


def test_failure_of_a_parent_cancels_the_whole_line(yard: Yard) -> None:
    client = yard.client()
    first = client.options(retries=0).submit("jobs:fail")
    second = client.options(after=[first]).submit("jobs:add", 1, 2)
    third = client.options(after=[second]).submit("jobs:add", 1, 2)
    with pytest.raises(jobyard.JobCancelled, match=f"job {second.id}, for which it waited, was cancelled"):
        third.result(timeout=20)
    with pytest.raises(jobyard.JobCancelled, match=f"job {first.id}, for which it waited, failed"):
        second.result(timeout=20)
    assert [job.id for job in client.list(after=first)] == [second.id]
    with pytest.raises(jobyard.JobNotFound, match="after: there is no job 99: the last id is 3"):
        client.options(after=[99]).submit("jobs:add", 1, 2)
    with pytest.raises(jobyard.JobNotFound, match="there is no job 99"):
        client.list(after=99)


def test_blocked_jobs_survive_a_killed_supervisor(yard: Yard) -> None:
    client = yard.client()
    parent = client.submit("jobs:sleep", 60)
    child = client.options(after=[parent]).submit("jobs:add", 1, 2)
    anyway = client.options(after=[parent, child], on_parent_failure="run").submit("jobs:parents")
    wait_for("the parent to run", lambda: parent.state == "running")
    yard.restart()
    assert (child.state, anyway.state) == ("blocked", "blocked")
    assert str(client.why(child)).startswith(f"job {child.id} is blocked: it waits for job {parent.id} (")
    parent.cancel(grace=0)
    assert anyway.result(timeout=20) == {parent.id: ("cancelled", None), child.id: ("cancelled", None)}


def test_waiting_jobs_are_changed_and_keep_the_change_across_a_crash(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard("[queues.slow]\n[queues.gone]\npaused = true\n")
    client = yard.client()
    later = client.options(delay="1h", queue="gone").submit("jobs:add", 1, 2)
    moved = client.options(delay="1h", retries=0).submit("jobs:sleep", 60)
    client.set([later, moved], queue="slow", priority="high", timeout=1.0)
    yard.restart()
    info = later.info()
    assert (info.queue, info.priority, info.policy.timeout_s, info.state) == ("slow", 10, 1.0, "scheduled")
    later.set(delay=0)
    assert later.result(timeout=20) == 3
    moved.set(at=datetime.now(UTC) + timedelta(seconds=0.2))
    with pytest.raises(jobyard.JobTimedOut):
        moved.result(timeout=20)
    with pytest.raises(jobyard.WrongState, match="does not wait: its state is succeeded"):
        later.set(priority=1)
    with pytest.raises(jobyard.UnknownQueue, match="no queue 'slwo'") as caught:
        later.set(queue="slwo")
    assert caught.value.hint == "did you mean 'slow'?"


def test_job_is_not_moved_to_a_pool_that_does_not_have_it(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard('[pools.other]\ncwd = "empty"\npath = ["empty"]\n[queues.other]\npool = "other"\n', start=False)
    yard.path("empty").mkdir()
    yard.start()
    job = yard.client().options(delay="1h").submit("jobs:add", 1, 2)
    with pytest.raises(jobyard.NotAllowed, match="its pool 'other' does not have it"):
        job.set(queue="other", priority=3)
    assert (job.info().queue, job.info().priority) == ("default", 0)


def test_removed_and_pruned_jobs_are_gone_for_good(yard: Yard) -> None:
    client = yard.client()
    jobs = client.submit_many("jobs:add", [(n, 1) for n in range(4)])
    client.wait(jobs, timeout=20)
    waiting = client.options(delay="1h").submit("jobs:add", 1, 2)
    done = client.remove([jobs[0], waiting])
    assert (done.ids, done.others) == ([jobs[0].id], [waiting.id])
    with pytest.raises(jobyard.WrongState, match="has not ended: its state is scheduled"):
        client.remove(waiting)
    assert client.prune(older="1h") == client.prune(state="failed") == 0
    assert client.prune(older=0, dry_run=True) == 3
    assert client.prune(older=0) == 3
    yard.restart()
    assert [job.id for job in client.list()] == [waiting.id]
    with pytest.raises(jobyard.JobNotFound, match="its records were pruned"):
        jobs[1].info()


def test_job_that_waits_for_a_child_without_a_slot_is_told_of_as_such(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard("[pools.default]\nconcurrency = 1\n")
    client = yard.client()
    parent = client.submit("jobs:call_itself", 1, 2)
    (child,) = wait_for("the child to be there", lambda: [job for job in client.list() if job.id != parent.id])
    assert child.info().parent == parent.id
    for job in (parent, child):
        found = job.why()
        assert found.reasons[0].code == "deadlock"
        assert f"such as {parent.id}, which submitted {child.id}" in str(found)
    parent.cancel(grace=0)
    assert child.result(timeout=20) == 3


def test_job_whose_pool_is_not_up_says_what_is_wrong_with_it(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard('[queues.other]\npool = "other"\npaused = true\n[pools.other]\n')
    client = yard.client()
    job = client.options(queue="other").submit("jobs:add", 1, 2)
    assert [reason.code for reason in job.why().reasons] == ["queue_paused", "place"]
    yard.kill()
    yard.config.write_text(yard.config.read_text() + 'setup = "jobs:fail"\n')
    yard.start()
    client.resume("other")
    found = wait_for("the pool to fail", lambda: "ValueError" in str(job.why()) and job.why())
    assert found
    assert (found.reasons[0].code, found.hint) == ("pool_down", "jobctl status")
