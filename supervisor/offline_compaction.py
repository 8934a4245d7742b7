"""``python -m jobyard.supervisor.offline_compaction STATE_DIRECTORY --kept-attempts N ...``: compaction where no
supervisor runs, for ``jobctl journal compact``.

Does what supervisor and archivist do together, under the same lock and in the same order. Finished jobs leave memory
only after the next start, so nothing is journalled of that. Prints one line of JSON; the exit code is as of the
journal's own program: 0 done, 2 damaged, 3 in use, not readable, or the disk refuses.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from ..conf.settings import JournalSettings
from ..protocol.errors import JobyardError, StorageUnavailable
from ..protocol.messages import Compacted
from . import archivist
from .core.records import BadRecord
from .core.transitions import IllegalRecord
from .journal.disk import Disk
from .journal.errors import JournalDamaged
from .journal.files import listing
from .journal.fsck import Verdict
from .journal.lock import DirectoryLock
from .recovery import recover


def main(argv: list[str] | None = None) -> int:
    """Do it; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m jobyard.supervisor.offline_compaction")
    parser.add_argument("directory", type=Path, help="the state directory")
    parser.add_argument("--json", action="store_true", help="tell an error as JSON")
    archivist.add_options(parser)
    arguments = parser.parse_args(argv)
    try:
        with DirectoryLock(arguments.directory):
            done = _compact(arguments.directory / "journal", arguments)
    except (JobyardError, OSError) as problem:
        error = problem if isinstance(problem, JobyardError) else StorageUnavailable(_words(problem))
        print(json.dumps({"error": error.to_wire()}) if arguments.json else f"error: {error}", file=sys.stderr)
        return Verdict.DAMAGED if isinstance(error, JournalDamaged) else Verdict.UNREADABLE
    print(json.dumps(dataclasses.asdict(done)))
    return Verdict.OK


def _compact(directory: Path, arguments: argparse.Namespace) -> Compacted:
    try:
        found = listing(Disk(), directory)
        if not found.segments and not found.snapshots:
            raise StorageUnavailable(f"there is no journal in {directory}")
        journal = recover(directory, JournalSettings(), arguments.kept_attempts).journal
    except (BadRecord, IllegalRecord) as error:
        raise StorageUnavailable(str(error), hint="it was written by another version of jobyard") from None
    before = journal.size
    journal.seal()
    journal.flush()
    done: dict[str, Any] = {}
    upto = journal.sealed
    try:
        if journal.failed is None and upto > journal.covered:
            done = archivist.work(directory, upto, arguments)["archived"]
            journal.compacted(upto)
            journal.flush()
    finally:
        journal.close()
    trouble = journal.failed or journal.left_behind
    if trouble is not None:
        raise StorageUnavailable(f"the journal in {directory} cannot be written: {trouble.strerror or trouble}")
    return Compacted(upto, before, journal.size, done.get("stored", 0), done.get("trouble"))


def _words(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


if __name__ == "__main__":
    sys.exit(main())
