"""Requests with words of megabytes, as the protocol allows: refused at once, and not repeated in the log."""

from __future__ import annotations

import logging

import pytest
from desk_bench import DeskBench
from jobyard.protocol import messages as m
from jobyard.supervisor.refusals import SAID_CHARS_MAX

LONG = "x" * 1_000_000


@pytest.fixture
def desk() -> DeskBench:
    return DeskBench()


def test_reason_of_a_cancel_is_bounded(desk: DeskBench) -> None:
    """It goes to whoever ends the job in one packet, and into a record for each."""
    longest = m.Cancel([1], reason="x" * m.CANCEL_REASON_CHARS_MAX)
    assert desk.ask(longest)["error"]["code"] == "job_not_found"
    error = desk.ask(m.Cancel([1], reason="x" * (m.CANCEL_REASON_CHARS_MAX + 1)))["error"]
    assert error["code"] == "bad_arguments" and error["message"].endswith("at most 1,000 characters")


@pytest.mark.parametrize("request_", [m.RecyclePool(LONG), m.SetQueue("open", LONG), m.Stop(LONG)])
def test_long_word_is_not_repeated_in_the_log(
    desk: DeskBench, request_: m.Request, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "jobyard"):
        assert desk.ask(request_)["error"]["message"]
    assert caplog.records and all(len(record.getMessage()) < 2 * SAID_CHARS_MAX for record in caplog.records)
