"""Scratch directories are removed by a process, and by that of the next supervisor if it does not get to the end."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
from jobyard.supervisor.executors import scratch_removal
from jobyard.supervisor.executors.launch import scratch_name
from jobyard.supervisor.executors.zygote.procs import children_of
from live import wait_for

UUID = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


@pytest.fixture
def root(tmp_path: Path, run: Path) -> Path:
    """Full of what attempts have left, and noted."""
    made = tmp_path / scratch_name(UUID)
    (made / "7.1" / "deep" / "er").mkdir(parents=True)
    (made / "7.1" / "file").write_text("left")
    scratch_removal.note(str(run), UUID, str(made))
    return made


def remove(run: Path, owner: int | None = None) -> None:
    scratch_removal.remove(str(run), UUID, owner)


@pytest.mark.parametrize("owner", [None, os.geteuid()])
def test_all_of_it_goes_and_so_does_the_link(run: Path, root: Path, owner: int | None) -> None:
    remove(run, owner)
    wait_for("it to be done", lambda: not list(run.iterdir()))
    assert not root.exists()
    wait_for("it to be done", lambda: not children_of(os.getpid()))


def test_nobody_waits_for_it_and_what_was_killed_in_the_middle_is_done_by_the_next_supervisor(
    run: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(scratch_removal, "_PROGRAM", "import signal; signal.pause()")
        remove(run)
    (helper,) = children_of(os.getpid())
    os.kill(helper, signal.SIGKILL)
    wait_for("it to be done", lambda: not children_of(os.getpid()))
    assert (root / "7.1" / "file").exists()
    scratch_removal.remove_left(run, {UUID})
    assert not children_of(os.getpid()), "its zygote lives"
    scratch_removal.remove_left(run, set())
    wait_for("it to be done", lambda: not list(run.iterdir()))
    assert not root.exists()


def test_what_there_is_no_room_for_a_thread_to_wait_for_is_left_to_the_next_supervisor(
    run: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", full)
        remove(run)
    assert root.exists() and list(run.iterdir())
    scratch_removal.remove_left(run, set())
    wait_for("it to be done", lambda: not list(run.iterdir()))
    assert not root.exists()


def test_empty_or_absent_directory_needs_no_process(run: Path, tmp_path: Path) -> None:
    root = tmp_path / scratch_name(UUID)
    root.mkdir()
    for _ in range(2):
        scratch_removal.note(str(run), UUID, str(root))
        remove(run)
        assert not root.exists() and not list(run.iterdir())
    remove(run)  # nothing was ever noted


def test_what_is_not_named_for_it_or_belongs_to_somebody_else_stays(run: Path, root: Path, tmp_path: Path) -> None:
    scratch_removal.note(str(run), "f" * 32, str(root))
    assert [link.name for link in run.iterdir()] == [f"scratch-{UUID}"]
    (run / f"scratch-{'e' * 32}").symlink_to(tmp_path)
    scratch_removal.remove_left(run, {UUID})
    remove(run, os.geteuid() + 1)
    assert (root / "7.1" / "file").exists() and run.exists()


def test_link_in_place_of_the_directory_is_not_followed(run: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    root = tmp_path / scratch_name(UUID)
    root.symlink_to(precious)
    scratch_removal.note(str(run), UUID, str(root))
    remove(run)
    wait_for("it to be done", lambda: not list(run.iterdir()))
    assert (precious / "file").exists()
