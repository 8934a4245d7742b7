"""``jobctl doctor``."""

from __future__ import annotations

import argparse

from .. import checkup, examine, examine_pools
from ..context import Context

_EXAMPLES = """Looks at the machine, the config, the directories and the supervisor, with or without one running,
and changes nothing. Without a supervisor every allowed module is imported once.

Exit codes: 0 nothing failed, 1 something did.

examples:
  jobctl doctor
  jobctl doctor --json | python -m json.tool"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options]"
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    found = [examine.machine(), examine.config(context), examine_pools.supervisor(context)]
    return checkup.tell(context, (check for checks in found for check in checks))
