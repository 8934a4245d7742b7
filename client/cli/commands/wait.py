"""``jobctl wait``."""

from __future__ import annotations

import argparse

from ....protocol import messages, states
from ....protocol.errors import OutcomeUnknown, SupervisorUnavailable, WaitTimeout
from ....protocol.job import JobInfo
from ....protocol.options import duration_or_none
from .. import exits, render, selection
from ..context import FOREVER, Context
from ..joblist import print_jobs
from ..parsing import add_ids_or_filters, add_output, option_value

_EXAMPLES = """Exit codes: 0 all succeeded, 1 a job did not, 124 the time was over; the jobs go on then.

examples:
  jobctl wait 42
  jobctl wait 40-45 --timeout 10m
  jobctl wait --queue mail
  jobctl wait 40,41 --any"""


def add(parser: argparse.ArgumentParser) -> None:
    add_ids_or_filters(parser, "every unfinished job")
    parser.add_argument("--any", action="store_true", help="return as soon as one of them is finished")
    parser.add_argument("--timeout", metavar="TIME", help='wait no longer, such as "10m"')
    add_output(parser)
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    limit = option_value(duration_or_none, args.timeout, "--timeout")
    ids = selection.chosen_ids(context, args, among=states.UNFINISHED)
    if not ids:
        context.out.say("no unfinished jobs")
        return exits.OK
    context.request(messages.Ping())  # one that was never there is not one that stopped meanwhile
    try:
        reply: messages.Jobs = context.request(
            messages.Wait(ids, args.any), timeout=FOREVER if limit is None else limit
        )
    except WaitTimeout:
        named = f"job {ids[0]} is" if len(ids) == 1 else f"of {len(ids)} jobs some are"
        raise WaitTimeout(
            f"{named} not finished after {render.duration(limit)}",
            hint="jobctl list --state running,queued,scheduled,blocked",
        ) from None
    except (SupervisorUnavailable, OutcomeUnknown) as error:
        raise exits.Stopped(
            f"the supervisor stopped while it was waited for: {error.message}", hint="jobctl up"
        ) from None
    ended = [*reply.jobs, *_left_out(context, ids, reply)]
    print_jobs(context, ended)
    return exits.for_jobs(ended)


def _left_out(context: Context, ids: list[int], reply: messages.Jobs) -> list[JobInfo]:
    """The other jobs that have ended, where not all of them fitted into the reply."""
    told = {info.id for info in reply.jobs}
    left = [job_id for job_id in ids if job_id not in told] if reply.more else []
    return [info for info in selection.named(context, left) if info.finished]
