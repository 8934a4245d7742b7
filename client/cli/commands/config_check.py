"""``jobctl config check``."""

from __future__ import annotations

import argparse

from .. import documents, exits
from ..context import Context

_EXAMPLES = """Exit codes: 0 it is good, 2 it has mistakes.

examples:
  jobctl config check
  jobctl config check deploy/jobyard.toml --env production"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options] [FILE]"
    parser.add_argument("file", metavar="FILE", nargs="?", help="this file (default: the one that is found)")
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    if args.file is not None:
        args.config = args.file
    loaded = context.loaded
    if args.output == "json":
        context.out.document(documents.CHECKED, {"file": str(loaded.settings.file), "warnings": loaded.warnings})
        return exits.OK
    for warning in loaded.warnings:
        context.out.say(f"warning: {warning}")
    context.out.line(f"{loaded.settings.file}: good")
    return exits.OK
