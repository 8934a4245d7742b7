"""``jobctl queue set``."""

from __future__ import annotations

import argparse

from .. import queues
from ..context import Context

_MODES = ("open", "paused", "draining")
_EXAMPLES = """open: takes jobs and starts them. paused: takes them and starts none. draining: takes none and
finishes what it holds. The mode stays until it is set again, also over restarts; limits and
priorities of a queue are set in the config, and jobctl reload puts them in force.

examples:
  jobctl queue set mail paused
  jobctl queue set mail open"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options] QUEUE MODE"
    parser.add_argument("queue", metavar="QUEUE", help="the queue")
    parser.add_argument("mode", metavar="MODE", choices=_MODES, help=", ".join(_MODES))
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    return queues.run(args, context, args.mode)
