"""Reading a job's output: what is there, and what comes, attempt after attempt until the job is finished.

Nothing here polls: a request for output is parked by the supervisor until there is some.
"""

from __future__ import annotations

import codecs
import dataclasses
from collections.abc import Callable

from ...protocol import messages, states
from ...protocol.job import JobInfo
from . import views
from .context import FOREVER, REQUEST_TIMEOUT_S, Context
from .render import Output, clean_lines, duration

STREAMS = ("stdout", "stderr", "logging")
Sink = Callable[[messages.LogChunk], None]


class Printer:
    """Writes chunks of output as they come, escaped unless ``raw``.

    Args:
        apart: stderr and logging go to stderr; otherwise all goes to stdout.
        stream: only this one.
    """

    def __init__(self, out: Output, *, raw: bool = False, apart: bool = False, stream: str | None = None) -> None:
        self._out = out
        self._raw = raw
        self._apart = apart
        self._stream = stream
        self._line_open = False
        # One decoder per stream: a chunk may end in the middle of a character.
        self._decoders = {name: codecs.getincrementaldecoder("utf-8")("backslashreplace") for name in STREAMS}

    def __call__(self, chunk: messages.LogChunk) -> None:
        if self._stream not in (None, chunk.stream):
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

    def end_line(self) -> None:
        """On a terminal, see that what is said next begins on a line of its own."""
        if self._line_open and self._out.terminal:
            self._out.say("")

    def _decoder(self, stream: str) -> codecs.IncrementalDecoder:
        return self._decoders[stream if stream in self._decoders else STREAMS[0]]


def read(context: Context, job_id: int, attempt: int | None, sink: Sink, *, wait: bool = False) -> messages.LogReply:
    """Give all output of one attempt to ``sink``; with ``wait`` until the attempt is over.

    Returns:
        The last reply, with all bytes that were over the cap.
    """
    offset = dropped = 0
    timeout = FOREVER if wait else REQUEST_TIMEOUT_S
    while True:
        reply: messages.LogReply = context.request(messages.Logs(job_id, attempt, offset, wait), timeout)
        for chunk in reply.chunks:
            sink(chunk)
        dropped += reply.dropped_bytes
        if reply.ended or not (wait or reply.chunks):
            return dataclasses.replace(reply, dropped_bytes=dropped)
        attempt, offset = reply.attempt, reply.next_offset


def until_finished(context: Context, job_id: int, printer: Printer, first: int = 1) -> JobInfo:
    """Print the output of every attempt from ``first`` on as it is written, until the job is finished."""
    attempt = first
    while True:
        say_dropped(context, read(context, job_id, attempt, printer, wait=True))
        info = job(context, job_id)
        if info.finished and info.attempt <= attempt:
            return info
        if info.attempt >= attempt:
            printer.end_line()
            say_ended(context, info, attempt)
            attempt += 1


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
