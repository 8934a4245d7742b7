"""Counts and times: buckets hold what they say, sums are sums, and percentiles are near enough."""

from __future__ import annotations

import dataclasses

import msgpack
import pytest
from finished import AT, finished
from hypothesis import given
from hypothesis import strategies as st
from jobyard.protocol.history import Times as Spread
from jobyard.supervisor.history.series import BUCKETS, Series, Tally, Times, bound_s, bucket, grouped, hour_of

SECONDS = st.floats(0.0, 1e7)


@given(SECONDS)
def test_time_is_within_its_bucket(seconds: float) -> None:
    number = bucket(seconds)
    assert 0 <= number < BUCKETS
    assert number == BUCKETS - 1 or seconds <= bound_s(number) * (1 + 1e-9)
    assert number == 0 or seconds >= bound_s(number - 1) * (1 - 1e-9)


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=50))
def test_percentiles_are_within_five_percent(times: list[float]) -> None:
    found = Times()
    for seconds in times:
        found.add(seconds)
    spread, ordered = found.spread(), sorted(times)
    assert spread.p50_s is not None and spread.p95_s is not None
    for part, value in ((0.5, spread.p50_s), (0.95, spread.p95_s)):
        rank = -(-part * len(ordered) // 1) - 1
        exact = ordered[int(rank)]
        assert exact / 1.05 <= value <= exact * 1.05
    assert (spread.count, spread.max_s) == (len(times), ordered[-1])


def test_no_times_have_no_spread() -> None:
    assert Times().spread() == Spread()
    series = Series()
    series.ended(finished(1, "cancelled", attempt=0))
    [tally] = series.tallies.values()
    assert (tally.states, tally.wait.spread()) == ({"cancelled": 1}, Spread())


def test_end_counts_with_its_attempts_and_those_before_a_put_back_only_once() -> None:
    series = Series()
    for number, attempts, counted in ((1, 1, 0), (2, 3, 0), (3, 3, 2)):
        job = finished(number)
        job.attempts = tuple(dataclasses.replace(job.attempts[0], number=one + 1) for one in range(attempts))
        series.submitted(job)
        series.ended(job, counted)
    [tally] = series.tallies.values()
    row = tally.row((None, None, None))
    assert (row.submitted, row.states, row.cpu_s, row.peak_rss_bytes) == (3, {"succeeded": 3}, 5 * 0.75, 1000)
    assert (row.wait.count, row.wait.max_s) == (5, 5.0)
    assert (row.run.count, row.run.max_s) == (5, pytest.approx(1.0))


def test_job_that_has_not_ended_counts_by_its_state() -> None:
    series = Series()
    job = finished(1)
    job.state = "queued"
    series.unfinished(job)
    [tally] = series.tallies.values()
    assert (tally.submitted, tally.states, tally.run.counts) == (1, {"queued": 1}, {})


def test_submit_and_end_count_in_their_own_hours() -> None:
    job = finished(1, finished_at=AT + 7200)
    series = Series()
    series.submitted(job)
    series.ended(job)
    assert {hour for hour, _, _ in series.tallies} == {hour_of(job.created_at), hour_of(AT + 7200)}


def test_tally_survives_the_wire_and_groups_add_up() -> None:
    series = Series()
    for number in range(1, 30):
        series.ended(finished(number, queue=f"q{number % 3}", created_at=AT + 1000 * number))
    again = {key: Tally.from_wire(msgpack.unpackb(msgpack.packb(one.to_wire()))) for key, one in series.tallies.items()}
    assert again == series.tallies
    by_queue = grouped(again.items(), ["queue"])
    ended = {queue: tally.states["succeeded"] for (_, _, queue), tally in by_queue.items()}
    assert ended == {"q0": 9, "q1": 10, "q2": 10}
    [whole] = grouped(again.items(), []).values()
    assert sum(whole.run.counts.values()) == 29
