"""``jobctl status``."""

from __future__ import annotations

import argparse
from pathlib import Path

from ....protocol import messages
from ...guard_lock import has_lost_guard
from .. import documents, exits, views
from ..context import Context

_EXAMPLES = """jobctl alone is the same.

examples:
  jobctl status
  jobctl status --json"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options]"
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    out = context.out
    reply: messages.SupervisorStatus = context.request(messages.Status())
    if has_lost_guard(Path(reply.state_dir), reply.pid):
        why = "the guard is gone: nothing would start a crashed supervisor again"
        reply.warnings.append(f"{why} (try: jobctl down --keep, then jobctl up)")
    if args.output == "json":
        out.document(documents.STATUS, documents.status(reply))
        return exits.OK
    out.block(views.status_head(reply, context.now()))
    out.line()
    out.table(views.QUEUE_COLUMNS, [views.queue_row(queue) for queue in reply.queues])
    out.line()
    out.table(views.POOL_COLUMNS, [views.pool_row(pool) for pool in reply.pools])
    if reply.warnings:
        out.line()
    for warning in reply.warnings:
        out.block(f"warning: {warning}")
    return exits.OK
