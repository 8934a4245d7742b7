"""``jobctl logs``."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ....protocol import messages
from ....protocol.errors import JobyardError, OutcomeUnknown, SupervisorUnavailable
from ....protocol.job import JobInfo
from ....protocol.logfile import STREAMS
from ...lines import LogLine
from .. import documents, exits, follow, loglines, parsing, selection
from ..context import Context
from ..exits import UsageError
from ..follow import AttemptRead, CaughtUp, Event, Part, Printer
from ..loglines import Choice, LineSink
from ..render import duration

FOLLOWED_MAX = 32  # a connection each
TAIL_MAX = 10_000_000
_EXAMPLES = """A line that begins a record of the job's logging has its level before it. Control characters in
the output are made visible, because they could forge lines or drive the terminal; --raw prints
the exact bytes. What a progress bar wrote over is shown only to who follows.

examples:
  jobctl logs 42
  jobctl logs -f last
  jobctl logs 42 --tail 20 --time
  jobctl logs 40-45 --level warning --since 1h
  jobctl logs 42 --attempt all --grep 'timeout|refused'
  jobctl logs 42 --raw > output.bin"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options] ID ..."
    parsing.add_ids(parser, required=True)
    parser.add_argument(
        "-f", "--follow", action="store_true", help="go on with what is written until the jobs are finished"
    )
    parser.add_argument("--tail", metavar="N", type=int, help="only the last N lines of what is there")
    parser.add_argument("--attempt", metavar="N", help='of this attempt only, or of "all" (default: the last)')
    parser.add_argument("--stream", metavar="NAMES", help=f"only these, of {', '.join(STREAMS)}")
    parser.add_argument("--level", metavar="LEVEL", help="only what was logged at this level or above")
    parser.add_argument("--since", metavar="WHEN", help='written since then: "5m", or a time such as 2026-10-01T12:00')
    parser.add_argument("--grep", metavar="REGEX", help="only lines in which this regular expression is found")
    parser.add_argument("--time", action="store_true", help="when each line was written, in local time")
    parser.add_argument("--raw", action="store_true", help="the exact bytes")
    parser.add_argument(
        "-o", "--output", choices=("text", "json", "jsonl"), default="text", help="one JSON value, or one for each line"
    )
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    choice = _choice(args, context)
    _check(args, choice)
    infos = selection.named(context, selection.ids(context, args.ids))
    if args.follow and len(infos) > (1 if args.raw else FOLLOWED_MAX):
        hint = "follow one with --raw" if args.raw else f"follow at most {FOLLOWED_MAX} at a time"
        raise UsageError(f"{len(infos)} jobs are named", hint=hint)
    for info in infos:
        if not info.attempt:
            context.out.say(f"job {info.id} has not been started: jobctl why {info.id}")
    try:
        _show(args, context, _targets(args, context, choice, infos))
    except (SupervisorUnavailable, OutcomeUnknown) as error:
        if not args.follow:
            raise
        raise exits.Stopped(f"the supervisor stopped: {error.message}", hint="jobctl up") from None
    return exits.OK


def _show(args: argparse.Namespace, context: Context, targets: list[_Target]) -> None:
    sources = [target.source for target in targets]
    if args.follow and len(sources) > 1:
        events = follow.together(sources)
    else:
        events = ((index, event) for index, source in enumerate(sources) for event in source)
    for index, event in events:
        targets[index].take(event)
        if args.follow:
            context.out.stdout.flush()
    if args.output == "json":
        context.out.document(documents.LOGS, {"outputs": [one for target in targets for one in target.read]})


class _Target:
    """One job's output, attempt after attempt.

    Attributes:
        source: its events.
        read: what was read of each attempt, as JSON.
    """

    def __init__(
        self, context: Context, args: argparse.Namespace, choice: Choice, info: JobInfo, number: int, origin: str
    ) -> None:
        self._context = context
        self._form: str = args.output
        self._info = info
        self._number = number
        self._origin = origin
        self._lines: list[dict[str, Any]] = []
        self._text = loglines.TextLines(context.out, times=args.time)
        self.read: list[dict[str, Any]] = []
        self.source: Iterator[Event] = iter(())
        passed_on = args.raw or (args.follow and not (origin or args.time or choice.of_lines or self._form != "text"))
        self._sink: Printer | LineSink
        if passed_on:
            self._sink = Printer(context.out, raw=args.raw, streams=choice.streams)
        else:
            self._sink = LineSink(choice, self._line, args.tail)
        tail = None if choice.of_lines or args.tail is None else args.tail + (not passed_on)
        self.part = Part(args.follow, args.tail is not None, tail, choice.streams)

    def take(self, event: Event) -> None:
        match event:
            case messages.LogChunk():
                self._sink(event)
            case CaughtUp():
                self._sink.caught_up()
            case AttemptRead():
                self._sink.end(event.last)
                follow.say_read(self._context, event)
                _say_absent(self._context, self._info, event.reply)
                self.read.append(documents.output(self._info.id, event.reply, self._lines))
                self._lines = []
                self._number = event.reply.attempt + 1

    def _line(self, line: LogLine) -> None:
        if self._form == "text":
            self._text(line, self._origin.format(self._number))
        elif self._form == "jsonl":
            self._context.out.json_line({"id": self._info.id, "attempt": self._number, **documents.log_line(line)})
        else:
            self._lines.append(documents.log_line(line))


def _targets(args: argparse.Namespace, context: Context, choice: Choice, infos: list[JobInfo]) -> list[_Target]:
    every = args.attempt == "all"
    found = []
    width = max(len(str(info.id)) for info in infos)
    for info in infos:
        origin = f"{info.id:>{width}}" if len(infos) > 1 or every else ""
        origin += ".{}" if every else ""
        last = max(1, info.attempt)
        for number in _numbers(args, last):
            target = _Target(context, args, choice, info, number, origin)
            if args.follow and (every or args.attempt is None):
                target.source = follow.attempts(context, info.id, number, target.part)
            else:
                wanted = number if info.attempt or args.attempt else None
                target.source = follow.attempt(context, info.id, wanted, target.part)
            found.append(target)
    return found


def _say_absent(context: Context, info: JobInfo, reply: messages.LogReply) -> None:
    """Tell that there is nothing of an attempt that had ended: a file is made only when something is printed."""
    ended_at = next((one.ended_at for one in info.attempts if one.number == reply.attempt), None)
    if ended_at is None or reply.size or reply.inode or reply.unwritten_why is not None:
        return
    keep_s = _keep_s(context)
    if keep_s is not None and ended_at < context.now() - keep_s:
        why = f"what it printed, if anything, was removed: it ended over {duration(keep_s)} ago ([output] keep)"
    else:
        why = "it printed nothing, or that was removed by [output] keep_count or total"
    context.out.say(f"job {info.id}, attempt {reply.attempt}: {why}")


def _keep_s(context: Context) -> float | None:
    """How long output is kept, in seconds; None if the config says for ever, or is not there to be asked."""
    try:
        return None if context.names_socket else context.loaded.settings.output.keep_s
    except JobyardError:
        return None


def _numbers(args: argparse.Namespace, last: int) -> Sequence[int]:
    """The attempts to begin with, of a job whose last one is ``last``."""
    if args.attempt == "all":
        return [1] if args.follow else range(1, last + 1)
    return [last if args.attempt is None else int(args.attempt)]


# -- what is wanted ----------------------------------------------------------------------------------------------------


def _choice(args: argparse.Namespace, context: Context) -> Choice:
    return Choice(
        streams=None if args.stream is None else frozenset(_words(args.stream, STREAMS, "stream")),
        level=None if args.level is None else loglines.LEVELS[_words(args.level, loglines.LEVELS, "level")[0]],
        since=None if args.since is None else selection.since(args.since, context.now()),
        grep=None if args.grep is None else loglines.Grep(args.grep),
        written_over=args.follow,
    )


def _words(text: str, known: Iterable[str], what: str) -> list[str]:
    names = [word.strip().lower() for word in text.split(",")]
    for name in names:
        if name not in known:
            raise UsageError(f"there is no {what} {name!r}", hint=f"give one of {', '.join(known)}")
    return names


def _check(args: argparse.Namespace, choice: Choice) -> None:
    """Refuse what makes no sense."""
    given = args.attempt
    if given not in (None, "all") and not (given.isascii() and given.isdigit() and 0 < int(given) < 1 << 31):
        raise UsageError(f"--attempt {given} is no attempt", hint='attempts are numbered from 1; "all" is every one')
    if args.tail is not None and not 0 <= args.tail <= TAIL_MAX:
        raise UsageError(f"--tail {args.tail} is no number of lines", hint=f"0 to {TAIL_MAX:,}")
    if args.raw and (choice.of_lines or args.time or args.output != "text"):
        raise UsageError("--raw passes bytes on, and another option is about lines", hint="leave one of them out")
