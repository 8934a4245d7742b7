"""Jobs end to end: a real supervisor, a real zygote, the public client."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Callable
from pathlib import Path

import jobyard
import pytest
from jobyard import Retry
from live import Yard, wait_for


def test_function_runs_and_its_result_comes_back(yard: Yard) -> None:
    assert yard.client().submit("jobs:add", 40, b=2).result(timeout=20) == 42


def test_values_come_back_as_they_went(yard: Yard) -> None:
    sent = [{"a": (1, 2.5), 3: {4}}, datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), Path("/x"), 2**100, None]
    args, kwargs = yard.client().submit("jobs:echo", *sent, key=b"\x00").result(timeout=20)
    assert (args, kwargs) == (sent, {"key": b"\x00"})


def test_async_function_and_class_method_run(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard('[jobs.Hello]\ntarget = "jobs:Greeter"\nmethods = ["greet"]\n')
    client = yard.client()
    assert client.submit("jobs:add_slowly", 1, 2).result(timeout=20) == 3
    assert client.submit("Hello.greet", "you").result(timeout=20) == "hello you"
    assert client.submit("Hello", "you").result(timeout=20) == "hello you"
    assert jobyard.run_background_job.__name__ == "run_background_job"


def test_job_knows_itself(yard: Yard) -> None:
    job = yard.client().options(tags={"user": "7"}).submit("jobs:who")
    found = job.result(timeout=20)
    assert (found["id"], found["attempt"], found["tags"], found["max"]) == (job.id, 1, {"user": "7"}, 3)
    assert found["pid"] == job.info().attempts[0].pid


def test_filter_takes_every_name_that_a_submit_takes_and_refuses_what_nothing_has(
    make_yard: Callable[..., Yard],
) -> None:
    alias = '[queues.mail]\n[jobs.Hello]\ntarget = "jobs:Greeter"\nmethods = ["greet"]\n'
    yard = make_yard(alias)
    client = yard.client()
    client.submit("Hello.greet", "you").result(timeout=20)
    client.options(queue="mail").submit("jobs:add", 1, 2).result(timeout=20)
    for name in ("Hello", "Hello.greet", "hello", "Hello@greet", "jobs:Greeter.greet"):
        assert [job.id for job in client.list(ref=name)] == [1]
    assert client.list(ref="jobs:sleep") == client.list(queue="default", state="failed") == []
    with pytest.raises(jobyard.BadArguments, match="there is no job 'jobs:ad'") as caught:
        client.list(ref="jobs:ad")
    assert caught.value.hint == "did you mean 'jobs:add'?"
    with pytest.raises(jobyard.BadArguments, match="there is no job 'Helo'"):
        client.cancel(ref="Helo")
    for ask in (client.list, client.cancel):
        with pytest.raises(jobyard.UnknownQueue, match="no queue 'mial'") as unknown:
            ask(queue="mial")
        assert unknown.value.hint == "did you mean 'mail'?"
    yard.config.write_text(yard.config.read_text().replace(alias, "").replace("jobs:*", "jobs:echo"))
    client.reload()
    assert [job.id for job in client.list(queue="mail")] == [job.id for job in client.list(ref="jobs:add")] == [2]
    assert [job.id for job in client.list(ref="Hello@greet")] == [1]
    with pytest.raises(jobyard.BadArguments, match="there is no job 'jobs:sleep'"):
        client.list(ref="jobs:sleep")


def test_retry_of_a_job_that_is_not_there_names_the_last_one(yard: Yard) -> None:
    with pytest.raises(jobyard.JobNotFound, match="there is no job 999: the last id is 0"):
        yard.client().retry(999)


def test_output_is_kept_with_its_streams(yard: Yard) -> None:
    job = yard.client().submit("jobs:talk")
    job.result(timeout=20)
    lines = [(line.stream, line.text) for line in job.logs()]
    assert ("stdout", "on stdout") in lines
    assert ("stderr", "on stderr") in lines
    assert ("stdout", "from a subprocess") in lines
    assert any(stream == "logging" and "by its log" in text for stream, text in lines)


def test_failed_job_says_why(yard: Yard) -> None:
    job = yard.client().options(retries=0).submit("jobs:fail", "this went wrong")
    with pytest.raises(jobyard.JobFailed) as caught:
        job.result(timeout=20)
    assert caught.value.type == "ValueError"
    assert "this went wrong" in caught.value.message
    assert "jobs.py" in caught.value.traceback
    assert caught.value.attempts == 1


def test_job_is_retried_until_it_works(yard: Yard) -> None:
    path = yard.path("attempts")
    policy = Retry(max_attempts=4, delay=0.05)
    assert yard.client().options(retry=policy).submit("jobs:fail_until", str(path), 3).result(timeout=20) == 3
    assert path.read_text().split() == ["1", "2", "3"]


def test_task_options_give_up_and_retry_later(yard: Yard) -> None:
    client = yard.client()
    for ref in ("jobs:fail_once_and_for_all", "jobs:give_up"):
        job = client.submit(ref)
        assert isinstance(job.exception(timeout=20), jobyard.JobFailed)
        assert job.info().attempt == 1
    assert client.submit("jobs:retry_later", str(yard.path("mark"))).result(timeout=20) == 2


def test_delayed_job_waits_and_higher_priority_goes_first(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard("[pools.default]\nconcurrency = 1\n")
    client, path = yard.client(), str(yard.path("ledger"))
    client.pause()
    for ident, priority in (("low", "low"), ("normal", None), ("high", "high")):
        given = {"priority": priority} if priority else {}
        client.options(**given).submit("jobs:ledger", path, ident)
    late = client.options(delay=0.5, priority="high").submit("jobs:ledger", path, "late")
    assert late.state == "scheduled"
    client.resume()
    late.result(timeout=20)
    assert [line.split()[0] for line in Path(path).read_text().splitlines()[::2]] == ["high", "normal", "low", "late"]


def test_timeout_ends_the_job(yard: Yard) -> None:
    job = yard.client().options(timeout=0.3, retries=0, grace=0.2).submit("jobs:sleep", 60)
    with pytest.raises(jobyard.JobTimedOut):
        job.result(timeout=20)
    assert not isinstance(job.exception(timeout=1), TimeoutError)
    assert job.info().attempts[0].outcome == "timeout"


def test_soft_timeout_lets_the_job_end_by_itself(yard: Yard) -> None:
    path = yard.path("soft")
    assert (
        yard.client().options(soft_timeout=0.2, timeout=30).submit("jobs:sleep_softly", str(path)).result(20) == "soft"
    )
    assert path.read_text() == "cleaned up"


def test_cancel_of_a_running_job_runs_its_finally(yard: Yard) -> None:
    path = yard.path("finally")
    job = yard.client().submit("jobs:clean_up", str(path))
    wait_for("it to be in its try block", lambda: list(job.logs()))
    job.cancel(reason="enough")
    with pytest.raises(jobyard.JobCancelled):
        job.result(timeout=20)
    assert path.read_text() == "cleaned up"
    assert job.info().reason == "enough"


def test_cancel_of_a_waiting_job_never_runs_it(yard: Yard) -> None:
    path = yard.path("ledger")
    job = yard.client().options(delay=60).submit("jobs:ledger", str(path), "x")
    job.cancel()
    assert job.state == "cancelled"
    assert not path.exists()


@pytest.mark.parametrize("how", ["cancel", "timeout"])
def test_stubborn_job_is_gone_with_all_its_processes(yard: Yard, how: str) -> None:
    path = yard.path("pids")
    options = {"grace": 0.5, "retries": 0, **({"timeout": 0.5} if how == "timeout" else {})}
    job = yard.client().options(**options).submit("jobs:stubborn", str(path))
    pids = wait_for(
        "both processes", lambda: path.exists() and len(path.read_text().split()) == 2 and path.read_text().split()
    )
    asked = time.monotonic()
    if how == "cancel":
        job.cancel()
    assert job.wait(10)
    took = time.monotonic() - asked
    assert took < 0.5 + 0.5 + 1.0, f"it took {took:.2f} s"
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
    assert job.info().attempts[0].outcome == ("cancelled" if how == "cancel" else "timeout")


def test_progress_is_seen_while_the_job_runs(yard: Yard) -> None:
    job = yard.client().submit("jobs:count_up", 50)
    progress = wait_for("progress", lambda: job.progress)
    assert progress.total == 50
    assert progress.text == "counting"


def test_client_inside_a_job_finds_its_supervisor(yard: Yard) -> None:
    assert yard.client().submit("jobs:call_itself", 1, 2).result(timeout=30) == 3


def test_resources_are_accounted_for(yard: Yard) -> None:
    job = yard.client().submit("jobs:allocate", 64)
    assert job.result(timeout=20) == 64 << 20
    usage = job.info().attempts[0].usage
    assert usage is not None
    assert 60e6 < usage.peak_rss_bytes < 90e6
    assert usage.base_rss_bytes > 1e6


def test_many_jobs_in_one_request_all_run(yard: Yard) -> None:
    client = yard.client()
    jobs = client.submit_many("jobs:add", [(number, 1) for number in range(200)])
    done = list(jobyard.as_completed(jobs, timeout=60))
    assert sorted(job.result() for job in done) == list(range(1, 201))
    assert client.list(state="succeeded", limit=5)[0].id == jobs[-1].id


def test_clients_own_code_never_polls_for_a_result(yard: Yard) -> None:
    job = yard.client().submit("jobs:sleep", 1.0)
    wait_for("the job runs", lambda: job.state == "running")
    before = os.times()
    job.result(timeout=20)
    after = os.times()
    assert after.user + after.system - before.user - before.system < 0.2


def test_pool_that_spawns_runs_jobs_and_stops_them(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard("[pools.default]\nstart = 'spawn'\n")
    client = yard.client()
    assert client.submit("jobs:add", 40, b=2).result(timeout=30) == 42
    job = client.options(timeout=0.3, retries=0, grace=0.2).submit("jobs:sleep", 60)
    assert isinstance(job.exception(timeout=30), jobyard.JobTimedOut)
