"""``jobctl reload``."""

from __future__ import annotations

import argparse

from ....protocol import messages
from .. import documents, exits
from ..context import Context

RELOAD_TIMEOUT_S = 120.0  # the job modules are imported anew
_EXAMPLES = """A config with mistakes changes nothing. Jobs that run stay in the process they are in.

examples:
  jobctl reload"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options]"
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    reply: messages.Reloaded = context.request(messages.Reload(), timeout=RELOAD_TIMEOUT_S)
    if args.output == "json":
        context.out.document(documents.RELOADED, {"changed": reply.changed, "warnings": reply.warnings})
        return exits.OK
    context.out.line("reloaded" if reply.changed else "reloaded; the config is as it was")
    for warning in reply.warnings:
        context.out.say(f"warning: {warning}")
    return exits.OK
