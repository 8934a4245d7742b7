"""Removal of old output while other output is removed beside it, by who removes jobs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from jobyard.protocol import logfile
from jobyard.supervisor import output_pruner
from jobyard.supervisor.output_pruner import Rules, prune, remove

OUTPUTS = 5


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The output of some jobs, each with its index."""
    for job_id in range(1, OUTPUTS + 1):
        base = str(tmp_path / logfile.name(job_id, 1))
        os.makedirs(os.path.dirname(base), exist_ok=True)
        Path(logfile.data_file(base, logfile.HEAD)).write_bytes(b"x" * 100)
        Path(logfile.index_file(base, logfile.HEAD)).write_bytes(b"i" * 10)
    return tmp_path


def when_listed(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[Path], object]) -> None:
    """Do ``act`` with this one of all files, in the order of the listing, just before it is looked at."""
    scandir = os.scandir

    @contextmanager
    def instead(path: Any) -> Iterator[Iterator[os.DirEntry[str]]]:
        def entries() -> Iterator[os.DirEntry[str]]:
            for index, entry in enumerate(found):
                if index == number and entry.is_file():
                    act(Path(entry.path))
                yield entry

        with scandir(path) as found:
            yield entries()

    monkeypatch.setattr(output_pruner.os, "scandir", instead)


@pytest.mark.parametrize("number", range(1, 2 * OUTPUTS))
def test_file_that_is_removed_meanwhile_does_not_hide_those_after_it(
    directory: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """With some files out of sight an index could go and its data stay, which nobody could read any more."""
    gone: list[Path] = []

    def other(path: Path) -> None:
        gone.extend([path, path.with_suffix(".log" if path.suffix == ".idx" else ".idx")])
        for one in gone:
            one.unlink()

    when_listed(monkeypatch, number, other)
    left = prune(str(directory), Rules(keep_count=0), list, 0.0)
    assert gone and not [*directory.rglob("*.*")]
    assert (left.count, left.size) == (0, 0)
    assert left.removed_count in (OUTPUTS - 1, OUTPUTS)  # its first file may have been seen before


@pytest.mark.parametrize("number", range(1, 2 * OUTPUTS))
def test_output_of_forgotten_jobs_goes_though_one_of_its_files_has_gone(
    directory: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    when_listed(monkeypatch, number, Path.unlink)
    remove(str(directory), dict.fromkeys(range(1, OUTPUTS + 1), 1))
    assert not [*directory.rglob("*.*")]


def test_folder_that_is_gone_holds_nothing(directory: Path) -> None:
    assert remove(str(directory), {99_999: 3}) == 0
