"""``jobctl retry``."""

from __future__ import annotations

import argparse

from ....protocol import messages
from ....protocol.errors import JobyardError
from .. import documents, exits, selection
from ..context import Context
from ..joblist import print_ids
from ..parsing import add_ids, add_output

_EXAMPLES = """examples:
  jobctl retry 42
  jobctl list --state failed -o id | xargs -r jobctl retry"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options] ID ..."
    add_ids(parser, required=True)
    add_output(parser)
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    out = context.out
    done: list[int] = []
    try:
        for job_id in selection.ids(context, args.ids):
            reply: messages.Requeued = context.request(messages.RetryJob(job_id))
            done.append(reply.id)
            if args.output == "text":
                out.line(f"requeued {reply.id}")
    except JobyardError as error:
        error.details["requeued"] = done
        raise
    if args.output == "json":
        out.document(documents.RETRIED, {"ids": done})
    elif args.output != "text":
        print_ids(context, done)
    return exits.OK
