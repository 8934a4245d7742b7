"""Whether and when a failed attempt is tried again. Pure functions of the policy and of what happened."""

from __future__ import annotations

import zlib

from .job import ErrorInfo, Policy, RetryPolicy
from .states import CRASHES, TIMEOUT

LONGEST_S = 10 * 365 * 86400.0


def delay_s(policy: RetryPolicy, uid: str, failure: int) -> float:
    """Seconds to wait after the ``failure``-th failed attempt, counted from 1.

    The wait is the policy's for that failure (the last one repeats), times ``backoff`` per failure before it, at most
    ``max_delay_s``; jitter makes it up to that part longer or shorter. The jitter is a hash of job and failure, so that
    a replay gives the same answer.
    """
    listed = policy.delays_s
    base = listed[min(failure, len(listed)) - 1]
    steps = failure - len(listed)
    wait = base
    if policy.backoff > 1.0 and steps > 0:
        try:
            wait = base * policy.backoff**steps
        except OverflowError:
            wait = float("inf")
    if policy.max_delay_s is not None:
        wait = min(wait, policy.max_delay_s)
    if policy.jitter:
        unit = zlib.crc32(f"{uid}.{failure}".encode()) / 0xFFFFFFFF
        wait *= 1 + policy.jitter * (2 * unit - 1)
        if policy.max_delay_s is not None:
            wait = min(wait, policy.max_delay_s)
    return min(wait, LONGEST_S)


def may_retry(policy: Policy, spent: int, outcome: str, error: ErrorInfo | None) -> bool:
    """Whether a job with ``spent`` counted attempts may be tried again after this outcome."""
    retry = policy.retry
    if spent >= retry.max_attempts:
        return False
    names = _names(outcome, error)
    if names & set(retry.give_up_on):
        return False
    return not retry.on or bool(names & set(retry.on))


def _names(outcome: str, error: ErrorInfo | None) -> set[str]:
    """What ``on`` and ``give_up_on`` may call it: the exception's classes, or the outcome."""
    if error is not None:
        return {error.type, *error.kinds}
    if outcome == TIMEOUT:
        return {"timeout"}
    return {"crash", outcome} if outcome in CRASHES else {outcome}
