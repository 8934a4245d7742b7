"""The beginning of what an attempt has printed, as lines for the supervisor's log.

Owns splitting it into lines. It is read once, when the attempt has ended; the loop stands still meanwhile, so that
there is a bound on all of it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..protocol import outputs
from ..protocol.messages import LogChunk
from . import output

LOGGING = "logging"
_LEVELLED = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL) (\S+): ")
_OWN_LOGGER = "job"  # of BaseJob.log and current_job().log


@dataclass(frozen=True, slots=True)
class Said:
    """One line, and when it was begun, in seconds since the epoch."""

    at: float
    level: int
    text: str


def beginning(output_dir: str, job_id: int, attempt: int, bytes_max: int) -> list[Said]:
    """The lines within the first ``bytes_max`` bytes, by their time; the last one says if there is more.

    Nothing where nothing was printed, or where it cannot be read: whoever asks for the output itself is told why.
    """
    try:
        return _beginning(output_dir, job_id, attempt, bytes_max) if bytes_max else []
    except OSError:
        return []


def _beginning(output_dir: str, job_id: int, attempt: int, bytes_max: int) -> list[Said]:
    base = output.base(output_dir, job_id, attempt)
    printed = outputs.size(base, settled=True)
    reading = outputs.read(base, 0, printed, bytes_max)
    said = sorted(_said(reading.chunks), key=lambda line: line.at)
    if reading.reached < printed and reading.chunks:
        at = reading.chunks[-1].at
        said.append(Said(at, logging.INFO, f"... the rest: jobctl logs {job_id} --attempt {attempt}"))
    return said


def _said(chunks: Iterable[LogChunk]) -> Iterator[Said]:
    level = logging.INFO
    for at, stream, data in _lines(chunks):
        text = data.decode("utf-8", "backslashreplace").removesuffix("\r")
        if stream == LOGGING and (found := _LEVELLED.match(text)):  # else the record before goes on
            level = logging.getLevelNamesMapping()[found[1]]
            text = text[found.end() if found[2] == _OWN_LOGGER else found.start(2) :]
        if text.strip():
            yield Said(at, level if stream == LOGGING else logging.INFO, text)


def _lines(chunks: Iterable[LogChunk]) -> Iterator[tuple[float, str, bytes]]:
    held: dict[str, tuple[float, bytes]] = {}
    for chunk in chunks:
        at, begun = held.pop(chunk.stream, (chunk.at, b""))
        *ended, rest = (begun + chunk.data).split(b"\n")
        for line in ended:
            yield at, chunk.stream, line
            at = chunk.at
        if rest:
            held[chunk.stream] = (at, rest)
    for stream, (at, rest) in held.items():
        yield at, stream, rest
