"""Descriptors of another user are closed by a thread, whatever their closing waits for."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Iterator

import pytest
from jobyard.protocol.errors import ProtocolError
from jobyard.supervisor.executors import disposal
from live import wait_for

OWNER = (54321, 54321)


@pytest.fixture
def lingering() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection: to close the first one takes until the second is read or closed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs = server.accept()[0]
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 60))
    ours.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            ours.send(bytes(1 << 16))
    yield ours, theirs
    theirs.close()


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_one_that_cannot_be_closed_holds_up_neither_the_caller_nor_other_users(
    lingering: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = lingering
    waiting = [os.dup(0) for _ in range(3)]
    fds = [ours.detach(), *waiting]
    disposal.dispose(OWNER, fds)
    assert fds == []
    wait_for("the thread to be at it", lambda: disposal._closers[OWNER[0]].begun_at is not None)
    disposal.dispose(None, own := [os.dup(0)])
    other = os.dup(0)
    disposal.dispose((1, 1), [other])
    wait_for("another user's to be closed", lambda: not is_open(other))
    assert own == [] and all(map(is_open, waiting))
    disposal.require_room(OWNER)
    monkeypatch.setattr(disposal, "STUCK_S", 0.0)
    monkeypatch.setattr(disposal, "PART_MAX", 0.0)
    with pytest.raises(ProtocolError, match="cannot be closed"):
        disposal.require_room(OWNER)
    disposal.require_room((1, 1))
    disposal.require_room(None)
    theirs.close()
    wait_for("all to be closed", lambda: not any(map(is_open, waiting)))
    disposal.require_room(OWNER)


def test_what_comes_while_there_is_no_room_for_a_thread_is_closed_with_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", full)
        disposal.dispose((2, 2), [first := os.dup(0)])
        disposal.require_room((2, 2))
        patch.setattr(disposal, "PART_MAX", 0.0)
        with pytest.raises(ProtocolError, match="cannot be closed"):
            disposal.require_room((2, 2))
    assert is_open(first)
    disposal.dispose((2, 2), [second := os.dup(0)])
    wait_for("both to be closed", lambda: not is_open(first) and not is_open(second))
