"""Options and words of ``submit`` and ``run`` to a submission."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from ...protocol import messages, options
from ...protocol.codec import pack_arguments
from ...protocol.ids import new_uid
from . import arguments, selection
from .context import Context
from .exits import UsageError
from .parsing import key_values, option_value, wall_time

WORDS_HELP = """arguments of the job:
  text          a positional argument, converted by the function's annotations
  name=text     a named argument
  name:=JSON    a named argument given as JSON; :=JSON a positional one
  @file  -      the content of a file or of standard input, also after = and :=
  --            what follows is never an option"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = (
        f"{parser.prog} [options] JOB [ARGUMENT ...]\n       {parser.prog} [options] CLASS METHOD [ARGUMENT ...]"
    )
    parser.add_argument(
        "words", metavar="JOB", nargs="+", help="a reference pkg.mod:function or an alias, then its arguments"
    )
    group = parser.add_argument_group("options of the job")
    group.add_argument("--queue", metavar="QUEUE", help="the queue to put it in")
    group.add_argument(
        "--priority", metavar="N", help="high (10), normal (0), low (-10) or a number; higher runs first"
    )
    group.add_argument("--delay", metavar="TIME", help='not before this time has passed, such as "90s" or "1h30m"')
    group.add_argument("--at", metavar="WHEN", help="not before this point in time, such as 2026-10-01T12:00")
    group.add_argument("--timeout", metavar="TIME", help="kill an attempt after this time, or none")
    group.add_argument("--soft-timeout", metavar="TIME", help="raise SoftTimeout in the job after this time")
    group.add_argument("--retries", metavar="N", type=int, help="further attempts after a failed one")
    group.add_argument("--max-attempts", metavar="N", type=int, help="attempts in all; N is --retries plus one")
    group.add_argument(
        "--retry-delay", metavar="TIME", help='wait before the next attempt; "5s,30s,5m" gives each wait'
    )
    group.add_argument("--key", metavar="KEY", help="unique among unfinished jobs")
    group.add_argument("--on-duplicate", metavar="WHAT", help="return, raise or replace, when the key is taken")
    group.add_argument("--tag", metavar="KEY=VALUE", action="append", default=[], help="a tag; may be repeated")
    group.add_argument("--expires", metavar="TIME", help="cancel it if it has not started by then")
    group.add_argument("--after", metavar="ID", action="append", default=[], help="wait until this job has ended")
    group.add_argument(
        "--on-parent-failure", metavar="WHAT", help="then cancel it (the default), or run it all the same"
    )


def send(context: Context, args: argparse.Namespace) -> messages.Accepted:
    """Submit the job and return what the supervisor stored.

    Raises:
        JobyardError: a bad option or argument, or what the supervisor answered.
    """
    chosen = job_options(args)
    if args.after:
        chosen["after"] = selection.ids(context, args.after)
    catalog: messages.CatalogReply = context.request(messages.Catalog())
    target = arguments.target(catalog, args.words)
    positional, named = arguments.read(target.words, target.entry, sys.stdin.buffer)
    submission = messages.Submission(
        uid=new_uid(),
        ref=target.ref,
        method=target.method,
        payload=pack_arguments(tuple(positional), named),
        arg_count=len(positional),
        kwarg_names=list(named),
        options=chosen,
    )
    reply: messages.Submitted = context.request(messages.Submit([submission]))
    accepted = reply.jobs[0]
    if accepted.existing:
        context.out.say(f"job {accepted.id} has this key already; nothing new was queued")
    return accepted


def job_options(args: argparse.Namespace) -> dict[str, Any]:
    """The options of the job in plain values.

    Raises:
        UsageError: two options that exclude each other, or a malformed one.
        BadArguments: a value out of range.
    """
    given = {
        "queue": args.queue,
        "priority": args.priority,
        "delay": args.delay,
        "at": wall_time(args.at, "--at") if args.at is not None else None,
        "timeout": args.timeout,
        "soft_timeout": args.soft_timeout,
        "retry": _retry(args) or None,
        "key": args.key,
        "on_duplicate": args.on_duplicate,
        "tags": key_values(args.tag, "--tag") or None,
        "expires": args.expires,
        "on_parent_failure": args.on_parent_failure,
    }
    return options.parse(options.ALL_OPTIONS, {name: value for name, value in given.items() if value is not None})


def _retry(args: argparse.Namespace) -> dict[str, Any]:
    if args.retries is not None and args.max_attempts is not None:
        raise UsageError(
            "both --retries and --max-attempts are given", hint="--retries 2 is the same as --max-attempts 3; give one"
        )
    retry: dict[str, Any] = {}
    if args.retries is not None:
        retry["max_attempts"] = option_value(options.retries, args.retries, "--retries") + 1
    if args.max_attempts is not None:
        retry["max_attempts"] = args.max_attempts
    if args.retry_delay is not None:
        waits = args.retry_delay.split(",")
        retry["delay"] = option_value(options.delays, waits if len(waits) > 1 else waits[0], "--retry-delay")
    return retry
