"""``jobctl journal dump``."""

from __future__ import annotations

import argparse

from .. import journal
from ..context import Context

_EXAMPLES = """One line of JSON for each record that is intact, and one for each stretch of damage. Changes nothing.

Exit codes: 0 printed, whether or not there is damage; 3 it cannot be read.

examples:
  jobctl journal dump | less"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options]"
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    return journal.run("dump", context)
