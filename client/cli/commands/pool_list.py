"""``jobctl pool list``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ....protocol import messages
from .. import documents, exits, views
from ..context import Context

if TYPE_CHECKING:
    from .. import shapes

_EXAMPLES = """examples:
  jobctl pool list
  jobctl pool list --json"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options]"
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    reply: messages.SupervisorStatus = context.request(messages.Status())
    if args.output == "json":
        body: shapes.Pools = {"pools": reply.pools}
        context.out.document(documents.POOLS, documents.fields(body))
    else:
        context.out.table(views.POOL_COLUMNS, [views.pool_row(pool) for pool in reply.pools])
    return exits.OK
