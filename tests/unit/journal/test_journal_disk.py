"""The simulated disk does what the real one does, so that what is proved with it holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from jobyard.supervisor.journal.disk import Disk, NewFile, write_all, write_file
from simdisk import SimDisk


@pytest.fixture(params=[Disk, SimDisk])
def disk(request: pytest.FixtureRequest) -> Disk:
    made: Disk = request.param()
    return made


def read(disk: Disk, path: Path) -> bytes:
    with disk.open_read(path) as file:
        return file.read()


def test_a_file_is_written_truncated_and_read(disk: Disk, tmp_path: Path) -> None:
    fd = disk.create(tmp_path / "file")
    write_all(disk, fd, b"0123456789", 0)
    write_all(disk, fd, b"ab", 4)
    disk.sync(fd)
    disk.truncate(fd, 8)
    write_all(disk, fd, b"z", 9)
    disk.close(fd)
    disk.close(fd)
    assert read(disk, tmp_path / "file") == b"0123ab67\0z"
    assert disk.size(tmp_path / "file") == 10


def test_space_is_allocated(disk: Disk, tmp_path: Path) -> None:
    fd = disk.create(tmp_path / "file")
    disk.allocate(fd, 8192)
    disk.close(fd)
    assert disk.size(tmp_path / "file") == 8192


def test_names_come_and_go(disk: Disk, tmp_path: Path) -> None:
    assert disk.list(tmp_path / "new") == []
    disk.make_directory(tmp_path / "new")
    disk.make_directory(tmp_path / "new")
    for name in ("a", "b"):
        disk.close(disk.create(tmp_path / "new" / name))
    disk.rename(tmp_path / "new" / "a", tmp_path / "new" / "b")
    disk.sync_directory(tmp_path / "new")
    assert disk.list(tmp_path / "new") == ["b"]
    assert disk.list(tmp_path) == ["new"]
    disk.unlink(tmp_path / "new" / "b")
    disk.unlink(tmp_path / "new" / "b")
    assert disk.list(tmp_path / "new") == []


def test_what_is_not_there_or_is_there_already_is_an_error(disk: Disk, tmp_path: Path) -> None:
    for missing in (disk.open_read, disk.size):
        with pytest.raises(FileNotFoundError):
            missing(tmp_path / "absent")
    with pytest.raises(FileNotFoundError):
        disk.rename(tmp_path / "absent", tmp_path / "new")
    disk.close(disk.create(tmp_path / "file"))
    with pytest.raises(FileExistsError):
        disk.create(tmp_path / "file")


def test_a_new_file_has_its_name_only_when_it_is_complete(disk: Disk, tmp_path: Path) -> None:
    write_file(disk, tmp_path / "file", b"old")
    with NewFile(disk, tmp_path / "file") as file:
        file.write(b"half")
        assert read(disk, tmp_path / "file") == b"old"
    assert disk.list(tmp_path) == ["file"]
    write_file(disk, tmp_path / "file", b"n", b"", b"ew")
    assert read(disk, tmp_path / "file") == b"new"
    assert disk.list(tmp_path) == ["file"]


def test_what_a_crash_left_of_a_new_file_is_no_obstacle(disk: Disk, tmp_path: Path) -> None:
    disk.close(disk.create(tmp_path / "file.tmp"))
    write_file(disk, tmp_path / "file", b"new")
    assert disk.list(tmp_path) == ["file"]
    assert read(disk, tmp_path / "file") == b"new"


def test_salts_differ(disk: Disk) -> None:
    salts = {disk.salt() for _ in range(100)}
    assert len(salts) == 100
    assert all(0 <= salt < 2**64 for salt in salts)
