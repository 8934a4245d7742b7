"""``jobctl submit``."""

from __future__ import annotations

import argparse

from .. import documents, exits, submission
from ..context import Context
from ..parsing import add_output

_EXAMPLES = """examples:
  jobctl submit jobs:hello World
  jobctl submit app.reports:build 2026-10 fmt=pdf --priority high --timeout 10m
  jobctl submit Email send to=ann@example.org lines:='["a", "b"]' --delay 1h
  jobctl submit jobs:store @letter.txt --key letter-7 -o id"""


def add(parser: argparse.ArgumentParser) -> None:
    submission.add(parser)
    add_output(parser)
    parser.epilog = f"{submission.WORDS_HELP}\n\n{_EXAMPLES}"


def run(args: argparse.Namespace, context: Context) -> int:
    accepted = submission.send(context, args)
    job = {"id": accepted.id, "uid": accepted.uid, "existing": accepted.existing}
    if args.output == "json":
        context.out.document(documents.SUBMITTED, {"jobs": [job]})
    elif args.output == "jsonl":
        context.out.json_line(job)
    else:
        context.out.line(str(accepted.id))
    return exits.OK
