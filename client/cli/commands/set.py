"""``jobctl set``."""

from __future__ import annotations

import argparse
from typing import Any

from ....protocol import messages, options, states
from .. import bulk, documents, exits, selection
from ..context import Context
from ..exits import UsageError
from ..parsing import add_ids_or_filters, add_output, option_value, wall_time

_EXAMPLES = """Only jobs that wait can be changed: queued, scheduled and blocked ones. Filters that say nothing
of states mean all of these. A job that is moved keeps the other options that it was submitted with.

examples:
  jobctl set 42 --priority high
  jobctl set 42-45 --to-queue slow --timeout 10m
  jobctl set last --now
  jobctl set --queue mail --delay 1h --yes"""


def add(parser: argparse.ArgumentParser) -> None:
    add_ids_or_filters(parser, "every job that waits")
    group = parser.add_argument_group("what to change")
    group.add_argument("--priority", metavar="N", help="high (10), normal (0), low (-10) or a number")
    group.add_argument("--to-queue", metavar="QUEUE", help="the queue to move it to")
    group.add_argument("--delay", metavar="TIME", help='not before this time has passed from now, such as "15m"')
    group.add_argument("--at", metavar="WHEN", help="not before this point in time, such as 2026-10-01T12:00")
    group.add_argument("--now", action="store_true", help="as soon as there is room for it")
    group.add_argument("--timeout", metavar="TIME", help="kill an attempt after this time, or none")
    parser.add_argument("--yes", action="store_true", help="do not ask before jobs chosen by filters are changed")
    add_output(parser)
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    if args.ids and args.queue:
        raise UsageError("--queue chooses jobs, and ids do so already", hint=f"--to-queue {args.queue} moves them")
    changes = _changes(args)
    ids = selection.chosen_ids(context, args, among=states.WAITING, deed="change")
    done, others = bulk.ask(context, ids, lambda part: messages.SetJob(part, changes))
    bulk.print_done(context, documents.CHANGED, "changed", done, others, "not waiting any more")
    return exits.OK


def _changes(args: argparse.Namespace) -> dict[str, Any]:
    times = [name for name in ("delay", "at", "now") if getattr(args, name) not in (None, False)]
    if len(times) > 1:
        raise UsageError(f"both --{times[0]} and --{times[1]} are given", hint="give one of them")
    changes: dict[str, Any] = {}
    for option, name in (("--priority", "priority"), ("--to-queue", "to_queue"), ("--delay", "delay")):
        if getattr(args, name) is not None:
            key = name.removeprefix("to_")
            changes[key] = option_value(options.SET_OPTIONS[key], getattr(args, name), option)
    if args.timeout is not None:
        changes["timeout"] = option_value(options.duration_or_none, args.timeout, "--timeout")
    if args.at is not None:
        changes["at"] = wall_time(args.at, "--at")
    if args.now:
        changes["delay"] = 0.0
    if not changes:
        raise UsageError("nothing is to be changed", hint="--priority, --to-queue, --delay, --at, --now or --timeout")
    return changes
