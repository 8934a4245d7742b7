"""The verbs about jobs, against a recorded supervisor: what they ask, what they print, how they end."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from typing import Any

import pytest
from jobyard.protocol import messages
from jobyard.protocol.codec import unpack_arguments
from jobyard.protocol.errors import (
    JobyardError,
    NotAllowed,
    QueueFull,
    SupervisorUnavailable,
    WaitTimeout,
    WrongState,
)
from jobyard.protocol.ids import is_uid

NOON = 1_790_856_000.0
Run = Callable[..., Any]
NOT_TEXT = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
CTRL_C = KeyboardInterrupt()
UNFINISHED = ["blocked", "queued", "running", "scheduled"]


# -- submit ------------------------------------------------------------------------------------------------------------


def test_submit_prints_the_id(jobctl: Run, accepting: Any) -> None:
    ended = jobctl("submit", "jobs:hello", "7", "loud=yes")
    assert (ended.code, ended.out, ended.err) == (0, "42\n", "")
    (submission,) = accepting.asked(messages.Submit)[0].jobs
    assert (submission.ref, submission.method, submission.options) == ("jobs:hello", None, {})
    assert (submission.arg_count, submission.kwarg_names) == (1, ["loud"])
    assert unpack_arguments(submission.payload) == (["7"], {"loud": True})
    assert is_uid(submission.uid)
    assert accepting.closed


def test_submit_as_json_is_one_document(jobctl: Run, accepting: Any) -> None:
    document = jobctl("submit", "jobs:hello", "--json").json
    assert document["schema"] == "jobctl.submitted/1"
    assert document["jobs"][0]["id"] == 42
    assert list(document["jobs"][0]) == ["id", "uid", "existing"]


def test_submit_sends_every_option_as_the_protocol_has_it(jobctl: Run, accepting: Any) -> None:
    options = [
        *("--queue", "mail", "--priority", "high", "--delay", "1m30s", "--timeout", "none", "--soft-timeout", "5"),
        *("--retries", "2", "--retry-delay", "5s,1m", "--key", "k", "--on-duplicate", "raise", "--tag", "a=b"),
        *("--tag", "c=d=e", "--expires", "1h"),
    ]
    assert jobctl("submit", *options, "jobs:hello").code == 0
    assert accepting.asked(messages.Submit)[0].jobs[0].options == {
        "queue": "mail",
        "priority": 10,
        "delay": 90.0,
        "timeout": None,
        "soft_timeout": 5.0,
        "retry": {"max_attempts": 3, "delay": [5.0, 60.0]},
        "key": "k",
        "on_duplicate": "raise",
        "tags": {"a": "b", "c": "d=e"},
        "expires": 3600.0,
    }


def test_submit_at_a_local_time(jobctl: Run, accepting: Any) -> None:
    jobctl("submit", "jobs:hello", "--at", "2026-10-01T12:00")
    assert accepting.asked(messages.Submit)[0].jobs[0].options == {"at": NOON}


def test_submit_of_a_taken_key_says_so(jobctl: Run, accepting: Any) -> None:
    accepting.answers[messages.Submit] = lambda request: messages.Submitted(
        [messages.Accepted(7, request.jobs[0].uid, existing=True)]
    )
    ended = jobctl("submit", "jobs:hello", "--key", "k")
    assert (ended.code, ended.out) == (0, "7\n")
    assert "job 7 has this key already" in ended.err


@pytest.mark.parametrize(
    "error, code",
    [
        (NotAllowed("'jobs:nope' is not allowed", hint="did you mean 'jobs:hello'?"), 5),
        (QueueFull("full"), 5),
        (SupervisorUnavailable("no supervisor answers; tried x", hint="jobctl up"), 3),
    ],
)
def test_a_refused_submit_ends_with_the_reason_and_its_code(
    jobctl: Run, accepting: Any, error: JobyardError, code: int
) -> None:
    accepting.answers[messages.Submit] = error
    ended = jobctl("submit", "jobs:hello")
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.startswith(f"error: {error.message}\n")
    ended = jobctl("submit", "jobs:hello", "--json")
    assert (ended.code, ended.out) == (code, "")
    assert ended.error == {"code": error.code, "message": error.message, "hint": error.hint, "details": {}}


@pytest.mark.parametrize(
    "argv, message",
    [
        (["submit", "jobs:hello", "--retries", "-1"], "--retries: -1 is not a whole number from 0 to 9999"),
        (["submit", "jobs:hello", "--retry-delay", "1,soon"], "--retry-delay: 'soon' is not a duration"),
        (["wait", "1", "--timeout", "x"], "--timeout: 'x' is not a duration"),
        (["cancel", "1", "--grace", "soon"], "--grace: 'soon' is not a duration"),
        (["down", "--timeout", "x"], "--timeout: 'x' is not a duration"),
        (["up", "--timeout", "x"], "--timeout: 'x' is not a duration"),
    ],
)
def test_value_that_is_none_is_refused_with_its_option(
    jobctl: Run, accepting: Any, argv: list[str], message: str
) -> None:
    ended = jobctl(*argv)
    assert (ended.code, ended.err.splitlines()[0]) == (2, f"error: {message}")
    assert accepting.requests == []


# -- list and show -----------------------------------------------------------------------------------------------------


def test_list_prints_a_table_newest_first(jobctl: Run, supervisor: Any, job: Run, attempt: Run) -> None:
    supervisor.jobs = [
        job(7, state="succeeded", attempt=1, created_at=NOON - 86_400, started_at=NOON, finished_at=NOON + 0.25),
        job(8, state="running", queue="mail", attempt=1, started_at=NOON),
    ]
    ended = jobctl("list")
    assert ended.out == (
        "ID  STATE      JOB         QUEUE    TRY  CREATED        TOOK  NOTE\n"
        " 8  running    jobs:hello  mail     1/3  12:00:00     1m 00s\n"
        " 7  succeeded  jobs:hello  default  1/3  2026-09-30  0.250 s\n"
    )


def test_list_of_nothing_says_so_and_prints_no_data(jobctl: Run) -> None:
    ended = jobctl("list")
    assert (ended.code, ended.out, ended.err) == (0, "", "no jobs\n")
    assert jobctl("list", "--json").json == {"schema": "jobctl.jobs/1", "jobs": [], "more": False, "incomplete": None}


def test_list_in_the_forms_for_programs(jobctl: Run, supervisor: Any, job: Run) -> None:
    supervisor.jobs = [job(7), job(8)]
    assert jobctl("list", "-o", "id").out == "8\n7\n"
    assert [json.loads(line)["id"] for line in jobctl("list", "-o", "jsonl").out.splitlines()] == [8, 7]
    assert [one["id"] for one in jobctl("list", "--json").json["jobs"]] == [8, 7]


def test_list_sends_its_filters(jobctl: Run, supervisor: Any) -> None:
    jobctl(
        "list", "--state", "failed,Cancelled", "--state", "running", "--queue", "mail", "--job", "Email", "--tag", "a=b"
    )
    jobctl("list", "--since", "1m")
    jobctl("list", "--since", "2026-10-01T12:00Z")
    first, second, third = supervisor.asked(messages.List)
    assert first == messages.List(messages.Filter(["failed", "cancelled", "running"], "mail", "Email", {"a": "b"}), 51)
    assert second.filter.since == NOON
    assert third.filter.since == NOON


def test_list_searches_and_sorts(jobctl: Run, supervisor: Any, job: Run) -> None:
    supervisor.answers[messages.List] = lambda request: messages.Jobs(
        [job(5, finished_at=9.0), job(3, finished_at=8.0)], more=request.before is None
    )
    ended = jobctl("list", "--search", "customer 4711", "--sort", "finished", "--all", "-o", "id")
    assert ended.out.split() == ["5", "3", "5", "3"]
    first, second = supervisor.asked(messages.List)
    assert (first.filter.search, first.sort, first.before) == ("customer 4711", "finished", None)
    assert (second.before, second.before_at) == (3, 8.0)
    assert jobctl("list", "--sort", "finished", "--limit", "2").err == "the 2 last finished; --all shows every one\n"
    assert "--sort: invalid choice: 'size'" in jobctl("list", "--sort", "size").err
    assert jobctl("list", "--search", " ").err == "error: --search ' ' holds no word to look for\n"


def test_a_cut_list_says_that_there_is_more(jobctl: Run, supervisor: Any, job: Run) -> None:
    supervisor.jobs = [job(number) for number in range(1, 8)]
    ended = jobctl("list", "--limit", "3", "-o", "id")
    assert (ended.out, ended.err) == ("7\n6\n5\n", "the 3 newest; --all shows every one\n")


def test_list_all_asks_page_by_page(jobctl: Run, supervisor: Any, job: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "LIST_JOBS_MAX", 3)
    supervisor.jobs = [job(number) for number in range(1, 8)]
    assert jobctl("list", "--all", "-o", "id").out.split() == ["7", "6", "5", "4", "3", "2", "1"]
    assert [one.before for one in supervisor.asked(messages.List)] == [None, 5, 2]
    assert jobctl("list", "--limit", "4", "-o", "id").out.split() == ["7", "6", "5", "4"]
    assert jobctl("list", "--limit", "9" * 20, "-o", "id").out.split()[-1] == "1"


def test_show_takes_ids_in_every_form(jobctl: Run, supervisor: Any, job: Run) -> None:
    supervisor.jobs = [job(number) for number in (40, 41, 43, 45, 50)]
    assert jobctl("show", "50,40", "41", "-o", "id").out.split() == ["50", "40", "41"]
    assert jobctl("show", "40-45", "-o", "id").out.split() == ["40", "41", "43", "45"]
    assert jobctl("show", "last", "-o", "id").out.split() == ["50"]
    assert jobctl("show", "40", "last", "40-41", "-o", "id").out.split() == ["40", "50", "41"]
    assert jobctl("show", "--queue", "default", "-o", "id").out.split() == ["50", "45", "43", "41", "40"]


def test_show_prints_the_details_of_each_job(jobctl: Run, supervisor: Any, job: Run) -> None:
    supervisor.jobs = [job(7), job(8)]
    ended = jobctl("show", "7", "8")
    assert ended.out.startswith("job 7  queued\n")
    assert "\n\njob 8  queued\n" in ended.out


@pytest.mark.parametrize(
    "words, code, message",
    [
        (["7"], 4, "there is no job 7"),
        (["last"], 4, "there is no last job"),
        (["40-45"], 4, "there is no job from 40 to 45"),
        (["45-40"], 2, "the range '45-40' is empty"),
        (["1-99999999"], 2, "names more than 10,000 jobs"),
        (["x7"], 2, "'x7' is not a job id"),
        (["-7"], 2, "'-7' is not a job id"),
        (["7,"], 2, "'' is not a job id"),
        (["\u0667"], 2, "'\u0667' is not a job id"),
        (["9" * 30], 2, "is not a job id"),
        ([], 2, "no job is named"),
        (["7", "--queue", "mail"], 2, "both ids and filters are given"),
        (["--state", "faild"], 2, "there is no state 'faild'"),
        (["--tag", "x"], 2, "--tag 'x' is not of the form key=value"),
        (["--since", "yesterday"], 2, "--since 'yesterday' is not a point in time"),
    ],
)
def test_jobs_that_cannot_be_meant_are_refused(jobctl: Run, words: list[str], code: int, message: str) -> None:
    ended = jobctl("show", *words)
    assert (ended.code, ended.out) == (code, "")
    assert message in ended.err


# -- wait, cancel, retry -----------------------------------------------------------------------------------------------


def test_wait_is_one_parked_request(jobctl: Run, supervisor: Any, job: Run) -> None:
    done = job(7, state="succeeded")
    supervisor.answers[messages.Wait] = messages.Jobs([done])
    ended = jobctl("wait", "7")
    assert ended.code == 0
    assert "succeeded" in ended.out
    assert supervisor.requests == [messages.Ping(), messages.Wait([7])]
    assert supervisor.timeouts[1] == math.inf


@pytest.mark.parametrize(
    "states, code", [(["succeeded", "succeeded"], 0), (["succeeded", "failed"], 1), (["cancelled"], 1)]
)
def test_wait_ends_as_the_jobs_did(jobctl: Run, supervisor: Any, job: Run, states: list[str], code: int) -> None:
    supervisor.answers[messages.Wait] = messages.Jobs(
        [job(number, state=state) for number, state in enumerate(states, 1)]
    )
    assert jobctl("wait", "1,2").code == code


def test_wait_that_takes_too_long_ends_with_124(jobctl: Run, supervisor: Any) -> None:
    supervisor.answers[messages.Wait] = WaitTimeout("x")
    ended = jobctl("wait", "7", "--timeout", "1m")
    assert (ended.code, ended.out) == (124, "")
    assert ended.err.startswith("error: job 7 is not finished after 1m 00s\n")
    assert supervisor.timeouts[1] == 60.0


def test_wait_for_filters_means_unfinished_jobs(jobctl: Run, supervisor: Any, job: Run) -> None:
    supervisor.jobs = [job(7, state="running"), job(8, state="succeeded")]
    supervisor.answers[messages.Wait] = messages.Jobs([])
    jobctl("wait", "--all")
    assert supervisor.asked(messages.List)[0].filter.states == UNFINISHED
    assert supervisor.asked(messages.Wait) == [messages.Wait([7])]
    supervisor.jobs = []
    assert jobctl("wait", "--all").err == "no unfinished jobs\n"


def test_wait_tells_when_the_supervisor_stops(jobctl: Run, supervisor: Any) -> None:
    supervisor.answers[messages.Wait] = SupervisorUnavailable("the supervisor stops")
    assert jobctl("wait", "7").code == 7


def test_wait_where_no_supervisor_is_ends_with_3_as_other_verbs_do(jobctl: Run, supervisor: Any) -> None:
    supervisor.answers[messages.Ping] = SupervisorUnavailable("no supervisor answers")
    ended = jobctl("wait", "7")
    assert (ended.code, ended.err) == (3, "error: no supervisor answers\n")


def test_cancel_sends_grace_and_reason(jobctl: Run, supervisor: Any) -> None:
    supervisor.answers[messages.Cancel] = lambda request: messages.Cancelled(request.ids)
    ended = jobctl("cancel", "7,8", "--grace", "0", "--reason", "mistake")
    assert (ended.code, ended.out) == (0, "cancelled 7, 8\n")
    assert supervisor.requests == [messages.Cancel([7, 8], None, 0.0, "mistake")]


def test_cancel_with_wait_returns_when_the_jobs_are_gone(jobctl: Run, supervisor: Any) -> None:
    supervisor.answers[messages.Cancel] = messages.Cancelled([7])
    supervisor.answers[messages.Wait] = messages.Jobs([])
    jobctl("cancel", "7", "--wait")
    assert supervisor.requests[1:] == [messages.Wait([7])]


def test_cancel_of_a_finished_job_is_a_wrong_state(jobctl: Run, supervisor: Any) -> None:
    supervisor.answers[messages.Cancel] = messages.Cancelled([], [7])
    ended = jobctl("cancel", "7", "--json")
    assert (ended.code, ended.out) == (6, "")
    assert ended.error["code"] == "wrong_state"


def test_cancel_by_filter_needs_yes_where_nobody_can_be_asked(jobctl: Run, supervisor: Any, job: Run) -> None:
    supervisor.jobs = [job(7), job(8)]
    ended = jobctl("cancel", "--queue", "default")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "error: refusing to cancel 2 jobs without being told so\ntry: add --yes\n"
    supervisor.answers[messages.Cancel] = lambda request: messages.Cancelled(request.ids)
    assert jobctl("cancel", "--queue", "default", "--yes").out == "cancelled 8, 7\n"


@pytest.mark.parametrize(
    "answer, cancelled",
    [("y\n", True), ("YES\n", True), ("\n", False), ("n\n", False), ("", False), (NOT_TEXT, False), (CTRL_C, None)],
)
def test_cancel_by_filter_asks_on_a_terminal(
    jobctl: Run,
    supervisor: Any,
    job: Run,
    monkeypatch: pytest.MonkeyPatch,
    answer: str | BaseException,
    cancelled: bool | None,
) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            if isinstance(answer, BaseException):
                raise answer
            return answer

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    supervisor.jobs = [job(7)]
    supervisor.answers[messages.Cancel] = lambda request: messages.Cancelled(request.ids)
    ended = jobctl("cancel", "--all")
    assert "cancel 1 job? [y/N] " in ended.err
    assert bool(supervisor.asked(messages.Cancel)) is bool(cancelled)
    assert ended.code == {True: 0, False: 2, None: 130}[cancelled]
    if answer in ("", CTRL_C):
        assert ended.err.startswith("cancel 1 job? [y/N] \n"), "what is said next begins on a line of its own"


def test_nobody_is_asked_who_cannot_see_the_question(
    jobctl: Run, supervisor: Any, job: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    supervisor.jobs = [job(7)]
    ended = jobctl("cancel", "--all")
    assert (ended.code, ended.err) == (2, "error: refusing to cancel 1 job without being told so\ntry: add --yes\n")


def test_cancel_with_wait_tells_when_the_supervisor_stops_meanwhile(jobctl: Run, supervisor: Any) -> None:
    supervisor.answers[messages.Cancel] = messages.Cancelled([7])
    supervisor.answers[messages.Wait] = SupervisorUnavailable("no supervisor answers")
    ended = jobctl("cancel", "7", "--wait")
    assert ended.code == 7
    assert "they stay cancelled" in ended.err


def test_cancel_of_many_jobs_is_sent_in_parts(
    jobctl: Run, supervisor: Any, job: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "CANCEL_JOBS_MAX", 2)
    supervisor.jobs = [job(number) for number in range(1, 6)]
    supervisor.answers[messages.Cancel] = lambda request: messages.Cancelled(request.ids)
    assert jobctl("cancel", "1-5", "-o", "id").out.split() == ["1", "2", "3", "4", "5"]
    assert [one.ids for one in supervisor.asked(messages.Cancel)] == [[1, 2], [3, 4], [5]]


def test_retry_puts_jobs_back(jobctl: Run, supervisor: Any) -> None:
    supervisor.answers[messages.RetryJob] = lambda request: messages.Requeued(request.id)
    assert jobctl("retry", "7", "8").out == "requeued 7\nrequeued 8\n"
    assert jobctl("retry", "7,8", "--json").json == {"schema": "jobctl.retried/1", "ids": [7, 8]}


def test_retry_tells_what_could_not_be_put_back_and_what_was(jobctl: Run, supervisor: Any) -> None:
    supervisor.answers[messages.RetryJob] = lambda request: (
        messages.Requeued(7) if request.id == 7 else WrongState("job 8 is running")
    )
    ended = jobctl("retry", "7", "8", "--json")
    assert (ended.code, ended.out) == (6, "")
    assert ended.error["details"] == {"requeued": [7]}


def test_list_that_lacks_archived_jobs_says_so_beside_it(jobctl: Run, supervisor: Any) -> None:
    supervisor.answers[messages.List] = messages.Jobs([], incomplete="the history did not answer within 3 s")
    result = jobctl("list")
    assert "is not shown: the history did not answer within 3 s" in result.err
    assert "is not shown" not in result.out
    assert jobctl("list", "--json").json["incomplete"] == "the history did not answer within 3 s"
