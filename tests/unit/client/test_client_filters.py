"""Filters that name none of something, as a list that was computed may: they never mean every job."""

from __future__ import annotations

import pytest
from jobyard.client import exchange
from jobyard.client.exchange import event_filter, job_filter
from jobyard.protocol import messages
from jobyard.protocol.errors import BadArguments


def test_no_states_are_not_all_states() -> None:
    assert job_filter(None, "mail", None, None, None).states == []
    with pytest.raises(BadArguments, match=r"state=\[\] names none"):
        job_filter([], "mail", None, None, None)


def test_no_states_are_nothing_to_prune() -> None:
    with pytest.raises(BadArguments, match=r"state=\(\) names none"):
        next(exchange.prune(0, (), False))


def test_no_kinds_of_events_are_not_all_kinds() -> None:
    with pytest.raises(BadArguments, match=r"kinds=\[\] names none"):
        event_filter(None, None, [])


def test_fewer_than_no_jobs_are_not_listed() -> None:
    with pytest.raises(BadArguments, match="limit=-1 is no number of jobs"):
        next(exchange.listed(messages.Filter(), "newest", -1))
