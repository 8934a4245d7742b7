"""What a client asks of finished jobs: pages in any order, and figures."""

from __future__ import annotations

from typing import Any

import pytest
from fake_supervisor import FakeSupervisor, make_info
from jobyard import Client
from jobyard.protocol import history, messages
from jobyard.protocol.errors import BadArguments


def test_next_page_begins_behind_the_last_job(client: Client, supervisor: FakeSupervisor) -> None:
    def answer(request: messages.List) -> messages.Jobs:
        first = 0 if request.before is None else request.before
        return messages.Jobs([make_info(first + 1, finished_at=5.0), make_info(first + 2, finished_at=7.0)], first < 2)

    supervisor.answer = answer
    found = client.list(sort="finished", search="a b", error="oops", until=9.0, limit=None)
    assert [job.id for job in found] == [1, 2, 3, 4]
    first, second = supervisor.requests
    assert (first.sort, first.before, first.before_at) == ("finished", None, None)
    assert (second.before, second.before_at) == (2, 7.0)
    assert first.filter == messages.Filter(until=9.0, error="oops", search="a b")
    client.list(sort="oldest", limit=4)
    assert supervisor.requests[-1].before_at is None


def test_list_without_the_history_says_so(
    client: Client, supervisor: FakeSupervisor, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor.answer = lambda request: messages.Jobs([make_info(1)], incomplete="it is asleep")
    assert [job.id for job in client.list()] == [1]
    assert "what has left the supervisor's memory is missing: it is asleep" in caplog.text


def test_figures_that_are_kept_are_put_together(client: Client, supervisor: FakeSupervisor) -> None:
    times = history.Times(3, 1.0, 2.0, 4.0)

    def row(ref: str | None, queue: str | None, **states: int) -> history.StatsRow:
        return history.StatsRow(None, ref, queue, 9, states, times, times, 0.5, 2048)

    rows = {
        "": [row(None, None, succeeded=3, failed=1, queued=2)],
        "ref": [row("app:f", None, failed=1), row("app:g", None, succeeded=3, queued=2)],
        "queue": [row(None, "mail", succeeded=3, failed=1, queued=2)],
    }
    supervisor.answer = lambda request: history.StatsReply(rows["".join(request.by)])
    found = client.stats(queue="mail", ref="app:f", since=5.0)
    assert supervisor.requests == [history.Stats(by, "app:f", "mail", 5.0) for by in ([], ["ref"], ["queue"])]
    assert (found.total.jobs, found.total.attempts, found.total.success_rate) == (6, 3, 0.75)
    assert (found.total.states, found.total.run) == ({"succeeded": 3, "failed": 1, "queued": 2}, times)
    assert [(one.name, one.jobs, one.success_rate) for one in found.jobs] == [("app:g", 5, 1.0), ("app:f", 1, 0.0)]
    assert [one.name for one in found.queues] == ["mail"]


def test_figures_of_nothing_are_none(client: Client, supervisor: FakeSupervisor) -> None:
    supervisor.answer = lambda request: history.StatsReply([])
    assert (client.stats().total.jobs, client.stats().total.run) == (0, history.Times())


@pytest.mark.parametrize("given", [{"state": "failed"}, {"tags": {"a": "b"}}, {"ref": "Alias"}])
def test_figures_that_are_not_kept_are_counted_job_by_job(
    client: Client, supervisor: FakeSupervisor, given: dict[str, Any]
) -> None:
    supervisor.answer = lambda request: messages.Jobs([make_info(1), make_info(2)])
    assert client.stats(**given).total.jobs == 2
    assert [type(request) for request in supervisor.requests] == [messages.List]


def test_mistakes_are_found_before_anything_is_sent(client: Client, supervisor: FakeSupervisor) -> None:
    for wrong in (
        lambda: client.remove(0),
        lambda: client.prune(older="soon"),
        lambda: client.stats(since="yesterday"),
    ):
        with pytest.raises(BadArguments):
            wrong()
    assert not supervisor.requests
