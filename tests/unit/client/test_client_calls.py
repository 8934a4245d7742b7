"""From what people write to what is submitted: references, options, chunks, ``@task``, the helper functions."""

from __future__ import annotations

import asyncio
import functools
import inspect
import operator
import pickle
import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fake_supervisor import DEADLINE_S, FakeSupervisor
from jobyard import BaseJob, NoCurrentJob, Retry, current_job, queue_background_job, run_background_job, task
from jobyard.client import default
from jobyard.client.helpers import Rejected
from jobyard.client.options import parse_options
from jobyard.client.reference import class_reference, reference
from jobyard.client.submission import SUBMIT_BYTES_MAX, chunks, submission
from jobyard.protocol import codec, messages
from jobyard.protocol.codec import unpack_arguments
from jobyard.protocol.current import CURRENT
from jobyard.protocol.errors import BadArguments, NotAllowed, NotImportable

# -- references --------------------------------------------------------------------------------------------------------


class Reports:
    def build(self, month: str) -> str:
        return month

    @classmethod
    def rebuild(cls) -> None: ...

    @staticmethod
    def check() -> None: ...

    def __call__(self) -> None: ...


def plain() -> None: ...


async def waiting() -> int:
    return 1


@functools.wraps(plain)
def wrapped() -> None: ...


def undecorated_name(function: Callable[..., Any]) -> Callable[..., Any]:
    def inner() -> None: ...

    return inner


HERE = __name__


@pytest.mark.parametrize(
    "function, expected",
    [
        (plain, f"{HERE}:plain"),
        (waiting, f"{HERE}:waiting"),
        (Reports.build, f"{HERE}:Reports.build"),
        (Reports.rebuild, f"{HERE}:Reports.rebuild"),
        (Reports.check, f"{HERE}:Reports.check"),
        (textwrap.dedent, "textwrap:dedent"),
        (len, "builtins:len"),
        (types.SimpleNamespace(__jobyard_ref__="app.mail:send"), "app.mail:send"),
    ],
)
def test_function_is_named_by_module_and_qualified_name(function: Any, expected: str) -> None:
    assert reference(function) == expected


def in_main() -> Callable[..., Any]:
    return types.FunctionType(plain.__code__, {"__name__": "__main__"})


@pytest.mark.parametrize(
    "function, why, hint",
    [
        (lambda: None, "a lambda", "use def"),
        (undecorated_name(plain), "inside another function", "functools.wraps"),
        (functools.partial(plain), "a partial", "the function itself"),
        (Reports().build, "bound to an object", f'"{HERE}:Reports.build"'),
        ([].append, "bound to an object", "builtins:list.append"),
        (Reports(), "an object with __call__", "submit a function"),
        (Reports, "is a class", f"{HERE}:Reports.METHOD"),
        (wrapped, "is not this function", "functools.wraps"),
        (types.SimpleNamespace(__jobyard_ref__="__main__:f"), "the program that was started", "put it in a module"),
        (types.SimpleNamespace(__jobyard_ref__="nothing"), "does not say which module", "pkg.mod:function"),
    ],
)
def test_function_that_no_other_process_can_import_says_what_to_do(function: Any, why: str, hint: str) -> None:
    with pytest.raises(NotImportable) as caught:
        reference(function)
    assert why in caught.value.message and hint in caught.value.hint


def test_function_of_the_main_program_is_not_importable() -> None:
    with pytest.raises(NotImportable, match="the program that was started"):
        reference(in_main())


def test_name_that_leads_to_nothing_is_not_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    function = plain
    monkeypatch.delattr(sys.modules[HERE], "plain")
    with pytest.raises(NotImportable, match="but nothing"):
        reference(function)


def test_function_of_a_module_that_is_not_loaded_is_left_to_the_supervisor() -> None:
    function = types.FunctionType(plain.__code__, {"__name__": "somewhere.else_"})
    assert reference(function) == "somewhere.else_:plain"


@pytest.mark.parametrize("thing", [7, None, ["m:f"]])
def test_what_is_no_function_is_refused(thing: Any) -> None:
    with pytest.raises(BadArguments, match="neither a function nor a reference"):
        reference(thing)


def test_class_of_the_main_program_is_not_importable() -> None:
    assert class_reference(Reports) == f"{HERE}:Reports"
    with pytest.raises(NotImportable):
        class_reference(type("Local", (), {"__module__": "__main__"}))


# -- options and chunks ------------------------------------------------------------------------------------------------


def test_options_become_plain_values() -> None:
    at = datetime(2026, 10, 1, tzinfo=UTC)
    given = {
        "at": at,
        "timeout": timedelta(minutes=1),
        "retry": Retry(max_attempts=2, delay=["1s", 2], on=[ValueError]),
        "tags": types.MappingProxyType({"a": "b"}),
    }
    parsed = parse_options(given)
    assert parsed["at"] == at.timestamp() and parsed["timeout"] == 60.0
    assert (parsed["retry"]["delay"], parsed["retry"]["on"]) == ([1.0, 2.0], ["ValueError"])
    assert codec.unpack(codec.pack(parsed)) == parsed


def test_none_means_not_given_but_for_time_limits() -> None:
    given = dict.fromkeys(["queue", "priority", "delay", "at", "key", "tags", "retry", "grace", "timeout", "expires"])
    assert parse_options(given) == {"timeout": None, "expires": None}


def test_unknown_option_that_is_none_is_refused_all_the_same() -> None:
    with pytest.raises(BadArguments, match="'kue'"):
        parse_options({"kue": None})


def test_point_in_time_without_a_zone_is_refused() -> None:
    with pytest.raises(BadArguments, match="no time zone"):
        parse_options({"at": datetime(2026, 10, 1)})


def sizes(jobs: list[messages.Submission]) -> list[int]:
    return [len(chunk) for chunk in chunks(jobs)]


def test_jobs_that_are_large_go_into_several_requests() -> None:
    assert sizes([submission("m:f", (bytes(SUBMIT_BYTES_MAX // 4),), {}, {})] * 5) == [3, 2]


def test_job_that_is_larger_than_a_request_should_be_goes_alone() -> None:
    assert sizes([submission("m:f", (bytes(SUBMIT_BYTES_MAX),), {}, {})] * 2) == [1, 1]


@pytest.mark.parametrize(
    "options, kwargs",
    [
        ({"tags": {f"key{number}": "x" * 50 for number in range(32)}, "retry": {"delay": [1.0] * 100}}, {}),
        ({}, {f"argument_{number}": 1 for number in range(200)}),
        ({"key": "€" * 256}, {}),
    ],
    ids=["options", "names", "text"],
)
def test_every_chunk_is_a_message_that_a_supervisor_reads(options: dict[str, Any], kwargs: dict[str, Any]) -> None:
    jobs = [submission("m:f", (), kwargs, options)] * 10_000
    count = 0
    for chunk in chunks(jobs):
        _, request = messages.unpack_request(messages.pack_request("1", messages.Submit(chunk)))
        count += len(request.jobs)
    assert count == 10_000


# -- @task -------------------------------------------------------------------------------------------------------------


@task
def bare(month: str, *, fmt: str = "pdf") -> str:
    """Build."""
    return month + fmt


@task(queue="mail", timeout="5m", retry=Retry(max_attempts=2))
async def send(to: str) -> int:
    return len(to)


@pytest.fixture
def default_client(supervisor: FakeSupervisor, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSupervisor]:
    monkeypatch.setenv("JOBYARD_SOCKET", str(supervisor.path))
    default.own_client.cache_clear()
    yield supervisor
    default.default_client().close()
    default.own_client.cache_clear()


def test_task_is_the_function_it_was() -> None:
    assert bare("x", fmt="y") == "xy" and isinstance(bare, types.FunctionType)
    assert inspect.signature(bare).parameters.keys() == {"month", "fmt"} and bare.__doc__ == "Build."
    assert pickle.loads(pickle.dumps(bare)) is bare
    assert inspect.iscoroutinefunction(send) and asyncio.run(send("abc")) == 3


def test_task_keeps_its_options_as_plain_values() -> None:
    assert bare.__jobyard_options__ == {}
    options = send.__jobyard_options__
    assert (options["queue"], options["timeout"], options["retry"]["max_attempts"]) == ("mail", 300.0, 2)


def test_task_submits_through_the_default_client(default_client: FakeSupervisor) -> None:
    assert bare.submit("x", fmt="y").id == 1
    later = bare.options(delay="1m").options(key="k")
    assert later.submit("z").id == 2
    first, second = (request.jobs[0] for request in default_client.requests)
    assert (first.ref, first.options, first.kwarg_names) == (f"{HERE}:bare", {}, ["fmt"])
    assert (second.ref, second.options) == (f"{HERE}:bare", {"delay": 60.0, "key": "k"})


def test_task_that_was_wrapped_again_is_submitted_under_its_name() -> None:
    @functools.wraps(bare)
    def again() -> None: ...

    assert reference(again) == f"{HERE}:bare"


@pytest.mark.parametrize("options", [{"kue": "mail"}, {"timeout": "soon"}, {"key": "k"}, {"delay": 1}])
def test_bad_option_of_a_task_is_refused_where_it_is_written(options: dict[str, Any]) -> None:
    with pytest.raises(BadArguments):
        task(**options)


def test_bad_option_of_a_call_of_a_task_is_refused() -> None:
    with pytest.raises(BadArguments, match="'soon'"):
        bare.options(delay="soon")


@pytest.mark.parametrize("thing", ["mail", Reports, staticmethod(plain), classmethod(plain), 7])
def test_task_of_what_is_no_function_is_refused(thing: Any) -> None:
    with pytest.raises(BadArguments, match="@task is for functions"):
        task(thing)


@pytest.mark.parametrize("thing", [len, operator.itemgetter(1)])
def test_task_of_what_takes_no_attributes_is_refused(thing: Any) -> None:
    with pytest.raises(BadArguments, match="@task is for functions"):
        task(thing)


# -- current_job -------------------------------------------------------------------------------------------------------


class Running:
    id = 42

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []

    def log(self, *words: Any) -> None:
        self.said.append(words)

    progress = log


@pytest.fixture
def running() -> Iterator[Running]:
    job = Running()
    token = CURRENT.set(job)  # type: ignore[arg-type]
    yield job
    CURRENT.reset(token)


def test_current_job_is_the_job_that_runs(running: Running) -> None:
    assert current_job() is running and current_job(None) is running


def test_outside_a_job_there_is_no_current_job() -> None:
    assert current_job(None) is None and current_job(7) == 7
    with pytest.raises(NoCurrentJob) as caught:
        current_job()
    assert "current_job(None)" in caught.value.hint


def test_base_job_speaks_for_the_job_that_runs(running: Running) -> None:
    class Email(BaseJob): ...

    Email().log("sent", "WARNING")
    Email().progress(1, 2, "half")
    assert Email().job is running
    assert running.said == [("sent", "warning"), (1, 2, "half")]


def test_base_job_outside_a_job_has_no_job() -> None:
    with pytest.raises(NoCurrentJob):
        BaseJob().log("x")


# -- helper functions --------------------------------------------------------------------------------------------------


def only(supervisor: FakeSupervisor) -> messages.Submission:
    (request,) = supervisor.requests
    (job,) = request.jobs
    assert isinstance(job, messages.Submission)
    return job


def test_run_background_job_takes_everything_in_order(default_client: FakeSupervisor) -> None:
    assert run_background_job("Email", "send", ["a@x"], 5, 10, "high", 15)
    sent = only(default_client)
    assert (sent.ref, sent.method, unpack_arguments(sent.payload)) == ("Email", "send", (["a@x"], {}))
    assert sent.options == {"retry": {"max_attempts": 6, "delay": 10.0}, "priority": 10, "delay": 15.0}


def test_queue_background_job_takes_everything_in_order(default_client: FakeSupervisor) -> None:
    assert queue_background_job("app.jobs.Email", "send", {"user_id": 123}, 5, 10, 3600)
    sent = only(default_client)
    assert (sent.ref, sent.method, unpack_arguments(sent.payload)) == ("app.jobs.Email", "send", ([], {"user_id": 123}))
    assert sent.options == {"retry": {"max_attempts": 5}, "priority": 10, "delay": 3600.0}


@pytest.mark.parametrize("helper", [run_background_job, queue_background_job])
def test_what_a_helper_is_not_told_is_left_to_the_config(default_client: FakeSupervisor, helper: Any) -> None:
    helper("Email", "send")
    assert (only(default_client).options, only(default_client).arg_count) == ({}, 0)


@pytest.mark.parametrize(
    "given, retry",
    [({"retries": 0}, {"max_attempts": 1}), ({"retry_delay": "1m"}, {"delay": 60.0})],
)
def test_retries_and_their_delay_may_be_given_alone(
    default_client: FakeSupervisor, given: dict[str, Any], retry: dict[str, Any]
) -> None:
    run_background_job("Email", "send", **given)
    assert only(default_client).options == {"retry": retry}


def test_class_itself_may_be_given(default_client: FakeSupervisor) -> None:
    run_background_job(Reports, "build", ("2026-10",))
    assert (only(default_client).ref, only(default_client).method) == (f"{HERE}:Reports.build", None)


@pytest.mark.parametrize(
    "args, told",
    [
        (("Email", "send", "a@x"), "'a@x', a str"),
        (("Email", "send", {1: 2}), "not text"),
        (("Email", "send", {1, 2}), "a set"),
        (("Email", ""), "''"),
        (("Email", None), "None"),
        (("", "send"), "''"),
        ((7, "send"), "7"),
        (("Email", "send", None, -1), "-1"),
        (("Email", "send", None, True), "True"),
        (("Email", "send", None, 1, "soon"), "'soon'"),
        (("Email", "send", None, None, None, "urgent"), "'urgent'"),
        (("Email", "send", None, None, None, None, -5), "-5"),
    ],
)
def test_bad_argument_of_a_helper_is_raised_or_returned(default_client: FakeSupervisor, args: Any, told: str) -> None:
    with pytest.raises(BadArguments) as caught:
        run_background_job(*args)
    assert told in caught.value.message
    rejected = run_background_job(*args, errors="return")
    assert not rejected and rejected == Rejected("bad_arguments", caught.value.message)
    assert default_client.requests == []


@pytest.mark.parametrize("helper", [run_background_job, queue_background_job])
def test_refusal_is_returned_when_asked_for(default_client: FakeSupervisor, helper: Any) -> None:
    default_client.answer = lambda request: NotAllowed("Email is not allowed")
    with pytest.raises(NotAllowed):
        helper("Email", "send")
    assert helper("Email", "send", errors="return") == Rejected("not_allowed", "Email is not allowed")


def test_helper_without_a_supervisor_returns_that_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBYARD_SOCKET", str(tmp_path / "nobody"))
    default.own_client.cache_clear()
    rejected = run_background_job("Email", "send", errors="return")
    assert isinstance(rejected, Rejected) and rejected.code == "supervisor_unavailable"
    default.own_client.cache_clear()


def test_unknown_way_to_take_errors_is_refused() -> None:
    with pytest.raises(BadArguments, match="errors='log'"):
        run_background_job("Email", "send", errors="log")  # type: ignore[call-overload]


def test_default_client_is_one_per_process(default_client: FakeSupervisor) -> None:
    assert default.default_client() is default.default_client()
    assert default.default_client().ping(timeout=DEADLINE_S).pid == 1
