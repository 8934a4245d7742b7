"""``jobctl run-job``, which is also a command of its own: ``run-job``."""

from __future__ import annotations

import argparse
import csv
import sys
from typing import NoReturn

from .. import main as jobctl
from ..context import Context
from ..exits import UsageError
from . import submit

_EXAMPLES = """With --csv every word after the name is split at its commas; a part with a comma in it goes in double
quotes, as in CSV files.

examples:
  run-job SampleJob process param1
  run-job SampleJob process --csv "param1,param2,param3"
  run-job SampleJob process --csv '"Hopper, Grace",1906' --priority high --delay 10"""


def add(parser: argparse.ArgumentParser) -> None:
    submit.add(parser)
    parser.add_argument("--csv", action="store_true", help="split the arguments at commas")
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    if args.csv:
        name, *words = args.words
        args.words = [name, *(part for word in words for part in _split(word))]
    return submit.run(args, context)


def main() -> NoReturn:
    """The console script."""
    jobctl.program(["run-job", *sys.argv[1:]])


def _split(word: str) -> list[str]:
    try:
        return next(csv.reader([word], strict=True), []) or [word]
    except csv.Error as error:
        message = f"{word!r} cannot be split at its commas: {error}"
        raise UsageError(message, hint="put parts in double quotes") from None
