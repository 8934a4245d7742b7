"""Jobs that have left memory: found like any other, and what becomes of them when the history or its processes fail."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from jobyard import Client, HistoryUnavailable, Job, JobNotFound, OutcomeUnknown, StorageUnavailable, WrongState
from jobyard.protocol import codec, messages
from jobyard.protocol.history import Stats
from jobyard.protocol.ids import new_uid
from jobyard.protocol.states import FINISHED
from live import Yard, wait_for

CONFIG = """
[queues.off]
paused = true
[limits]
finished_jobs = 20
[history]
answer_within = 2
"""
BATCH = 1100  # what makes an archivist worth its start


@pytest.fixture
def yard(make_yard: Callable[..., Yard]) -> Yard:
    return make_yard(CONFIG)


def finish(client: Client, count: int = BATCH, **options: Any) -> list[Job[Any]]:
    """Jobs that end without being run."""
    jobs = client.options(queue="off", **options).submit_many("jobs:add", [(number, 1) for number in range(count)])
    client.cancel(jobs)
    return jobs


def left_memory(client: Client, jobs: list[Job[Any]]) -> None:
    """The oldest go first: when memory holds fewer than these, the first of them has left it, and all before it."""

    def held() -> int:
        counts = client.status().counts
        return sum(counts[state] for state in FINISHED)

    wait_for("the older jobs to leave memory", lambda: held() < len(jobs))


def processes(yard: Yard, module: str) -> list[psutil.Process]:
    found = []
    for process in yard.left():
        with suppress(psutil.Error):
            if any(module in word for word in process.cmdline()):
                found.append(process)
    return found


def history_process(yard: Yard) -> psutil.Process:
    return wait_for("the history process", lambda: processes(yard, "history.server"))[0]


def test_jobs_that_have_left_memory_are_found_like_any_other(yard: Yard) -> None:
    client = yard.client()
    sums = [client.options(tags={"kind": "sum"}).submit("jobs:add", 40, number) for number in range(3)]
    assert [job.result(20) for job in sums] == [40, 41, 42]
    failed = client.options(retry={"max_attempts": 1}).submit("jobs:fail", "no such customer")
    assert failed.wait(20)
    waiting = client.options(queue="off").submit("jobs:add", 1, 1)
    others = finish(client)
    left_memory(client, others)
    again = yard.client()
    assert again.get(sums[2].id).result(5) == 42
    assert again.info(failed.id).error is not None
    assert sums[0].wait(5) and not waiting.wait(0.2)
    assert len(again.wait([*sums, failed], 5).done) == 4
    everything = [waiting.id, failed.id, *(job.id for job in sums), *(job.id for job in others)]
    assert [info.id for info in again.list_infos(limit=None)] == sorted(everything, reverse=True)
    assert [job.id for job in again.list(limit=None, sort="oldest")] == sorted(everything)
    assert len(again.list(limit=None, sort="finished")) == len(everything) - 1
    assert [job.id for job in again.list(tags={"kind": "sum"})] == [job.id for job in reversed(sums)]
    assert [job.id for job in again.list(error="NO SUCH")] == [failed.id]
    assert [job.id for job in again.list(search="customer")] == [failed.id]
    assert [job.id for job in again.list(search=str(BATCH - 900), queue="off")] == [others[BATCH - 900].id]
    found = again.stats()
    assert {one.name: one.states for one in found.queues} == {
        "default": {"failed": 1, "succeeded": 3},
        "off": {"cancelled": BATCH, "queued": 1},
    }
    assert (found.total.jobs, found.total.attempts, found.total.success_rate) == (BATCH + 5, 4, 0.75)
    assert again.why(failed.id).reasons[0].text.startswith("ValueError: no such customer")
    with pytest.raises(JobNotFound, match="the last id is"):
        again.info(10**9)


def test_archived_job_is_put_back_with_all_that_it_was(yard: Yard) -> None:
    client = yard.client()
    job = client.options(tags={"a": "b"}).submit("jobs:add", 20, 22)
    assert job.result(20) == 42
    left_memory(client, finish(client))
    assert not client.cancel(job).cancelled
    job.retry()
    assert job.result(20) == 42
    info = job.info()
    assert ([one.number for one in info.attempts], info.tags) == ([1, 2], {"a": "b"})
    assert [one.id for one in client.list(ref="jobs:add", queue="default", limit=None)] == [job.id]
    yard.restart()
    assert [one.number for one in yard.client().info(job.id).attempts] == [1, 2]


def test_removed_and_pruned_jobs_are_gone_wherever_they_were(yard: Yard) -> None:
    client = yard.client()
    waiting = client.options(queue="off").submit("jobs:add", 1, 1)
    jobs = finish(client)
    left_memory(client, jobs)
    with pytest.raises(WrongState, match="has not ended"):
        client.remove(waiting)
    with pytest.raises(JobNotFound):
        client.remove([jobs[1], 10**9])
    removed = client.remove([jobs[0], jobs[-1], waiting])
    assert (removed.ids, removed.others) == ([jobs[0].id, jobs[-1].id], [waiting.id])
    for job in (jobs[0], jobs[-1]):
        with pytest.raises(JobNotFound):
            job.info()
    with pytest.raises(JobNotFound, match="its records were pruned"):
        client.remove(jobs[0])
    assert (client.prune(older="1h"), client.prune(state="failed"), client.prune()) == (0, 0, 0)
    assert client.prune(older=0, dry_run=True) == BATCH - 2
    assert client.prune(older=0) == BATCH - 2
    assert [job.id for job in client.list(limit=None)] == [waiting.id]
    yard.restart()
    assert [job.id for job in yard.client().list(limit=None)] == [waiting.id]


def printed(yard: Yard, job: Job[Any]) -> list[str]:
    return sorted(path.name for path in yard.path(".jobyard/output").rglob(f"{job.id}.*"))


@pytest.mark.parametrize("way", ["remove", "prune"])
def test_output_goes_with_its_job_wherever_that_was(yard: Yard, way: str) -> None:
    client = yard.client()
    archived, here = client.submit("jobs:talk"), client.submit("jobs:talk")
    assert client.wait([archived, here], 20)
    left_memory(client, finish(client))
    here = client.submit("jobs:talk")
    assert here.wait(20)
    assert list(archived.logs())
    assert printed(yard, archived) and printed(yard, here)
    if way == "remove":
        client.remove([archived, here])
    else:
        assert client.prune(state="succeeded") == 3
    assert printed(yard, archived) == printed(yard, here) == []


def test_job_whose_output_cannot_be_removed_stays(yard: Yard) -> None:
    client = yard.client()
    archived = client.submit("jobs:talk")
    assert archived.wait(20)
    left_memory(client, finish(client))
    here = client.submit("jobs:talk")
    assert here.wait(20)
    folders = list(yard.path(".jobyard/output").iterdir())
    for folder in folders:
        folder.rename(f"{folder}-away")
        folder.write_text("no directory")
    for job in (archived, here):
        with pytest.raises(StorageUnavailable, match=r"no job was removed, for its output .*Not a directory"):
            client.remove(job)
    with pytest.raises(StorageUnavailable):
        client.prune(state="succeeded")
    assert [archived.info().state, here.info().state] == ["succeeded", "succeeded"]
    for folder in folders:
        folder.unlink()
        folder.with_name(f"{folder.name}-away").rename(folder)
    client.remove([archived, here])
    assert printed(yard, archived) == printed(yard, here) == []


def test_job_may_come_after_jobs_that_have_left_memory(yard: Yard) -> None:
    client = yard.client()
    good = client.submit("jobs:add", 1, 1)
    bad = client.options(retry={"max_attempts": 1}).submit("jobs:fail", "no such customer")
    assert len(client.wait([good, bad], 20).done) == 2
    old_child = client.options(after=[good]).submit("jobs:add", 2, 2)
    assert old_child.result(20) == 4
    left_memory(client, finish(client))
    child = client.options(after=[good]).submit("jobs:add", 20, 22)
    assert child.result(20) == 42
    gone = client.options(after=[good, bad]).submit("jobs:add", 1, 1)
    assert gone.wait(20)
    assert (gone.state, gone.info().reason) == ("cancelled", f"job {bad.id}, for which it waited, failed")
    assert [(one.id, one.state) for one in gone.info().parents] == [(good.id, "succeeded"), (bad.id, "failed")]
    info = old_child.info()
    assert [(one.id, one.state) for one in info.parents] == [(good.id, "succeeded")]
    assert good.info().children_count == 3
    assert [job.id for job in client.list(after=good)] == [gone.id, child.id, old_child.id]
    yard.restart()
    client = yard.client()
    assert [one.state for one in client.info(gone.id).parents] == ["succeeded", "failed"]
    client.remove(bad)
    with pytest.raises(JobNotFound, match="after: "):
        client.options(after=[bad]).submit("jobs:add", 1, 1)


def test_job_that_ended_before_its_parent_can_be_put_back_when_both_have_left_memory(yard: Yard) -> None:
    client = yard.client()
    parent = client.options(queue="off").submit("jobs:add", 1, 1)
    child = client.options(after=[parent]).submit("jobs:add", 20, 22)
    client.cancel(child)
    left_memory(client, finish(client))
    assert [(one.id, one.state) for one in child.info().parents] == [(parent.id, "queued")]
    client.cancel(parent)
    left_memory(client, finish(client))
    assert [(one.id, one.state) for one in child.info().parents] == [(parent.id, "cancelled")]
    child.retry()
    assert child.result(20) == 42


def test_submit_that_is_sent_again_after_its_job_was_archived_is_that_job(yard: Yard) -> None:
    client = yard.client()
    uid = new_uid()
    payload = codec.pack_arguments((1, 2), {})
    first = messages.Submission(uid, "jobs:add", payload, 2, options={"queue": "off"})
    job_id = client.request(messages.Submit([first])).jobs[0].id
    client.cancel(job_id)
    jobs = finish(client)
    left_memory(client, jobs)
    again = messages.Submission(uid, "jobs:add", payload, 2, options={"queue": "off"}, resent=True)
    [accepted] = client.request(messages.Submit([again])).jobs
    assert (accepted.id, accepted.existing) == (job_id, True)
    client.remove(job_id)
    with pytest.raises(OutcomeUnknown):
        client.request(messages.Submit([again]))
    assert client.status().counts["queued"] == 0
    assert client.info(jobs[0].id).state == "cancelled"


def test_largest_submit_that_is_sent_again_after_its_jobs_were_archived_is_those_jobs(yard: Yard) -> None:
    client = yard.client()
    payload = codec.pack_arguments((1, 2), {})
    first = [
        messages.Submission(new_uid(), "jobs:add", payload, 2, options={"queue": "off"})
        for _ in range(messages.SUBMIT_JOBS_MAX)
    ]
    ids = [accepted.id for accepted in client.request(messages.Submit(first)).jobs]
    client.cancel(queue="off")
    left_memory(client, finish(client))
    again = [dataclasses.replace(one, resent=True) for one in first]
    found = client.request(messages.Submit(again)).jobs
    assert ([one.id for one in found], all(one.existing for one in found)) == (ids, True)


def test_job_that_was_put_back_is_not_pruned_and_counted_once(yard: Yard) -> None:
    client = yard.client()
    job = client.options(retry={"max_attempts": 1}).submit("jobs:talk")
    assert job.wait(20)
    left_memory(client, finish(client))
    client.pause("default")
    job.retry()
    assert (client.prune(state="succeeded", dry_run=True), client.prune(state="succeeded")) == (0, 0)
    assert list(job.logs(attempt=1)), "its output is still there"
    client.resume("default")
    assert job.wait(20)
    left_memory(client, finish(client))
    [counted] = client.request(Stats(["ref"], ref="jobs:talk")).rows
    assert (counted.submitted, counted.states, counted.run.count) == (1, {"succeeded": 1}, 2)


def test_supervisor_killed_while_an_archivist_works_loses_and_doubles_nothing(yard: Yard) -> None:
    client = yard.client()
    jobs = finish(client)
    for _ in range(4):
        more = finish(client)
        jobs += more
        with suppress(AssertionError):
            wait_for("an archivist", lambda: processes(yard, "supervisor.archivist"), 0.3)
        yard.restart()
        client = yard.client()
    jobs += finish(client)
    left_memory(client, jobs)
    assert [job.id for job in client.list(limit=None, sort="oldest")] == [job.id for job in jobs]
    assert client.stats().total.states == {"cancelled": len(jobs)}


def test_killed_archivist_is_followed_by_another(yard: Yard) -> None:
    client = yard.client()
    jobs = finish(client)
    for process in processes(yard, "supervisor.archivist"):
        with suppress(psutil.Error):
            process.kill()
    jobs += finish(client)
    left_memory(client, jobs)
    assert len(client.list(limit=None)) == len(jobs)


def test_killed_history_process_is_started_anew(yard: Yard) -> None:
    client = yard.client()
    jobs = finish(client)
    left_memory(client, jobs)
    for _ in range(3):
        assert jobs[0].info().state == "cancelled"
        process = history_process(yard)
        process.kill()
        process.wait()
    assert jobs[1].info().state == "cancelled"


def test_removal_is_not_done_twice_when_the_history_process_is_killed(yard: Yard) -> None:
    client = yard.client()
    jobs = finish(client)
    left_memory(client, jobs)
    assert jobs[0].info().state == "cancelled"
    process = history_process(yard)
    process.suspend()
    with ThreadPoolExecutor(1) as pool:
        removed = pool.submit(yard.client().remove, jobs[0])
        wait_for("the request", lambda: "removal of 1 jobs asked" in yard.log)
        process.kill()
        with pytest.raises(OutcomeUnknown, match="it may have done so or not"):
            removed.result(20)
    assert client.remove(jobs[0]).ids == [jobs[0].id]


def test_removal_does_not_wait_for_ever_for_an_archivist_that_hangs(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard(CONFIG + "remove_within = 1\n")
    client = yard.client()
    first = client.options(queue="off").submit("jobs:add", 1, 1)
    first.cancel()
    finish(client)
    process = wait_for("an archivist", lambda: processes(yard, "supervisor.archivist"))[0]
    process.suspend()
    try:
        with pytest.raises(HistoryUnavailable, match=f"nothing was removed: archivist {process.pid} works"):
            client.remove(first)
        with pytest.raises(HistoryUnavailable, match="nothing was removed"):
            client.prune(older=0)
        assert first.state == "cancelled"
    finally:
        process.resume()
    assert client.remove(first).ids == [first.id]


def test_history_process_that_hangs_holds_nothing_up(yard: Yard, caplog: pytest.LogCaptureFixture) -> None:
    client = yard.client()
    jobs = finish(client)
    left_memory(client, jobs)
    assert jobs[0].info().state == "cancelled"
    process = history_process(yard)
    os.kill(process.pid, signal.SIGSTOP)
    began = time.monotonic()
    here = client.list(limit=None)
    assert 1.5 < time.monotonic() - began < 15
    assert 0 < len(here) < len(jobs)
    assert "what has left the supervisor's memory is missing: the history did not answer within 2 s" in caplog.text
    assert client.submit("jobs:add", 1, 2).result(20) == 3
    assert jobs[0].info().state == "cancelled", "the one that hung was replaced"
    assert (
        not process.is_running() or process.status() == psutil.STATUS_ZOMBIE or process.pid != history_process(yard).pid
    )


def test_request_that_needs_a_history_that_hangs_is_refused_by_name(yard: Yard) -> None:
    client = yard.client()
    jobs = finish(client)
    left_memory(client, jobs)
    assert jobs[0].info().state == "cancelled"
    os.kill(history_process(yard).pid, signal.SIGSTOP)
    with pytest.raises(HistoryUnavailable, match="did not answer within 2 s"):
        jobs[0].info()


def test_damaged_history_is_set_aside_and_a_new_one_begins(yard: Yard) -> None:
    client = yard.client()
    jobs = finish(client)
    left_memory(client, jobs)
    assert jobs[0].info().state == "cancelled"
    path = yard.path(".jobyard/history.db")
    history_process(yard).kill()
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.write_bytes(b"\xa5" * path.stat().st_size)
    with pytest.raises(HistoryUnavailable, match="damaged"):
        jobs[0].info()
    assert yard.path(".jobyard/history-damaged-1.db").exists()
    assert "the history was damaged" in yard.log
    with pytest.raises(JobNotFound):
        jobs[0].info()
    more = finish(client)
    left_memory(client, more)
    found = [job.id for job in client.list(limit=None)]
    assert set(found) >= {job.id for job in [*jobs[-20:], *more]}, "what was in memory is archived anew"


def test_history_that_cannot_be_written_keeps_jobs_in_memory_and_the_journal_short(make_yard: Any) -> None:
    yard = make_yard(CONFIG.replace("finished_jobs = 20", 'finished_jobs = 20\nunarchived_bytes = "4MiB"'), start=False)
    Path(yard.directory, ".jobyard").mkdir(mode=0o700)
    Path(yard.directory, ".jobyard", "history.db").mkdir()
    yard.start()
    client = yard.client()
    waiting = client.options(queue="off").submit("jobs:add", 1, 1)
    jobs = finish(client)
    wait_for("a warning", lambda: any("the history cannot be written" in one for one in client.status().warnings))
    assert client.status().counts["cancelled"] == len(jobs)
    finish(client, 2000)
    wait_for("jobs to be dropped", lambda: "finished jobs were forgotten" in yard.log)
    assert 0 < client.status().counts["cancelled"] < 2100
    assert waiting.state == "queued"
    Path(yard.directory, ".jobyard", "history.db").rmdir()
    left_memory(client, finish(client, 1500))
    assert not any("history" in one for one in client.status().warnings)
