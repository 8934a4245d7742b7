"""``jobctl ping``."""

from __future__ import annotations

import argparse
import dataclasses

from ....protocol import messages
from .. import documents, exits
from ..context import Context


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options]"
    parser.epilog = "Exit codes: 0 it answers, 3 it does not.\n\nexamples:\n  jobctl ping"


def run(args: argparse.Namespace, context: Context) -> int:
    reply: messages.Pong = context.request(messages.Ping())
    if args.output == "json":
        context.out.document(documents.PING, dataclasses.asdict(reply))
    else:
        state = "ready" if reply.ready else "starting"
        context.out.line(f"pid {reply.pid}, version {reply.version}, {state}")
    return exits.OK
