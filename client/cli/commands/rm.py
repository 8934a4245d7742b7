"""``jobctl rm``."""

from __future__ import annotations

import argparse

from ....protocol import messages, states
from .. import bulk, documents, exits, selection
from ..context import Context
from ..parsing import add_ids_or_filters, add_output

_EXAMPLES = """Jobs go with what they printed. Only those that have ended can be removed: cancel the others first.
Filters that say nothing of states mean all that have ended.

examples:
  jobctl rm 42
  jobctl rm --state cancelled --queue mail --yes"""


def add(parser: argparse.ArgumentParser) -> None:
    add_ids_or_filters(parser, "every job that has ended")
    parser.add_argument("--yes", action="store_true", help="do not ask before jobs chosen by filters are removed")
    add_output(parser)
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    ids = selection.chosen_ids(context, args, among=states.FINISHED, deed="remove")
    done, others = bulk.ask(context, ids, messages.Remove)
    bulk.print_done(context, documents.REMOVED, "removed", done, others, "not finished")
    return exits.OK
