"""queue, pool, stats and top: what people and programs see of what the supervisor says, and how jobs are chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from jobyard.protocol import history, messages
from jobyard.protocol.job import Progress, Usage

Run = Callable[..., Any]


@pytest.fixture
def answered(supervisor: Any) -> Any:
    supervisor.answers[messages.Status] = messages.SupervisorStatus(
        1, "0", 2, 0.0, "c", "s", "k", False, True, {"queued": 3}, 7,
        [messages.QueueStatus("mail", "paused", "default", None, 1, 2, 3)],
        [messages.PoolStatus("default", "up", 4, 1, 0)], 10, ["the sky \x1b[31mfalls"],
    )  # fmt: skip
    return supervisor


def test_last_with_a_number_names_so_many_in_the_order_of_their_submits(jobctl: Run, supervisor: Any, job: Run) -> None:
    supervisor.jobs = [job(number) for number in (3, 5, 8)]
    assert jobctl("show", "last:2", "-o", "id").out.split() == ["5", "8"]
    assert jobctl("show", "last:2,3", "-o", "id").out.split() == ["5", "8", "3"]
    assert jobctl("show", "last:99", "-o", "id").out.split() == ["3", "5", "8"]


@pytest.mark.parametrize("word", ["last:0", "last:", "last:-1", "last:x", "last:99999999", "last:٣"])
def test_last_with_anything_else_is_refused(jobctl: Run, supervisor: Any, job: Run, word: str) -> None:
    supervisor.jobs = [job(3)]
    ended = jobctl("show", word)
    assert (ended.code, ended.out) == (2, "")
    assert word in ended.err


@pytest.mark.parametrize("verb", ["show", "wait", "cancel", "retry"])
def test_ids_and_filters_at_once_are_refused_by_every_verb(jobctl: Run, supervisor: Any, job: Run, verb: str) -> None:
    supervisor.jobs = [job(3)]
    ended = jobctl(verb, "3", "--error", "Timeout")
    assert (ended.code, ended.err) == (2, "error: both ids and filters are given\ntry: give one of them\n")
    assert {type(request) for request in supervisor.requests} <= {messages.List}


def test_retry_by_filter_means_what_failed_or_was_cancelled(jobctl: Run, supervisor: Any, job: Run) -> None:
    supervisor.jobs = [job(1, state="succeeded"), job(2, state="failed"), job(3, state="cancelled"), job(4)]
    supervisor.answers[messages.RetryJob] = lambda request: messages.Requeued(request.id)
    assert jobctl("retry", "--all", "--yes", "-o", "id").out.split() == ["3", "2"]
    assert supervisor.asked(messages.List)[0].filter.states == ["cancelled", "failed"]


def test_the_error_is_passed_on_to_be_looked_for(jobctl: Run, supervisor: Any) -> None:
    jobctl("list", "--error", "Refused")
    assert supervisor.asked(messages.List)[0].filter.error == "Refused"


def test_a_queue_is_shown_with_its_unfinished_jobs(jobctl: Run, answered: Any, job: Run) -> None:
    answered.jobs = [job(4, queue="mail"), job(5, queue="mail", state="failed"), job(6)]
    out = jobctl("queue", "show", "mail").out
    assert [line.split()[0] for line in out.splitlines() if line] == ["QUEUE", "mail", "ID", "4"]
    ended = jobctl("queue", "show", "mial")
    assert (ended.code, ended.err) == (4, "error: there is no queue 'mial'\ndid you mean 'mail'?\n")


def test_stats_say_how_long_jobs_waited_and_ran(jobctl: Run, supervisor: Any, job: Run, attempt: Run) -> None:
    ended = attempt(ended_at=1_790_856_003.0, wait_s=90.0, usage=Usage(0.5, 0.25, 3 << 20))
    supervisor.jobs = [job(1, state="succeeded", attempts=[ended]), job(2, state="failed", queue="mail")]
    lines = jobctl("stats", "--all", "--state", "succeeded,failed").out.splitlines()
    assert lines[1].split() == ["2", "50%", "1.5m/1.5m/1.5m", "2s/2s/2s", "750ms", "3.0", "MiB", "jobs:hello"]
    assert [line.split()[-1] for line in lines[4:]] == ["QUEUE", "default", "mail"]
    assert max(map(len, lines)) <= 80
    assert jobctl("stats", "--tag", "a=b", "--json").json["total"]["run"] == {
        "count": 1,
        "p50_s": 2.0,
        "p95_s": 2.0,
        "max_s": 2.0,
    }


def test_stats_by_queue_function_and_time_are_those_that_are_kept(jobctl: Run, supervisor: Any) -> None:
    times = history.Times(2, 1.0, 2.0, 4.0)
    row = history.StatsRow(None, None, None, 2, {"failed": 1, "succeeded": 1}, times, times, 0.75, 3 << 20)
    supervisor.answers[history.Stats] = history.StatsReply([row], incomplete="the history did not answer")
    ended = jobctl("stats", "--queue", "mail", "--job", "app:f", "--since", "1h")
    assert ended.out.splitlines()[1].split() == ["2", "50%", "1s/2s/4s", "1s/2s/4s", "750ms", "3.0", "MiB", "(all)"]
    assert "is not shown: the history did not answer" in ended.err
    found = jobctl("stats", "--json").json
    assert found["incomplete"] == "the history did not answer"
    supervisor.requests.clear()
    ended = jobctl("stats", "--queue", "mail", "--job", "app:f", "--since", "1h")
    assert [(one.by, one.queue, one.ref) for one in supervisor.asked(history.Stats)] == [
        ([], "mail", "app:f"),
        (["ref"], "mail", "app:f"),
        (["queue"], "mail", "app:f"),
    ]


def test_stats_of_nothing_say_so(jobctl: Run, supervisor: Any) -> None:
    supervisor.answers[history.Stats] = history.StatsReply([])
    ended = jobctl("stats")
    assert (ended.code, ended.out, ended.err) == (0, "", "no jobs\n")


def test_top_without_a_terminal_is_one_look(jobctl: Run, answered: Any, job: Run, attempt: Run) -> None:
    said = Progress(3, 6, "half \x1b[31mway", 0.0)
    answered.jobs = [job(9, state="running", attempt=1, attempts=[attempt(pid=0)], progress=said)]
    out = jobctl("top").out
    assert "\x1b" not in out
    assert "[######......] 3/6 half \\x1b[31mway" in out
    assert "the sky \\x1b[31mfalls" in out
    running = jobctl("top", "--json").json["running"]
    assert [(one["id"], one["elapsed_s"], one["rss_bytes"]) for one in running] == [(9, 59.0, None)]


def test_top_asks_for_those_that_run_longest(jobctl: Run, answered: Any) -> None:
    assert jobctl("top").code == 0
    assert answered.asked(messages.List) == [messages.List(messages.Filter(states=["running"]), 200, sort="oldest")]


def test_memory_of_a_process_that_is_there_is_shown(jobctl: Run, answered: Any, job: Run, attempt: Run) -> None:
    import os

    answered.jobs = [job(9, state="running", attempt=1, attempts=[attempt(pid=os.getpid())])]
    assert jobctl("top", "--json").json["running"][0]["rss_bytes"] > 1 << 20


def test_a_pool_is_recycled_by_name(jobctl: Run, supervisor: Any) -> None:
    supervisor.answers[messages.RecyclePool] = lambda request: messages.Recycled(request.pool)
    assert jobctl("pool", "recycle", "mail").out == "mail: a fresh zygote is being started\n"
