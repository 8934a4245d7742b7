"""``jobctl cancel``."""

from __future__ import annotations

import argparse

from ....protocol import messages, states
from ....protocol.errors import OutcomeUnknown, SupervisorUnavailable, WrongState
from ....protocol.options import duration
from .. import documents, exits, selection
from ..bulk import listed
from ..context import FOREVER, Context
from ..joblist import print_ids
from ..parsing import add_ids_or_filters, add_output, add_yes, option_value

_EXAMPLES = """A running job is first asked to stop, then killed with everything that it has started.
The command returns when the wish is stored; with --wait when the jobs are gone.

examples:
  jobctl cancel 42
  jobctl cancel 42 --grace 0 --wait
  jobctl cancel --state queued --queue mail --yes"""


def add(parser: argparse.ArgumentParser) -> None:
    add_ids_or_filters(parser, "every unfinished job")
    parser.add_argument("--grace", metavar="TIME", help="time between asking and killing (default: the job's own)")
    parser.add_argument("--reason", metavar="TEXT", help="kept with the job")
    parser.add_argument("--wait", action="store_true", help="return when the jobs are gone")
    add_yes(parser, "cancelling jobs chosen")
    add_output(parser)
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    grace_s = None if args.grace is None else option_value(duration, args.grace, "--grace")
    ids = selection.chosen_ids(context, args, among=states.UNFINISHED, deed="cancel")
    done = _cancel(context, ids, grace_s, args.reason)
    if args.wait and done.cancelled:
        _await_ends(context, done.cancelled)
    if args.ids and not done.cancelled:
        raise WrongState(
            f"nothing to cancel: job {listed(done.finished)} had finished before", hint=f"jobctl show {ids[0]}"
        )
    _print(context, done)
    return exits.OK


def _cancel(context: Context, ids: list[int], grace_s: float | None, reason: str | None) -> messages.Cancelled:
    done = messages.Cancelled([], [])
    for start in range(0, len(ids), messages.CANCEL_JOBS_MAX):
        part = ids[start : start + messages.CANCEL_JOBS_MAX]
        reply: messages.Cancelled = context.request(messages.Cancel(part, grace_s=grace_s, reason=reason))
        done.cancelled.extend(reply.cancelled)
        done.finished.extend(reply.finished)
    return done


def _await_ends(context: Context, ids: list[int]) -> None:
    try:
        context.request(messages.Wait(ids), timeout=FOREVER)
    except (SupervisorUnavailable, OutcomeUnknown) as error:
        raise exits.Stopped(
            f"the supervisor stopped before the jobs were gone; they stay cancelled: {error.message}", hint="jobctl up"
        ) from None


def _print(context: Context, done: messages.Cancelled) -> None:
    out, form = context.out, context.args.output
    if form == "json":
        out.document(documents.CANCELLED, {"cancelled": done.cancelled, "finished": done.finished})
    elif form == "text":
        if done.cancelled:
            out.line(f"cancelled {listed(done.cancelled)}")
        if done.finished and done.cancelled:
            out.say(f"finished before: {listed(done.finished)}")
        if not done.cancelled and not done.finished:
            out.say("no unfinished jobs")
    else:
        print_ids(context, done.cancelled)
