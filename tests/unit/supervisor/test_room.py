"""Word of a disk that is almost full."""

from __future__ import annotations

import logging
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from jobyard.protocol.errors import StorageUnavailable
from jobyard.supervisor.room import Room

Usage = namedtuple("Usage", "total used free")


def test_shortage_names_the_directory_and_the_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1 << 30, 1 << 30, 3 << 19))
    assert Room(tmp_path).shortage() == (
        f"the disk of {tmp_path} is almost full (1.5 MiB are free, and jobyard keeps 16.0 MiB for the jobs that are "
        "there): nothing new is accepted"
    )


def test_shortage_of_a_directory_that_is_gone_is_told_all_the_same(tmp_path: Path) -> None:
    assert "No such file or directory" in Room(tmp_path / "gone").shortage()


def test_log_is_told_of_each_change_and_of_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    room = Room(tmp_path)
    for low in (False, True, True, True, False, False, True):
        room.mind(low)
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3
    first, second, third = (record.getMessage() for record in caplog.records)
    assert "is almost full" in first and "has room again" in second and "is almost full" in third


def test_disk_with_room_from_the_start_is_no_subject(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Room(tmp_path).mind(False)
    assert caplog.records == []


def test_submit_is_refused_for_want_of_room(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.check(low=False)
    with pytest.raises(StorageUnavailable):
        room.check(low=True)
