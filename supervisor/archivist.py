"""The archivist: a process beside the supervisor that turns sealed segments into a snapshot and ends.

``python -m jobyard.supervisor.archivist DIRECTORY UPTO --kept-attempts N`` prints one line of JSON: what was done (exit
code 0), or on stderr why it was not (exit code 1). It writes one new file and removes nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from ..protocol.errors import JobyardError, StorageUnavailable
from .core.records import BadRecord, from_wire
from .core.state import State
from .core.transitions import IllegalRecord
from .journal.compact import compact


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="jobyard.supervisor.archivist", description="Compact a journal.")
    parser.add_argument("directory", type=Path, help="the journal's directory")
    parser.add_argument("upto", type=int, help="the last segment to compact; it must be sealed")
    parser.add_argument("--kept-attempts", type=int, required=True, help="as the supervisor has it")
    arguments = parser.parse_args(argv)
    try:
        print(json.dumps(archive(arguments.directory, arguments.upto, arguments.kept_attempts)))
    except JobyardError as error:
        print(json.dumps({"error": error.to_wire()}), file=sys.stderr)
        return 1
    return 0


def archive(directory: Path, upto: int, kept_attempts: int) -> dict[str, int]:
    """Write the snapshot that covers the segments up to ``upto``.

    Raises:
        WrongState: segment ``upto`` is not sealed, or covered already.
        JournalDamaged, JournalTooNew, StorageUnavailable.
    """
    try:
        return dataclasses.asdict(compact(directory, upto, State(kept_attempts), from_wire, IllegalRecord))
    except (OSError, BadRecord, IllegalRecord) as error:
        raise StorageUnavailable(f"segment {upto} cannot be compacted: {error}") from None


if __name__ == "__main__":
    sys.exit(main())
