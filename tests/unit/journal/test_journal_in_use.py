"""A journal that is looked at while a supervisor writes it: half of the old and half of the new is no verdict."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from jobyard.supervisor.journal.__main__ import main
from jobyard.supervisor.journal.compact import compact
from jobyard.supervisor.journal.disk import Disk
from jobyard.supervisor.journal.fsck import Verdict
from jobyard.supervisor.journal.journal import Journal
from journals import Misfit, Numbers, fill, number_of, started

BEFORE, FIRST = 30, "0000000001.segment"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "journal").mkdir()
    return tmp_path


@pytest.fixture
def journal(directory: Path) -> Iterator[Journal]:
    """Of several segments; what follows is in the last one."""
    journal = started(Disk(), directory / "journal")
    fill(journal, 1, BEFORE)
    journal.seal()
    journal.flush()
    yield journal
    journal.close()


def compacted(journal: Journal, directory: Path) -> None:
    upto = journal.sealed
    compact(directory / "journal", upto, Numbers(), number_of, Misfit)
    journal.compacted(upto)
    journal.flush()


def meanwhile(monkeypatch: pytest.MonkeyPatch, name: str, read: Callable[[Path], BinaryIO]) -> None:
    """The next time that this file is opened to be read."""
    open_read = Disk.open_read

    def instead(self: Disk, path: Path) -> BinaryIO:
        if path.name != name:
            return open_read(self, path)
        monkeypatch.setattr(Disk, "open_read", open_read)
        return read(path)

    monkeypatch.setattr(Disk, "open_read", instead)


@pytest.mark.parametrize("verb", ["check", "dump"])
def test_segment_that_is_removed_meanwhile_is_not_missing(
    directory: Path,
    journal: Journal,
    verb: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def read(path: Path) -> BinaryIO:
        compacted(journal, directory)
        return path.open("rb")

    meanwhile(monkeypatch, FIRST, read)
    assert main([verb, str(directory)]) == Verdict.UNREADABLE
    assert capsys.readouterr().err == (
        f"error: {directory}/journal has changed while it was read: a supervisor uses it\n"
        "try: jobctl down, then the same again\n"
    )
    assert main([verb, str(directory)]) == Verdict.OK


def test_group_that_is_written_while_it_is_read_is_no_damage(
    directory: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a group its second half may be read and its first not, and then one behind it."""
    fill(journal, BEFORE + 1, BEFORE + 2)
    last = journal.sealed + 1

    def read(path: Path) -> BinaryIO:
        before = path.read_bytes()
        half = len(before.rstrip(b"\0")) + 10
        fill(journal, BEFORE + 3, BEFORE + 4)
        return io.BytesIO(before[:half] + path.read_bytes()[half:])

    meanwhile(monkeypatch, f"{last:010d}.segment", read)
    assert main(["check", str(directory), "--json"]) == Verdict.UNREADABLE
    told = capsys.readouterr()
    assert (told.out, "has changed while it was read" in told.err) == ("", True)
    assert main(["check", str(directory)]) == Verdict.OK


def test_journal_that_is_written_and_sound_is_ok(
    directory: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(path: Path) -> BinaryIO:
        fill(journal, BEFORE + 1, BEFORE + 9)
        return path.open("rb")

    meanwhile(monkeypatch, FIRST, read)
    assert main(["check", str(directory)]) == Verdict.OK


def test_damage_that_stays_is_damage(directory: Path, journal: Journal) -> None:
    path = directory / "journal" / FIRST
    content = bytearray(path.read_bytes())
    content[100] ^= 0x55
    path.write_bytes(content)
    assert main(["check", str(directory)]) == Verdict.DAMAGED
