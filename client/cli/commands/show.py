"""``jobctl show``."""

from __future__ import annotations

import argparse

from .. import exits, selection, views
from ..context import Context
from ..joblist import print_as_data
from ..parsing import add_ids_or_filters, add_output

_EXAMPLES = """examples:
  jobctl show 42
  jobctl show last --json
  jobctl show --state failed --since 1h"""


def add(parser: argparse.ArgumentParser) -> None:
    add_ids_or_filters(parser, "every job")
    add_output(parser)
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    infos = selection.infos(context, args)
    if args.output != "text":
        print_as_data(context, infos)
        return exits.OK
    now = context.now()
    context.out.block("\n\n".join(views.job_details(info, now) for info in infos) if infos else "no jobs")
    return exits.OK
