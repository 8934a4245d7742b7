"""``jobctl why``."""

from __future__ import annotations

import argparse

from ....protocol import messages
from .. import documents, exits, selection
from ..context import Context
from ..parsing import add_ids, add_output

_EXAMPLES = """Says what a job waits for and who is in its way, since when it runs, or how it ended. An estimated
start goes by what such jobs took lately.

examples:
  jobctl why 42
  jobctl why last --json"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options] ID ..."
    add_ids(parser, required=True)
    add_output(parser)
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    out = context.out
    found: list[messages.Explanation] = [
        context.request(messages.Why(job_id)) for job_id in selection.ids(context, args.ids)
    ]
    if args.output == "json":
        out.document(documents.WHY, {"jobs": [documents.why(one) for one in found]})
        return exits.OK
    for one in found:
        if args.output == "jsonl":
            out.json_line(documents.why(one))
        elif args.output == "id":
            out.line(str(one.id))
        else:
            out.line(str(one))
            if one.hint:
                out.say(f"try: {one.hint}")
    return exits.OK
