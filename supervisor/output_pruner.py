"""Removes old output by retention: a process beside the supervisor that looks, asks what is running, removes and ends.

``python -m jobyard.supervisor.output_pruner DIRECTORY RUNNING_FD KEEP_S KEEP_COUNT TOTAL_BYTES`` ("none" for no limit)
prints a line when it has listed the directory, waits for the end of its standard input, and reads from ``RUNNING_FD``
the names of all attempts that run, as a JSON list. So whatever began after the listing is not in it, and whatever began
before is spared if it still runs; no clock is asked. It then prints a line of JSON: what is left, what was removed.

Owns which output goes first. When to look is ``output_retention.py``'s business.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field

from ..protocol import logfile

NICENESS = 10
_NAME = re.compile(r"(\d+\.\d+)(?:\.t[01])?\.(?:log|idx)\Z")


@dataclass(frozen=True, slots=True)
class Rules:
    """What is kept: output written to within ``keep_s``, of at most so many attempts, of so many bytes in all. None: no
    limit."""

    keep_s: float | None = None
    keep_count: int | None = None
    total_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Pruned:
    """Outputs and bytes that are left, and that were removed."""

    count: int
    size: int
    removed_count: int
    removed_bytes: int


@dataclass(slots=True)
class _Output:
    """All files of one attempt. ``written_at`` is the time of the last change."""

    name: str
    files: list[str] = field(default_factory=list)
    size: int = 0
    written_at: float = 0.0


def prune(directory: str, rules: Rules, running: Callable[[], Collection[str]], now: float) -> Pruned:
    """Remove what the rules do not keep, oldest first.

    Args:
        running: gives the names (``logfile.name``) of the attempts that run; called once the directory is listed.
    """
    outputs = sorted(_outputs(directory), key=lambda output: output.written_at)
    spared = running()
    count, size = len(outputs), sum(output.size for output in outputs)
    removed_count = removed_bytes = 0
    for output in outputs:
        old = rules.keep_s is not None and output.written_at < now - rules.keep_s
        many = rules.keep_count is not None and count - removed_count > rules.keep_count
        large = rules.total_bytes is not None and size - removed_bytes > rules.total_bytes
        if (old or many or large) and output.name not in spared:
            _unlink(output.files)
            removed_count += 1
            removed_bytes += output.size
    return Pruned(count - removed_count, size - removed_bytes, removed_count, removed_bytes)


def remove(directory: str, jobs: Mapping[int, int]) -> int:
    """Remove the output of jobs that are forgotten, up to the last attempt of each; how many bytes that were.

    Args:
        jobs: id -> number of the last attempt. Output of later ones belongs to somebody who has put the job back.
    """
    by_folder: dict[str, set[str]] = {}
    for job_id, last in jobs.items():
        for attempt in range(1, last + 1):
            folder, _, name = logfile.name(job_id, attempt).rpartition("/")
            by_folder.setdefault(folder, set()).add(name)
    size = 0
    for folder, names in by_folder.items():
        for output in _folder(directory, folder, names):
            _unlink(output.files)
            size += output.size
    return size


def _outputs(directory: str) -> Iterable[_Output]:
    with os.scandir(directory) as folders:
        names = [entry.name for entry in folders if entry.name.isdecimal() and entry.is_dir(follow_symlinks=False)]
    for name in names:
        yield from _folder(directory, name)


def _folder(directory: str, folder: str, names: Collection[str] | None = None) -> Iterable[_Output]:
    """The outputs in one folder, all or those with these names."""
    found: dict[str, _Output] = {}
    try:
        with os.scandir(os.path.join(directory, folder)) as entries:
            for entry in entries:
                match = _NAME.match(entry.name)
                if match is None or (names is not None and match[1] not in names):
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # somebody else removes it, and not those after it
                    continue
                output = found.setdefault(match[1], _Output(f"{folder}/{match[1]}"))
                output.files.append(entry.path)
                output.size += status.st_size
                output.written_at = max(output.written_at, status.st_mtime)
    except FileNotFoundError:  # it was removed at this moment
        pass
    return found.values()


def _unlink(files: Iterable[str]) -> None:
    for file in sorted(files, reverse=True):  # the data before its index, which would otherwise be missing
        try:
            os.unlink(file)
        except FileNotFoundError:
            continue


def main(argv: list[str]) -> int:
    directory, running_fd, *limits = argv
    keep_s, keep_count, total_bytes = (None if word == "none" else float(word) for word in limits)
    rules = Rules(
        keep_s, None if keep_count is None else int(keep_count), None if total_bytes is None else int(total_bytes)
    )

    def running() -> list[str]:
        print("listed", flush=True)
        sys.stdin.read()
        with open(int(running_fd), "rb") as file:
            names: list[str] = json.loads(os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0))
        return names

    os.nice(NICENESS)
    try:
        print(json.dumps(asdict(prune(directory, rules, lambda: frozenset(running()), time.time()))))
    except (OSError, ValueError) as error:  # no list: the supervisor is gone
        print(f"output cannot be pruned: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
