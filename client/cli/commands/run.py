"""``jobctl run``."""

from __future__ import annotations

import argparse

from ....protocol import states
from ....protocol.errors import OutcomeUnknown, SupervisorUnavailable
from ....protocol.job import JobInfo
from .. import documents, exits, follow, submission, views
from ..context import Context

_EXAMPLES = """The job's standard output goes to stdout, its errors and log lines to stderr. Control
characters are made visible unless --raw is given. What the function returns is in jobctl show,
and in what --json prints. Ctrl-C leaves the job running.

Exit codes: 0 it succeeded, 1 it failed, 124 it ran into its timeout.

examples:
  jobctl run jobs:hello World
  jobctl run app.reports:build 2026-10 --timeout 10m
  jobctl run --raw app.export:csv > orders.csv"""


def add(parser: argparse.ArgumentParser) -> None:
    submission.add(parser)
    parser.add_argument("--raw", action="store_true", help="pass the job's output on byte by byte")
    parser.epilog = f"{submission.WORDS_HELP}\n\n{_EXAMPLES}"


def run(args: argparse.Namespace, context: Context) -> int:
    out = context.out
    job_id = submission.send(context, args).id
    if out.terminal:
        out.say(f"job {job_id}")
    printer = follow.Printer(out, raw=args.raw, apart=True)
    try:
        info = follow.until_finished(context, job_id, printer)
    except KeyboardInterrupt:
        out.say(f"detached: job {job_id} goes on\ntry: jobctl logs -f {job_id}, or jobctl cancel {job_id}")
        return exits.INTERRUPTED
    except (SupervisorUnavailable, OutcomeUnknown) as error:
        raise exits.Stopped(
            f"the supervisor stopped while job {job_id} was followed: {error.message}",
            hint=f"jobctl up -d && jobctl show {job_id}",
        ) from None
    printer.end_line()
    if args.output == "json":
        out.document(documents.JOBS, {"jobs": [documents.job(info)], "more": False, "incomplete": None})
    _say_end(context, info)
    return exits.for_job(info)


def _say_end(context: Context, info: JobInfo) -> None:
    if info.state == states.SUCCEEDED:
        return
    last = info.last_attempt
    why = info.reason if info.state == states.CANCELLED or last is None else views.reason(last, info.policy)
    context.out.say(f"job {info.id} {info.state}" + (f": {why}" if why else "") + f"\ntry: jobctl show {info.id}")
