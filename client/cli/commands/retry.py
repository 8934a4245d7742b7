"""``jobctl retry``."""

from __future__ import annotations

import argparse

from ....protocol import messages, states
from ....protocol.errors import JobyardError, WrongState
from .. import documents, exits, selection
from ..bulk import listed
from ..context import Context
from ..joblist import print_ids
from ..parsing import add_ids_or_filters, add_output, add_yes

_AGAIN = (states.FAILED, states.CANCELLED)
_EXAMPLES = """Filters that say nothing of states mean jobs that failed or were cancelled.

examples:
  jobctl retry 42
  jobctl retry --state failed --since 1h
  jobctl retry --job app.mail:send --error ConnectionRefused --yes"""


def add(parser: argparse.ArgumentParser) -> None:
    add_ids_or_filters(parser, "every job that failed or was cancelled")
    add_yes(parser, "retrying jobs chosen")
    add_output(parser)
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    out = context.out
    ids = selection.chosen_ids(context, args, among=_AGAIN, deed="retry")
    if not ids:
        out.say("no such jobs")
    done: list[int] = []
    refused: dict[int, WrongState] = {}
    try:
        for job_id in ids:
            try:
                reply: messages.Requeued = context.request(messages.RetryJob(job_id))
            except WrongState as error:  # of this job, and no reason to leave the others
                refused[job_id] = error
                continue
            done.append(reply.id)
            if args.output == "text":
                out.line(f"requeued {reply.id}")
        if refused:
            raise _refusal(refused)
    except JobyardError as error:
        error.details["requeued"] = done
        raise
    if args.output == "json":
        out.document(documents.RETRIED, {"ids": done})
    elif args.output != "text":
        print_ids(context, done)
    return exits.OK


def _refusal(refused: dict[int, WrongState]) -> WrongState:
    """One error for all of them."""
    first = next(iter(refused.values()))
    if len(refused) > 1:
        first.message += f" (and {len(refused) - 1} more were refused: {listed([*refused][1:])})"
        first.details["refused"] = [*refused]
    return first
