"""``jobctl pool recycle``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ....protocol import messages
from .. import documents, exits
from ..context import Context

if TYPE_CHECKING:
    from .. import shapes

_EXAMPLES = """Jobs that run stay in the process they are in; those that start from now on come from the fresh
zygote, which has imported the preload anew. For changed code or config use jobctl reload.

examples:
  jobctl pool recycle default
  jobctl pool recycle mail && jobctl pool list"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options] POOL"
    parser.add_argument("pool", metavar="POOL", help="the pool")
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    reply: messages.Recycled = context.request(messages.RecyclePool(args.pool))
    if args.output == "json":
        body: shapes.Recycled = {"pool": reply.pool}
        context.out.document(documents.RECYCLED, body)
    else:
        context.out.line(f"{reply.pool}: a fresh zygote is being started")
    return exits.OK
