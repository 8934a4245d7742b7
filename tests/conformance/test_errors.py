"""What a job raises, and what is told of it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from jobyard.protocol.job import ErrorInfo
from yard import MakeYard, Yard


def error_of(yard: Yard, function: str, *args: object, kind: str = "error", **given: Any) -> ErrorInfo:
    attempt = yard.run(function, *args, **given)
    assert attempt.end is not None and attempt.end.kind == kind, attempt.end
    assert attempt.end.error is not None and attempt.exit is not None and attempt.exit.exit_code == 0
    return attempt.end.error


def places_of(error: ErrorInfo) -> list[str]:
    """The functions in its traceback, each with its file."""
    return [
        f"{file.rpartition('/')[2]}:{name}" for file, name in re.findall(r'File "(.+)", .+, in (\S+)', error.traceback)
    ]


def test_exception_is_told_with_its_classes_and_traceback(yard: Yard) -> None:
    error = error_of(yard, "fail", "special")
    assert error.type == "conformance_jobs.Special" and error.message == "it went wrong"
    assert error.kinds == ("conformance_jobs.Special", "ValueError", "Exception", "BaseException")
    lines = error.traceback.splitlines()
    assert lines[0] == "Traceback (most recent call last):" and "conformance_jobs.py" in lines[1]
    assert lines[-1] == "conformance_jobs.Special: it went wrong"
    assert "local value" not in error.traceback.replace('secret = "local value', "")


def test_exception_without_text_is_told(yard: Yard) -> None:
    error = error_of(yard, "fail", "broken")
    assert error.type == "conformance_jobs.Broken" and "__str__ raised RuntimeError" in error.message


def test_huge_message_is_cut_in_the_middle(yard: Yard) -> None:
    error = error_of(yard, "fail", "huge")
    assert len(error.message) < 10_000 and error.message.startswith("hhh") and error.message.endswith("tail")
    assert len(error.traceback) < 70_000


def test_text_that_cannot_be_encoded_is_told(yard: Yard) -> None:
    assert error_of(yard, "fail", "surrogate").message == "bad \\udcff text"


def test_sys_exit_is_an_error(yard: Yard) -> None:
    error = error_of(yard, "fail", "exit")
    assert error.type == "SystemExit" and error.message == "the job called sys.exit(3)"


def test_keyboard_interrupt_is_an_error(yard: Yard) -> None:
    assert error_of(yard, "fail", "interrupt").type == "KeyboardInterrupt"


def test_give_up_is_told_as_such(yard: Yard) -> None:
    assert error_of(yard, "fail", "give_up", kind="give_up").message == "never again"


def test_retry_later_carries_delay_and_count(yard: Yard) -> None:
    end = yard.run("fail", "later").end
    assert end is not None and (end.kind, end.delay_s, end.counted) == ("retry_later", 2.5, True)


def test_retry_later_takes_a_duration_as_text(yard: Yard) -> None:
    end = yard.run("fail", "later_text").end
    assert end is not None and (end.kind, end.delay_s, end.counted) == ("retry_later", 900.0, False)


def test_retry_later_with_nonsense_is_an_error_that_says_so(yard: Yard) -> None:
    assert "soonish" in error_of(yard, "fail", "later_bad").message


@pytest.mark.parametrize("which", ["own_not_allowed", "own_cancel", "memory"])
def test_errors_of_ours_that_the_job_raises_itself_are_errors(yard: Yard, which: str) -> None:
    assert error_of(yard, "fail", which)


def test_members_of_a_group_are_told(yard: Yard) -> None:
    error = error_of(yard, "fail", "group")
    assert "ValueError: one" in error.traceback and "TypeError: two" in error.traceback


def test_causes_are_told_oldest_first(yard: Yard) -> None:
    text = error_of(yard, "cause_chain").traceback
    first, second, third = (
        text.index(word) for word in ("KeyError: 'first'", "ValueError: second", "RuntimeError: third")
    )
    assert first < second < third
    assert text.count("direct cause") == 1 and text.count("During handling") == 1


def test_causes_in_a_circle_come_to_an_end(yard: Yard) -> None:
    text = error_of(yard, "circular_cause").traceback
    assert text.count("ValueError: one") == 1 and text.count("ValueError: two") == 1


def test_deep_recursion_is_an_error(yard: Yard) -> None:
    error = error_of(yard, "recurse")
    assert error.type == "RecursionError" and "repeated" in error.traceback


def test_wrong_arguments_are_a_type_error(yard: Yard) -> None:
    assert error_of(yard, "add", 1).type == "TypeError"


def test_traceback_is_cut_to_its_limit(make_yard: MakeYard) -> None:
    yard = make_yard(traceback_bytes=2000)
    error = error_of(yard, "cause_chain")
    assert len(error.traceback) <= 2100
    error = error_of(yard, "fail", "huge")
    assert "left out" in error.traceback and error.traceback.startswith("Traceback") and "tail" in error.traceback


def test_traceback_of_an_error_of_ours_ends_where_the_job_caused_it(yard: Yard) -> None:
    error = error_of(yard, "progress_nonsense")
    assert error.type == "jobyard.protocol.errors.BadArguments"
    assert places_of(error) == ["conformance_jobs.py:progress_nonsense"]


def test_traceback_of_an_async_job_begins_in_the_job(yard: Yard) -> None:
    assert places_of(error_of(yard, "async_fail")) == ["conformance_jobs.py:async_fail"]


@pytest.mark.parametrize("function", ["sleep", "async_sleep"])
def test_traceback_of_a_stopped_job_is_the_jobs_alone(yard: Yard, function: str) -> None:
    error = error_of(yard, function, 60, options={"soft_timeout_s": 0.3})
    places = places_of(error)
    assert places[0] == f"conformance_jobs.py:{function}"
    assert [place for place in places if not place.startswith(("conformance_jobs.py:", "tasks.py:sleep"))] == []
    assert error.traceback.endswith("SoftTimeout: ran longer than its soft timeout of 0.3 s\n")
