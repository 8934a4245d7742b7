"""When a failed job is tried again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobyard.protocol.failure import describe
from jobyard.protocol.job import ErrorInfo, Policy, RetryPolicy
from jobyard.protocol.options import class_names
from jobyard.protocol.retry import delay_s, may_retry


@pytest.mark.parametrize(
    ("policy", "waits"),
    [
        (RetryPolicy(delays_s=(5.0,)), [5.0, 5.0, 5.0]),
        (RetryPolicy(delays_s=(5.0,), backoff=2.0), [5.0, 10.0, 20.0]),
        (RetryPolicy(delays_s=(5.0,), backoff=2.0, max_delay_s=12.0), [5.0, 10.0, 12.0]),
        (RetryPolicy(delays_s=(1.0, 60.0)), [1.0, 60.0, 60.0]),
        (RetryPolicy(delays_s=(1.0, 10.0), backoff=3.0), [1.0, 10.0, 30.0]),
        (RetryPolicy(delays_s=(0.0,)), [0.0, 0.0, 0.0]),
    ],
)
def test_waits(policy: RetryPolicy, waits: list[float]) -> None:
    assert [delay_s(policy, "u", failure) for failure in (1, 2, 3)] == waits


@given(st.text(), st.integers(1, 10_000), st.floats(0, 1), st.floats(1, 100))
def test_wait_is_within_its_jitter_and_always_the_same(uid: str, failure: int, jitter: float, backoff: float) -> None:
    policy = RetryPolicy(delays_s=(10.0,), jitter=jitter, backoff=backoff, max_delay_s=50.0)
    plain = delay_s(RetryPolicy(delays_s=(10.0,), backoff=backoff, max_delay_s=50.0), uid, failure)
    wait = delay_s(policy, uid, failure)
    assert plain * (1 - jitter) - 1e-9 <= wait <= min(50.0, plain * (1 + jitter)) + 1e-9
    assert wait == delay_s(policy, uid, failure)


def test_endless_backoff_does_not_overflow() -> None:
    assert delay_s(RetryPolicy(delays_s=(5.0,), backoff=100.0), "u", 10_000) == 10 * 365 * 86400.0


ERROR = ErrorInfo("app.Oops", "no", "", ("app.Oops", "ValueError", "Exception"))


@pytest.mark.parametrize(
    ("retry", "outcome", "error", "expected"),
    [
        (RetryPolicy(), "error", ERROR, True),
        (RetryPolicy(max_attempts=1), "error", ERROR, False),
        (RetryPolicy(on=("app.Oops",)), "error", ERROR, True),
        (RetryPolicy(on=("ValueError",)), "error", ERROR, True),
        (RetryPolicy(on=("KeyError",)), "error", ERROR, False),
        (RetryPolicy(on=("KeyError",)), "timeout", None, False),
        (RetryPolicy(on=("timeout",)), "timeout", None, True),
        (RetryPolicy(on=("crash",)), "signalled", None, True),
        (RetryPolicy(give_up_on=("Exception",)), "error", ERROR, False),
        (RetryPolicy(give_up_on=("crash",)), "exited", None, False),
        (RetryPolicy(give_up_on=("KeyError",)), "error", ERROR, True),
    ],
)
def test_what_is_tried_again(retry: RetryPolicy, outcome: str, error: ErrorInfo | None, expected: bool) -> None:
    assert may_retry(Policy(retry=retry), 1, outcome, error) is expected


class Late(Exception): ...


@pytest.mark.parametrize("named", [ConnectionError, "ConnectionError", "builtins.ConnectionError", OSError, Late])
def test_classes_and_names_mean_the_errors_that_a_child_reports(named: type | str) -> None:
    class Refused(Late, ConnectionRefusedError): ...

    kind, message, traceback, kinds = describe(Refused("no"), 1000)
    reported = ErrorInfo(kind, message, traceback, tuple(kinds))
    names = tuple(class_names(named))
    assert may_retry(Policy(retry=RetryPolicy(on=names)), 1, "error", reported)
    assert not may_retry(Policy(retry=RetryPolicy(give_up_on=names)), 1, "error", reported)
