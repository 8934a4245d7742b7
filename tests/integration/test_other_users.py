"""S1: a second user of the machine can neither connect nor read, unless he is named; then he may submit and read."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from jobyard import Client
from jobyard.conf.loader import load
from jobyard.protocol import errors
from jobyard.protocol import messages as m
from jobyard.protocol.errors import JobyardError, SupervisorUnavailable, Unauthorised
from live import Yard, wait_for
from others import DAEMON, NOBODY, as_root, as_user, open_directory

pytestmark = as_root
JOBS = """
def add(a, b):
    print("adding")
    return a + b
"""


@pytest.fixture
def yards() -> Iterator[Callable[[str], Yard]]:
    made: list[Yard] = []
    with open_directory() as base:

        def make(config: str = "") -> Yard:
            directory = base / f"yard{len(made)}"
            directory.mkdir()
            directory.chmod(0o755)
            yard = Yard(directory, JOBS, config)
            yard.config.chmod(0o644)
            said = yard.start()
            assert "pid" in said, said
            made.append(yard)
            warm(yard)
            return yard

        yield make
        for yard in made:
            yard.close()


def warm(yard: Yard) -> None:
    """Import all that a client uses while the checkout can be read."""
    load(yard.config, environ={})
    client = yard.client()
    job = client.submit("jobs:add", 1, 2)
    assert job.result(timeout=20) == 3
    assert list(job.logs())
    next(iter(client.events("oldest")))
    for act in (client.stats, client.status, client.list):
        act()


def refusal(deed: Callable[[], Any]) -> str:
    """The code of the error that it ends in, "done" if it does not."""
    try:
        deed()
    except JobyardError as error:
        return error.code
    return "done"


def inodes(directory: Path) -> list[Path]:
    return [directory, *directory.rglob("*")]


def test_another_user_cannot_connect_whatever_he_tries(yards: Callable[[str], Yard]) -> None:
    yard = yards("")
    run = yard.path(".jobyard/run")

    def attempts() -> list[str]:
        found = []
        for name in ("socket", "events"):
            with socket.socket(socket.AF_UNIX) as plain:
                try:
                    plain.connect(str(run / name))
                    found.append(f"{name}: connected")
                except PermissionError:
                    pass
        client = Client(config=str(yard.config), timeout=1.0)
        if (code := refusal(client.status)) != "supervisor_unavailable":
            found.append(f"status: {code}")
        return found

    assert as_user(NOBODY, attempts) == []
    assert yard.client().status().refused == 0


def test_another_user_can_read_list_and_change_nothing_of_the_state(yards: Callable[[str], Yard]) -> None:
    yard = yards("")
    paths = inodes(yard.path(".jobyard"))

    def attempts() -> list[str]:
        found = []
        for path in paths:
            for what, deed in (
                ("read", lambda path=path: os.close(os.open(path, os.O_RDONLY))),
                ("written", lambda path=path: os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))),
                ("removed", lambda path=path: os.unlink(path)),
                ("replaced", lambda path=path: os.rename(path, f"{path}.x")),
            ):
                try:
                    deed()
                    found.append(f"{path} was {what}")
                except OSError:
                    pass
        return found

    assert as_user(NOBODY, attempts) == []


def test_a_connection_that_got_past_the_directory_is_refused_by_its_user_id(yards: Callable[[str], Yard]) -> None:
    """As if somebody had opened the directories by mistake after the start."""
    yard = yards("")
    run = yard.path(".jobyard/run")
    for directory in (run.parent, run):
        directory.chmod(0o755)
    (run / "socket").chmod(0o666)
    (run / "events").chmod(0o666)

    def attempts() -> list[bool]:
        """For each socket whether anything but the end of the connection came."""
        came = []
        for name in ("socket", "events"):
            with socket.socket(socket.AF_UNIX) as plain:
                plain.settimeout(20)
                plain.connect(str(run / name))
                try:
                    came.append(plain.recv(64) != b"")
                except ConnectionResetError:
                    came.append(False)
        return came

    assert as_user(NOBODY, attempts) == [False, False]
    assert as_user(NOBODY, lambda: refusal(Client(config=str(yard.config), timeout=0.5).status)) != "done"


def test_a_user_who_is_named_may_submit_and_read_and_no_more(yards: Callable[[str], Yard]) -> None:
    yard = yards('[supervisor]\nclients = ["nobody"]\n')

    def use() -> dict[str, Any]:
        with Client(config=str(yard.config), timeout=20.0) as client:
            job = client.submit("jobs:add", 20, 22)
            found: dict[str, Any] = {"result": job.result(timeout=20)}
            found["output"] = [line.text for line in job.logs()]
            found["listed"] = job.id in [one.id for one in client.list()]
            found["event"] = next(iter(client.events("oldest"))).kind
            forbidden = {
                "cancel": lambda: client.cancel([job.id]),
                "retry": job.retry,
                "pause": lambda: client.pause("default"),
                "reload": client.reload,
                "remove": lambda: client.remove([job.id]),
                "prune": lambda: client.prune(older="0s"),
                "stop": client.stop,
            }
            found["forbidden"] = {name: refusal(deed) for name, deed in forbidden.items()}
            return found

    found = as_user(NOBODY, use)
    forbidden = found.pop("forbidden")
    assert found == {"result": 42, "output": ["adding"], "listed": True, "event": "submitted"}
    assert set(forbidden.values()) == {Unauthorised.code}, forbidden
    assert f"uid {NOBODY} pid" in yard.log
    assert yard.client().status().stopping is False


def test_a_third_user_gets_nothing_where_a_second_is_named(yards: Callable[[str], Yard]) -> None:
    yard = yards('[supervisor]\nclients = ["nobody"]\n')
    code = as_user(DAEMON, lambda: refusal(Client(config=str(yard.config), timeout=1.0).status))
    assert code == SupervisorUnavailable.code


def test_directories_are_opened_for_the_group_to_go_through_and_closed_again_when_nobody_is_named(
    yards: Callable[[str], Yard],
) -> None:
    yard = yards('[supervisor]\nclients = ["nobody"]\n')
    state, run = yard.path(".jobyard"), yard.path(".jobyard/run")

    def modes() -> dict[str, str]:
        return {path.name: f"{stat.S_IMODE(path.stat().st_mode):o}" for path in (state, run, state / "journal")}

    assert modes() == {".jobyard": "710", "run": "710", "journal": "700"}
    assert state.stat().st_gid == run.stat().st_gid == NOBODY
    assert yard.stop() == 0
    yard.config.write_text('allow = ["jobs:*"]\n')
    yard.start()
    assert modes() == {".jobyard": "700", "run": "700", "journal": "700"}


def test_a_named_user_cannot_read_the_journal_or_reach_a_zygote(yards: Callable[[str], Yard]) -> None:
    yard = yards('[supervisor]\nclients = ["nobody"]\n')
    paths = [path for path in inodes(yard.path(".jobyard")) if path.name not in ("socket", "events")]

    def attempts() -> list[str]:
        found = []
        for path in paths:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as plain:
                for deed in (
                    lambda path=path: os.close(os.open(path, os.O_RDONLY)),
                    lambda path=path: plain.connect(str(path)),
                ):
                    try:
                        deed()
                        found.append(str(path))
                    except OSError:
                        pass
        return found

    assert as_user(NOBODY, attempts) == []


def test_a_flood_of_a_named_user_does_not_keep_the_owner_from_stopping_him(yards: Callable[[str], Yard]) -> None:
    yard = yards('[supervisor]\nclients = ["nobody"]\n[limits]\nconnection_requests = 64\n')

    def flood() -> set[str]:
        """Ten thousand requests at once, with answers read only at the end."""
        context = zmq.Context()
        dealer = context.socket(zmq.DEALER)
        dealer.set(zmq.SNDTIMEO, 20_000)
        dealer.set(zmq.RCVTIMEO, 20_000)
        dealer.connect(f"ipc://{yard.path('.jobyard/run/socket')}")
        submission = m.Submission("0" * 32, "jobs:add", b"\x92\x92\x01\x02\x80", 2)
        codes: set[str] = set()
        for number in range(10_000):
            request = m.Submit([m.Submission(f"{number:032x}", submission.ref, submission.payload, 2)])
            dealer.send(m.pack_request(str(number), request))
        for _ in range(10_000):
            _, answer = m.unpack_reply(dealer.recv())
            codes.add(errors.from_wire(answer["error"]).code if "error" in answer else "ok")
        return codes

    owner = yard.client()
    jobs = owner.status().counts
    codes = as_user(NOBODY, flood)
    assert codes <= {"ok", "rate_limited"}
    assert owner.pause("default")
    assert wait_for("the flood to be over", owner.status).counts != jobs
