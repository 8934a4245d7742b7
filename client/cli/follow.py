"""Reading jobs' output: what is there, and what comes, attempt after attempt until the job is finished.

Nothing here polls: a request for output is parked by the supervisor until there is some.
"""

from __future__ import annotations

import codecs
import dataclasses
import queue
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

from ...protocol import messages, states
from ...protocol.job import JobInfo
from ...protocol.logfile import STREAMS
from ..lines import missing
from ..output import OutputReader, chunks_between, tail_start
from . import views
from .context import FOREVER, REQUEST_TIMEOUT_S, Context
from .render import Output, clean_lines, duration

WAITING_MAX = 256  # events of several jobs that are read ahead of what is printed


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """What follows was not there at first."""


@dataclass(frozen=True, slots=True)
class AttemptRead:
    """An attempt's output is read to its end, or as far as it goes.

    Attributes:
        reply: the last reply, with all bytes that were over the cap.
        info: the job after that; None where only this attempt is read.
        last: no other attempt follows.
    """

    reply: messages.LogReply
    info: JobInfo | None = None
    last: bool = True


Event = messages.LogChunk | CaughtUp | AttemptRead


@dataclass(frozen=True)
class Part:
    """Which part of an output is wanted.

    Attributes:
        wait: until the attempt is over, however long that takes.
        apart: tell by ``CaughtUp`` what is there at first from what comes.
        tail: begin only so many lines before the end of what is there at first, counting those of ``streams``.
    """

    wait: bool = False
    apart: bool = False
    tail: int | None = None
    streams: frozenset[str] | None = None


def attempt(context: Context, job_id: int, number: int | None, part: Part) -> Iterator[Event]:
    """The output of one attempt (None: the last); the last event is ``AttemptRead``."""
    offset = dropped = 0
    if part.tail is not None:
        number, offset = _tail_start(context, job_id, number, part.tail, part.streams)
    if part.apart or part.tail is not None:
        reply = yield from _chunks(context, job_id, number, offset, wait=False)
        yield CaughtUp()
        number, offset, dropped = reply.attempt or None, reply.next_offset, reply.dropped_bytes
        if reply.ended or not part.wait:
            yield AttemptRead(reply)
            return
    reply = yield from _chunks(context, job_id, number, offset, part.wait)
    yield AttemptRead(dataclasses.replace(reply, dropped_bytes=reply.dropped_bytes + dropped))


def attempts(context: Context, job_id: int, first: int, part: Part) -> Iterator[Event]:
    """The output of every attempt from ``first`` on as it is written, until the job is finished.

    Each attempt ends with ``AttemptRead``.
    """
    number, over = first, False
    while not over:
        for event in attempt(context, job_id, number, part):
            if not isinstance(event, AttemptRead):
                yield event
                continue
            info = job(context, job_id)
            over = info.finished and info.attempt <= number
            if over or info.attempt >= number:  # otherwise it has not come yet
                yield AttemptRead(event.reply, info, over)
                number += 1
        part = Part(wait=True)


def _chunks(
    context: Context, job_id: int, number: int | None, offset: int, wait: bool
) -> Generator[Event, None, messages.LogReply]:
    reader, dropped = OutputReader(job_id, number, offset, wait), 0
    reply = messages.LogReply(number or 0, [], offset, ended=False)
    while (request := reader.request) is not None:
        time.sleep(reader.pause_s(time.monotonic()))
        for reply in reader.take(context.request(request, FOREVER if wait else REQUEST_TIMEOUT_S)):
            yield from reply.chunks
            dropped += reply.dropped_bytes
    return dataclasses.replace(reply, dropped_bytes=dropped)


def _tail_start(
    context: Context, job_id: int, number: int | None, count: int, streams: frozenset[str] | None
) -> tuple[int | None, int]:
    """The attempt (None if there is none yet), and where its last lines begin."""
    reply: messages.LogReply = context.request(messages.Logs(job_id, number, limit=0))

    def between(low: int, high: int) -> Iterator[messages.LogChunk]:
        for chunk in chunks_between(context.request, job_id, reply.attempt, low, high):
            if streams is None or chunk.stream in streams:
                yield chunk

    return (reply.attempt, tail_start(between, reply.size, count)) if reply.attempt else (None, 0)


def together(sources: Sequence[Iterator[Event]]) -> Iterator[tuple[int, Event]]:
    """The events of several sources as they come, each with the index of its source."""
    events: queue.Queue[tuple[int, Event | BaseException | None]] = queue.Queue(WAITING_MAX)

    def pump(index: int, source: Iterator[Event]) -> None:
        try:
            for event in source:
                events.put((index, event))
            events.put((index, None))
        except BaseException as error:  # is raised where the events are taken
            events.put((index, error))

    for index, source in enumerate(sources):  # one that waits for a reply must not keep the process alive
        threading.Thread(target=pump, args=(index, source), daemon=True).start()
    running = len(sources)
    while running:
        index, event = events.get()
        if isinstance(event, BaseException):
            raise event
        if event is None:
            running -= 1
        else:
            yield index, event


class Printer:
    """Writes chunks of output as they come, escaped unless ``raw``.

    Args:
        apart: stderr and logging go to stderr; otherwise all goes to stdout.
        streams: only these.
    """

    def __init__(
        self, out: Output, *, raw: bool = False, apart: bool = False, streams: frozenset[str] | None = None
    ) -> None:
        self._out = out
        self._raw = raw
        self._apart = apart
        self._streams = streams
        self._line_open = False
        self._offset: int | None = None
        # One decoder per stream: a chunk may end in the middle of a character.
        self._decoders = {name: codecs.getincrementaldecoder("utf-8")("backslashreplace") for name in STREAMS}

    def __call__(self, chunk: messages.LogChunk) -> None:
        if self._offset is not None and chunk.offset > self._offset:
            self.end_line()
            self._out.say(missing(chunk.offset - self._offset))
        self._offset = chunk.offset + len(chunk.data)
        if self._streams is not None and chunk.stream not in self._streams:
            return
        target = (
            self._out.stderr
            if self._apart and (chunk.stream != "stdout" or self._out.form != "text")
            else self._out.stdout
        )
        if self._raw:
            target.flush()
            target.buffer.write(chunk.data)
        else:
            target.write(clean_lines(self._decoder(chunk.stream).decode(chunk.data)))
        target.flush()
        self._line_open = not chunk.data.endswith(b"\n")

    def caught_up(self) -> None:
        """What comes from now on is new, which makes no difference here."""

    def end(self, last: bool) -> None:
        """The attempt is over. If another follows, its first line must not go on with the last one of this."""
        if not last and self._line_open and not self._raw:
            self._out.stdout.write("\n")
            self._line_open = False
        self.end_line()
        self._offset = None

    def end_line(self) -> None:
        """On a terminal, see that what is said next begins on a line of its own."""
        if self._line_open and self._out.terminal:
            self._out.say("")
            self._line_open = False

    def _decoder(self, stream: str) -> codecs.IncrementalDecoder:
        return self._decoders[stream if stream in self._decoders else STREAMS[0]]


def until_finished(context: Context, job_id: int, printer: Printer) -> JobInfo:
    """Print the output of every attempt as it is written, until the job is finished."""
    for event in attempts(context, job_id, 1, Part(wait=True)):
        if isinstance(event, messages.LogChunk):
            printer(event)
        elif isinstance(event, AttemptRead):
            printer.end(event.last)
            say_read(context, event)
            if event.last and event.info is not None:
                return event.info
    raise AssertionError("the last attempt has a last event")


def say_read(context: Context, event: AttemptRead) -> None:
    """Tell what is missing in the output of an attempt and, if another one follows, how it ended."""
    say_dropped(context, event.reply)
    if event.info is not None and not event.last:
        say_ended(context, event.info, event.reply.attempt)


def say_ended(context: Context, info: JobInfo, number: int) -> None:
    """Tell how an attempt ended after which another one follows, and when, so that the wait for it is no riddle."""
    ended = next((item for item in info.attempts if item.number == number and item.outcome), None)
    if ended is None:
        return
    due = ""
    if info.state == states.SCHEDULED:
        due = f"; the next starts in {duration(max(0.0, info.run_at - context.now()))}"
    context.out.say(f"attempt {number}: {views.reason(ended, info.policy)}{due}")


def say_dropped(context: Context, reply: messages.LogReply) -> None:
    """Tell that the output of an attempt was longer than what is kept, or could not be written."""
    if reply.dropped_bytes:
        limit = "[output] max_job_bytes"
        context.out.say(f"{reply.dropped_bytes:,} bytes in the middle were over the limit ({limit}) and are gone")
    if reply.unwritten_why is not None:
        what = f"{reply.unwritten_bytes:,} bytes of output" if reply.unwritten_bytes else "output"
        context.out.say(f"{what} could not be written: {reply.unwritten_why}")


def job(context: Context, job_id: int) -> JobInfo:
    reply: messages.Jobs = context.request(messages.Get([job_id]))
    return reply.jobs[0]
