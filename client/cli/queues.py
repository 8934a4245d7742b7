"""What ``pause``, ``resume`` and ``drain`` have in common."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ...protocol import messages
from . import documents, exits
from .context import Context

if TYPE_CHECKING:
    from . import shapes


def add(parser: argparse.ArgumentParser, about: str, examples: str) -> None:
    parser.usage = f"{parser.prog} [options] [QUEUE]"
    parser.add_argument("queue", metavar="QUEUE", nargs="?", help="this queue (default: every queue)")
    parser.epilog = f"{about}\n\nexamples:\n{examples}"


def run(args: argparse.Namespace, context: Context, mode: str) -> int:
    reply: messages.QueuesSet = context.request(messages.SetQueue(mode, args.queue))
    if args.output == "json":
        body: shapes.QueueMode = {"mode": mode, "queues": reply.queues}
        context.out.document(documents.QUEUE_MODE, body)
    else:
        for queue in reply.queues:
            context.out.line(f"{queue}: {mode}")
    return exits.OK
