"""What the demo shows: bars while it runs on a terminal, plain lines elsewhere, and the table at the end.

Owns the wording of a job's fate. Starts nothing and asks nobody.
"""

from __future__ import annotations

import csv
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from demo_checks import Check
from jobyard import JobInfo
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

MIB = 1 << 20
QUIET_S = 2.0  # between two lines where there is no terminal
COLUMNS = ("job", "id", "state", "attempts", "how it ended", "wall s", "peak MiB", "CPU s")
PLACES = (
    ("every job", "jobs.csv"),
    ("invoices", "invoices"),
    ("mails", "mails"),
    ("jobs' output", ".jobyard/output"),
    ("jobyard's log", ".jobyard/background_jobs.log"),
)
STYLES = {"succeeded": "green", "failed": "red", "cancelled": "yellow"}


class Watch:
    """Shows how far each kind of job is. Use it as a context manager."""

    def __init__(self, console: Console, totals: dict[str, int]) -> None:
        self._console = console
        columns = (
            TextColumn("{task.description:9}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._bars = Progress(*columns, console=console, disable=not console.is_terminal)
        self._rows = {name: self._bars.add_task(name, total=total, note="") for name, total in totals.items()}
        self._done: dict[str, str] = {}
        self._totals = totals
        self._said_at = time.monotonic()

    def __enter__(self) -> Watch:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, name: str, done: float, note: str) -> None:
        """How far one kind is."""
        self._bars.update(self._rows[name], completed=done, note=note)
        self._done[name] = f"{name} {done:g}/{self._totals[name]}"

    def tick(self) -> None:
        """All kinds have been shown; where there is no terminal, a line now and then."""
        if not self._console.is_terminal and time.monotonic() - self._said_at >= QUIET_S:
            self.say("  ".join(self._done[name] for name in self._totals if name in self._done))

    def say(self, text: str) -> None:
        """One line above the bars."""
        self._said_at = time.monotonic()
        self._console.print(text, markup=False)


def show_end(
    console: Console,
    directory: Path,
    infos: list[JobInfo],
    names: dict[int, str],
    checks: list[Check],
    *,
    every_job: bool,
) -> None:
    """The last page: the table, where everything is, and what was expected."""
    write_csv(directory / "jobs.csv", infos, names)
    console.print("", table(infos, names, every_job=every_job), sep="\n", soft_wrap=False)
    states = Counter(info.state for info in infos)
    console.print(
        f"{len(infos)} jobs: {_counts(states)}; {sum(len(info.attempts) for info in infos)} attempts; "
        f"{sum(map(_cpu_s, infos)):.1f} s of CPU"
    )
    for what, where in PLACES:
        console.print(f"{what + ':':14} {directory / where}", markup=False)
    console.print()
    for check in checks:
        mark = "[red]NOT[/red]" if check.problem else "[green]ok [/green]"
        console.print(mark, escape(check.what + (f": {check.problem}" if check.problem else "")))


def table(infos: list[JobInfo], names: dict[int, str], *, every_job: bool) -> Table:
    """What became of the jobs: alike ones in one row, unless ``every_job``."""
    shown = Table(title="What happened", title_justify="left")
    for column in COLUMNS:
        shown.add_column(column, justify="right" if column in COLUMNS[5:] else "left", overflow="fold")
    kinds = Counter(names[info.id] for info in infos)
    for name in dict.fromkeys(names[info.id] for info in infos):
        group = [info for info in infos if names[info.id] == name]
        if kinds[name] > 1 and not every_job:
            shown.add_row(*_group_row(name, group))
        else:
            for info in group:
                shown.add_row(*_row(name, info), style=STYLES.get(info.state, ""))
    return shown


def write_csv(path: Path, infos: Iterable[JobInfo], names: dict[int, str]) -> None:
    """Every job as one row of a file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(_row(names[info.id], info) for info in infos)


def fate(info: JobInfo) -> str:
    """How a job ended, and what it took."""
    past = Counter(attempt.outcome or "unknown" for attempt in info.attempts[:-1])
    before = f" (before: {_counts(past)})" if past else ""
    return _ending(info) + before


def _ending(info: JobInfo) -> str:
    last = info.last_attempt
    if info.state == "cancelled":
        return f"cancelled: {info.reason}" if info.reason else "cancelled"
    if last is None or last.outcome is None:
        return "never started"
    if last.outcome == "timeout":
        return f"timeout after {info.policy.timeout_s:g} s" if info.policy.timeout_s else "timeout"
    if last.error is not None:
        return f"{last.error.type}: {last.error.message}"
    return str(last.signal or last.outcome)


def _row(name: str, info: JobInfo) -> tuple[str, ...]:
    figures = (f"{_wall_s(info):.2f}", f"{_peak_bytes(info) / MIB:.1f}", f"{_cpu_s(info):.2f}")
    return (name, str(info.id), info.state, str(len(info.attempts)), fate(info), *figures)


def _group_row(name: str, group: list[JobInfo]) -> tuple[str, ...]:
    outcomes = Counter(attempt.outcome or "unknown" for info in group for attempt in info.attempts)
    walls, peaks, cpus = ([figure(info) for info in group] for figure in (_wall_s, _peak_bytes, _cpu_s))
    return (
        f"{name} x {len(group)}",
        f"{group[0].id}..{group[-1].id}",
        _counts(Counter(info.state for info in group)),
        str(sum(len(info.attempts) for info in group)),
        _counts(outcomes),
        f"{min(walls):.2f}..{max(walls):.2f}",
        f"{min(peaks) / MIB:.1f}..{max(peaks) / MIB:.1f}",
        f"{sum(cpus):.2f} in all",
    )


def _counts(counted: Counter[str]) -> str:
    return ", ".join(f"{count} {word}" for word, count in counted.most_common())


def _wall_s(info: JobInfo) -> float:
    return sum((attempt.ended_at or attempt.started_at) - attempt.started_at for attempt in info.attempts)


def _cpu_s(info: JobInfo) -> float:
    usages = [attempt.usage for attempt in info.attempts if attempt.usage]
    return sum(usage.cpu_user_s + usage.cpu_system_s for usage in usages)


def _peak_bytes(info: JobInfo) -> int:
    return max((attempt.usage.peak_rss_bytes for attempt in info.attempts if attempt.usage), default=0)
