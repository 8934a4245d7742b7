"""Which jobs a command is about: ids (``42``, ``40-45``, ``40,42``, ``last:3``) and filters, as requests."""

from __future__ import annotations

import argparse
import itertools
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from ...protocol import messages, states
from ...protocol.errors import BadArguments, JobNotFound
from ...protocol.job import JobInfo
from ...protocol.options import duration, nearest_hint
from .confirm import confirm
from .context import Context
from .exits import UsageError
from .parsing import key_values, wall_time
from .render import counted

IDS_MAX = 10_000
_ID = re.compile(r"\d{1,18}", re.ASCII)
_RANGE = re.compile(r"(\d{1,18})-(\d{1,18})\Z", re.ASCII)
_LAST = re.compile(r"last(?::([1-9]\d{0,17}))?\Z", re.ASCII)
_HINT = "write 42, 40-45, 40,42, last or last:3"


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
    if last := _LAST.match(word):
        return _newest(context, int(last[1] or 1))
    if _ID.fullmatch(word):
        return [int(word)]
    found = _RANGE.match(word)
    if not found:
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


def _newest(context: Context, count: int) -> list[int]:
    """The ids of the last ``count`` jobs, or of all if there are fewer, in the order in which they were submitted."""
    if count > IDS_MAX:
        raise UsageError(f"last:{count} names more than {IDS_MAX:,} jobs", hint="use filters such as --since")
    pages_of = pages(context, messages.Filter(), limit=min(count, messages.LIST_JOBS_MAX))
    found = [info.id for info in itertools.islice(pages_of, count)]
    if not found:
        raise JobNotFound("there is no last job: none was submitted, or all were removed")
    return found[::-1]


def _range(context: Context, low: int, high: int) -> list[int]:
    inside: list[int] = []
    for info in pages(context, messages.Filter(), before=high + 1):
        if info.id < low:
            break
        inside.append(info.id)
    return inside[::-1]


def pages(
    context: Context,
    chosen: messages.Filter,
    before: int | None = None,
    limit: int | None = None,
    sort: str = "newest",
) -> Iterator[JobInfo]:
    """All jobs that match, asked for a page at a time, of ``limit`` jobs or as many as one may have."""
    page = messages.List(chosen, limit or messages.LIST_JOBS_MAX, before, sort)
    while True:
        reply: messages.Jobs = context.request(page)
        yield from reply.jobs
        if not reply.more or not reply.jobs:
            return
        last = reply.jobs[-1]
        page = replace(page, before=last.id, before_at=last.finished_at if sort == "finished" else None)


def infos(
    context: Context, args: argparse.Namespace, *, among: Collection[str] = frozenset(states.STATES)
) -> list[JobInfo]:
    """The jobs that ids or filters name.

    Args:
        among: filters that say nothing of states mean these.

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
    if not chosen.states and len(among) < len(states.STATES):
        chosen = replace(chosen, states=sorted(among))
    return list(pages(context, chosen))


def chosen_ids(
    context: Context,
    args: argparse.Namespace,
    *,
    among: Collection[str] = frozenset(states.STATES),
    deed: str | None = None,
) -> list[int]:
    """As ``infos``, but their ids; ``deed`` ("cancel") is asked about before it is done to what filters chose."""
    if args.ids and filters(args, context.now()) is None:
        return ids(context, args.ids)
    found = [info.id for info in infos(context, args, among=among)]
    if found and deed:
        confirm(context, f"{deed} {counted(len(found), 'job')}")
    return found


def named(context: Context, wanted: Sequence[int]) -> list[JobInfo]:
    """The jobs with these ids, asked for as many at a time as a reply may have, of which it holds as many as fit."""
    found: list[JobInfo] = []
    while left := wanted[len(found) :]:
        reply: messages.Jobs = context.request(messages.Get(list(left[: messages.LIST_JOBS_MAX])))
        if not reply.jobs:
            raise JobNotFound(f"there is no job {left[0]}")
        found += reply.jobs
    return found


def filters(args: argparse.Namespace, now: float) -> messages.Filter | None:
    """The filter that the options make; None when there are none, not even ``--all``.

    Raises:
        UsageError: an unknown state, a malformed tag or time; or a value that is empty, as that of a variable which is
            not set, and not to be taken for every job.
    """
    names = states_given(args.state, states.STATES)
    tags = key_values(args.tag, "--tag")
    if args.error == "":
        raise UsageError("--error '' is no text to look for", hint="--state failed for every job that failed")
    for option, given in (("--queue", args.queue), ("--job", args.job), ("--since", args.since)):
        if given == "":
            raise UsageError(f"{option} '' names nothing", hint=f"leave {option} out if it is not to matter")
    if args.search is not None and not args.search.strip():
        raise UsageError(f"--search {args.search!r} holds no word to look for")
    texts = args.error or args.search
    after = None if args.after is None else _one_id(args.after, "--after")
    if not (names or args.queue or args.job or tags or args.since or texts or after or args.all):
        return None
    created = since(args.since, now) if args.since else None
    return messages.Filter(names, args.queue, args.job, tags, created, args.error, after, search=args.search)


def _one_id(word: str, option: str) -> int:
    if not _ID.fullmatch(word) or int(word) == 0:
        raise UsageError(f"{option} {word!r} is not a job id", hint=f"write {option} 42")
    return int(word)


def states_given(words: Sequence[str], known: Sequence[str]) -> list[str]:
    """The states in words such as "failed,cancelled"; raises UsageError for one that is not known."""
    names = [name.strip().lower() for word in words for name in word.split(",")]
    for name in names:
        if name not in known:
            raise UsageError(f"there is no state {name!r}", hint=nearest_hint(name, known))
    return names


def since(text: str, now: float) -> float:
    """A duration before now, or a point in time, as seconds since the epoch."""
    try:
        return now - duration(text)
    except BadArguments:
        return wall_time(text, "--since", hint='write "2h" for the last two hours, or 2026-10-01T12:00')
