"""Filters with nothing in them, as ``--queue "$QUEUE"`` is where QUEUE is not set: they never mean every job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.mark.parametrize(
    "option", ["--queue", "--job", "--since", "--state", "--tag", "--error", "--search", "--after"]
)
@pytest.mark.parametrize("verb", ["list", "cancel", "rm", "stats"])
def test_an_empty_value_is_refused(jobctl: Run, supervisor: Any, verb: str, option: str) -> None:
    ended = jobctl(verb, "--state", "failed", option, "")
    assert (ended.code == 2 and f"{option} ''" in ended.err) or "there is no state ''" in ended.err
    assert supervisor.requests == []


@pytest.mark.parametrize("word", ["0", "-1", "x", "9" * 19, "\u0663", "1_0", " 1"])
def test_after_takes_the_id_of_a_job(jobctl: Run, supervisor: Any, word: str) -> None:
    ended = jobctl("list", f"--after={word}")
    assert (ended.code, ended.err) == (2, f"error: --after {word!r} is not a job id\ntry: write --after 42\n")
    assert supervisor.requests == []


@pytest.mark.parametrize("option", ["--config", "--env", "--socket"])
@pytest.mark.parametrize("form", ["{} ", "{}="])
def test_an_option_that_names_no_supervisor_does_not_mean_the_usual_one(
    jobctl: Run, supervisor: Any, option: str, form: str
) -> None:
    words = [option, ""] if form.endswith(" ") else [f"{option}="]
    ended = jobctl("down", *words)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"error: {option} '' names nothing\n")
    assert supervisor.requests == []
