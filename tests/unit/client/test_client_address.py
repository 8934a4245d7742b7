"""Why nobody answers: sockets of other users, and supervisors that are gone for good or on their way back.

Where a client should not wait it is given so long a time that the test would not end if it did.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from jobyard.client.address import Target
from jobyard.client.guard_lock import GuardLock, is_abandoned
from jobyard.client.sync import Client
from jobyard.protocol.errors import SupervisorUnavailable

SOMEBODY = 54321
LONG_S = 3600.0


@pytest.fixture
def ended() -> int:
    """The pid of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


@pytest.fixture
def living() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        yield child.pid
        child.kill()


def name_in(directory: Path, guard: int, supervisor: int) -> None:
    (directory / "guard.lock").write_text(f"{guard:<11}{supervisor:<11}\n")


def stale_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may come so far with the socket of somebody else")
def test_socket_of_another_user_is_told_at_once_with_whom_to_be(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.set(zmq.IPC_FILTER_UID, SOMEBODY)
        router.bind(f"ipc://{path}")
        os.chown(path, SOMEBODY, SOMEBODY)
        with Client(socket=path, timeout=LONG_S) as client, pytest.raises(SupervisorUnavailable) as caught:
            client.ping()
    assert "it belongs to user #54321 and answers nobody else" in caught.value.message
    assert caught.value.hint == "sudo -u '#54321' jobctl ..."


def test_socket_left_behind_where_guard_and_supervisor_are_gone_fails_at_once(tmp_path: Path, ended: int) -> None:
    state = tmp_path / ".jobyard"
    (state / "run").mkdir(parents=True)
    stale_socket(state / "run" / "socket")
    name_in(state, ended, ended)
    (tmp_path / "jobyard.toml").write_text('allow = ["m:*"]\n')
    client = Client(config=tmp_path / "jobyard.toml", timeout=LONG_S)
    with client, pytest.raises(SupervisorUnavailable, match="nobody listens"):
        client.ping()


def test_socket_that_was_given_and_left_behind_fails_at_once_too(tmp_path: Path, ended: int) -> None:
    path = tmp_path / "run" / "socket"
    path.parent.mkdir()
    stale_socket(path)
    name_in(tmp_path, ended, ended)
    with Client(socket=path, timeout=LONG_S) as client, pytest.raises(SupervisorUnavailable, match="nobody listens"):
        client.ping()


def test_supervisor_is_expected_back_while_its_guard_or_it_lives(tmp_path: Path, ended: int, living: int) -> None:
    assert not is_abandoned(tmp_path)
    for guard, supervisor in ((living, ended), (ended, living)):
        name_in(tmp_path, guard, supervisor)
        assert not is_abandoned(tmp_path)
    name_in(tmp_path, ended, ended)
    assert is_abandoned(tmp_path)
    with GuardLock(tmp_path / "guard.lock"):  # a guard that has started nothing yet
        assert not is_abandoned(tmp_path)


@pytest.mark.parametrize("text", ["", "garbage", "1", "0 0", f"{2**70} {2**70}"])
def test_lock_file_that_tells_nothing_means_that_waiting_may_help(tmp_path: Path, text: str) -> None:
    (tmp_path / "guard.lock").write_text(text)
    assert not is_abandoned(tmp_path)


def test_supervisor_that_is_being_replaced_is_waited_for_while_its_guard_lives(tmp_path: Path, living: int) -> None:
    """One that stops in order takes its socket away, also when another one follows."""
    (tmp_path / "run").mkdir()
    name_in(tmp_path, living, supervisor=living)
    target = Target(str(tmp_path / "run" / "socket"), "given as socket=")
    assert not target.is_absent()
    assert f"its jobctl up (pid {living}) starts another supervisor" in target.unavailable().message


def test_socket_that_is_not_there_fails_at_once_where_no_guard_lives(tmp_path: Path, ended: int, living: int) -> None:
    (tmp_path / "run").mkdir()
    name_in(tmp_path, ended, supervisor=living)
    with Client(socket=tmp_path / "run" / "socket", timeout=LONG_S) as client, pytest.raises(SupervisorUnavailable):
        client.ping()
