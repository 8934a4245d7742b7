"""What a child says to its supervisor, of which any byte may have been written by the job's own code."""

from __future__ import annotations

import fcntl
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack
import pytest
from jobyard.supervisor.core.events import Child, End, Progressed
from jobyard.supervisor.executors.hearing import Ear
from jobyard.supervisor.executors.zygote import channel
from jobyard.supervisor.executors.zygote.deadlines import Deadlines
from jobyard.supervisor.executors.zygote.loop import Loop
from jobyard.supervisor.executors.zygote.page import Page

CHILD = Child("default", "z", 1, 4711, 1)
GOOD = channel.End("ok", b"\xc0", None, None, True, None)
END = End("ok", b"\xc0", counted=True)


class Talk:
    """A child's end of its socket, and the supervisor's ear at the other."""

    def __init__(self) -> None:
        self.loop, self.page = Loop(), Page.create()
        ours, self.child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.told: list[Progressed] = []
        self.ear = Ear(self.loop, Deadlines(), CHILD, ours, self.page.slot(0), self.told.append, lambda: None)

    def say(self, *parts: Any) -> None:
        self.child.send(msgpack.packb(parts))

    def close(self) -> None:
        self.ear.close()
        self.child.close()
        self.page.close()
        self.loop.close()


@pytest.fixture
def talk() -> Iterator[Talk]:
    talk = Talk()
    yield talk
    talk.close()


def is_memory(fd: int) -> bool:
    try:
        fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError:
        return False
    return True


@pytest.mark.parametrize("kind", [[], {}, [[]], 1, None, b"ok", "done"])
def test_an_end_of_no_known_kind_is_passed_over(talk: Talk, kind: Any) -> None:
    talk.say("End", kind, b"\xc0", None, None, True, None)
    talk.say(*("End", *GOOD))
    assert talk.ear.drain() == END


def test_an_end_that_somebody_else_takes_out_ends_nothing_else(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A zygote holds the same socket: one of another user may read it in between."""
    talk.say("Poke")
    real = channel.receive

    def robbed(sock: channel.Socket, flags: int = 0) -> tuple[bytes, list[int]]:
        found = real(sock, flags)
        sock.recv(1)
        return found

    monkeypatch.setattr(channel, "receive", robbed)
    assert talk.ear.drain() is None


def test_a_large_end_is_read_from_anonymous_memory_alone(talk: Talk, tmp_path: Path) -> None:
    """To read any other file may take for ever."""
    data = channel.encode(GOOD)
    path = tmp_path / "end"
    path.write_bytes(data)
    with path.open("rb") as file:
        if is_memory(file.fileno()):
            pytest.skip(f"{tmp_path} is memory as well")
        channel.send(talk.child, channel.encode(channel.Large(len(data))), (file.fileno(),))
    assert talk.ear.drain() is None
    fd = channel.file_of(data, "end")
    channel.send(talk.child, channel.encode(channel.Large(len(data))), (fd,))
    channel.close_all([fd])
    assert talk.ear.drain() == END


@contextmanager
def no_free_descriptor() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_large_end_is_read_where_no_descriptor_is_free(talk: Talk) -> None:
    """Otherwise an attempt that has succeeded would be taken for one that said nothing, and run again."""
    data = channel.encode(GOOD)
    fd = channel.file_of(data, "end")
    channel.send(talk.child, channel.encode(channel.Large(len(data))), (fd,))
    channel.close_all([fd])
    with no_free_descriptor():
        for _ in range(2):  # it stays where it is
            talk.ear.end = None
            assert talk.ear.drain() == END
