"""``python -m jobyard.supervisor.journal check|repair|dump STATE_DIRECTORY``: what ``jobctl journal`` runs.

Needs no supervisor and no config, so that it also works where neither can be started. The exit code is fsck's verdict:
0 ok, 1 torn tail, 2 damaged, 3 unreadable; after a repair, 0 if the journal can be opened.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from ...protocol.errors import JobyardError, WrongState
from . import fsck
from .lock import DirectoryLock


def main(arguments: list[str] | None = None) -> int:
    """Do what is asked; gives the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m jobyard.supervisor.journal", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("verb", choices=("check", "repair", "dump"))
    parser.add_argument("directory", type=Path, help="the state directory")
    parser.add_argument("--json", action="store_true", help="tell what check and repair found as JSON")
    options = parser.parse_args(arguments)
    journal = options.directory / "journal"
    try:
        if options.verb == "dump":
            return _dump(journal)
        tell = _tell_json if options.json else _tell
        if options.verb == "check":
            return tell(_check(journal))
        with DirectoryLock(options.directory):
            return _repair(journal, tell)
    except JobyardError as error:
        return _fail(error, options.json)
    except OSError as error:
        return _fail(JobyardError(f"{error.filename or journal}: {error.strerror or error}"), options.json)


def _fail(error: JobyardError, as_json: bool) -> int:
    print(json.dumps({"error": error.to_wire()}) if as_json else f"error: {error}", file=sys.stderr)
    return fsck.Verdict.UNREADABLE


def _check(journal: Path) -> fsck.Report:
    """What is found; but what is wrong with a journal that somebody writes says nothing of it."""
    before = _stamps(journal)
    report = fsck.check(journal)
    if report.verdict is not fsck.Verdict.OK and _stamps(journal) != before:
        raise _in_use(journal)
    return report


def _in_use(journal: Path) -> WrongState:
    message = f"{journal} has changed while it was read: a supervisor uses it"
    return WrongState(message, hint="jobctl down, then the same again")


def _stamps(journal: Path) -> dict[str, tuple[int, int, int]]:
    """What differs if a file was made, written or removed in between. Takes no lock, which a start would find taken."""
    found = {}
    with contextlib.suppress(OSError):
        for path in sorted(journal.iterdir()):
            status = path.stat()
            found[path.name] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found


def _dump(journal: Path) -> int:
    before = _stamps(journal)
    try:
        for line in fsck.dump(journal):
            print(line)
        sys.stdout.flush()
    except FileNotFoundError:
        if _stamps(journal) != before:
            raise _in_use(journal) from None
        raise
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return fsck.Verdict.OK


def _repair(journal: Path, tell: Callable[[fsck.Report], int]) -> int:
    found = fsck.repair(journal)
    if not found.changed or tell is _tell_json:
        code = tell(found)
        return fsck.check(journal).verdict if found.changed else code
    for problem in found.problems:
        print(problem)
    print(f"repaired: {', '.join(found.changed)}; the files as they were are in {found.aside}")
    return fsck.check(journal).verdict


def _tell_json(report: fsck.Report) -> int:
    found = {
        "verdict": report.verdict.name.lower(),
        "segments": report.segments,
        "records": report.records,
        "problems": report.problems,
        "changed": report.changed,
        "aside": None if report.aside is None else str(report.aside),
    }
    print(json.dumps(found))
    return report.verdict


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _tell(report: fsck.Report) -> int:
    for problem in report.problems:
        print(problem)
    verdict = report.verdict.name.lower().replace("_", " ")
    snapshot = "a snapshot, " if report.chunks else ""
    print(f"{verdict}: {snapshot}{_counted(report.segments, 'segment')}, {_counted(report.records, 'record')}")
    return report.verdict


if __name__ == "__main__":
    sys.exit(main())
