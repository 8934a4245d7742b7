"""How things look to people: escaping, durations, sizes, times, tables, and the streams they are written to.

Owns the rule that no text from a job, a config or a user reaches a terminal with control characters in it: everything
that is written here goes through ``clean``. Knows nothing of jobs; ``views.py`` says which facts are shown.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from datetime import datetime
from io import TextIOWrapper
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TextIO

from ...protocol.errors import JobyardError
from ...protocol.text import clean as clean

_GAP = "  "
_FOLDED_CHARS_MIN = 20  # with less room the last column would be a ribbon of letters
_CUT_CHARS_MIN = 12
_SIZE_DIGITS_MAX = 5  # of a terminal


def clean_lines(text: str) -> str:
    """``clean`` for text of many lines: line ends and tabs stay, a carriage return becomes a line end."""
    return clean(text.replace("\r\n", "\n").replace("\r", "\n"), "\n\t")


def indent(text: str, by: str = "    ") -> str:
    return "\n".join(by + line if line else line for line in text.splitlines())


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{seconds:.3f} s" if seconds < 1 else f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h {minutes:02d}m"
    return f"{hours // 24}d {hours % 24}h"


def brief(seconds: float | None) -> str:
    """A duration in a few characters, for tables that hold many: "5ms", "1.2s", "3m", "2.5h", "4d"."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{1000 * seconds:.0f}ms"
    for limit, unit_s, unit in ((60, 1, "s"), (3600, 60, "m"), (86400, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit_s:.3g}{unit}"
    return f"{seconds / 86400:.3g}d"


def size(count: int | None) -> str:
    if count is None:
        return "-"
    if count < 1024:
        return f"{count} B"
    value = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if value < 1024 or unit == "GiB":
            break
    return f"{value:.1f} {unit}"


def moment(at: float | None) -> str:
    """Local time to the second; JSON has the exact time in UTC."""
    if at is None:
        return "-"
    try:
        local = datetime.fromtimestamp(at)
    except (ValueError, OverflowError):  # the year 10000 begins earlier in the east
        local = datetime.max
    return local.strftime("%Y-%m-%d %H:%M:%S")


def short_moment(at: float, now: float) -> str:
    """Time of day for today, else the date; for tables, where room is scarce."""
    text, today = moment(at), moment(now)
    return text[11:] if text[:10] == today[:10] else text[:10]


class Column(NamedTuple):
    """``styles`` gives the rich style of a cell by its text; ``cuts``: with it each row keeps
    to one line, and a terminal that is narrow cuts the beginning of this cell and the end of the last one."""

    title: str
    right: bool = False
    styles: Mapping[str, str] = MappingProxyType({})
    cuts: bool = False


class Output:
    """Data on stdout, talk on stderr, errors as DESIGN says; each in the form that was asked for.

    Args:
        form: "text", "json", "jsonl" or "id".
        no_color: NO_COLOR is set; only "always" overrules it.
    """

    def __init__(self, stdout: TextIO, stderr: TextIO, form: str = "text", no_color: bool = False) -> None:
        self.stdout = stdout
        self.stderr = stderr
        self.terminal = stdout.isatty()
        self._no_color = no_color
        self.use(form, "auto")

    def use(self, form: str, color: str) -> None:
        """Take the form and the colours that the command line asks for."""
        self.form = form
        self.color = color == "always" or (color == "auto" and self.terminal and not self._no_color)

    @property
    def for_programs(self) -> bool:
        return self.form in ("json", "jsonl")

    def flush(self) -> None:
        self.stdout.flush()
        self.stderr.flush()

    def abandon(self) -> None:
        """Nobody can read stdout any more: what is left in its buffer goes nowhere, silently."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.stdout.fileno())
        os.close(nowhere)

    def line(self, text: str = "") -> None:
        """One line of data."""
        self.stdout.write(clean(text) + "\n")

    def block(self, text: str) -> None:
        """Lines of data."""
        self.stdout.write(clean_lines(text) + "\n")

    def say(self, text: str) -> None:
        """Talk for people; with ``--json`` stderr is for an error alone."""
        if not self.for_programs:
            self.stdout.flush()  # so that both together, in one file, are in order
            self.stderr.write(clean_lines(text) + "\n")
            self.stderr.flush()

    def document(self, schema: str, body: Mapping[str, object]) -> None:
        """The one JSON value that a command prints."""
        self.stdout.write(json.dumps({"schema": schema, **body}, allow_nan=False) + "\n")

    def json_line(self, value: Mapping[str, object]) -> None:
        self.stdout.write(json.dumps(value, allow_nan=False) + "\n")

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        """A table with rich on a terminal that is wide enough, aligned text elsewhere."""
        cleaned = [[clean(cell) for cell in row] for row in rows]
        if not ((self.color or self.terminal) and self._rich_table(columns, cleaned)):
            self.stdout.write(plain_table(columns, cleaned))

    def _rich_table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> bool:
        """False, and nothing is written, where there is no room even for cells that are cut."""
        from rich.console import Console  # slow to import, so only when a table is drawn
        from rich.table import Table
        from rich.text import Text

        console = Console(file=self.stdout, force_terminal=self.color, no_color=not self.color, highlight=False)
        needed = _widths(columns, rows)
        widths = _fit(columns, needed, console.width - len(_GAP) * (len(columns) - 1))
        if widths is None:
            return False
        table = Table(box=None, pad_edge=False, header_style="bold" if self.color else None)
        folds = not any(column.cuts for column in columns)
        for column, width in zip(columns, widths, strict=True):
            side: Literal["left", "right"] = "right" if column.right else "left"
            last = column is columns[-1]
            overflow: Literal["fold", "ellipsis"] = "fold" if folds else "ellipsis"
            table.add_column(column.title, justify=side, width=width, no_wrap=not (last and folds), overflow=overflow)
        for row in rows:
            cells = [
                Text(_tail(cell, width) if column.cuts else cell, style=column.styles.get(cell, ""))
                for column, width, cell in zip(columns, widths, row, strict=True)
            ]
            table.add_row(*cells)
        console.print(table)
        return True

    def error(self, error: JobyardError) -> None:
        """``error:`` and what is wrong, then ``try:`` and one thing to do; as one JSON line with ``--json``."""
        if self.for_programs:
            self.stderr.write(json.dumps({"error": plain_error(error)}) + "\n")
        else:
            self.stderr.write(error_text(error) + "\n")
        self.stderr.flush()


def plain_error(error: JobyardError) -> dict[str, Any]:
    """The error as JSON can carry it; details of odd types become text."""
    wire = error.to_wire()
    wire["details"] = json.loads(json.dumps(wire["details"], default=str))
    return wire


def error_text(error: JobyardError) -> str:
    problems = error.details.get("problems")
    if isinstance(problems, list) and problems:
        lines = [clean(str(problem) if "error: " in str(problem) else f"error: {problem}") for problem in problems]
    else:
        lines = [f"error: {clean(error.message, chr(10))}"]
    if error.hint:
        lines.append(clean(error.advice))
    return "\n".join(lines)


def plain_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    """Columns two spaces apart under a line of titles."""
    widths = _widths(columns, rows)
    text = ""
    for line in [[column.title for column in columns], *rows]:
        cells = [
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ]
        text += _GAP.join(cells).rstrip() + "\n"
    return text


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max([len(column.title), *(len(row[at]) for row in rows)]) for at, column in enumerate(columns)]


def _fit(columns: Sequence[Column], needed: Sequence[int], room: int) -> list[int] | None:
    """Widths that fit, or None: the last column folds, or shares what room there is with the one that may be cut."""
    *widths, last = needed
    cut = next((at for at, column in enumerate(columns[:-1]) if column.cuts), None)
    if cut is not None:
        both = room - sum(widths) + widths[cut]
        widths[cut] = min(widths[cut], max(_CUT_CHARS_MIN, both // 2, both - last))
    least = _FOLDED_CHARS_MIN if cut is None else _CUT_CHARS_MIN
    left = room - sum(widths)
    return [*widths, min(last, left)] if left >= min(last, least) else None


def _tail(text: str, width: int) -> str:
    return text if len(text) <= width else "…" + text[len(text) - width + 1 :]


def forget_odd_sizes(environ: MutableMapping[str, str]) -> None:
    """Take COLUMNS and LINES away where they say no size: rich and argparse would fail at some of it."""
    for name in ("COLUMNS", "LINES"):
        given = environ.get(name, "1")
        if not (given.isascii() and given.isdigit() and len(given) <= _SIZE_DIGITS_MAX and int(given)):
            del environ[name]


def standard_output(form: str, no_color: bool) -> Output:
    """An Output on the process's own streams, which never refuse a character; a closed one is replaced by nothing."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - as long as the process
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    return Output(sys.stdout, sys.stderr, form, no_color)
