"""``jobctl show``."""

from __future__ import annotations

import argparse

from ....protocol import messages
from ....protocol.job import JobInfo
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
    details = [views.job_details(info, now, _children(context, info)) for info in infos]
    context.out.block("\n\n".join(details) if infos else "no jobs")
    return exits.OK


def _children(context: Context, info: JobInfo) -> list[JobInfo]:
    """Some of the jobs that wait or waited for this one, oldest first."""
    if not info.children_count:
        return []
    reply: messages.Jobs = context.request(messages.List(messages.Filter(after=info.id), views.FAMILY_SHOWN))
    return reply.jobs[::-1]
