"""What a running job may ask and tell."""

from __future__ import annotations

import datetime
import math
import time
from pathlib import Path

import pytest
from yard import Yard


def test_job_knows_itself(yard: Yard) -> None:
    options = {"attempt": 2, "max_attempts": 5, "timeout_s": 100.0, "tags": {"user": "7"}, "queue": "mail"}
    found = yard.run("about", options=options).value
    deadline = found.pop("deadline")
    left = deadline - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(seconds=50) < left <= datetime.timedelta(seconds=100)
    assert found == {
        "id": 1,
        "attempt": 2,
        "max_attempts": 5,
        "tags": {"user": "7"},
        "meta": {"uid": "uid-1", "queue": "mail", "ref": "conformance_jobs:about"},
        "cancelled": False,
    }
    assert yard.run("about").value["deadline"] is None


def test_last_progress_is_never_lost(yard: Yard) -> None:
    attempt = yard.begin("tell_progress", 5000, 60)
    yard.wait(lambda: attempt.progress and attempt.progress[-1] == (5000.0, 5000.0, "step 5000"), "the last progress")
    assert attempt.exit is None
    yard.kill(attempt, grace_s=0.0)
    yard.finish(attempt)


def test_progress_that_goes_on_is_told_again_and_again(yard: Yard) -> None:
    attempt = yard.begin("tell_progress_slowly", 30, 0.04)
    yard.wait(lambda: len(attempt.progress) >= 5, "five words of progress")
    assert attempt.exit is None
    assert [done for done, _, _ in attempt.progress] == sorted({done for done, _, _ in attempt.progress})
    yard.finish(attempt)
    assert attempt.progress[-1][0] == 30.0


def test_progress_is_told_at_a_bounded_rate(yard: Yard) -> None:
    began_at = time.monotonic()
    attempt = yard.run("tell_progress", 20_000, 0)
    took_s = time.monotonic() - began_at
    assert 1 <= len(attempt.progress) <= 3 + took_s * 10
    assert attempt.progress[-1] == (20_000.0, 20_000.0, "step 20000")


def test_track_tells_progress(yard: Yard) -> None:
    attempt = yard.run("track", 10)
    assert attempt.value == 45 and attempt.progress[-1] == (10.0, 10.0, "tracking")


def test_progress_that_is_no_number_is_refused(yard: Yard) -> None:
    end = yard.run("progress_nonsense").end
    assert end is not None and end.error is not None
    assert end.error.type.endswith("BadArguments") and "'much'" in end.error.message


@pytest.mark.parametrize("leave", [True, False])
def test_scratch_directory_is_removed_after_the_attempt(yard: Yard, leave: bool) -> None:
    path = Path(yard.run("scratch", leave).value)
    yard.wait(lambda: not path.exists(), "the removal of the scratch directory")


def test_scratch_directory_of_a_crashed_job_is_removed(yard: Yard, tmp_path: Path) -> None:
    yard.run("scratch_and_crash", str(tmp_path / "where"))
    path = Path((tmp_path / "where").read_text().strip())
    yard.wait(lambda: not path.exists(), "the removal of the scratch directory")


def test_garbage_in_the_jobs_socket_is_no_result(yard: Yard) -> None:
    assert yard.run("write_garbage").value == "still heard"


@pytest.mark.parametrize("kind", ["zygote"], indirect=True)
@pytest.mark.parametrize(("life", "stall_s"), [(math.inf, 0.2), (1e300, 0.2), (-math.inf, 30.0), (math.nan, 30.0)])
def test_job_that_writes_nonsense_into_the_shared_page_ends_nobody_else(
    yard: Yard, life: float, stall_s: float
) -> None:
    other = yard.begin("sleep", 0.6)
    odd = yard.run("scribble_over_the_page", life, (1 << 64) - 1, 0.4, options={"stall_timeout_s": stall_s})
    yard.finish(other)
    assert (odd.value, other.value) == ("written", "slept")
    assert odd.exit is not None and odd.exit.usage is not None and odd.exit.usage.base_rss_bytes < 1 << 63
    assert yard.gone is None
