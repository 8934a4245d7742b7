"""What an InlineClient does to jobs that are there: as a supervisor would, as far as it goes in one process."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import shop_jobs
from jobyard import BadArguments, Client, JobNotFound, UnknownQueue, WrongState
from jobyard.testing import InlineClient

CONFIG = """
allow = ["shop_jobs:*"]
[queues.mail]
"""


@pytest.fixture
def client(tmp_path: Path) -> Iterator[InlineClient]:
    (tmp_path / "jobyard.toml").write_text(CONFIG)
    with InlineClient(tmp_path / "jobyard.toml") as one:
        yield one


def test_inline_client_has_what_a_client_has_with_the_same_arguments() -> None:
    names = {name for name in dir(Client) if not name.startswith("_")}
    assert names <= set(dir(InlineClient))
    for name in names:
        ours, theirs = getattr(InlineClient, name), getattr(Client, name)
        if inspect.isfunction(theirs):
            parameters = [*inspect.signature(ours).parameters]
            assert parameters == [*inspect.signature(theirs).parameters], name


def test_set_changes_what_waits_and_leaves_the_others(client: InlineClient) -> None:
    waits, done = client.submit(shop_jobs.later), client.submit(shop_jobs.add, 1)
    at = datetime.now(UTC) + timedelta(days=1)
    reply = client.set([waits, done, waits], priority="high", queue="mail", timeout=60, at=at)
    assert (reply.ids, reply.others) == ([waits.id], [done.id])
    info = waits.info()
    assert (info.priority, info.queue, info.policy.timeout_s, info.state) == (10, "mail", 60.0, "scheduled")
    assert info.run_at == pytest.approx(at.timestamp())
    assert info.attempt == 1, "a time to come is noted, and not waited for"


def test_set_to_run_at_once_runs_it(client: InlineClient) -> None:
    job = client.submit(shop_jobs.later)
    client.set(job, delay=0)
    assert job.info().attempt == 2


def test_set_refuses_as_a_supervisor_does(client: InlineClient) -> None:
    waits, done = client.submit(shop_jobs.later), client.submit(shop_jobs.add, 1)
    with pytest.raises(WrongState, match=f"job {done.id} does not wait: its state is succeeded"):
        client.set(done, priority="high")
    with pytest.raises(UnknownQueue, match="'post'"):
        client.set(waits, queue="post")
    with pytest.raises(BadArguments):
        client.set(waits)
    with pytest.raises(JobNotFound):
        client.set(77, priority="high")
    assert waits.info().priority == 0


def test_remove_forgets_what_has_ended(client: InlineClient) -> None:
    done, waits = client.submit(shop_jobs.talk, "x"), client.submit(shop_jobs.later)
    reply = client.remove([done, waits])
    assert (reply.ids, reply.others) == ([done.id], [waits.id])
    with pytest.raises(JobNotFound, match="it was forgotten"):
        done.info()
    with pytest.raises(WrongState, match="has not ended"):
        client.remove(waits)
    assert client.submit(shop_jobs.add, 1).id == 3, "no id is given twice"


def test_job_whose_parent_was_removed_goes_by_how_that_had_ended(client: InlineClient) -> None:
    done, waits = client.submit(shop_jobs.add, 1), client.submit(shop_jobs.later)
    child = client.options(after=[done, waits], on_parent_failure="run").submit(shop_jobs.after_others)
    client.remove(done)
    waits.cancel()
    assert child.result() == {done.id: "succeeded", waits.id: "cancelled"}


def test_prune_forgets_by_age_and_state_or_only_counts(client: InlineClient) -> None:
    for _ in range(2):
        client.submit(shop_jobs.add, 1)
    client.submit(shop_jobs.hopeless)
    assert client.prune() == 0
    assert client.prune(older="1h") == 0
    assert client.prune(state="succeeded", dry_run=True) == 2
    assert client.prune(state="succeeded") == 2
    assert [job.state for job in client.list()] == ["failed"]
    assert client.prune(older=0) == 1


def test_why_names_the_cause(client: InlineClient) -> None:
    waits, failed = client.submit(shop_jobs.later), client.submit(shop_jobs.hopeless)
    child = client.options(after=waits).submit(shop_jobs.add, 1)
    assert waits.why().hint == "client.run_waiting()" and waits.why().reasons[0].code == "retry"
    assert "no use" in str(failed.why())
    assert str(child.why()) == f"job {child.id} is blocked: it waits for job {waits.id} (scheduled)"
    waits.cancel(reason="enough")
    assert str(waits.why()) == f"job {waits.id} was cancelled: enough"
    assert str(client.submit(shop_jobs.add, 1).why()).endswith("succeeded: attempt 1")


def test_events_tell_what_has_happened_and_end(client: InlineClient) -> None:
    job = client.submit(shop_jobs.later)
    (begin,) = [notice for notice in client.events("oldest") if notice.kind == "retry_scheduled"]
    client.set(job, priority="high")
    job.cancel(reason="enough")
    client.retry(job.id)
    client.cancel([job.id])
    client.remove(job)
    after = list(client.events(begin.position))
    assert [notice.kind for notice in after] == [
        "changed", "cancelled", "requeued", "started", "ended", "retry_scheduled", "cancelled", "pruned",
    ]  # fmt: skip
    assert after[1].text == "enough" and after[-1].ids == [job.id]
    assert [notice.kind for notice in client.events("oldest", kinds="ended")] == ["ended", "ended"]
    assert [notice.kind for notice in client.events("oldest", job=job)][:3] == ["submitted", "started", "ended"]
    assert list(client.events()) == []
    with pytest.raises(BadArguments):
        list(client.events(1000))


def test_events_of_a_job_that_waited_say_that_its_time_came(client: InlineClient) -> None:
    waits = client.submit(shop_jobs.later)
    child = client.options(after=waits, on_parent_failure="run").submit(shop_jobs.add, 1)
    client.run_waiting()
    waits.cancel()
    assert [notice.kind for notice in child.events()] == ["submitted", "promoted", "started", "ended", "succeeded"]
