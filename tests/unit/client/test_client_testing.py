"""jobyard.testing: jobs without a supervisor, and what programs asked for."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import shop_jobs
from jobyard import as_completed, queue_background_job, run_background_job, wait
from jobyard.protocol.current import CURRENT
from jobyard.protocol.errors import (
    BadArguments,
    CancelRequested,
    DuplicateJob,
    GiveUp,
    InvalidConfig,
    JobFailed,
    JobNotFound,
    JobyardError,
    NotAllowed,
    NotImportable,
    NotSerializable,
    RetryLater,
    UnknownQueue,
    WaitTimeout,
    WrongState,
)
from jobyard.testing import InlineClient, RecordingClient, run_attempt, run_job, set_default_client

CONFIG = """
namespace = "shop_jobs"
allow = ["shop_jobs:*"]
[queues.mail]
priority = 5
[defaults]
retry = { max_attempts = 3, delay = 7 }
[jobs.Hello]
target = "shop_jobs:Greeter"
methods = ["greet"]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "jobyard.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def client(config: Path) -> Iterator[InlineClient]:
    shop_jobs.sent.clear()
    shop_jobs.moods.clear()
    with InlineClient(config) as one:
        yield one


# -- one job function --------------------------------------------------------------------------------------------------


def test_run_job_gives_the_result_after_the_way_that_results_take() -> None:
    run = run_job(shop_jobs.echo, (1, 2), key={3})
    assert (run.outcome, run.result, run.error) == ("ok", [((1, 2),), {"key": {3}}], None)


def test_run_job_takes_a_reference_and_an_async_function() -> None:
    assert run_job("shop_jobs:Greeter.greet", "you").result == "hello you"
    assert run_job(shop_jobs.add_slowly, 1, 2).result == 3

    async def within_a_loop() -> Any:
        return run_job(shop_jobs.add_slowly, 1, 2).result

    assert asyncio.run(within_a_loop()) == 3


def test_run_job_keeps_output_of_every_kind_and_progress(capsys: pytest.CaptureFixture[str]) -> None:
    run = run_job(shop_jobs.talk, "x")
    assert [(line.stream, line.level, line.text) for line in run.logs] == [
        ("stdout", None, "out x"),
        ("stderr", None, "err x"),
        ("logging", "INFO", "shop: logged x"),
        ("logging", "WARNING", "job: told"),
        ("logging", "WARNING", "    twice"),
        ("stdout", None, "no end"),
    ]
    assert [(each.done, each.total, each.text) for each in run.progress] == [
        (1.0, 2.0, "half"),
        (0.0, 2.0, ""),
        (1.0, 2.0, ""),
        (2.0, 2.0, ""),
    ]
    assert capsys.readouterr() == ("", "")


def test_run_job_gives_the_very_error_and_how_it_would_be_kept() -> None:
    run = run_job(shop_jobs.moody, good_from=2)
    assert isinstance(run.error, ValueError) and (run.outcome, run.result, run.final) == ("error", None, False)
    assert run.error_info is not None
    assert (run.error_info.type, run.error_info.message) == ("ValueError", "not in attempt 1")
    assert "shop_jobs.py" in run.error_info.traceback and "testing/attempt.py" not in run.error_info.traceback


@pytest.mark.parametrize(
    "function, error, final",
    [
        (shop_jobs.later, RetryLater, False),
        (shop_jobs.hopeless, GiveUp, True),
        (shop_jobs.leaves, SystemExit, False),
        (shop_jobs.unsendable, NotSerializable, True),
    ],
)
def test_run_job_tells_which_errors_are_final(function: Any, error: type[BaseException], final: bool) -> None:
    run = run_job(function)
    assert isinstance(run.error, error) and (run.outcome, run.final) == ("error", final)


def test_run_job_refuses_an_argument_that_cannot_be_sent() -> None:
    with pytest.raises(NotSerializable, match="argument 1"):
        run_job(shop_jobs.echo, object())


def test_run_job_of_a_reference_that_is_not_there_is_an_error_of_the_attempt() -> None:
    assert isinstance(run_job("shop_jobs:nothing").error, NotImportable)


def test_run_attempt_chooses_what_the_job_sees_and_leaves_nothing_behind() -> None:
    run = run_attempt(shop_jobs.who, attempt=2, max_attempts=5, tags={"user": "7"})
    assert run.result == {"id": 1, "attempt": 2, "max": 5, "tags": {"user": "7"}, "ref": "shop_jobs:who"}
    assert CURRENT.get() is None


def test_run_attempt_tells_how_the_jobs_before_it_have_ended() -> None:
    assert run_attempt(shop_jobs.after_others, parents={4: "failed"}).result == {4: "failed"}


def test_run_attempt_can_be_asked_to_stop() -> None:
    run = run_attempt(shop_jobs.patient, stop=True)
    assert run.outcome == "cancelled" and isinstance(run.error, CancelRequested)
    assert run_job(shop_jobs.patient).result is False


def test_interrupt_of_the_test_is_not_taken_for_the_jobs() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(interrupted)
    assert CURRENT.get() is None


# -- InlineClient ------------------------------------------------------------------------------------------------------


def test_inline_submit_runs_the_job_and_the_handle_tells_of_it(client: InlineClient) -> None:
    job = client.submit(shop_jobs.add, 40, b=2)
    info = job.info()
    assert (job.state, job.result(timeout=1), info.args, info.kwargs) == ("succeeded", 42, (40,), {"b": 2})
    assert [(each.number, each.outcome) for each in info.attempts] == [(1, "ok")]


def test_inline_job_is_known_by_every_name_that_a_supervisor_knows(client: InlineClient) -> None:
    assert client.submit("Hello.greet", "you").result() == client.submit_by_name("hello", "greet", ["you"]).result()
    assert client.submit("add", 1, 2).result() == 3
    assert run_with(client, lambda: run_background_job("Hello", "greet", ["me"])) == "hello me"


def run_with(client: Any, submit: Any) -> Any:
    with set_default_client(client):
        return submit().result()


@pytest.mark.parametrize("name", ["shop_jobs:_secret", "shop_jobs:Greeter.greeet", "os:remove", "ad"])
def test_inline_client_refuses_what_the_config_does_not_allow(client: InlineClient, name: str) -> None:
    with pytest.raises(NotAllowed, match="not allowed"):
        client.submit(name)
    assert client.list() == []


def test_inline_client_refuses_arguments_that_do_not_fit_and_runs_none_of_the_batch(client: InlineClient) -> None:
    with pytest.raises(BadArguments, match=r"add\(\) missing 1 required argument: 'a'"):
        client.submit_many("shop_jobs:add", [(1,), ()])
    with pytest.raises(UnknownQueue, match="'mial'"):
        client.options(queue="mial").submit("shop_jobs:add", 1)
    assert client.list() == []


def test_inline_job_takes_its_options_from_all_the_places(client: InlineClient) -> None:
    info = client.options(tags={"a": "b"}).submit(shop_jobs.mail, "x@y").info()
    assert (info.queue, info.priority, info.max_attempts, info.tags) == ("mail", 5, 1, {"a": "b"})
    assert shop_jobs.sent == ["x@y"]


def test_inline_job_that_fails_is_tried_again_without_the_wait(client: InlineClient) -> None:
    assert client.submit(shop_jobs.moody, 3).result() == "fine"
    assert shop_jobs.moods == [1, 2, 3]
    failed = client.submit(shop_jobs.moody, 9)
    with pytest.raises(JobFailed, match=r"in attempt 3 raised ValueError: not in attempt 3"):
        failed.result()
    assert [each.outcome for each in failed.info().attempts] == ["error"] * 3
    assert isinstance(failed.exception(), JobFailed)


def test_inline_job_that_gives_up_or_returns_what_cannot_be_sent_is_not_tried_again(client: InlineClient) -> None:
    for function in (shop_jobs.hopeless, shop_jobs.unsendable):
        assert [each.outcome for each in client.submit(function).info().attempts] == ["error"]


def test_inline_retries_can_be_left_to_the_test(config: Path) -> None:
    client = InlineClient(config, run_retries=False)
    job = client.submit(shop_jobs.moody, 2)
    info = job.info()
    assert (info.state, info.spent, round(info.run_at - (info.attempts[0].ended_at or 0))) == ("scheduled", 1, 7)
    assert job.wait(timeout=1) is False
    with pytest.raises(WaitTimeout, match="job 1 is scheduled after ValueError: not in attempt 1"):
        job.result()
    assert client.run_waiting() == [job]
    assert job.result() == "fine"
    assert client.run_waiting() == []


@pytest.mark.parametrize("count, ends", [(False, "scheduled"), (True, "failed")])
def test_inline_job_that_comes_back_later_waits_for_the_test(client: InlineClient, count: bool, ends: str) -> None:
    job = client.submit(shop_jobs.later, count=count)
    for _ in range(3):
        client.run_waiting()
    assert job.state == ends


def test_inline_job_may_submit_and_wait_and_is_the_parent(client: InlineClient) -> None:
    job = client.submit("shop_jobs:add", 1)
    with set_default_client(client):
        child_id, result = client.submit(shop_jobs.parent).result()
    assert (result, client.info(child_id).parent, job.info().parent) == (3, 2, None)


def test_inline_client_waits_for_several_in_every_way(client: InlineClient) -> None:
    jobs = client.submit_many("shop_jobs:add", [(number,) for number in range(150)])
    assert [job.id for job in as_completed(jobs)] == [job.id for job in jobs]
    late = client.submit(shop_jobs.later)
    result = wait([*jobs[:2], late], timeout=1)
    assert (len(result.done), result.not_done) == (2, {late})
    with client.pipeline() as pipeline:
        fine = pipeline.submit("shop_jobs:add", 1, 2)
    assert fine.result() == 3
    with pytest.raises(ExceptionGroup, match="1 submits"), client.pipeline() as pipeline:
        pipeline.submit("os:remove")


def test_inline_client_lists_cancels_and_tries_again(client: InlineClient) -> None:
    done, late = client.submit("shop_jobs:add", 1), client.options(tags={"a": "b"}).submit(shop_jobs.later)
    assert client.list(state="scheduled") == client.list(tags={"a": "b"}) == client.list(ref="later") == [late]
    assert client.list(limit=1) == [late] and client.list(queue="mail") == []
    assert (late.cancel(reason="enough"), done.cancel()) == (True, False)
    assert (late.state, late.info().reason) == ("cancelled", "enough")
    done.retry()
    assert [each.number for each in done.info().attempts] == [1, 2]
    with pytest.raises(JobNotFound, match="no job 9"):
        client.get(9)
    with pytest.raises(WrongState):
        client.submit(shop_jobs.later).retry()


def test_inline_key_stands_for_one_unfinished_job(client: InlineClient) -> None:
    keyed = client.options(key="k")
    first = keyed.submit(shop_jobs.later)
    again = keyed.submit(shop_jobs.later)
    assert (again, again.existing) == (first, True)
    with pytest.raises(DuplicateJob, match="job 1 with the key 'k'"):
        keyed.options(on_duplicate="raise").submit(shop_jobs.later)
    assert keyed.options(on_duplicate="replace").submit(shop_jobs.add, 1).id == 2
    assert first.state == "cancelled"


def test_inline_job_runs_once_those_it_waits_for_have_ended(client: InlineClient) -> None:
    later = client.submit(shop_jobs.later)
    done = client.submit(shop_jobs.add, 1, 2)
    child = client.options(after=[later, done]).submit(shop_jobs.after_others)
    grandchild = client.options(after=child).submit(shop_jobs.after_others)
    info = child.info()
    assert (info.state, [(one.id, one.state) for one in info.parents]) == (
        "blocked",
        [(1, "scheduled"), (2, "succeeded")],
    )
    assert (later.info().children_count, client.list(after=later)) == (1, [child])
    with pytest.raises(WaitTimeout, match="job 3 is blocked"):
        child.result()
    later.cancel()
    assert child.state == grandchild.state == "cancelled"
    assert child.info().reason == "job 1, for which it waited, was cancelled"
    client.retry(child.id)
    assert child.result() == {1: "cancelled", 2: "succeeded"}
    grandchild.retry()
    assert grandchild.result() == {3: "succeeded"}


def test_inline_job_runs_at_once_after_jobs_that_have_ended_well_or_whose_end_does_not_matter(
    client: InlineClient,
) -> None:
    hopeless = client.submit(shop_jobs.hopeless)
    assert client.options(after=[client.submit(shop_jobs.add, 1)]).submit(shop_jobs.add, 2).result() == 2
    assert client.options(after=hopeless, on_parent_failure="run").submit(shop_jobs.after_others).result() == {
        hopeless.id: "failed"
    }
    assert client.options(after=hopeless).submit(shop_jobs.add, 2).state == "cancelled"
    with pytest.raises(JobNotFound, match="after: there is no job 77"):
        client.options(after=77).submit(shop_jobs.add, 2)


def test_inline_jobs_that_wait_in_a_long_row_run_one_after_another(client: InlineClient) -> None:
    first = client.submit(shop_jobs.later)
    last = first
    for _ in range(300):
        last = client.options(after=last, on_parent_failure="run").submit(shop_jobs.add, 1)
    first.cancel()
    assert last.result() == 1


def test_inline_output_is_read_as_ever(client: InlineClient) -> None:
    job = client.submit(shop_jobs.talk, "x")
    assert [line.text for line in job.logs()][:2] == ["out x", "err x"]
    assert [line.text for line in job.logs(follow=True)][:2] == ["out x", "err x"]
    assert job.progress is not None and job.progress.done == 2
    with pytest.raises(BadArguments, match="no attempt 2"):
        list(job.logs(attempt=2))


def test_inline_client_says_what_it_has_no_supervisor_for(client: InlineClient) -> None:
    with pytest.raises(JobyardError, match="'status'"):
        client.status()
    assert "shop_jobs:add" in [entry.ref for entry in client.catalog().entries]


def test_inline_client_takes_patterns_instead_of_a_config() -> None:
    client = InlineClient(allow=["shop_jobs:add"])
    assert client.submit(shop_jobs.add, 1).result() == 1
    with pytest.raises(NotAllowed):
        client.submit(shop_jobs.mail, "x")


@pytest.mark.parametrize(
    "arguments", [{"allow": "m:*"}, {"allow": ["m"]}, {"allow": [7]}, {"allow": ["m:*"], "config": "x.toml"}]
)
def test_inline_client_refuses_what_allows_nothing(arguments: Any) -> None:
    with pytest.raises(BadArguments) as caught:
        InlineClient(**arguments)
    assert caught.value.hint


def test_inline_client_finds_its_config_or_says_where_it_looked(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JOBYARD_CONFIG", raising=False)
    monkeypatch.chdir(config.parent)
    assert InlineClient().submit("add", 1).result() == 1
    with pytest.raises(InvalidConfig, match=r"missing\.toml"):
        InlineClient(tmp_path / "missing.toml")


# -- RecordingClient ---------------------------------------------------------------------------------------------------


def test_recording_client_keeps_what_was_submitted_and_runs_nothing() -> None:
    shop_jobs.sent.clear()
    client = RecordingClient()
    jobs = [client.submit(shop_jobs.mail, "a@x"), *client.submit_many("m:f", [(1,), {"b": 2}])]
    with client.pipeline() as pipeline:
        pipeline.submit("m:g")
    with set_default_client(client):
        queue_background_job("Email", "send", {"to": "x"}, max_attempts=5)
        shop_jobs.mail.options(delay="1m").submit("b@x")
    assert [job.id for job in jobs] == [1, 2, 3] and shop_jobs.sent == []
    assert [(one.ref, one.method, one.args, one.kwargs) for one in client.submitted] == [
        ("shop_jobs:mail", None, ("a@x",), {}),
        ("m:f", None, (1,), {}),
        ("m:f", None, (), {"b": 2}),
        ("m:g", None, (), {}),
        ("Email", "send", (), {"to": "x"}),
        ("shop_jobs:mail", None, ("b@x",), {}),
    ]
    assert client.submitted[-1].options == {"delay": 60.0}


def test_recording_client_keeps_what_a_job_waits_for() -> None:
    client = RecordingClient()
    first = client.submit("m:f")
    client.options(after=[first, 7], on_parent_failure="run").submit("m:g")
    assert client.submitted[1].options == {"after": [1, 7], "on_parent_failure": "run"}


def test_recording_client_asserts_what_was_submitted() -> None:
    client = RecordingClient()
    client.assert_nothing_submitted()
    client.options(queue="mail").submit(shop_jobs.mail, ("a", 1), cc=None)
    assert client.assert_submitted(shop_jobs.mail).options == {"queue": "mail"}
    client.assert_submitted("shop_jobs:mail", ("a", 1), cc=None)
    client.assert_not_submitted("m:f")
    with pytest.raises(AssertionError, match=r"m:f was not submitted; .*mail\(\('a', 1\), cc=None\) with"):
        client.assert_submitted("m:f")
    with pytest.raises(AssertionError, match=r"shop_jobs:mail\('b'\) was not submitted"):
        client.assert_submitted(shop_jobs.mail, "b")
    with pytest.raises(AssertionError, match="shop_jobs:mail was submitted"):
        client.assert_not_submitted(shop_jobs.mail)
    with pytest.raises(AssertionError, match="something was submitted"):
        client.assert_nothing_submitted()
    client.clear()
    client.assert_nothing_submitted()


def test_recording_client_has_no_answer_but_to_submits() -> None:
    job = RecordingClient().submit("m:f")
    with pytest.raises(JobyardError, match="runs nothing"):
        job.result()


# -- the default client ------------------------------------------------------------------------------------------------


def test_default_client_that_was_set_is_used_until_its_block_ends() -> None:
    outer, inner = RecordingClient(), RecordingClient()
    with set_default_client(outer):
        with set_default_client(inner):
            shop_jobs.mail.submit("inner")
        shop_jobs.mail.submit("outer")
    assert (len(outer.submitted), len(inner.submitted)) == (1, 1)


def test_default_client_may_be_set_without_a_block() -> None:
    client = RecordingClient()
    restore = set_default_client(client)
    shop_jobs.mail.submit("x")
    restore.__exit__(None, None, None)
    assert len(client.submitted) == 1


def test_helpers_do_not_import_the_supervisor() -> None:
    code = "import sys, jobyard.testing; sys.exit(any('jobyard.supervisor' in name for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
