"""A client that asks for large answers and does not read them: it gets no more, and others do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import zmq
from jobyard.supervisor.entrance import IpcEntrance
from jobyard.supervisor.sockets import Peer, RequestSocket
from live import wait_for

LARGE = bytes(1 << 20)


def test_answers_that_nobody_reads_take_a_bounded_number_of_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobyard.supervisor.unread.CLIENT_BYTES_MAX", 8 * len(LARGE))
    socket = RequestSocket(IpcEntrance(str(tmp_path / "s"), None), 10)
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.rcvhwm = 1
        dealer.linger = 0
        dealer.connect(f"ipc://{tmp_path}/s")
        dealer.send(b"question")
        ((peer, _),) = wait_for("the question", socket.receive)
        sent = sum(socket.send(peer, LARGE) for _ in range(50))
        assert 8 <= sent <= 20, "what libzmq and the kernel hold beside"
        assert not socket.send(peer, LARGE)
        assert socket.send(peer, b"small"), "an error still gets through"
        other = Peer(peer.route, f"other:{os.getuid()}:0:1")
        assert socket.send(other, LARGE)
        for _ in range(sent):
            dealer.recv()
        wait_for("room", lambda: socket.send(peer, LARGE))
    socket.close()
