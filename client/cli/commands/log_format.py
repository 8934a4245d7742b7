"""``jobctl log-format``."""

from __future__ import annotations

import argparse

from ....protocol import messages
from ....protocol.options import LOG_FORMATS
from .. import documents, exits
from ..context import Context

_EXAMPLES = f"""Formats: {", ".join(LOG_FORMATS)}. It holds until the next reload or restart; to keep it, write
format = "..." under [logging] in the config.

examples:
  jobctl log-format
  jobctl log-format json"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options] [FORMAT]"
    parser.add_argument("format", metavar="FORMAT", nargs="?", choices=LOG_FORMATS, help="the format to write from now")
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    reply: messages.LogFormatSet = context.request(messages.LogFormat(args.format))
    if args.output == "json":
        context.out.document(documents.LOG_FORMAT, {"format": reply.format})
    else:
        context.out.line(reply.format)
    return exits.OK
