"""``jobctl list``."""

from __future__ import annotations

import argparse
import itertools
import sys

from ....protocol import messages
from ....protocol.lists import SORTS
from .. import exits, selection
from ..context import Context
from ..exits import UsageError
from ..joblist import print_jobs
from ..parsing import add_filters, add_output

LIMIT = 50
_FIRST = {"newest": "newest", "oldest": "oldest", "finished": "last finished"}
_EXAMPLES = """examples:
  jobctl list
  jobctl list --state failed --since 2h
  jobctl list --queue mail --tag user=7 --json
  jobctl list --search "customer-4711 refused" --sort finished
  jobctl list --state failed -o id | xargs -r jobctl retry"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options]"
    add_filters(parser, "every job, however many")
    parser.add_argument(
        "--sort",
        metavar="KEY",
        choices=SORTS,
        default=SORTS[0],
        help="newest (default), oldest, or finished last first",
    )
    parser.add_argument("--limit", metavar="N", type=int, default=LIMIT, help=f"at most this many (default: {LIMIT})")
    parser.add_argument("--coarse", action="store_true", help="say pending, running, completed or failed")
    add_output(parser)
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    if args.limit < 1:
        raise UsageError(f"--limit {args.limit} is not a positive number")
    chosen = selection.filters(args, context.now()) or messages.Filter()
    if args.all:
        infos, more = list(selection.pages(context, chosen, sort=args.sort)), False
    else:
        most = min(args.limit, sys.maxsize - 1) + 1
        found = selection.pages(context, chosen, limit=min(most, messages.LIST_JOBS_MAX), sort=args.sort)
        infos = list(itertools.islice(found, most))
        infos, more = infos[: args.limit], len(infos) > args.limit
    if not infos and args.output == "text":
        context.out.say("no jobs")
    else:
        print_jobs(context, infos, more=more)
    if more:
        context.out.say(f"the {len(infos)} {_FIRST[args.sort]}; --all shows every one")
    return exits.OK
