"""Which jobs a command is about: ids (``42``, ``40-45``, ``40,42``, ``last``) and filters, as requests."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ...protocol import messages, states
from ...protocol.errors import BadArguments, JobNotFound
from ...protocol.job import JobInfo
from ...protocol.options import duration, nearest_hint
from .context import Context
from .exits import UsageError
from .parsing import key_values, wall_time

IDS_MAX = 10_000
_RANGE = re.compile(r"(\d{1,18})-(\d{1,18})\Z")
_HINT = "write 42, 40-45, 40,42 or last"


def ids(context: Context, words: Sequence[str]) -> list[int]:
    """The ids that the words name, in their order, each once. Of a range, those that exist.

    Raises:
        UsageError: a word is not an id, or names too many.
        JobNotFound: ``last`` or a range names no job.
    """
    found: dict[int, None] = {}
    for name in ",".join(words).split(","):
        found.update(dict.fromkeys(_named(context, name)))
        if len(found) > IDS_MAX:
            raise UsageError(f"more than {IDS_MAX:,} jobs are named", hint="use filters such as --state and --queue")
    return list(found)


def _named(context: Context, word: str) -> list[int]:
    if word == "last":
        newest: messages.Jobs = context.request(messages.List(limit=1))
        if not newest.jobs:
            raise JobNotFound("there is no last job: none was submitted yet")
        return [newest.jobs[0].id]
    if re.fullmatch(r"\d{1,18}", word, re.ASCII):
        return [int(word)]
    found = _RANGE.match(word)
    if not found or not word.isascii():
        raise UsageError(f"{word!r} is not a job id", hint=_HINT)
    low, high = int(found[1]), int(found[2])
    if low > high:
        raise UsageError(f"the range {word!r} is empty: {low} is over {high}", hint=f"{high}-{low}")
    if high - low >= IDS_MAX:
        raise UsageError(
            f"the range {word!r} names more than {IDS_MAX:,} jobs", hint="use filters such as --state and --queue"
        )
    inside = _range(context, low, high)
    if not inside:
        raise JobNotFound(f"there is no job from {low} to {high}")
    return inside


def _range(context: Context, low: int, high: int) -> list[int]:
    inside: list[int] = []
    for info in pages(context, messages.Filter(), before=high + 1):
        if info.id < low:
            break
        inside.append(info.id)
    return inside[::-1]


def pages(context: Context, chosen: messages.Filter, before: int | None = None) -> Iterator[JobInfo]:
    """All jobs that match, newest first, asked for a page at a time."""
    while True:
        reply: messages.Jobs = context.request(messages.List(chosen, messages.LIST_JOBS_MAX, before))
        yield from reply.jobs
        if not reply.more or not reply.jobs:
            return
        before = reply.jobs[-1].id


def infos(context: Context, args: argparse.Namespace, *, unfinished: bool = False) -> list[JobInfo]:
    """The jobs that ids or filters name.

    Args:
        unfinished: filters that say nothing of states mean those that are not finished.

    Raises:
        UsageError: neither ids nor filters, or both.
    """
    chosen = filters(args, context.now())
    if args.ids and chosen is not None:
        raise UsageError("both ids and filters are given", hint="give one of them")
    if args.ids:
        return named(context, ids(context, args.ids))
    if chosen is None:
        raise UsageError("no job is named", hint=f"{_HINT}, or a filter such as --state failed")
    if unfinished and not chosen.states:
        chosen = replace(chosen, states=sorted(states.UNFINISHED))
    return list(pages(context, chosen))


def named(context: Context, wanted: Sequence[int]) -> list[JobInfo]:
    """The jobs with these ids, asked for a page at a time."""
    found: list[JobInfo] = []
    for start in range(0, len(wanted), messages.LIST_JOBS_MAX):
        reply: messages.Jobs = context.request(messages.Get(list(wanted[start : start + messages.LIST_JOBS_MAX])))
        found += reply.jobs
    return found


def filters(args: argparse.Namespace, now: float) -> messages.Filter | None:
    """The filter that the options make; None when there are none, not even ``--all``.

    Raises:
        UsageError: an unknown state, a malformed tag or time.
    """
    names = [name.strip().lower() for word in args.state for name in word.split(",")]
    for name in names:
        if name not in states.STATES:
            raise UsageError(f"there is no state {name!r}", hint=nearest_hint(name, states.STATES))
    tags = key_values(args.tag, "--tag")
    if not (names or args.queue or args.job or tags or args.since or args.all):
        return None
    return messages.Filter(names, args.queue, args.job, tags, since(args.since, now) if args.since else None)


def since(text: str, now: float) -> float:
    """A duration before now, or a point in time, as seconds since the epoch."""
    try:
        return now - duration(text)
    except BadArguments:
        return wall_time(text, "--since", hint='write "2h" for the last two hours, or 2026-10-01T12:00')
