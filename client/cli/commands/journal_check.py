"""``jobctl journal check``."""

from __future__ import annotations

import argparse

from .. import journal
from ..context import Context

_EXAMPLES = """Changes nothing. No supervisor may be running: what is being written looks half-written.

Exit codes: 0 all is well; 1 a crash left a half-written group, which the next start deals with; 2 something
stored is damaged; 3 it cannot be read, or was written to meanwhile.

examples:
  jobctl journal check"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options]"
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    return journal.run("check", context)
