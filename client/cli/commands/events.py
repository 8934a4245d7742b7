"""``jobctl events``."""

from __future__ import annotations

import argparse
import re

from ....protocol.errors import OutcomeUnknown, SupervisorUnavailable
from ....protocol.notices import KINDS, EventFilter, EventsReply, Notice
from ....protocol.options import nearest_hint
from ...events import Follower, Since
from .. import documents, exits, notices, selection
from ..context import Context
from ..exits import UsageError

_EXAMPLES = f"""Each line begins with the time and the number of the event; --since with such a number goes on
after it. events_truncated says that events are lost for good.

kinds:
  {", ".join(KINDS[:7])},
  {", ".join(KINDS[7:13])},
  {", ".join(KINDS[13:])}

examples:
  jobctl events
  jobctl events --since oldest --kind failed
  jobctl events --since 3:812 --queue mail -o jsonl
  jobctl events --job last
  jobctl events --json            what is kept, without waiting for more"""
_POSITION = re.compile(r"(?:(\d{1,18}):)?(\d{1,18})\Z", re.ASCII)


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options]"
    parser.add_argument(
        "--since", metavar="SEQ", help='after this event, such as 812 or 3:812; "oldest" is all that are kept'
    )
    parser.add_argument("--job", metavar="ID", help="of this job, 42 or last, from what is kept until it is finished")
    parser.add_argument("--queue", metavar="QUEUE", help="of this queue")
    parser.add_argument("--kind", metavar="KIND", action="append", default=[], help="of this kind, or one of several")
    parser.add_argument(
        "-o",
        "--output",
        choices=("text", "json", "jsonl"),
        default="text",
        help="text or one JSON value per line as they come, or all that are kept as one JSON value",
    )
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    since = _since("oldest" if args.since is None and (args.job or args.output == "json") else args.since)
    wanted = EventFilter(_job(context, args.job), args.queue, _kinds(args.kind))
    if args.output == "json":
        return _kept(context, since, wanted)
    coming = context.connection.events(since, job=wanted.job_id, queue=wanted.queue, kinds=wanted.kinds or None)
    try:
        for notice in coming:
            _print(context, notice)
    except (SupervisorUnavailable, OutcomeUnknown) as error:
        raise exits.Stopped(f"the supervisor stopped: {error.message}", hint="jobctl up") from None
    return exits.OK


def _print(context: Context, notice: Notice) -> None:
    out = context.out
    if out.form == "jsonl":
        out.json_line(notices.document(notice))
    else:
        out.line(notices.line(notice))
    out.stdout.flush()


def _kept(context: Context, since: Since, wanted: EventFilter) -> int:
    follower = Follower(since, wanted)
    found = []
    reply: EventsReply | None = None
    while reply is None or reply.more:
        reply = context.request(follower.request())
        found += follower.answered(reply)
    body = {"epoch": reply.epoch, "seq": reply.seq, "events": [notices.document(notice) for notice in found]}
    context.out.document(documents.EVENTS, body)
    return exits.OK


def _since(text: str | None) -> Since:
    if text is None:
        return None
    if text == "oldest":
        return "oldest"
    found = _POSITION.match(text)
    if found is None:
        raise UsageError(f"--since {text!r} is not the number of an event", hint="write 812, 3:812 or oldest")
    return int(found[2]) if found[1] is None else (int(found[1]), int(found[2]))


def _job(context: Context, word: str | None) -> int | None:
    if word is None:
        return None
    found = selection.ids(context, [word])
    if len(found) != 1:
        raise UsageError(f"--job {word!r} names {len(found)} jobs", hint="events tells of one job, or of all")
    return found[0]


def _kinds(words: list[str]) -> list[str]:
    names = [name.strip().lower() for word in words for name in word.split(",")]
    for name in names:
        if name not in KINDS:
            raise UsageError(f"there is no kind of event {name!r}", hint=nearest_hint(name, KINDS))
    return names
