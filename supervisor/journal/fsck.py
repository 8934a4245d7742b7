"""Checking, repairing and printing a journal that no supervisor has open.

``check`` and ``dump`` change nothing. ``repair`` keeps every intact group and chunk, marks what is lost between them,
and copies each file aside before it replaces it; what records mean does not matter to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

from . import frames
from .disk import Disk
from .errors import JournalDamaged, JournalTooNew
from .files import listing, segment_path, snapshot_path
from .reader import JournalReader
from .salvage import Salvage


class Verdict(IntEnum):
    """What is wrong with a journal; the value is the exit code of ``jobctl journal``."""

    OK = 0
    TORN_TAIL = 1  # what a crash leaves behind; the next start deals with it
    DAMAGED = 2  # something that was stored is lost; a supervisor refuses to start
    UNREADABLE = 3  # no journal, not permitted, or of a newer version


@dataclass
class Report:
    """What was found.

    Attributes:
        problems: one line each; empty if all is well.
        changed: names of the files that a repair replaced. aside: where it put the old ones.
    """

    verdict: Verdict
    segments: int = 0
    groups: int = 0
    records: int = 0
    chunks: int = 0
    problems: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    aside: Path | None = None


def check(directory: Path, disk: Disk | None = None) -> Report:
    """Read everything as a start would."""
    report = Report(Verdict.OK)
    try:
        _read(JournalReader(directory, disk or Disk()), directory, report)
    except JournalTooNew as error:
        _fail(report, Verdict.UNREADABLE, error.message)
    except JournalDamaged as error:
        _fail(report, Verdict.DAMAGED, error.message)
    except OSError as error:
        _fail(report, Verdict.UNREADABLE, f"the journal cannot be read: {error}")
    return report


def repair(directory: Path, disk: Disk | None = None) -> Report:
    """Make a damaged journal one that can be opened. The caller holds the lock. Nothing else than damage is touched.

    Returns:
        What was found before, with ``changed`` and ``aside`` if that was damage.

    Raises:
        OSError: the disk refuses; running it again goes on from there.
    """
    disk = disk or Disk()
    report = check(directory, disk)
    if report.verdict is Verdict.DAMAGED:
        salvage = Salvage(directory, disk)
        try:
            salvage.run()
        except JournalTooNew as error:
            _fail(report, Verdict.UNREADABLE, error.message)
        report.changed, report.aside = salvage.changed, salvage.aside
        report.problems += salvage.lost
    return report


def dump(directory: Path, disk: Disk | None = None) -> Iterator[str]:
    """One line of JSON for each record and chunk that is intact, also in a damaged journal.

    Raises:
        OSError: a file cannot be read.
    """
    disk = disk or Disk()
    found = listing(disk, directory)
    paths = [snapshot_path(directory, number) for number in found.snapshots]
    paths += [segment_path(directory, number) for number in found.segments]
    for path in paths:
        with disk.open_read(path) as file:
            data = memoryview(file.read())
        end = 0
        for frame in frames.find(data, 0):
            if frame.start > end:
                yield _line(path, end, "damage", {"bytes": frame.start - end})
            end = frame.end
            yield from _frame_lines(path, frame)
        if not frames.is_blank(data, end):
            yield _line(path, end, "damage", {"bytes": len(data) - end})


def _read(reader: JournalReader, directory: Path, report: Report) -> None:
    if not reader.files.segments and not reader.files.snapshots:
        raise FileNotFoundError(f"there is no journal in {directory}")
    report.problems += reader.notes
    report.segments = len(reader.segments)
    for _ in reader.snapshot() or ():
        report.chunks += 1
    for group in reader.groups():
        report.groups += 1
        report.records += len(group)
    if reader.end and reader.torn:
        lost = len(reader.end.tail())
        where = f"{reader.end.path}, byte {reader.end.offset}"
        _fail(report, Verdict.TORN_TAIL, f"{where}: a crash left group {reader.end.group} half-written ({lost} bytes)")


def _fail(report: Report, verdict: Verdict, problem: str) -> None:
    report.verdict = verdict
    report.problems.append(problem)


def _frame_lines(path: Path, frame: frames.Frame) -> Iterator[str]:
    kind = {
        frames.SEGMENT: "segment",
        frames.SNAPSHOT: "snapshot",
        frames.END: "end",
        frames.GAP: "gap",
    }.get(frame.kind)
    if kind is not None:
        yield _line(path, frame.start, kind, {"number": frame.number})
        return
    try:
        value = frames.unpack(frame.payload)
    except ValueError as error:
        yield _line(path, frame.start, "damage", {"number": frame.number, "error": str(error)})
        return
    if frame.kind == frames.CHUNK:
        yield _line(path, frame.start, "chunk", {"number": frame.number, "chunk": value})
        return
    for record in value if isinstance(value, list) else [value]:
        yield _line(path, frame.start, "record", {"number": frame.number, "record": record})


def _line(path: Path, offset: int, kind: str, facts: dict[str, Any]) -> str:
    return json.dumps({"file": path.name, "offset": offset, "kind": kind, **facts}, default=_plain)


def _plain(value: Any) -> Any:
    """Arguments and results are what a dump is not for: it may be sent to somebody who helps."""
    return {"bytes": len(value)} if isinstance(value, bytes) else str(value)
