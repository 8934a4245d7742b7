"""The zygote's side of adoption: who may connect, and what a supervisor that connects is told."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from jobyard.protocol import codec
from jobyard.supervisor.executors.zygote import channel
from jobyard.supervisor.executors.zygote.page import Page
from yard import MakeYard, Yard

pytestmark = pytest.mark.parametrize("kind", ["zygote"], indirect=True)


class Supervisor:
    """A second supervisor, on the bare socket."""

    def __init__(self, yard: Yard) -> None:
        assert yard.up is not None
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.connect(yard.up.socket)
        self.fds: list[int] = []

    def hello(self, generation: int = 2, version: int = channel.ADOPTION_VERSION, salt: str = "conformance") -> None:
        self.send(channel.Hello(version, generation, salt))

    def send(self, message: channel.Message) -> None:
        channel.send(self.sock, channel.encode(message), wait=True)

    def receive(self) -> Any:
        """The next message; None at the end of the connection."""
        assert select.select([self.sock], [], [], 10)[0], "the zygote says nothing"
        data, fds = channel.receive(self.sock)
        self.fds += fds
        return channel.decode(data, channel.TO_SUPERVISOR) if data else None

    def told(self) -> list[Any]:
        """Everything up to ``Ready``."""
        found = [self.receive()]
        while not isinstance(found[-1], channel.Ready):
            found.append(self.receive())
        return found

    def close(self) -> None:
        self.sock.close()
        channel.close_all(self.fds)
        self.fds = []


@pytest.fixture
def second(up: Yard) -> Iterator[Supervisor]:
    supervisor = Supervisor(up)
    yield supervisor
    supervisor.close()


@pytest.mark.parametrize(
    ("hello", "part"),
    [
        ({"generation": 0}, "generation 1"),
        ({"generation": 1}, "generation 1"),
        ({"generation": 2, "version": 99}, "speaks adoption version 1, not 99"),
        ({"generation": 2, "salt": "another"}, "another journal"),
    ],
)
def test_supervisor_that_may_not_have_the_zygote_is_refused(
    up: Yard, second: Supervisor, hello: dict[str, Any], part: str
) -> None:
    second.hello(**hello)
    refused = second.receive()
    assert isinstance(refused, channel.Refused) and part in refused.why
    assert second.receive() is None
    assert up.run("add", 1, 1).value == 2, "the other one is not disturbed"


@pytest.mark.parametrize(
    "data",
    [
        b"garbage",
        b"\xc1",
        codec.pack(["Prepare", 1]),
        codec.pack(["Hello"]),
        codec.pack([1]),
        codec.pack(["Hello", 1, None, "conformance"]),
    ],
)
def test_garbage_ends_only_its_own_connection(up: Yard, second: Supervisor, data: bytes) -> None:
    second.sock.send(data)
    assert second.receive() is None
    assert up.run("add", 1, 1).value == 2


def test_newer_supervisor_replaces_and_is_told_everything(up: Yard, second: Supervisor) -> None:
    up.acknowledging = False
    done = up.run("add", 20, 3)
    count = channel.KIDS_PER_MESSAGE + 10
    up.executor.prepare(count)
    up.wait(lambda: len(up.ready) == count, "many children")
    running = up.begin("sleep", 0.5)
    second.hello()
    told = second.told()
    welcome = told[0]
    assert isinstance(welcome, channel.Welcome) and welcome.uuid == up.executor.uuid
    assert up.up is not None and (welcome.pid, welcome.pid_started) == (up.up.pid, up.up.pid_started)
    kids = {kid[0]: kid for message in told if isinstance(message, channel.Kids) for kid in message.kids}
    assert len(kids) == count + 1 and len(second.fds) == len(kids) + 1
    assert kids[running.child.kid][4:] == [running.order.job_id, 1]
    exits = exits_in(told)
    assert [(exit.kid, exit.exit_code) for exit in exits] == [(done.child.kid, 0)]

    page = Page(second.fds[0])
    assert page.slot(kids[done.child.kid][3]).base() > 0
    second.fds.remove(page.fd)
    page.close()
    ends = read_ends(dict(zip(list(kids), second.fds, strict=True)))
    assert ends[done.child.kid].result == codec.pack_value(23), "its result has waited"

    later = second.receive()
    assert isinstance(later, channel.Exits) and channel.Gone(*later.exits[0]).kid == running.child.kid
    assert read_ends({running.child.kid: second.fds[list(kids).index(running.child.kid)]})
    second.send(channel.Ack([exits[0].seq, later.exits[0][0]]))
    second.send(channel.Prepare(1))
    assert isinstance(second.receive(), channel.Made)


def exits_in(messages: list[Any]) -> list[channel.Gone]:
    return [channel.Gone(*exit) for message in messages if isinstance(message, channel.Exits) for exit in message.exits]


def read_ends(fds: dict[int, int]) -> dict[int, channel.End]:
    """The ends that wait in the children's sockets."""
    found = {}
    for kid, fd in fds.items():
        sock = socket.socket(fileno=os.dup(fd))
        try:
            data, _ = channel.receive(sock, socket.MSG_DONTWAIT | socket.MSG_PEEK)
            if data:
                found[kid] = channel.decode(data, channel.FROM_CHILD)
        except BlockingIOError:
            pass
        finally:
            sock.close()
    return found


def test_deadlines_hold_while_no_supervisor_is_there(up: Yard, second: Supervisor) -> None:
    attempt = up.begin("sleep", 60, options={"timeout_s": 0.5, "grace_s": 5.0})
    second.hello()
    second.told()
    second.close()
    up.wait(lambda: not os.path.exists(f"/proc/{attempt.child.pid}"), "the end of the child")
    with contextlib.closing(Supervisor(up)) as third:
        third.hello(generation=3)
        exits = exits_in(third.told()) or exits_in([third.receive()])  # later, if its output was not complete by then
    assert [(exit.kid, exit.killed) for exit in exits] == [(attempt.child.kid, "timeout")]


def test_output_goes_on_while_no_supervisor_is_there(up: Yard, second: Supervisor) -> None:
    attempt = up.begin("output_jobs:print_when_told", up.spec.cwd + "/go")
    second.hello()
    second.told()
    second.close()
    open(up.spec.cwd + "/go", "w").close()
    up.wait(lambda: b"second" in up.text(attempt), "the output")


def test_kill_of_a_child_that_has_ended_and_is_not_acknowledged_signals_nobody(up: Yard, second: Supervisor) -> None:
    up.acknowledging = False
    attempt = up.run("nothing")
    second.hello()
    seq = exits_in(second.told())[0].seq
    second.send(channel.Kill(attempt.child.kid, "cancel", 0.0, None))
    second.send(channel.Kill(attempt.child.kid, "cancel", 5.0, None))
    second.send(channel.Start(attempt.child.kid, 9, 9, "0/9.9", 0.001, None, None, 0.0))
    second.send(channel.Discard(attempt.child.kid))
    second.send(channel.Follow(attempt.child.kid, 0))
    assert isinstance(second.receive(), channel.Grown)
    second.send(channel.Ack([seq, 999]))
    second.send(channel.Prepare(1))
    assert isinstance(second.receive(), channel.Made)


def test_retiring_zygote_waits_for_the_last_acknowledgement(make_yard: MakeYard) -> None:
    yard = make_yard()
    yard.acknowledging = False
    attempt = yard.run("nothing")
    yard.executor.retire()
    yard.executor.prepare(2)
    yard.wait(lambda: yard.failed, "the refusal of new work")
    assert yard.failed[0].count == 2 and "retiring" in yard.failed[0].why
    assert yard.gone is None
    yard.executor.ack(attempt.child, attempt.seq)
    yard.wait(lambda: yard.gone, "its end")
    assert yard.gone is not None and yard.gone.fenced and yard.gone.why == ""


def test_retiring_zygote_finishes_what_it_runs(make_yard: MakeYard) -> None:
    yard = make_yard()
    yard.executor.prepare(2)
    yard.wait(lambda: len(yard.ready) == 2, "two children")
    attempt = yard.begin("sleep", 0.5)
    began_at = time.monotonic()
    yard.retire()
    assert attempt.value == "slept" and time.monotonic() - began_at > 0.2
    assert len(yard.unbound_exits) == 1
