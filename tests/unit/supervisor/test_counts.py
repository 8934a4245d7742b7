"""Jobs in memory beside those that the history has counted: each counts once."""

from __future__ import annotations

from jobyard.protocol.history import Stats
from jobyard.protocol.job import Policy
from jobyard.supervisor.core import records as r
from jobyard.supervisor.core.state import State
from jobyard.supervisor.counts import counted, uncounted
from jobyard.supervisor.history.series import Former, Tally, hour_of

AT = 1_790_000_000.0
REQUEST = Stats([])


def state_with(*, ends: str | None) -> tuple[State, Former]:
    """One job that failed, was put back after that was counted, and perhaps has ended again."""
    state = State()
    policy = Policy()
    state.apply(r.Submitted([r.NewJob(1, "1" * 32, "app:f", "f", b"", "default", 0, policy, AT, AT)]))
    state.apply(r.Started(1, 1, AT + 1, "z", 1, 4711, 1))
    state.apply(r.Ended(1, 1, AT + 2, "error", "failed"))
    former = Former(1, "1" * 32, "failed", "app:f", "default", AT + 2, 1)
    state.apply(r.Requeued(1, AT + 5000, "me"))
    if ends is not None:
        state.apply(r.Started(1, 2, AT + 5001, "z", 2, 4712, 1))
        state.apply(r.Ended(1, 2, AT + 5002, "ok", ends))
    return state, former


def history() -> dict[tuple[None, None, None], Tally]:
    """What it has counted of the job."""
    tally = Tally(submitted=1)
    tally.states["failed"] += 1
    tally.run.add(1.0)
    return {(None, None, None): tally}


def test_job_that_was_put_back_counts_as_what_it_is_now() -> None:
    for ends, expected, attempts in ((None, "queued", 1), ("succeeded", "succeeded", 2)):
        state, former = state_with(ends=ends)
        assert uncounted(state, 1) == [1]
        (row,) = counted(state, REQUEST, 1, dict(history()), [former]).rows
        assert (row.submitted, row.states, row.run.count) == (1, {expected: 1}, attempts)


def test_hour_in_which_nothing_is_left_is_no_row() -> None:
    state, former = state_with(ends="succeeded")
    request = Stats(["hour"])
    first = Tally(states=history()[None, None, None].states)
    rows = counted(state, request, 1, {(hour_of(AT + 2), None, None): first}, [former]).rows
    assert [row.states for row in rows] == [{"succeeded": 1}]


def test_another_job_of_the_same_number_is_no_former_one() -> None:
    state, former = state_with(ends="succeeded")
    (row,) = counted(state, REQUEST, 1, dict(history()), [former._replace(uid="2" * 32)]).rows
    assert row.submitted == 2
