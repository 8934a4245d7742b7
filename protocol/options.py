"""The options of a job, defined once: for ``client.options()``, ``@task`` and the config alike.

Each option has a parser from what people write (``"15m"``, ``"high"``, a timedelta) to its plain value. An option that
is absent is decided by the next place (call, ``[jobs.X]``, ``@task``, ``[queues.X]``, ``[defaults]``). None means
"none".
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from .errors import BadArguments
from .failure import qualified
from .ids import JOB_ID_MAX, is_name
from .states import PRIORITIES, PRIORITY_MAX, PRIORITY_MIN
from .text import shown

DURATION_MAX_S = 100 * 365 * 86400.0
ATTEMPTS_MAX = 10_000
WORD_CHARS_MAX = 200  # of what may be a mistyped name: to look for one like a longer text takes seconds
LOG_FORMATS = ("plain", "string", "json", "laravel")  # of the supervisor's own log
_LATEST = 253_402_300_799  # the end of the year 9999, which is the last that a datetime can hold
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d|w))+\Z")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_DURATION_HINT = 'a number of seconds, a timedelta, or text such as "90s", "15m", "1h30m", "2d"'


def duration(value: object) -> float:
    """Seconds from a number, a timedelta, or text such as ``"1h30m"``.

    Raises:
        BadArguments: not a duration, negative, or over 100 years.
    """
    seconds: float | None = None
    if isinstance(value, bool):
        pass
    elif isinstance(value, int | float):
        seconds = float(value) if abs(value) <= DURATION_MAX_S else None
    elif isinstance(value, str):
        text = value.strip().lower().replace(" ", "")
        if _DURATION.match(text):
            seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
        else:
            try:
                seconds = float(text)
            except ValueError:
                pass
    elif type(value).__name__ == "timedelta" and hasattr(value, "total_seconds"):
        seconds = float(value.total_seconds())
    if seconds is None or not math.isfinite(seconds) or not 0 <= seconds <= DURATION_MAX_S:
        raise BadArguments(f"{shown(value)} is not a duration", hint=f"give {_DURATION_HINT}")
    return seconds


def duration_or_none(value: object) -> float | None:
    """As ``duration``, where None and ``"none"`` mean no limit."""
    if value is None or (isinstance(value, str) and value.strip().lower() == "none"):
        return None
    seconds = duration(value)
    if seconds == 0:
        raise BadArguments(f"{shown(value)} is not a time limit", hint='give a positive duration, or "none"')
    return seconds


def priority(value: object) -> int:
    """A priority number from a number or ``"high"``, ``"normal"``, ``"low"``; a higher number runs first."""
    if isinstance(value, str):
        text = value.strip().lower()
        if text in PRIORITIES:
            return PRIORITIES[text]
        try:
            value = int(text)
        except ValueError:
            pass
    if isinstance(value, bool) or not isinstance(value, int) or not PRIORITY_MIN <= value <= PRIORITY_MAX:
        raise BadArguments(
            f"{shown(value)} is not a priority", hint='give "high" (10), "normal" (0), "low" (-10) or a whole number'
        )
    return value


def name(value: object) -> str:
    if not isinstance(value, str) or not is_name(value):
        raise BadArguments(
            f"{shown(value)} is not a name", hint="use letters, digits, '.', '_' and '-', at most 64 of them"
        )
    return value


def count(low: int, high: int) -> Callable[[object], int]:
    def parse(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise BadArguments(f"{shown(value)} is not a whole number from {low} to {high}")
        return value

    return parse


def number(low: float, high: float) -> Callable[[object], float]:
    def parse(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise BadArguments(f"{shown(value)} is not a number from {low:g} to {high:g}")
        return float(value)

    return parse


def one_of(*words: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value not in words:
            raise BadArguments(f"{shown(value)} is none of " + ", ".join(repr(word) for word in words))
        return str(value)

    return parse


def class_names(value: object) -> list[str]:
    """Names from classes or names, for ``Retry.on``: qualified, but for those of builtins, as attempts report them."""
    if isinstance(value, str | type):
        value = [value]
    if not isinstance(value, list | tuple):
        raise BadArguments(f"{shown(value)} is not a list of exception classes or their names")
    names = []
    for item in value:
        if isinstance(item, type):
            names.append(qualified(item))
        elif isinstance(item, str) and item:
            names.append(item.removeprefix("builtins."))
        else:
            raise BadArguments(f"{shown(item)} is neither an exception class nor its name")
    return names


def delays(value: object) -> float | list[float]:
    if isinstance(value, list | tuple):
        if not value or len(value) > 1000:
            raise BadArguments("a list of delays has 1 to 1,000 entries")
        return [duration(item) for item in value]
    return duration(value)


RETRY_OPTIONS: dict[str, Callable[[object], Any]] = {
    "max_attempts": count(1, ATTEMPTS_MAX),
    "delay": delays,
    "backoff": number(1.0, 100.0),
    "max_delay": duration_or_none,
    "jitter": number(0.0, 1.0),
    "on": class_names,
    "give_up_on": class_names,
}


def retry(value: object) -> dict[str, Any]:
    """The given parts of a retry policy as plain values."""
    if hasattr(value, "to_options"):
        value = value.to_options()
    if not isinstance(value, Mapping):
        raise BadArguments(f"{shown(value)} is not a retry policy", hint="give Retry(max_attempts=3, delay=5)")
    return parse(RETRY_OPTIONS, value, "key")


def retries(value: object) -> int:
    return count(0, ATTEMPTS_MAX - 1)(value)


def tags(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping) or len(value) > 32:
        raise BadArguments(f"{shown(value)} is not a mapping of at most 32 tags")
    for key, item in value.items():
        if not isinstance(key, str) or not isinstance(item, str) or not 0 < len(key) <= 64 or len(item) > 256:
            raise BadArguments(f"tag {shown(key)}: {shown(item)} is not text of at most 64: 256 characters")
    return dict(value)


def text(limit: int) -> Callable[[object], str]:
    def parse_text(value: object) -> str:
        if not isinstance(value, str) or not 0 < len(value) <= limit:
            raise BadArguments(f"{shown(value)} is not text of 1 to {limit} characters")
        return value

    return parse_text


def jobs(value: object) -> list[int]:
    """Ids, each once, from jobs or ids or one of them. A job is anything with a whole number as its ``id``."""
    items = value if isinstance(value, list | tuple | set | frozenset) else [value]
    found: dict[int, None] = {}
    for item in items:
        job_id = item if isinstance(item, int) else getattr(item, "id", None)
        if isinstance(job_id, bool) or not isinstance(job_id, int) or not 0 < job_id <= JOB_ID_MAX:
            raise BadArguments(f"{shown(item)} is not a job", hint="give what submit returned, or its id")
        found[job_id] = None
    return list(found)


def wall_time(value: object) -> float:
    """Seconds since the epoch from an aware datetime or a number."""
    if hasattr(value, "timestamp") and hasattr(value, "tzinfo"):
        if value.tzinfo is None:
            raise BadArguments(
                f"{value} has no time zone, so it names no point in time",
                hint="use datetime.now().astimezone() + timedelta(...), or datetime(..., tzinfo=timezone.utc)",
            )
        return float(value.timestamp())
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
        raise BadArguments(f"{shown(value)} is not a point in time", hint="give a datetime with a time zone")
    return float(value)


# What a config section, ``@task`` and a call may set.
POLICY_OPTIONS: dict[str, Callable[[object], Any]] = {
    "queue": name,
    "priority": priority,
    "timeout": duration_or_none,
    "soft_timeout": duration_or_none,
    "stall_timeout": duration_or_none,
    "grace": duration,
    "retry": retry,
    "retries": retries,
    "on_lost": one_of("retry", "fail"),
    "expires": duration_or_none,
}

# What only a call may set.
CALL_OPTIONS: dict[str, Callable[[object], Any]] = {
    "delay": duration,
    "at": wall_time,
    "key": text(256),
    "on_duplicate": one_of("return", "raise", "replace"),
    "tags": tags,
    "durability": one_of("fsync", "written", "memory"),
    "after": jobs,
    "on_parent_failure": one_of("cancel", "run"),
}

# What may be changed of a job that waits.
SET_OPTIONS: dict[str, Callable[[object], Any]] = {
    "priority": priority,
    "queue": name,
    "delay": duration,
    "at": wall_time,
    "timeout": duration_or_none,
}

ALL_OPTIONS = {**POLICY_OPTIONS, **CALL_OPTIONS}


def parse(
    table: Mapping[str, Callable[[object], Any]], given: Mapping[str, object], what: str = "option"
) -> dict[str, Any]:
    """Parse every given option; unknown names are refused with the nearest known one.

    Raises:
        BadArguments: names the option and what is wrong with it.
    """
    parsed: dict[str, Any] = {}
    for key, value in given.items():
        parser = table.get(key)
        if parser is None:
            raise BadArguments(f"there is no {what} {key!r}", hint=nearest_hint(key, table))
        try:
            parsed[key] = parser(value)
        except BadArguments as error:
            raise BadArguments(f"{what} {key}: {error.message}", hint=error.hint) from None
    if "retry" in parsed and "retries" in parsed:
        raise BadArguments(
            "both retry and retries are given", hint="retries=2 is the same as retry with max_attempts=3; give one"
        )
    if "delay" in parsed and "at" in parsed and table is not RETRY_OPTIONS:
        raise BadArguments("both delay and at are given", hint="give one of them")
    return parsed


_NEEDS = {"on_duplicate": "key", "on_parent_failure": "after"}


def parse_call(given: Mapping[str, object]) -> dict[str, Any]:
    """The options of a submit, all of them: what they say together is looked at as well; raises BadArguments."""
    parsed = parse(ALL_OPTIONS, given)
    for option, other in _NEEDS.items():
        if option in parsed and other not in parsed:
            raise BadArguments(f"option {option} says nothing without {other}", hint=f"give {other} too")
    return parsed


def nearest(word: str, known: Any) -> str | None:
    """The known word most like ``word``, if one is like it."""
    if len(word) > WORD_CHARS_MAX:
        return None
    import difflib  # only when something was mistyped: it is slow to import

    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.7)
    return found[0] if found else None


def nearest_hint(word: str, known: Any) -> str:
    best = nearest(word, known)
    return f"did you mean {best!r}?" if best else "known: " + ", ".join(sorted(known))
