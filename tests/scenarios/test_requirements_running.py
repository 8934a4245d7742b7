"""Running, trying again and ordering, as the documentation of other job runners shows it."""

from __future__ import annotations

import json
import os

import pytest
from document_jobs import ExampleJob
from jobyard import Retry, queue_background_job, run_background_job
from live import wait_for
from shops import Shop


def test_caller_goes_on_while_its_job_runs_in_another_process(make_shop: Shop) -> None:
    yard = make_shop()
    path = yard.path("pid")
    job = yard.client().submit("jobs:hold", str(path), 600)
    pid = int(wait_for("the job to run", lambda: path.exists() and path.read_text()))
    assert pid != os.getpid()
    assert job.state == "running"
    job.cancel(grace=0)
    assert job.wait(20)


def test_parameters_are_a_list_or_a_dictionary(make_shop: Shop) -> None:
    make_shop()
    by_place = run_background_job("jobs.ExampleJob", "handle", ["param1", "param2"])
    by_name = run_background_job("jobs.ExampleJob", "handle", {"message": "Hello World"})
    assert by_place.result(timeout=20) == "Hello param1 param2"
    assert by_name.result(timeout=20) == "Hello World"


def test_helper_takes_retries_their_delay_priority_and_delay_in_this_order(make_shop: Shop) -> None:
    make_shop()
    job = run_background_job("jobs.ProcessUserReport", "generate", {"report_id": 456}, 3, 5, "high", 15)
    info = job.info()
    assert (info.state, info.max_attempts, info.priority) == ("scheduled", 4, 10)
    assert info.policy.retry.delays_s == (5.0,)
    assert info.run_at - info.created_at == pytest.approx(15.0, abs=0.01)


def test_other_helper_takes_attempts_a_number_as_priority_and_delay_in_this_order(make_shop: Shop) -> None:
    make_shop()
    info = queue_background_job("jobs.ExampleJob", "handle", {"message": "later"}, 3, 5, 3600).info()
    assert (info.state, info.max_attempts, info.priority) == ("scheduled", 3, 5)
    assert info.run_at - info.created_at == pytest.approx(3600.0, abs=0.01)


def test_sample_job_returns_what_it_processed(make_shop: Shop) -> None:
    make_shop('namespace = "jobs"\n')
    started = run_background_job("SampleJob", "process", {"data": "example"}, errors="return")
    assert started
    assert started.result(timeout=20) == {"processed": True}
    assert not run_background_job("SampleJob", "process", {"date": "example"}, errors="return")


def test_attempts_run_in_processes_of_their_own(make_shop: Shop) -> None:
    yard = make_shop()
    path = yard.path("pids")
    job = yard.client().options(retry=Retry(max_attempts=3, delay=0)).submit("jobs:process_ids", str(path))
    job.result(timeout=20)
    pids = path.read_text().split()
    assert len(set(pids)) == len(pids) == 3
    assert [str(attempt.pid) for attempt in job.info().attempts] == pids


def test_alias_has_retries_of_its_own_and_other_jobs_those_of_the_config(make_shop: Shop) -> None:
    yard = make_shop(
        "[defaults]\nretry = { max_attempts = 7, delay = 60 }\n"
        '[jobs.Invoice]\ntarget = "jobs:CompleteInvoiceJob"\nmethods = ["complete"]\n'
        "retry = { max_attempts = 4, delay = 0.05 }\n"
    )
    client = yard.client()
    for name in ("Invoice", "invoice", "INVOICE"):
        job = client.submit(name, 123)
        assert job.result(timeout=20) == 123
        info = job.info()
        assert (info.attempt, info.max_attempts) == (2, 4)
    other = client.options(delay=600).submit(f"jobs:{ExampleJob.__qualname__}.handle").info()
    assert (other.max_attempts, other.policy.retry.delays_s) == (7, (60.0,))


def test_error_of_an_attempt_is_kept_with_all_that_is_known(make_shop: Shop) -> None:
    yard = make_shop()
    job = yard.client().options(retry=Retry(max_attempts=2, delay=600)).submit("jobs:fail", "this went wrong")
    wait_for("the first attempt to end", lambda: job.state == "scheduled")
    info = job.info()
    (attempt,) = info.attempts
    assert attempt.error is not None
    assert (attempt.number, attempt.error.message) == (1, "this went wrong")
    assert "ValueError" in attempt.error.type
    assert "jobs.py" in attempt.error.traceback
    assert attempt.pid
    assert attempt.ended_at is not None
    assert info.run_at - attempt.ended_at == pytest.approx(600.0, abs=5.0)


def test_command_takes_class_method_named_parameters_priority_and_delay(make_shop: Shop) -> None:
    yard = make_shop()
    words = ["jobs.SendWelcomeEmail", "handle", "user_id=123", "--priority=high", "--delay=600"]
    done = yard.jobctl("submit", *words)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
    info = yard.client().get(1).info()
    assert (info.state, info.priority, info.kwargs) == ("scheduled", 10, {"user_id": 123})
    now = yard.jobctl("run", "jobs.SendWelcomeEmail", "handle", "user_id=123", "--json")
    assert json.loads(now.stdout)["jobs"][0]["result"] == 123
