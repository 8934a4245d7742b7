"""Requests that wait: how many jobs they may name, and that one of very many is found at once."""

from __future__ import annotations

import pytest
from jobyard.protocol.errors import QueueFull
from jobyard.protocol.messages import Wait
from jobyard.supervisor.parked import IDS_EACH, Parked
from jobyard.supervisor.sockets import Peer
from jobyard.supervisor.token import Token

TOKEN = Token(Peer(b"1", "a:1:1:1"), "1", "wait")


def nothing(token: Token, request: Wait) -> None:
    """The answer is of no interest."""


def test_ids_that_are_waited_for_are_bounded_also_if_one_is_named_again_and_again() -> None:
    parked = Parked(limit=10, share=10)
    parked.park_wait(TOKEN, Wait([7] * 9 * IDS_EACH), {7})
    with pytest.raises(QueueFull, match="900 jobs are waited for already, and this would be 200 more"):
        parked.park_wait(TOKEN, Wait([8] * 2 * IDS_EACH), {8})
    parked.park_wait(TOKEN, Wait([8] * IDS_EACH), {8})
    parked.finished(7, nothing)
    parked.park_wait(TOKEN, Wait([9] * 9 * IDS_EACH), {9})
    assert len(parked) == 2


def test_wait_for_any_leaves_no_trace_at_the_jobs_that_go_on() -> None:
    parked = Parked(limit=3, share=3)
    parked.park_wait(TOKEN, Wait([1, 2, 3], any=True), {1, 2, 3})
    parked.park_wait(TOKEN, Wait([2, 3]), {2, 3})
    answered: list[Wait] = []
    for job_id in (2, 3, 1):
        parked.finished(job_id, lambda token, request: answered.append(request))
    assert [request.any for request in answered] == [True, False]
    assert len(parked) == 0
