"""Replies that hold fewer jobs than were asked for, because a message holds no more: nothing is missing then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from jobyard.protocol import messages

Run = Callable[..., Any]


@pytest.fixture
def two_at_most(supervisor: Any) -> Any:
    """A supervisor of whose jobs two fit into a message."""
    for kind in (messages.Get, messages.List, messages.Wait):
        whole = supervisor.answers.get(kind, supervisor.answers[messages.Get])

        def cut(request: Any, whole: Callable[[Any], Any] = whole) -> Any:
            reply = whole(request)
            return messages.Jobs(reply.jobs[:2], more=reply.more or len(reply.jobs) > 2)

        supervisor.answers[kind] = cut
    return supervisor


def test_show_shows_every_job_that_is_named(jobctl: Run, two_at_most: Any, job: Run) -> None:
    two_at_most.jobs = [job(number) for number in range(1, 6)]
    assert jobctl("show", "1-5", "-o", "id").out.split() == ["1", "2", "3", "4", "5"]


def test_list_goes_on_until_it_has_as_many_as_it_may(jobctl: Run, two_at_most: Any, job: Run) -> None:
    two_at_most.jobs = [job(number) for number in range(1, 6)]
    ended = jobctl("list", "-o", "id")
    assert (ended.out.split(), ended.err) == (["5", "4", "3", "2", "1"], "")
    assert jobctl("list", "-o", "id", "--limit", "3").out.split() == ["5", "4", "3"]


def test_wait_tells_of_a_job_that_failed_and_did_not_fit(jobctl: Run, two_at_most: Any, job: Run) -> None:
    two_at_most.jobs = [job(number, state="succeeded") for number in range(1, 4)] + [job(4, state="failed")]
    ended = jobctl("wait", "1-4", "-o", "id")
    assert (ended.code, ended.out.split()) == (1, ["1", "2", "3", "4"])


def test_wait_for_any_leaves_out_those_that_go_on(jobctl: Run, two_at_most: Any, job: Run) -> None:
    two_at_most.jobs = [job(number, state="succeeded") for number in range(1, 4)] + [job(4, state="running")]
    ended = jobctl("wait", "1-4", "--any", "-o", "id")
    assert (ended.code, ended.out.split()) == (0, ["1", "2", "3"])
