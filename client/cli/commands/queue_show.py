"""``jobctl queue show``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ....protocol import messages, states
from ....protocol.errors import UnknownQueue
from ....protocol.options import nearest_hint
from .. import documents, exits, views
from ..context import Context

if TYPE_CHECKING:
    from .. import shapes

JOBS = 10
_EXAMPLES = """Its unfinished jobs follow, those that were submitted last first.

examples:
  jobctl queue show mail
  jobctl queue show mail --json"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options] QUEUE"
    parser.add_argument("queue", metavar="QUEUE", help="the queue")
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    status: messages.SupervisorStatus = context.request(messages.Status())
    found = next((queue for queue in status.queues if queue.name == args.queue), None)
    if found is None:
        hint = nearest_hint(args.queue, [queue.name for queue in status.queues])
        raise UnknownQueue(f"there is no queue {args.queue!r}", hint=hint)
    out = context.out
    if args.output == "json":
        body: shapes.Queues = {"queues": [found]}
        out.document(documents.QUEUES, documents.fields(body))
        return exits.OK
    wanted = messages.Filter(states=sorted(states.UNFINISHED), queue=found.name)
    jobs: messages.Jobs = context.request(messages.List(wanted, JOBS))
    out.table(views.QUEUE_COLUMNS, [views.queue_row(found)])
    if jobs.jobs:
        now = context.now()
        out.line()
        out.table(views.JOB_COLUMNS, [views.job_row(info, now) for info in jobs.jobs])
    if jobs.more:
        out.say(f"the {len(jobs.jobs)} newest; jobctl list --queue {found.name} shows more")
    return exits.OK
