"""``jobctl selftest``."""

from __future__ import annotations

import argparse

from .. import checkup, trial
from ..context import Context

_EXAMPLES = """Starts a supervisor of its own in a temporary directory, with jobs of its own, and stops it again.
The config and the supervisor of this directory are not touched, and none is needed.

Exit codes: 0 everything worked, 1 something did not.

examples:
  jobctl selftest
  jobctl selftest --json"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options]"
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    return checkup.tell(context, trial.run(context.environ))
