"""``jobctl retries``."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator

from ....protocol import messages
from ....protocol.job import JobInfo
from ....protocol.options import nearest_hint
from ....protocol.states import COARSE
from .. import documents, exits, selection, views
from ..context import Context
from ..exits import UsageError
from ..joblist import print_ids
from ..parsing import add_output

LIMIT = 50
STATUSES = tuple(dict.fromkeys(COARSE.values()))
_EXAMPLES = """A status is one of four: pending (waits for its next attempt), running, completed (succeeded after it
had failed), failed (no attempt is left, or it was cancelled). Completed jobs are listed when they
are asked for.

examples:
  jobctl retries
  jobctl retries --status pending
  jobctl retries --status failed -o id | xargs -r jobctl retry"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options]"
    parser.add_argument(
        "--status", metavar="STATUS", action="append", default=[], help="with this status, or one of several"
    )
    parser.add_argument("--limit", metavar="N", type=int, default=LIMIT, help=f"at most this many (default: {LIMIT})")
    add_output(parser)
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    if args.limit < 1:
        raise UsageError(f"--limit {args.limit} is not a positive number")
    found = _failed_once(context, _states(args.status))
    infos = list(itertools.islice(found, min(args.limit, sys.maxsize - 1) + 1))
    more, infos = len(infos) > args.limit, infos[: args.limit]
    out = context.out
    if args.output == "json":
        rows = [documents.retry(info) for info in infos]
        out.document(documents.RETRIES, {"retries": rows, "more": more, "incomplete": context.incomplete})
    elif args.output == "jsonl":
        for info in infos:
            out.json_line(documents.retry(info))
    elif args.output == "id":
        print_ids(context, [info.id for info in infos])
    elif infos:
        now = context.now()
        out.table(views.RETRY_COLUMNS, [views.retry_row(info, now) for info in infos])
    else:
        out.say("no job has failed")
    if more:
        out.say(f"the {len(infos)} newest; --limit {10 * args.limit} shows more")
    return exits.OK


def _states(statuses: list[str]) -> list[str]:
    """The states behind the statuses that are asked for."""
    names = [name.strip().lower() for word in statuses for name in word.split(",")]
    for name in names:
        if name not in STATUSES:
            raise UsageError(f"there is no status {name!r}", hint=nearest_hint(name, STATUSES))
    wanted = names or [name for name in STATUSES if name != "completed"]
    return [state for state, status in COARSE.items() if status in wanted]


def _failed_once(context: Context, states: list[str]) -> Iterator[JobInfo]:
    for info in selection.pages(context, messages.Filter(states)):
        if documents.last_error(info) is not None:
            yield info
