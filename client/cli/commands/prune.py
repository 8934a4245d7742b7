"""``jobctl prune``."""

from __future__ import annotations

import argparse

from ....protocol import messages, states
from ....protocol.options import duration
from .. import documents, exits, selection
from ..confirm import confirm
from ..context import Context
from ..parsing import option_value
from ..render import counted

_EXAMPLES = """Forgets jobs that have ended, and what they printed. Without options these are the ones that are older
than [history] retention, which also go by themselves. What the history has counted of them stays.

examples:
  jobctl prune --older 7d
  jobctl prune --older 1d --state succeeded --yes
  jobctl prune --older 0s --dry-run"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options]"
    parser.add_argument("--older", metavar="TIME", help='that ended so long ago or longer, such as "7d"')
    parser.add_argument(
        "--state", metavar="STATE", action="append", default=[], help="that are in this state, or one of several"
    )
    parser.add_argument("--dry-run", action="store_true", help="only say how many they are")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    older_s = None if args.older is None else option_value(duration, args.older, "--older")
    wanted = selection.states_given(args.state, sorted(states.FINISHED))
    found: messages.Pruned = context.request(messages.Prune(older_s, wanted, dry_run=True))
    count = found.count
    if count and not args.dry_run:
        confirm(context, f"prune {counted(count, 'job')}")
        count = _prune(context, messages.Prune(older_s, wanted))
    if args.output == "json":
        context.out.document(documents.PRUNED, {"count": count, "dry_run": args.dry_run})
    else:
        context.out.line(f"{'would prune' if args.dry_run else 'pruned'} {counted(count, 'job')}")
    return exits.OK


def _prune(context: Context, request: messages.Prune) -> int:
    count = 0
    while True:
        reply: messages.Pruned = context.request(request)
        count += reply.count
        if not reply.more:
            return count
