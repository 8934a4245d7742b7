"""Options, references, ids and the error tree."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobyard.protocol import errors, ids, job, options, refs, states
from jobyard.protocol.errors import BadArguments, JobyardError
from jobyard.protocol.job import Retry, utc


@pytest.mark.parametrize(
    "value, seconds",
    [
        (0, 0.0),
        (1.5, 1.5),
        ("90", 90.0),
        ("90s", 90.0),
        ("15m", 900.0),
        ("1h30m", 5400.0),
        (" 2 d ", 172800.0),
        ("1W", 604800.0),
        ("250ms", 0.25),
        ("1.5h", 5400.0),
        (timedelta(minutes=1), 60.0),
    ],
)
def test_duration_is_read(value: object, seconds: float) -> None:
    assert options.duration(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        -1,
        "-1s",
        "soon",
        "",
        "1x",
        "1h-",
        "s",
        True,
        None,
        [],
        {},
        float("nan"),
        10**400,
        float("inf"),
        "inf",
        "nan",
        1e12,
        "9" * 400,
    ],
)
def test_what_is_no_duration_is_refused_with_the_value(value: object) -> None:
    with pytest.raises(BadArguments) as caught:
        options.duration(value)
    assert repr(value)[:100] in caught.value.message and "15m" in caught.value.hint


@given(st.text())
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    for parse in (options.duration, options.duration_or_none, options.priority):
        try:
            parse(text)
        except BadArguments:
            pass


def test_time_limit_may_be_none_but_not_zero() -> None:
    assert options.duration_or_none(None) is options.duration_or_none(" None ") is None
    assert options.duration_or_none("5s") == 5.0
    with pytest.raises(BadArguments, match="not a time limit"):
        options.duration_or_none(0)


@pytest.mark.parametrize("value, number", [("high", 10), (" Normal", 0), ("LOW", -10), (7, 7), ("-3", -3)])
def test_priority_is_read(value: object, number: int) -> None:
    assert options.priority(value) == number


@pytest.mark.parametrize("value", ["urgent", 1.0, True, None, 10**7, "1.5"])
def test_what_is_no_priority_is_refused(value: object) -> None:
    with pytest.raises(BadArguments, match="not a priority"):
        options.priority(value)


BAD: list[tuple[str, object]] = [
    ("queue", "a b"),
    ("queue", ""),
    ("queue", "x" * 65),
    ("queue", "../etc"),
    ("queue", 7),
    ("retry", 7),
    ("retry", {"max_attempts": 0}),
    ("retry", {"max_attempts": True}),
    ("retry", {"backoff": 0.5}),
    ("retry", {"backoff": "2"}),
    ("retry", {"jitter": True}),
    ("retry", {"delay": []}),
    ("retry", {"delay": [1] * 1001}),
    ("retry", {"delay": ["soon"]}),
    ("retry", {"on": 7}),
    ("retry", {"on": [7]}),
    ("retry", {"on": [""]}),
    ("retry", {"tries": 3}),
    ("retries", -1),
    ("retries", 1.0),
    ("on_lost", "panic"),
    ("on_lost", []),
    ("at", "tomorrow"),
    ("at", True),
    ("at", -1),
    ("at", float("nan")),
    ("at", datetime(2026, 1, 1)),
    ("key", ""),
    ("key", "x" * 257),
    ("key", 7),
    ("tags", ["a"]),
    ("tags", {str(number): "x" for number in range(33)}),
    ("tags", {"a": 1}),
    ("tags", {1: "a"}),
    ("tags", {"": "a"}),
    ("tags", {"a": "x" * 257}),
    ("durability", "maybe"),
]


@pytest.mark.parametrize("name, value", BAD)
def test_bad_value_of_an_option_names_the_option(name: str, value: object) -> None:
    with pytest.raises(BadArguments) as caught:
        options.parse(options.ALL_OPTIONS, {name: value})
    assert f"option {name}" in caught.value.message


def test_bad_part_of_a_retry_policy_is_named_once() -> None:
    with pytest.raises(BadArguments) as caught:
        options.parse(options.ALL_OPTIONS, {"retry": {"delay": "soon"}})
    assert caught.value.message == "option retry: key delay: 'soon' is not a duration"


def test_every_option_is_read() -> None:
    at = datetime(2026, 10, 1, tzinfo=UTC)
    given = {
        "queue": "mail",
        "priority": "high",
        "timeout": "none",
        "grace": 0,
        "retry": Retry(2, ["1s", 5], 2.0, "1m", 0.1, [ValueError, "timeout"], OSError),  # type: ignore[arg-type]
        "on_lost": "fail",
        "at": at,
        "key": "k",
        "tags": {"a": "b"},
    }
    assert options.parse(options.ALL_OPTIONS, given) == {
        "queue": "mail",
        "priority": 10,
        "timeout": None,
        "grace": 0.0,
        "retry": {
            "max_attempts": 2,
            "delay": [1.0, 5.0],
            "backoff": 2.0,
            "max_delay": 60.0,
            "jitter": 0.1,
            "on": ["ValueError", "timeout"],
            "give_up_on": ["OSError"],
        },
        "on_lost": "fail",
        "at": at.timestamp(),
        "key": "k",
        "tags": {"a": "b"},
    }


@pytest.mark.parametrize("both", [{"retry": {}, "retries": 1}, {"delay": 1, "at": 5.0}])
def test_options_that_exclude_each_other_are_refused(both: dict[str, object]) -> None:
    with pytest.raises(BadArguments, match="both"):
        options.parse(options.ALL_OPTIONS, both)


@pytest.mark.parametrize("name, hint", [("que", "'queue'"), ("zzz", "known: ")])
def test_unknown_option_suggests_one(name: str, hint: str) -> None:
    with pytest.raises(BadArguments) as caught:
        options.parse(options.POLICY_OPTIONS, {name: 1})
    assert hint in caught.value.hint


# -- references --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ref", ["m:f", "app.reports:build", "a.b.c:Class.method", "_m:_f"])
def test_reference_is_split(ref: str) -> None:
    assert refs.split_ref(ref) == tuple(ref.split(":")) and refs.is_ref(ref)


@pytest.mark.parametrize(
    "ref", ["", "m", "m:", ":f", "m:f:g", "m.:f", "m:a.b.c", "m:f ", "m:f\n", "1m:f", "m/x:f", "m:f()"]
)
def test_what_is_no_reference_is_refused(ref: str) -> None:
    assert not refs.is_ref(ref)
    with pytest.raises(BadArguments) as caught:
        refs.split_ref(ref)
    assert repr(ref) in caught.value.message


@pytest.mark.parametrize("pattern", ["m:f", "m:*", "a.b:Class.*", "a.b:Class.method"])
def test_pattern_is_one(pattern: str) -> None:
    assert refs.is_pattern(pattern)


@pytest.mark.parametrize("pattern", ["*", "m:*.f", "m.*:f", "m:f*", "m:*.*", "m", ""])
def test_what_is_no_pattern_is_none(pattern: str) -> None:
    assert not refs.is_pattern(pattern)


@pytest.mark.parametrize(
    "pattern, ref, yes",
    [
        ("m:f", "m:f", True),
        ("m:f", "m:g", False),
        ("m:*", "m:f", True),
        ("m:*", "mm:f", False),
        ("m:*", "m:C.f", False),
        ("m:*", "m:_f", False),
        ("m:C.*", "m:C.f", True),
        ("m:C.*", "m:C.__init__", False),
        ("m:C.*", "m:D.f", False),
        ("m:_f", "m:_f", True),
    ],
)
def test_pattern_allows_what_it_names(pattern: str, ref: str, yes: bool) -> None:
    assert refs.matches(pattern, ref) is refs.allowed(["x:y", pattern], ref) is yes


@pytest.mark.parametrize(
    "name, yes",
    [("m:_f", True), ("m:C._f", True), ("_f", True), ("m._f", True), ("_m:f", False), ("m:_C.f", False), ("", False)],
)
def test_name_is_private_by_its_last_part(name: str, yes: bool) -> None:
    assert refs.is_private(name) is yes


def test_name_for_people_puts_an_at_between_class_and_method() -> None:
    assert (refs.display_name("m:C.f"), refs.display_name("m:f")) == ("C@f", "f")


# -- ids, states, errors -----------------------------------------------------------------------------------------------


def test_uids_are_valid_distinct_and_carry_their_time() -> None:
    made = [ids.new_uid() for _ in range(100)]
    assert len(set(made)) == 100 and all(ids.is_uid(uid) for uid in made)
    assert abs(ids.uid_time(made[0]) - datetime.now(UTC).timestamp()) < 3600


@pytest.mark.parametrize("uid", ["", "0" * 31, "0" * 33, "g" * 32, "A" * 32, "0" * 32 + "\n"])
def test_what_is_no_uid_is_none(uid: str) -> None:
    assert not ids.is_uid(uid)


def test_attempt_is_named_by_job_and_number() -> None:
    assert ids.attempt_id(42, 1) == "42.1"


def test_states_are_finished_or_not() -> None:
    assert set(states.STATES) == states.FINISHED | states.UNFINISHED and not states.FINISHED & states.UNFINISHED
    assert set(states.OUTCOMES) >= states.CRASHES


def test_codes_are_distinct_and_complete() -> None:
    classes = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, JobyardError)]
    assert len({cls.code for cls in classes}) == len(classes) == len(errors.BY_CODE)


@pytest.mark.parametrize(
    "cls, base",
    [
        (errors.SupervisorUnavailable, ConnectionError),
        (errors.BadArguments, TypeError),
        (errors.NotSerializable, TypeError),
        (errors.JobNotFound, LookupError),
        (errors.WaitTimeout, TimeoutError),
    ],
)
def test_error_is_also_what_the_standard_library_would_raise(cls: type[JobyardError], base: type[Exception]) -> None:
    assert issubclass(cls, base)


def test_job_that_timed_out_is_no_timeout_of_the_caller() -> None:
    assert not issubclass(errors.JobTimedOut, TimeoutError)


def test_error_without_a_message_says_what_its_class_stands_for() -> None:
    assert errors.QueueFull().message == "A limit on the number or size of unfinished jobs is reached"


@pytest.mark.parametrize("option, other", [("on_duplicate", "key"), ("on_parent_failure", "after")])
def test_option_about_another_one_is_refused_without_it(option: str, other: str) -> None:
    value, others = {"on_duplicate": ("raise", "k"), "on_parent_failure": ("run", [])}[option]
    with pytest.raises(BadArguments, match=f"option {option} says nothing without {other}"):
        options.parse_call({option: value})
    assert options.parse_call({option: value, other: others}) == {option: value, other: others}


def test_error_shows_its_hint() -> None:
    assert str(errors.NotAllowed("no", hint="jobctl catalog")) == "no\ntry: jobctl catalog"
    assert str(errors.NotAllowed("no")) == "no"


@pytest.mark.parametrize("cls", errors.BY_CODE.values(), ids=lambda cls: cls.__name__)
def test_every_error_can_be_pickled(cls: type[JobyardError]) -> None:
    error = cls("what", hint="do", details={"id": 7})
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls and again.to_wire() == error.to_wire()


def test_outcome_errors_read_their_details() -> None:
    failed = errors.JobFailed("x", details={"type": "t", "traceback": "tb", "attempts": 2})
    assert (failed.type, failed.traceback, failed.attempts) == ("t", "tb", 2)
    crashed = errors.JobCrashed("x", details={"signal": "SIGKILL", "exit_code": None, "oom": True})
    assert (crashed.signal, crashed.exit_code, crashed.oom) == ("SIGKILL", None, True)
    bare: Any = errors.JobFailed("x")
    assert (bare.type, bare.traceback, bare.attempts) == ("", "", 0)


def test_what_a_job_raises_about_itself() -> None:
    later = errors.RetryLater(5, count=True, reason="busy")
    assert (later.delay, later.count, str(later)) == (5, True, "busy")
    assert str(errors.RetryLater()) == "try again later"
    for cls in (errors.CancelRequested, errors.SoftTimeout):
        assert not issubclass(cls, Exception)


def test_times_are_aware_datetimes_in_utc() -> None:
    assert utc(0.0) == datetime(1970, 1, 1, tzinfo=UTC) and utc(None) is None


def test_error_of_a_job_is_that_of_its_last_attempt() -> None:
    raised = job.ErrorInfo("T", "m")
    attempts = [job.AttemptInfo(1, 0.0, error=raised), job.AttemptInfo(2, 1.0)]
    info = job.JobInfo(1, "u", "r", "n", "queued", "q", "p", 0, 0.0, 0.0, job.Policy(), b"", attempts=attempts)
    assert info.error is None and info.last_attempt is attempts[1]
    info.attempts.pop()
    assert info.error is raised
