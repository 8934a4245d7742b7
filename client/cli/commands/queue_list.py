"""``jobctl queue list``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ....protocol import messages
from .. import documents, exits, views
from ..context import Context

if TYPE_CHECKING:
    from .. import shapes

_EXAMPLES = """examples:
  jobctl queue list
  jobctl queue list --json"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options]"
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    reply: messages.SupervisorStatus = context.request(messages.Status())
    if args.output == "json":
        body: shapes.Queues = {"queues": reply.queues}
        context.out.document(documents.QUEUES, documents.fields(body))
    else:
        context.out.table(views.QUEUE_COLUMNS, [views.queue_row(queue) for queue in reply.queues])
    return exits.OK
