"""``jobctl journal repair``."""

from __future__ import annotations

import argparse

from .. import journal
from ..context import Context

_EXAMPLES = """Keeps everything that is intact and puts the files as they were aside. No supervisor may be running.

Exit codes: 0 the journal can be opened; 1 it can, and the next start deals with a half-written group; 3 it
cannot be read or written, or is in use.

examples:
  jobctl down; jobctl journal repair && jobctl up -d"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options]"
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    return journal.run("repair", context)
