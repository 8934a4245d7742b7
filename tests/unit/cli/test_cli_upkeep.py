"""``set``, ``rm``, ``prune``, ``why``, and what other verbs say of parents and children; a recorded supervisor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from jobyard.client.cli import views
from jobyard.protocol import messages
from jobyard.protocol.errors import JobNotFound, WrongState
from jobyard.protocol.job import Parent

NOON = 1_790_856_000.0
Run = Callable[..., Any]


def every(request: Any) -> Any:
    """A supervisor that does what is asked to every job."""
    return messages.Changed(request.ids) if isinstance(request, messages.SetJob) else messages.Removed(request.ids)


@pytest.fixture
def willing(supervisor: Any, job: Run) -> Any:
    supervisor.answers |= {messages.SetJob: every, messages.Remove: every}
    supervisor.jobs = [job(number) for number in range(40, 44)]
    return supervisor


# -- set ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words, options",
    [
        (["--priority", "high"], {"priority": 10}),
        (["--to-queue", "slow", "--timeout", "10m"], {"queue": "slow", "timeout": 600.0}),
        (["--timeout", "none"], {"timeout": None}),
        (["--delay", "1m30s"], {"delay": 90.0}),
        (["--now"], {"delay": 0.0}),
        (["--at", "2026-10-01T12:00"], {"at": NOON}),
    ],
)
def test_set_sends_what_is_to_change_as_the_protocol_has_it(
    jobctl: Run, willing: Any, words: list[str], options: dict[str, Any]
) -> None:
    ended = jobctl("set", "41-42", *words)
    assert (ended.code, ended.out, ended.err) == (0, "changed 41, 42\n", "")
    assert willing.asked(messages.SetJob) == [messages.SetJob([41, 42], options)]


@pytest.mark.parametrize(
    "words, message",
    [
        (["41"], "nothing is to be changed"),
        (["--priority", "high"], "no job is named"),
        (["41", "--priority", "urgent"], "--priority: 'urgent' is not a priority"),
        (["41", "--delay", "soon"], "--delay: 'soon' is not a duration"),
        (["41", "--to-queue", "a b"], "--to-queue: 'a b' is not a name"),
        (["41", "--at", "noon"], "--at 'noon' is not a point in time"),
        (["41", "--timeout", "0"], "--timeout: '0' is not a time limit"),
        (["41", "--delay", "1", "--now"], "both --delay and --now are given"),
        (["41", "--queue", "mail", "--now"], "--queue chooses jobs, and ids do so already\ntry: --to-queue mail"),
        (["41", "--state", "queued", "--now"], "both ids and filters are given"),
        (["--all", "--now"], "refusing to change 4 jobs without being told so\ntry: add --yes"),
    ],
)
def test_set_that_cannot_be_meant_changes_nothing(jobctl: Run, willing: Any, words: list[str], message: str) -> None:
    ended = jobctl("set", *words)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"error: {message}")
    assert willing.asked(messages.SetJob) == []


def test_filters_that_say_nothing_of_states_mean_jobs_that_the_verb_can_take(jobctl: Run, willing: Any) -> None:
    willing.jobs = [replace(willing.jobs[0], state="blocked"), replace(willing.jobs[1], state="failed")]
    assert jobctl("set", "--all", "--now", "--yes").out == "changed 40\n"
    assert jobctl("rm", "--all", "--yes").out == "removed 41\n"
    assert [one.filter.states for one in willing.asked(messages.List)] == [
        ["blocked", "queued", "scheduled"], ["cancelled", "failed", "succeeded"],
    ]  # fmt: skip


def test_many_jobs_go_in_bounded_requests_and_those_in_a_wrong_state_are_named(
    jobctl: Run, supervisor: Any, job: Run
) -> None:
    limit = messages.CHANGE_JOBS_MAX
    supervisor.jobs = [job(number) for number in range(1, 2 * limit + 2)]
    answers = iter([messages.Changed([1], [2]), WrongState("none waits"), messages.Changed([2 * limit + 1])])
    supervisor.answers[messages.SetJob] = lambda request: next(answers)
    ended = jobctl("set", f"1-{2 * limit + 1}", "--now")
    assert (ended.code, ended.out) == (0, f"changed 1, {2 * limit + 1}\n")
    assert ended.err.startswith("not waiting any more: 2, ")
    assert [len(one.ids) for one in supervisor.asked(messages.SetJob)] == [limit, limit, 1]


@pytest.mark.parametrize("words, kind", [(["set", "--now"], messages.SetJob), (["rm"], messages.Remove)])
def test_none_in_the_right_state_ends_with_6(jobctl: Run, supervisor: Any, words: list[str], kind: type) -> None:
    supervisor.answers[kind] = WrongState("job 41 does not wait: its state is running")
    ended = jobctl(*words, "41")
    assert (ended.code, ended.out) == (6, "")
    assert ended.err == "error: job 41 does not wait: its state is running\n"


# -- rm, prune ---------------------------------------------------------------------------------------------------------


def test_rm_names_what_is_gone(jobctl: Run, willing: Any) -> None:
    assert jobctl("rm", "40,41").out == "removed 40, 41\n"
    assert jobctl("rm", "40,41", "-o", "id").out == "40\n41\n"
    assert jobctl("rm", "40", "-o", "jsonl").out == '{"id": 40}\n'
    willing.answers[messages.Remove] = messages.Removed([40], [41])
    assert jobctl("rm", "40,41", "--json").json == {"schema": "jobctl.removed/1", "ids": [40], "others": [41]}
    ended = jobctl("rm", "40,41")
    assert (ended.code, ended.out, ended.err) == (0, "removed 40\n", "not finished: 41\n")


def test_rm_by_filter_needs_to_be_told_so(jobctl: Run, willing: Any) -> None:
    willing.jobs = [replace(one, state="failed") for one in willing.jobs]
    ended = jobctl("rm", "--state", "failed")
    assert (ended.code, ended.err) == (
        2, "error: refusing to remove 4 jobs without being told so\ntry: add --yes\n",
    )  # fmt: skip
    assert willing.asked(messages.Remove) == []
    willing.jobs = []
    assert jobctl("rm", "--state", "failed").err == "no such jobs\n"


def test_prune_counts_first_and_goes_on_while_there_is_more(jobctl: Run, supervisor: Any) -> None:
    parts = iter([messages.Pruned(1000, more=True), messages.Pruned(200)])
    supervisor.answers[messages.Prune] = lambda request: messages.Pruned(1200) if request.dry_run else next(parts)
    words = ["prune", "--older", "7d", "--state", "failed,cancelled"]
    ended = jobctl(*words)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("error: refusing to prune 1,200 jobs")
    assert jobctl(*words, "--dry-run").out == "would prune 1,200 jobs\n"
    assert {one.dry_run for one in supervisor.asked(messages.Prune)} == {True}
    assert jobctl(*words, "--yes").out == "pruned 1,200 jobs\n"
    week = 7 * 86400.0
    assert supervisor.requests[-1] == messages.Prune(week, ["failed", "cancelled"])


def test_prune_of_nothing_asks_nothing(jobctl: Run, supervisor: Any) -> None:
    supervisor.answers[messages.Prune] = messages.Pruned(0)
    assert jobctl("prune").out == "pruned 0 jobs\n"
    assert jobctl("prune", "--json").json == {"schema": "jobctl.pruned/1", "count": 0, "dry_run": False}


@pytest.mark.parametrize(
    "words, message",
    [
        (["--older", "long"], "--older: 'long' is not a duration"),
        (["--state", "running"], "there is no state 'running'\nknown: cancelled, failed, succeeded"),
    ],
)
def test_prune_of_what_cannot_be_pruned_is_refused(
    jobctl: Run, supervisor: Any, words: list[str], message: str
) -> None:
    ended = jobctl("prune", *words)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"error: {message}")
    assert supervisor.requests == []


# -- why ---------------------------------------------------------------------------------------------------------------

HELD = messages.Explanation(
    41,
    "queued",
    [messages.Reason("no_room", "2nd in mail", [40]), messages.Reason("held", "held by 40 for 41 s", [40], 41.0)],
    2,
    "jobctl why \x1b[1m40",
)


def test_why_is_a_sentence_and_what_to_try(jobctl: Run, willing: Any) -> None:
    willing.answers[messages.Why] = lambda request: replace(HELD, id=request.id, hint=HELD.hint * (request.id == 41))
    ended = jobctl("why", "41,42")
    assert ended.out == (
        "job 41 is queued: 2nd in mail; held by 40 for 41 s\njob 42 is queued: 2nd in mail; held by 40 for 41 s\n"
    )
    assert ended.err == "try: jobctl why \\x1b[1m40\n"
    assert [one.id for one in willing.asked(messages.Why)] == [41, 42]


def test_why_as_json_has_codes_for_programs(jobctl: Run, willing: Any) -> None:
    willing.answers[messages.Why] = HELD
    (found,) = jobctl("why", "41", "--json").json["jobs"]
    assert list(found) == ["id", "state", "reasons", "position", "hint", "text"]
    assert found["reasons"][1] == {"code": "held", "text": "held by 40 for 41 s", "jobs": [40], "seconds": 41.0}
    assert jobctl("why", "41", "-o", "jsonl").out.count("\n") == 1
    assert jobctl("why", "41", "-o", "id").out == "41\n"


def test_why_of_a_job_that_is_not_there_ends_with_4(jobctl: Run, supervisor: Any) -> None:
    supervisor.answers[messages.Why] = JobNotFound("there is no job 7: the last id is 3")
    assert (jobctl("why", "7").code, jobctl("why").code) == (4, 2)


# -- parents and children ----------------------------------------------------------------------------------------------


def test_submit_after_other_jobs_names_them_as_other_verbs_do(jobctl: Run, accepting: Any, job: Run) -> None:
    accepting.jobs = [job(40), job(41)]
    assert jobctl("submit", "jobs:hello", "--after", "40", "--after", "last", "--on-parent-failure", "run").code == 0
    (submission,) = accepting.asked(messages.Submit)[0].jobs
    assert submission.options == {"on_parent_failure": "run", "after": [40, 41]}


def test_submit_after_what_is_no_job_is_refused(jobctl: Run, accepting: Any) -> None:
    ended = jobctl("submit", "jobs:hello", "--after", "x")
    assert (ended.code, ended.err.splitlines()[0]) == (2, "error: 'x' is not a job id")
    ended = jobctl("submit", "jobs:hello", "--on-parent-failure", "perhaps")
    assert (ended.code, accepting.asked(messages.Submit)) == (2, [])
    assert "'perhaps' is none of 'cancel', 'run'" in ended.err


def test_list_of_the_jobs_after_another_is_a_filter(jobctl: Run, supervisor: Any) -> None:
    jobctl("list", "--after", "40", "--state", "blocked")
    assert supervisor.asked(messages.List)[0].filter == messages.Filter(["blocked"], after=40)


def test_blocked_job_in_a_list_names_what_it_waits_for(job: Run) -> None:
    states = ["succeeded", "running", *["queued"] * 6]
    info = job(50, state="blocked", parents=[Parent(40 + at, state) for at, state in enumerate(states)])
    assert views.note(info, NOON) == (
        "waits for 41 (running), 42 (queued), 43 (queued), 44 (queued), 45 (queued) and 2 more"
    )


def test_show_lists_parents_and_children(jobctl: Run, supervisor: Any, job: Run) -> None:
    child = job(43, state="blocked")
    middle = job(
        42, state="succeeded", parents=[Parent(40, "succeeded"), Parent(41, "failed")], on_parent_failure="run",
        children_count=7,
    )  # fmt: skip
    supervisor.jobs = [middle]
    supervisor.answers[messages.List] = messages.Jobs([job(44, state="queued"), child], more=True)
    ended = jobctl("show", "42")
    assert "  after      40 (succeeded), 41 (failed); runs however they end\n" in ended.out
    assert "  needed by  43 (blocked), 44 (queued) and 5 more\n" in ended.out
    assert supervisor.asked(messages.List) == [messages.List(messages.Filter(after=42), views.FAMILY_SHOWN)]


def test_json_of_a_job_has_its_parents(jobctl: Run, supervisor: Any, job: Run) -> None:
    supervisor.jobs = [job(42, parents=[Parent(40, "running")])]
    (found,) = jobctl("show", "42", "--json").json["jobs"]
    assert (found["parents"], found["on_parent_failure"], found["children_count"]) == (
        [{"id": 40, "state": "running"}], "cancel", 0,
    )  # fmt: skip
