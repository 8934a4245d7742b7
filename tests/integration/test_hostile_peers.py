"""T10b, T11, T12: peers that send garbage, come and go, do not read or want too much, and others who notice nothing.

A control client asks all the time; each of its requests must be answered. No figure of speed is asserted: a request
that is not answered within the control's patience is one that was starved.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import tiers
import zmq
from jobyard import Client
from jobyard.protocol import messages as m
from jobyard.protocol import topics
from jobyard.protocol.codec import MESSAGE_BYTES_MAX, pack_arguments
from live import Yard, wait_for
from zmtp import COMMAND, GREETING, LONG, MORE, Raw, frame, ready

CONNECTIONS = tiers.size(2_000, 1_000_000, 10_000_000)
CHURN = tiers.size(500, 10_000, 100_000)
FOLLOWERS = tiers.size(10, 50, 50)
AT_ONCE = 50
PATIENCE_S = 20.0
ARGUMENTS = pack_arguments((1, 2), {})


class Control:
    """A client that asks until it is told to stop."""

    def __init__(self, yard: Yard) -> None:
        self.answers = 0
        self._config = str(yard.config)
        self._failure: BaseException | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        try:
            with Client(config=self._config, timeout=PATIENCE_S) as client:
                while not self._over.wait(0.002):  # the machine is for the others
                    assert client.ping().ready
                    self.answers += 1
        except BaseException as failure:
            self._failure = failure

    def __enter__(self) -> Control:
        self._thread.start()
        wait_for("the control client to be answered", lambda: self.answers or self._failure)
        return self

    def __exit__(self, *rest: object) -> None:
        self._over.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    given = request.config.getoption("--seed")
    return int(given) if given is not None else random.SystemRandom().randrange(1 << 32)


def descriptors(yard: Yard) -> int:
    return psutil.Process(yard.pid).num_fds()


@contextmanager
def descriptors_as_before(yard: Yard) -> Iterator[None]:
    """At the end the supervisor has no more descriptors than at the beginning, when all that it starts is there."""
    client = yard.client()
    wait_for("all spare children to be there", lambda: all(pool.spare >= 2 for pool in client.status().pools))
    before = descriptors(yard)
    yield
    wait_for(f"descriptors to be {before} again, and not {descriptors(yard)}", lambda: descriptors(yard) <= before + 2)


def socket_path(yard: Yard) -> Path:
    return yard.path(".jobyard/run/socket")


def events_path(yard: Yard) -> Path:
    return yard.path(".jobyard/run/events")


# -- T10b: bytes that are no ZMTP --------------------------------------------------------------------------------------


def _hostile_bytes(rng: random.Random) -> bytes:
    """What one peer says before it hangs up or falls silent."""
    kind = rng.choice((b"DEALER", b"REQ", b"SUB", b"PUB", b"ROUTER", b"X" * 200, b""))
    shaken = GREETING + ready(kind)
    bad_greeting = bytearray(GREETING)
    bad_greeting[rng.randrange(len(bad_greeting))] ^= 1 << rng.randrange(8)
    return rng.choice(
        (
            rng.randbytes(rng.randrange(300)),
            bytes(bad_greeting) + ready(b"DEALER"),
            GREETING[: rng.randrange(len(GREETING))],
            shaken[: rng.randrange(len(shaken))],
            shaken + frame(b"", LONG, size=rng.choice((MESSAGE_BYTES_MAX + 1, 2**31, 2**63, 2**64 - 1))),
            shaken + frame(b"x" * 100, LONG, size=MESSAGE_BYTES_MAX),
            shaken + b"".join(frame(rng.randbytes(10), MORE) for _ in range(500)),
            shaken + frame(rng.randbytes(50), COMMAND),
            shaken + frame(b"\x05ERROR\xff", COMMAND) + frame(b"\x04PING", COMMAND),
            shaken + rng.randbytes(200),
            shaken + frame(b"\x01all/") + frame(b"\x00all/") + frame(b"\x02odd"),
            shaken + frame(rng.randbytes(rng.randrange(2000))),
            GREETING + GREETING + ready(b"DEALER"),
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        )
    )


@pytest.mark.tier("T10b")
def test_garbage_on_the_wire_disturbs_nobody(yard: Yard, seed: int) -> None:
    rng = random.Random(seed)
    with descriptors_as_before(yard), Control(yard) as control:
        before = control.answers
        for _ in range(0, CONNECTIONS, AT_ONCE):
            peers = [Raw(rng.choice((socket_path(yard), events_path(yard)))) for _ in range(AT_ONCE)]
            for peer in peers:
                peer.say(_hostile_bytes(rng))
            for peer in peers:
                peer.close()
        wait_for("the control client to be answered after all", lambda: control.answers > before)
    assert yard.client().submit("jobs:add", 1, 2).result(timeout=20) == 3, f"--seed {seed}"
    assert "fault" not in yard.log, f"--seed {seed}"
    tiers.report("T10b", "raw ZMTP garbage", connections=CONNECTIONS, control_answers=control.answers, lost=0)


def test_peers_that_never_end_their_handshake_are_cut_off(yard: Yard) -> None:
    peers = [Raw(socket_path(yard)) for _ in range(20)]
    for peer in peers[::2]:
        peer.say(GREETING[:30])
    assert all(peer.is_closed() for peer in peers)
    for peer in peers:
        peer.close()


def test_a_frame_that_claims_to_be_too_large_ends_its_connection_and_takes_no_memory(yard: Yard) -> None:
    process = psutil.Process(yard.pid)
    before = process.memory_info().vms
    peers = [Raw(socket_path(yard), b"DEALER") for _ in range(20)]
    for peer in peers:
        peer.say(frame(b"x" * 100, LONG, size=2**31))
    assert all(peer.is_closed() for peer in peers)
    assert process.memory_info().vms < before + (256 << 20)
    for peer in peers:
        peer.close()


# -- T11: clients that come and go -------------------------------------------------------------------------------------


def _submit(number: int) -> bytes:
    request = m.Submit([m.Submission(f"{number:032x}", "jobs:add", ARGUMENTS, 2, options={"queue": "held"})])
    return m.pack_request("1", request)


@pytest.mark.tier("T11")
def test_clients_that_die_in_the_middle_of_a_request_leave_nothing_behind(
    make_yard: Callable[..., Yard], seed: int
) -> None:
    yard = make_yard("[queues.held]\npaused = true\n")
    rng = random.Random(seed)
    sent, acknowledged = set(), set()
    with descriptors_as_before(yard), Control(yard):
        for first in range(0, CHURN, AT_ONCE):
            peers = [Raw(socket_path(yard), b"DEALER") for _ in range(AT_ONCE)]
            for number, peer in enumerate(peers, first):
                data = frame(_submit(number))
                whole = rng.random() < 0.7
                peer.say(data if whole else data[: rng.randrange(len(data))])
                if whole:
                    sent.add(f"{number:032x}")
                if whole and rng.random() < 0.3:
                    _, answer = m.unpack_reply(peer.message())
                    acknowledged.add(answer["ok"]["jobs"][0]["uid"])
            for peer in peers:
                peer.close()
    stored = {job.uid for job in yard.client().list(limit=None)}
    assert acknowledged <= stored <= sent, f"--seed {seed}"
    assert acknowledged, "else nothing was tried"
    tiers.report("T11", "clients that die", clients=CHURN, acknowledged=len(acknowledged), lost=0, phantom=0)


@pytest.mark.tier("T11")
def test_readers_that_do_not_read_are_left_behind_and_slow_nobody_down(yard: Yard) -> None:
    yard.client().submit_many("jobs:add", [(number, 1) for number in range(300)])
    with descriptors_as_before(yard), Control(yard) as control:
        peers = [Raw(socket_path(yard), b"DEALER") for _ in range(20)]
        asked = frame(m.pack_request("1", m.List(limit=300)))
        for peer in peers:
            peer.say(asked * 10)
        before = control.answers
        wait_for("the control client to be answered meanwhile", lambda: control.answers > before + 50)
        for peer in peers:
            peer.close()
    assert yard.client().ping().pid == yard.pid


def test_one_who_sends_without_end_is_told_to_wait_and_others_have_their_turn(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard("[queues.held]\npaused = true\n[limits]\nconnection_requests = 100\n")
    codes: dict[str, int] = {}
    with Control(yard), zmq.Context() as context, context.socket(zmq.DEALER) as flood:
        flood.linger = 0
        flood.rcvtimeo = flood.sndtimeo = int(PATIENCE_S * 1000)
        flood.set_hwm(0)
        flood.connect(f"ipc://{socket_path(yard)}")
        flood.send(m.pack_request("1", m.Ping()))
        flood.recv()
        os.kill(yard.pid, signal.SIGSTOP)  # so that much has come when it looks again
        for number in range(5_000):
            flood.send(_submit(number))
        os.kill(yard.pid, signal.SIGCONT)
        for _ in range(5_000):
            _, answer = m.unpack_reply(flood.recv())
            code = answer["error"]["code"] if "error" in answer else "ok"
            codes[code] = codes.get(code, 0) + 1
    assert codes.keys() == {"ok", "rate_limited"}
    assert yard.client().status().counts.get("queued", 0) == codes["ok"], "what was refused was not stored"
    assert yard.client().status().refused == codes["rate_limited"]
    assert yard.log.count("(rate_limited)") <= 100, "a flood does not fill the log"


def test_waits_of_one_connection_are_bounded_and_those_of_others_are_not_touched(
    make_yard: Callable[..., Yard],
) -> None:
    yard = make_yard("[queues.held]\npaused = true\n[limits]\nconnection_waits = 10\n")
    client = yard.client()
    job = client.options(queue="held").submit("jobs:add", 1, 2)
    with zmq.Context() as context, context.socket(zmq.DEALER) as greedy:
        greedy.linger = 0
        greedy.rcvtimeo = int(PATIENCE_S * 1000)
        greedy.connect(f"ipc://{socket_path(yard)}")
        for number in range(11):
            greedy.send(m.pack_request(str(number), m.Wait([job.id])))
        request_id, answer = m.unpack_reply(greedy.recv())
        assert (request_id, answer["error"]["code"]) == ("10", "rate_limited")
        assert not job.wait(0.1)
        client.resume("held")
        assert sorted(m.unpack_reply(greedy.recv())[0] for _ in range(10)) == sorted(map(str, range(10)))


# -- T12: subscribers --------------------------------------------------------------------------------------------------

_FOLLOWER = """
import sys
from jobyard import Client
seen = set()
last = int(sys.argv[2])
print("there", flush=True)
with Client(config=sys.argv[1], timeout=60.0) as client:
    for notice in client.events("oldest"):
        if notice.kind == "events_truncated":
            sys.exit("some were truncated")
        if notice.kind == "succeeded":
            if notice.job_id in seen:
                sys.exit(f"job {notice.job_id} was told twice")
            seen.add(notice.job_id)
            if len(seen) == last:
                break
print("all", flush=True)
"""


@pytest.mark.tier("T12")
def test_followers_miss_nothing_beside_one_who_sleeps_and_one_who_wants_everything(
    make_yard: Callable[..., Yard],
) -> None:
    yard = make_yard("[limits]\nsubscriptions = 1000\nunsent_notices = 32\n", "def add(a, b):\n    return a + b\n")
    client = yard.client()
    jobs = 300
    command = [sys.executable, "-c", _FOLLOWER, str(yard.config), str(jobs)]
    followers = [
        subprocess.Popen(command, cwd=yard.directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(FOLLOWERS)
    ]
    try:
        for follower in followers:
            assert follower.stdout is not None and follower.stdout.readline() == "there\n"
        asleep = followers[0]
        asleep.send_signal(signal.SIGSTOP)
        greedy = Raw(events_path(yard), b"SUB")
        with Control(yard):
            for first in range(0, jobs, 50):
                client.submit_many("jobs:add", [(number, 1) for number in range(50)])
                topics_wanted = (b"\x01job/%d/" % (1_000_000 + first * 10 + number) for number in range(500))
                greedy.say(b"".join(map(frame, topics_wanted)))
            for follower in followers[1:]:
                told, complaint = follower.communicate(timeout=120)
                assert (told, complaint) == ("all\n", "")
        assert greedy.is_closed()
        greedy.close()
        asleep.send_signal(signal.SIGCONT)
        assert asleep.communicate(timeout=120) == ("all\n", "")
    finally:
        for follower in followers:
            follower.kill()
            follower.communicate()
    assert "more than 1,000 subscriptions" in yard.log
    tiers.report("T12", "followers beside hostile ones", followers=FOLLOWERS, jobs=jobs, missed=0)


def test_nobody_can_cancel_the_subscription_of_another(yard: Yard) -> None:
    """libzmq passes on a cancellation of what the peer never subscribed to."""
    client = yard.client()
    notices = client.events()
    seen: list[int | None] = []

    def follow() -> None:
        for notice in notices:
            seen.append(notice.job_id)
            if notice.kind == "succeeded" and len(set(seen)) >= 2:
                return

    thread = threading.Thread(target=follow)
    thread.start()

    def heard_by_then() -> bool:
        client.submit("jobs:add", 1, 2).result(timeout=20)
        return bool(seen)

    wait_for("the follower to hear", heard_by_then)
    mean = Raw(events_path(yard), b"SUB")
    mean.say(frame(b"\x00" + topics.ALL) * 3)
    mean.say(frame(b"\x01" + topics.HELLO + b"w/" + topics.ALL))
    assert topics.HELLO in mean.hear(40)  # so what it said before has been taken in
    client.submit("jobs:add", 1, 2).result(timeout=20)
    client.submit("jobs:add", 1, 2).result(timeout=20)
    thread.join(20)
    assert not thread.is_alive(), f"nothing was heard any more after {seen}"
    mean.close()


def test_a_subscription_that_is_too_long_ends_its_connection(yard: Yard) -> None:
    peer = Raw(events_path(yard), b"SUB")
    peer.say(frame(b"\x01" + b"x" * (topics.TOPIC_BYTES_MAX + 1)))
    assert peer.is_closed()
    peer.close()
