"""Lines of output for ``jobctl logs``: which are wanted, and how each form of output shows them.

Owns what ``--stream``, ``--level``, ``--since``, ``--grep`` and ``--tail`` let through. Where the output comes from is
``follow.py``'s business.
"""

from __future__ import annotations

import re
import signal
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from types import FrameType

from ...protocol import messages
from ..lines import JOBYARD, LOGGING, Lines, LogLine
from .exits import UsageError
from .render import Output, clean

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
GREP_S = 1.0  # for one line; some patterns would take for ever
_ANSI = {"DEBUG": "2", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}
Show = Callable[[LogLine], None]


class Grep:
    """Whether a regular expression is found in a line. For the main thread alone.

    Raises:
        UsageError: it is none; later, that it takes too long.
    """

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        try:
            self._search = re.compile(pattern).search
        except (re.error, OverflowError, RecursionError) as error:
            hint = r"put a backslash before each of .*+?()[]{}^$| that is meant as itself"
            raise UsageError(f"--grep {pattern!r} is not a regular expression: {error}", hint=hint) from None

    def __call__(self, text: str) -> bool:
        before = signal.signal(signal.SIGALRM, self._expired)
        signal.setitimer(signal.ITIMER_REAL, GREP_S)
        try:
            return self._search(text) is not None
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, before)

    def _expired(self, number: int, frame: FrameType | None) -> None:
        raise UsageError(
            f"--grep {self._pattern!r} takes more than {GREP_S:g} s for one line",
            hint="a pattern without repetitions inside repetitions",
        )


@dataclass(frozen=True)
class Choice:
    """Which lines are wanted.

    Attributes:
        level: lines of ``logging`` from this number on; lines that have no level are then left out.
        since: not written before then, in seconds since the epoch.
        written_over: also lines that a carriage return wrote over, for who watches progress bars.
    """

    streams: frozenset[str] | None = None
    level: int | None = None
    since: float | None = None
    grep: Grep | None = None
    written_over: bool = False

    @property
    def of_lines(self) -> bool:
        """Whether more than the stream matters."""
        return self.level is not None or self.since is not None or self.grep is not None

    def fits(self, line: LogLine) -> bool:
        if line.stream == JOBYARD:
            return True
        return (
            (self.streams is None or line.stream in self.streams)
            and (self.written_over or not line.text.endswith("\r"))
            and (self.level is None or (line.level is not None and level_number(line.level) >= self.level))
            and (self.since is None or line.at >= self.since)
            and (self.grep is None or self.grep(shown(line)))
        )


def level_number(name: str) -> int:
    """As ``logging`` has it; a level of the job's own, of which only the name is known, is above all."""
    known = LEVELS.get(name.lower())
    if known is not None:
        return known
    word, _, number = name.partition(" ")
    return int(number) if word == "Level" and number.isdigit() else max(LEVELS.values())


def shown(line: LogLine) -> str:
    """The line as it was printed: with its level, if it begins a record of ``logging``."""
    begins = line.stream == LOGGING and line.level is not None and not line.text.startswith(" ")
    return f"{line.level} {line.text}" if begins else line.text


class LineSink:
    """Makes lines of the chunks of one output and shows those that are wanted.

    Args:
        tail: of what is there at first, until ``caught_up``, only so many of the last lines; None for all.
    """

    def __init__(self, choice: Choice, show: Show, tail: int | None = None) -> None:
        self._choice = choice
        self._show = show
        self._lines = Lines()
        self._held: deque[LogLine] | None = None if tail is None else deque(maxlen=tail)

    def __call__(self, chunk: messages.LogChunk) -> None:
        self._take(self._lines.feed([chunk]))

    def caught_up(self) -> None:
        """What comes from now on is new."""
        held, self._held = self._held, None
        for line in held or ():
            self._show(line)

    def end(self, last: bool) -> None:
        """The attempt is over, and so is its last line, whether it was the ``last`` or not."""
        self._take(self._lines.end())
        self.caught_up()
        self._lines = Lines()

    def _take(self, lines: Iterable[LogLine]) -> None:
        for line in lines:
            if not self._choice.fits(line):
                continue
            if self._held is None:
                self._show(line)
            else:
                self._held.append(line)


class TextLines:
    """Lines for people: cleaned, with their time and where they come from if that is wanted."""

    def __init__(self, out: Output, *, times: bool) -> None:
        self._out = out
        self._times = times

    def __call__(self, line: LogLine, origin: str = "") -> None:
        """``origin`` says whose line it is, where there are several jobs or attempts."""
        before = self._styled(f"{origin} | ", "2") if origin else ""
        if line.stream == JOBYARD:
            self._out.say(f"{origin} | {line.text}" if origin else line.text)
            return
        if self._times:
            before += self._styled(datetime.fromtimestamp(line.at).isoformat(" ", "milliseconds"), "2") + " "
        text = self._styled(clean(shown(line).removesuffix("\r"), "\t"), _ANSI.get(line.level or "", ""))
        self._out.stdout.write(f"{before}{text}\n")

    def _styled(self, text: str, style: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if style and self._out.color else text
