from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
from jobyard.supervisor.journal.lock import AlreadyLocked, DirectoryLock

HOLDER = """
import sys
from pathlib import Path
from jobyard.supervisor.journal.lock import DirectoryLock
lock = DirectoryLock(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


def holder(directory: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    return process


def test_a_second_process_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        with pytest.raises(AlreadyLocked, match=f"in use by process {process.pid}") as caught:
            DirectoryLock(tmp_path)
        assert caught.value.pid == process.pid
        assert "jobctl" in caught.value.hint
        process.kill()
    with DirectoryLock(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_a_lock_holds_within_one_process_too(tmp_path: Path) -> None:
    with DirectoryLock(tmp_path), pytest.raises(AlreadyLocked, match=str(os.getpid())):
        DirectoryLock(tmp_path)
    DirectoryLock(tmp_path).release()


def test_releasing_twice_does_no_harm(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path)
    lock.release()
    reused = os.open(os.devnull, os.O_RDONLY)
    lock.release()
    os.fstat(reused)
    os.close(reused)


def test_a_program_that_the_holder_starts_does_not_inherit_the_lock(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False) as program:
        lock.release()
        with DirectoryLock(tmp_path):
            assert program.poll() is None


@pytest.mark.parametrize("content", ["", "not a pid\n", "-1\n"])
def test_a_holder_that_did_not_say_who_it_is_is_another_process(tmp_path: Path, content: str) -> None:
    (tmp_path / "lock").write_text(content)
    fd = os.open(tmp_path / "lock", os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    with pytest.raises(AlreadyLocked, match="in use by another process") as caught:
        DirectoryLock(tmp_path)
    assert caught.value.pid is None
    os.close(fd)


def test_a_stale_file_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("123456789012\n")
    with DirectoryLock(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_a_symbolic_link_in_place_of_the_lock_is_refused(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("keep me")
    (tmp_path / "lock").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic links"):
        DirectoryLock(tmp_path)
    assert (tmp_path / "victim").read_text() == "keep me"


def test_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        DirectoryLock(tmp_path / "absent")
