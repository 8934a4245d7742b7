"""A module that makes a zygote hostile while it is loaded: it answers its supervisor itself, with lies.

The variable ACT holds ``{"act": NAME, ...}`` as JSON; without it this does nothing. Acts are the functions below.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

from jobyard.supervisor.executors.zygote import channel, limits, procs
from jobyard.supervisor.executors.zygote.page import SLOTS, Page

Wire = socket.socket
GOOD_EXIT = [1, 1, 0, None, None, 1e9, 0.0, 0.0, 0, 0, 0, None]


def say(wire: Wire, message: channel.Message, *fds: int) -> None:
    channel.send(wire, channel.encode(message), fds, wait=True)


def greet(wire: Wire, page: int, **lies: Any) -> None:
    welcome = channel.Welcome(
        channel.ADOPTION_VERSION, os.environ["JOBYARD_ZYGOTE"], os.getpid(), procs.start_time(os.getpid()),
        limits.boot_id(), "/tmp", "/tmp/none", True,
    )  # fmt: skip
    say(wire, welcome._replace(**lies), page)
    say(wire, channel.Ready([], "1"))


def heard(wire: Wire, name: str) -> Any:
    """The next message of this name."""
    while True:
        message = channel.decode(channel.receive(wire)[0], channel.TO_ZYGOTE)
        if type(message).__name__ == name:
            return message


def asked_for_a_child(wire: Wire, page: int) -> tuple[Wire, Wire]:
    """The two ends of a child's socket, once the supervisor wants a child: the supervisor's and the child's."""
    greet(wire, page)
    heard(wire, "Prepare")
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def sleeper() -> int:
    """A process that does nothing."""
    pid = os.fork()
    if pid == 0:
        time.sleep(600)
        os._exit(0)
    return pid


def child_at_work(wire: Wire) -> Wire:
    """One child that was given its attempt: its end of its socket."""
    ours, theirs = asked_for_a_child(wire, Page.create().fd)
    say(wire, channel.Made([[1, sleeper(), 0]]), ours.fileno())
    heard(wire, "Start")
    theirs.recv(100_000)
    return theirs


def claim(wire: Wire, act: dict[str, Any]) -> None:
    """One child, whose process is somebody else's."""
    ours, theirs = asked_for_a_child(wire, Page.create().fd)
    say(wire, channel.Made([[1, act["pid"], 0]]), ours.fileno())
    time.sleep(0.3)  # the child is known when its socket ends
    theirs.close()


def exit_so(wire: Wire, act: dict[str, Any]) -> None:
    """One child that runs its attempt, and the word of its exit with odd fields."""
    child_at_work(wire)
    for at, value in act["fields"].items():
        GOOD_EXIT[int(at)] = value
    say(wire, channel.Exits([GOOD_EXIT]))
    time.sleep(600)


def end_so(wire: Wire, act: dict[str, Any]) -> None:
    """As ``exit_so``, with an odd end told by the child."""
    theirs = child_at_work(wire)
    channel.send(theirs, channel.encode(channel.End("ok", b"\xc0", None, None, True, act["usage"])))
    say(wire, channel.Exits([GOOD_EXIT]))
    time.sleep(600)


def shrink(wire: Wire, act: dict[str, Any]) -> None:
    """The shared page is cut off once it was given."""
    fd = os.memfd_create("page")
    os.ftruncate(fd, SLOTS * 512)
    ours, theirs = asked_for_a_child(wire, fd)
    pid = sleeper()
    os.ftruncate(fd, 0)
    say(wire, channel.Made([[1, pid, 0]]), ours.fileno())
    theirs.recv(100_000)
    channel.send(theirs, channel.encode(channel.Poke()))
    time.sleep(600)


def odd_message(wire: Wire, act: dict[str, Any]) -> None:
    greet(wire, Page.create().fd, **act.get("lies", {}))
    heard(wire, "Prepare")
    fds = [os.open("/dev/null", os.O_RDONLY)] * act.get("fds", 0)
    for _ in range(act.get("times", 1)):
        say(wire, channel.TO_SUPERVISOR[act["say"][0]](*act["say"][1:]), *fds)
    time.sleep(600)


def chatter(wire: Wire, act: dict[str, Any]) -> None:
    """A child that never stops talking."""
    theirs = child_at_work(wire)
    for _ in range(2):
        if os.fork() == 0:
            break
    data = channel.encode(channel.Poke())
    while True:
        theirs.send(data)


def heirs(wire: Wire, act: dict[str, Any]) -> None:
    """It dies, and what it has started goes on talking in its place."""
    greet(wire, Page.create().fd)
    heard(wire, "Prepare")
    for _ in range(2):
        if os.fork() == 0:
            data = channel.encode(channel.Grown(7, False))
            while True:
                wire.send(data)
    time.sleep(0.2)


def die(wire: Wire, act: dict[str, Any]) -> None:
    """It is ended by a signal."""
    greet(wire, Page.create().fd)
    signal.raise_signal(act["signal"])


def lingering() -> socket.socket:
    """What nobody reads from, so that whoever closes it last waits for minutes."""
    server = socket.create_server(("127.0.0.1", 0))
    ours = socket.create_connection(server.getsockname())
    KEPT.extend([server, server.accept()[0]])
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 600))
    ours.setblocking(False)
    try:
        while True:
            ours.send(bytes(1 << 16))
    except BlockingIOError:
        return ours


def linger(wire: Wire, act: dict[str, Any]) -> None:
    """Descriptors whose close takes minutes: beside a message, and in place of a child's socket."""
    greet(wire, Page.create().fd)
    heard(wire, "Prepare")
    extra, child = lingering(), lingering()
    say(wire, channel.Grown(7, False), extra.fileno())
    say(wire, channel.Made([[1, os.getpid(), 0]]), child.fileno())
    extra.close()  # it lies in the queue still, so this is not the last close
    child.close()
    open(act["sent"], "w").close()
    time.sleep(600)


KEPT: list[socket.socket] = []
ACTS: dict[str, Callable[[Wire, dict[str, Any]], None]] = {
    one.__name__: one for one in (claim, exit_so, end_so, shrink, odd_message, chatter, die, heirs, linger)
}


def main() -> None:
    if "ACT" not in os.environ or "JOBYARD_ZYGOTE" not in os.environ:
        return
    act = json.loads(os.environ["ACT"])
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=os.dup(3))
    wire, _ = listener.accept()
    heard(wire, "Hello")
    ACTS[act["act"]](wire, act)
    os._exit(0)


main()
