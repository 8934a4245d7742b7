"""Journals of every released version are read for ever, and this version writes its own to the byte."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgpack
import pytest
from jobyard.conf.settings import JournalSettings
from jobyard.supervisor.journal import fsck, snapshot
from jobyard.supervisor.journal.disk import Disk
from jobyard.supervisor.journal.journal import Journal

GOLDEN = Path(__file__).parents[2] / "golden"
SETTINGS = JournalSettings()
CHUNKS: list[Any] = [["head", 3, "boot"], {"jobs": [1, 2], "payload": b"\x00\xff"}, []]
SEALED: list[list[Any]] = [[[1, "covered by the snapshot"]]]
GROUPS: list[list[Any]] = [
    [[4, 42, "text \u00e9", b"\x00\xff", None, True, -1.5, 2**63, [1, [2]], {"k": "v"}]],
    [[5, 1], [6], []],
]
MORE: list[list[Any]] = [[[7, {"a": [None]}]]]


class SaltedDisk(Disk):
    """A real disk whose files have the salts 1, 2, 3..."""

    def __init__(self) -> None:
        self.salts = 0

    def salt(self) -> int:
        self.salts += 1
        return self.salts


def write_journal(directory: Path) -> None:
    disk = SaltedDisk()
    recovery = Journal.open(directory, SETTINGS, disk=disk, threaded=False)
    assert list(recovery.groups()) == []
    journal = recovery.begin()
    for part in (SEALED, GROUPS, MORE):
        for group in part:
            journal.append(map(msgpack.packb, group))
            journal.flush()
        if part is SEALED:
            journal.seal()
            journal.flush()
            snapshot.write(disk, directory, 1, 1, CHUNKS)
            journal.compacted(1)
        elif part is GROUPS:
            journal.seal()
    journal.close()
    (directory / "reserve").unlink()


@pytest.mark.parametrize("name", ["journal-v1", "journal-v2", "journal-v3"])
def test_a_journal_of_every_version_is_read(tmp_path: Path, name: str) -> None:
    shutil.copytree(GOLDEN / name, tmp_path / name)
    assert fsck.check(tmp_path / name).verdict is fsck.Verdict.OK

    recovery = Journal.open(tmp_path / name, SETTINGS, threaded=False)
    chunks = recovery.snapshot()

    assert chunks is not None
    assert list(chunks) == CHUNKS
    assert list(recovery.groups()) == GROUPS + MORE
    assert recovery.notes == []
    recovery.begin().close()


def test_this_version_writes_its_golden_journal_to_the_byte(tmp_path: Path) -> None:
    write_journal(tmp_path)
    golden = {path.name: path.read_bytes() for path in (GOLDEN / "journal-v3").iterdir()}
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == golden
