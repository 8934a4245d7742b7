"""The options of a job as the Python API takes them: their types for checkers, and from what is given to plain values.

What each option may be is decided in protocol/options.py. ``@task`` uses this in job modules, so it imports little.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from ..protocol import options as parsers

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from ..protocol.job import Retry
    from .handle import Handle

Duration: TypeAlias = "float | str | timedelta"


class PolicyOptions(TypedDict, total=False):
    """Options that a config section, ``@task`` and a call may set. None in a time limit means none."""

    queue: str | None
    priority: int | str | None
    timeout: Duration | None
    soft_timeout: Duration | None
    stall_timeout: Duration | None
    grace: Duration | None
    retry: Retry | Mapping[str, Any] | None
    retries: int | None
    on_lost: Literal["retry", "fail"] | None
    expires: Duration | None


class JobOptions(PolicyOptions, total=False):
    """Options of one call. ``at`` is an aware datetime, or seconds since the epoch."""

    delay: Duration | None
    at: datetime | float | None
    key: str | None
    on_duplicate: Literal["return", "raise", "replace"] | None
    tags: Mapping[str, str] | None
    durability: Literal["fsync", "written", "memory"] | None
    after: Sequence[Handle[Any] | int] | Handle[Any] | int | None
    on_parent_failure: Literal["cancel", "run"] | None


class SetOptions(TypedDict, total=False):
    """What may be changed of a job that waits. ``delay`` counts from now and may be 0; no ``timeout`` is None."""

    priority: int | str | None
    queue: str | None
    delay: Duration | None
    at: datetime | float | None
    timeout: Duration | None


def parse_options(
    given: Mapping[str, Any], table: Mapping[str, Callable[[object], Any]] = parsers.ALL_OPTIONS
) -> dict[str, Any]:
    """The plain values of the options that are given; None counts as not given, but in a time limit it means none.

    Raises:
        BadArguments: names the option and what is wrong with it.
    """
    kept = (None, parsers.duration_or_none)  # an unknown option is kept too, to be refused
    present = {name: value for name, value in given.items() if value is not None or table.get(name) in kept}
    return parsers.parse(table, present)
