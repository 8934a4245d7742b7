"""The archivist: a process beside the supervisor that turns sealed segments into a snapshot and ends.

``python -m jobyard.supervisor.archivist DIRECTORY UPTO --kept-attempts N`` prints one line of JSON: what was done (exit
code 0), or on stderr why it was not (exit code 1). It writes one new file and removes nothing.

With ``--history FILE`` the finished jobs go into the history before the snapshot is written. What is older than the
retention is forgotten there, and its output removed. A history that refuses
them does not hold up the snapshot, which has them too: the supervisor forgets none before it is told that they are
stored.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..protocol.errors import HistoryUnavailable, JobyardError, StorageUnavailable
from . import output_pruner
from .core.records import BadRecord, from_wire
from .core.state import State
from .core.transitions import IllegalRecord
from .executors.zygote.limits import die_with_parent
from .history.store import EXPIRE_BATCH, HistoryDamaged, Store, locked, set_aside
from .journal.compact import compact


@dataclasses.dataclass(slots=True)
class Archived:
    """What became of the history.

    Attributes:
        upto: all jobs that finished up to this number are in it; None if it could not be written.
        stored, expired: how many jobs were new to it, and how many were forgotten for their age.
        trouble: why it could not be written.
        aside: where a damaged one was put.
        left_behind: why output of jobs that were forgotten could not be removed.
    """

    upto: int | None = None
    stored: int = 0
    expired: int = 0
    trouble: str | None = None
    aside: str | None = None
    left_behind: str | None = None


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="jobyard.supervisor.archivist", description="Compact a journal.")
    parser.add_argument("directory", type=Path, help="the journal's directory")
    parser.add_argument("upto", type=int, help="the last segment to compact; it must be sealed")
    add_options(parser)
    parser.add_argument("--parent", type=int, help="process without which this one is not to go on")
    arguments = parser.parse_args(argv)
    if arguments.parent is not None:
        die_with_parent(arguments.parent)  # the next supervisor starts an archivist of its own
    try:
        print(json.dumps(work(arguments.directory, arguments.upto, arguments)))
    except JobyardError as error:
        print(json.dumps({"error": error.to_wire()}), file=sys.stderr)
        return 1
    return 0


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``work``."""
    parser.add_argument("--kept-attempts", type=int, required=True, help="as the supervisor has it")
    parser.add_argument("--history", type=Path, help="the history's file")
    parser.add_argument("--retention", type=float, default=math.inf, help="seconds for which it keeps jobs")
    parser.add_argument("--output", default="", help="the directory with the output of jobs")


def work(directory: Path, upto: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Archive and compact the segments of the journal in ``directory`` up to ``upto``; gives what was done.

    Raises:
        JournalDamaged, JournalTooNew, WrongState, StorageUnavailable.
    """
    state, archived = State(arguments.kept_attempts), Archived()

    def keep() -> None:
        if arguments.history is not None:
            archive(arguments.history, state, time.time() - arguments.retention, arguments.output, archived)

    try:
        done = compact(directory, upto, state, from_wire, IllegalRecord, before=keep)
    except (OSError, BadRecord, IllegalRecord) as error:
        raise StorageUnavailable(f"segment {upto} cannot be compacted: {error}") from None
    return {**dataclasses.asdict(done), "archived": dataclasses.asdict(archived)}


def archive(path: Path, state: State, expired_before: float, output_dir: str, told: Archived) -> None:
    """Put all finished jobs of ``state`` into the history and forget what is too old, with its output; ``told`` says
    how it went."""
    try:
        with locked(path):
            try:
                _store(path, state, expired_before, output_dir, told)
            except HistoryDamaged as error:
                told.aside = f"{set_aside(path)} ({error})"
                _store(path, state, expired_before, output_dir, told)
    except HistoryUnavailable as error:
        told.trouble = error.message
    except (OSError, HistoryDamaged) as error:
        told.trouble = str(error)
    except Exception as error:  # one odd job must not keep the journal from being made short
        told.trouble = f"a fault in jobyard: {type(error).__name__}: {error}"


def _store(path: Path, state: State, expired_before: float, output_dir: str, told: Archived) -> None:
    """What is forgotten keeps up with what comes, and is bounded beyond that."""
    with Store.open(path) as store:
        jobs = [state.jobs[job_id] for job_id in state.finished]
        told.stored = store.archive(jobs, state.finish_count, expired_before)
        told.upto = state.finish_count
        too_old = {job.id: job.attempt for job in jobs if (job.finished_at or 0) < expired_before}
        _remove_output(output_dir, too_old, told)
        unfinished = state.jobs.keys() - state.finished.keys()
        while True:
            gone = store.expire(expired_before, unfinished)
            _remove_output(output_dir, gone, told)
            told.expired += len(gone)
            if len(gone) < EXPIRE_BATCH or told.expired >= len(jobs):
                return


def _remove_output(output_dir: str, jobs: Mapping[int, int], told: Archived) -> None:
    """What stays is left to the retention of output."""
    if output_dir:
        try:
            output_pruner.remove(output_dir, jobs)
        except OSError as error:
            told.left_behind = str(error)


if __name__ == "__main__":
    sys.exit(main())
