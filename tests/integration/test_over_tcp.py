"""S3: TCP with keys. Who has a valid one gets in, nobody else gets anything, and who takes the port deceives nobody."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq
from jobyard import AsyncClient, Client
from jobyard.conf import keys
from jobyard.protocol import messages as m
from jobyard.protocol.errors import (
    BadArguments,
    InvalidConfig,
    JobyardError,
    SupervisorUnavailable,
    Unauthorised,
)
from live import Yard, wait_for
from others import NOBODY, as_root, as_user, open_directory

CONFIG = '[supervisor]\ntransport = "tcp"\n'
JOBS = """
import os
from jobyard import Client

def add(a, b):
    return a + b

def supervisor():
    return os.environ["JOBYARD_SOCKET"], Client().ping().pid
"""
SILENCE_S = 0.5  # in which whoever is let in would have had an answer many times over


@pytest.fixture
def yard(make_yard: Callable[..., Yard]) -> Yard:
    return make_yard(CONFIG, JOBS)


def jobctl(yard: Yard, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JOBYARD_")}
    return subprocess.run(
        [sys.executable, "-m", "jobyard", *arguments],
        cwd=yard.directory, env={**kept, **environ}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def own_key(yard: Yard) -> keys.KeyFile:
    return keys.read(yard.path(".jobyard/run/client.key"), keys.KeyFile)


def new_key(yard: Yard, name: str) -> Path:
    done = jobctl(yard, "key", "new", name)
    assert done.returncode == 0, done
    return yard.path(f"{name}.key")


@contextmanager
def dealer(address: str, **options: Any) -> Iterator[zmq.Socket[bytes]]:
    """A bare socket with these options of CURVE, if any."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as made:
        made.linger = 0
        for name, value in options.items():
            made.set(getattr(zmq, name.upper()), value)
        made.connect(address)
        yield made


def is_answered(asker: zmq.Socket[bytes]) -> bool:
    asker.send(m.pack_request("1", m.Ping()))
    return bool(asker.poll(int(SILENCE_S * 1000)))


# -- who gets in -------------------------------------------------------------------------------------------------------


def test_clients_find_address_and_key_by_the_config_and_a_job_finds_its_own_supervisor(yard: Yard) -> None:
    client = yard.client()
    assert client.submit("jobs:add", 20, 22).result(timeout=20) == 42
    status = client.status()
    assert status.socket.startswith("tcp://127.0.0.1:")
    socket_of_job, pid = client.submit("jobs:supervisor").result(20)
    assert (socket_of_job, pid) == (str(yard.path(".jobyard/run/client.key")), yard.pid)


def test_a_client_follows_events_over_tcp(yard: Yard) -> None:
    client = yard.client()
    job = client.submit("jobs:add", 1, 2)
    kinds = [notice.kind for notice in job.events()]
    assert kinds[-1] == "succeeded"


async def _ask(config: str) -> int:
    async with AsyncClient(config=config) as client:
        return int(await (await client.submit("jobs:add", 1, 2)).result(timeout=20))


def test_an_event_loop_gets_in_as_well(yard: Yard) -> None:
    import asyncio

    assert asyncio.run(_ask(str(yard.config))) == 3


def test_without_a_key_nothing_is_answered(yard: Yard) -> None:
    address = own_key(yard).address
    with dealer(address) as plain:
        assert not is_answered(plain)
    assert yard.client().status().refused == 0


def test_a_key_that_nobody_granted_gets_nothing(yard: Yard) -> None:
    own = own_key(yard)
    public, secret = zmq.curve_keypair()
    asked = {"curve_serverkey": own.server_key.encode(), "curve_publickey": public, "curve_secretkey": secret}
    with dealer(own.address, **asked) as stranger:
        assert not is_answered(stranger)


def test_a_public_key_without_its_secret_gets_nothing(yard: Yard) -> None:
    own = own_key(yard)
    _, secret = zmq.curve_keypair()
    asked = {
        "curve_serverkey": own.server_key.encode(),
        "curve_publickey": own.public_key.encode(),
        "curve_secretkey": secret,
    }
    with dealer(own.address, **asked) as stranger:
        assert not is_answered(stranger)


def test_the_status_stream_tells_nothing_without_a_key(yard: Yard) -> None:
    client = yard.client()
    client.submit("jobs:add", 1, 2).result(timeout=20)
    told = client.request(m.Events(None, None, True)).socket
    with zmq.Context() as context, context.socket(zmq.SUB) as listener:
        listener.linger = 0
        listener.subscribe(b"")
        listener.connect(told)
        client.submit("jobs:add", 1, 2).result(timeout=20)
        assert not listener.poll(int(SILENCE_S * 1000))


def test_a_stranger_is_told_at_once_that_his_key_is_not_known(yard: Yard, tmp_path: Path) -> None:
    own = own_key(yard)
    public, secret = keys.make_pair()
    path = tmp_path / "stranger.key"
    keys.write(path, keys.KeyFile("stranger", own.address, own.server_key, public, secret))
    with Client(socket=path, timeout=3600.0) as client, pytest.raises(Unauthorised, match="does not know the key in"):
        client.ping()


def test_a_client_with_the_key_of_another_supervisor_does_not_talk_to_this_one(
    yard: Yard, make_yard: Callable[..., Yard], tmp_path: Path
) -> None:
    other = own_key(make_yard(CONFIG))
    path = tmp_path / "mixed.key"
    keys.write(path, keys.KeyFile("owner", own_key(yard).address, other.server_key, other.public_key, other.secret_key))
    with (
        Client(socket=path, timeout=1.0) as client,
        pytest.raises(SupervisorUnavailable, match="is not the supervisor of this key"),
    ):
        client.ping()


def test_a_squatter_on_the_port_learns_nothing_and_is_not_taken_for_the_supervisor(yard: Yard) -> None:
    key = new_key(yard, "web")
    host, _, port = own_key(yard).address.removeprefix("tcp://").rpartition(":")
    with Client(socket=key, timeout=20.0) as client:
        client.ping()
    assert yard.stop() == 0
    with zmq.Context() as context, context.socket(zmq.ROUTER) as squatter:
        squatter.bind(f"tcp://{host}:{port}")
        with Client(socket=key, timeout=1.0) as client, pytest.raises(SupervisorUnavailable):
            client.submit("jobs:add", "secret", "secret")
        assert not squatter.poll(0)
    with closing(socket.create_server((host, int(port)))) as listener:
        seen: list[bytes] = []
        thread = threading.Thread(target=lambda: seen.append(_first_bytes(listener)))
        thread.start()
        with Client(socket=key, timeout=1.0) as client, pytest.raises(SupervisorUnavailable):
            client.submit("jobs:add", "secret", "secret")
        thread.join()
    assert b"CURVE" in seen[0] and b"secret" not in seen[0]


def _first_bytes(listener: socket.socket) -> bytes:
    """All that the first one to connect says to somebody who greets him as libzmq does, without a key."""
    connection, _ = listener.accept()
    found = b""
    with connection:
        connection.settimeout(20)
        connection.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"CURVE".ljust(20, b"\0") + b"\x01" + bytes(31))
        try:
            while data := connection.recv(4096):
                found += data
        except OSError:
            pass
    return found


def test_a_supervisor_that_is_started_again_is_found_at_the_same_port(yard: Yard) -> None:
    key = new_key(yard, "web")
    before = own_key(yard)
    with Client(socket=key, timeout=20.0) as client:
        client.ping()
        yard.restart()
        after = own_key(yard)
        assert client.ping().generation == 2
    assert (after.address, after.server_key) == (before.address, before.server_key)
    assert after.public_key != before.public_key, "the owner's key is of one start"
    assert yard.client().ping().generation == 2


def test_a_port_that_somebody_took_meanwhile_is_given_up_and_that_is_said(yard: Yard) -> None:
    host, _, port = own_key(yard).address.removeprefix("tcp://").rpartition(":")
    assert yard.stop() == 0
    with closing(socket.create_server((host, int(port)))):
        assert "pid" in yard.start()
        assert not own_key(yard).address.endswith(f":{port}")
        assert yard.client().ping().ready
    assert f"cannot listen on {host} port {port}" in yard.log


# -- keys --------------------------------------------------------------------------------------------------------------


def test_a_key_that_is_made_while_the_supervisor_runs_is_good_for_submit_and_read_only(yard: Yard) -> None:
    key = new_key(yard, "web")
    with Client(socket=key, timeout=20.0) as client:
        job = client.submit("jobs:add", 1, 2)
        assert job.result(timeout=20) == 3
        assert client.list()[0].id == job.id
        for deed in (client.stop, client.reload, lambda: client.cancel([job.id]), lambda: client.pause("default")):
            with pytest.raises(Unauthorised, match="key web may submit and read, and not"):
                deed()
    assert "key web" in yard.log


def test_a_key_that_is_made_before_the_first_start_is_good(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard(CONFIG, JOBS, start=False)
    key = new_key(yard, "web")
    yard.start()
    with Client(socket=key, timeout=20.0) as client:
        assert client.submit("jobs:add", 1, 2).result(timeout=20) == 3


def test_a_revoked_key_gets_nothing_any_more_over_connections_that_are_there(yard: Yard) -> None:
    key = new_key(yard, "web")
    with Client(socket=key, timeout=20.0) as client:
        heard: list[Any] = []
        notices = client.events("oldest")
        first = yard.client().submit("jobs:add", 1, 2)
        heard.append(next(notices))
        client.ping()  # over a connection of its own, since the notices have one
        assert jobctl(yard, "key", "revoke", "web").stdout == "revoked: web\n"
        with pytest.raises(Unauthorised, match="key web may not use this supervisor"):
            client.submit("jobs:add", 1, 2)
        later = yard.client().submit("jobs:add", 3, 4)
        assert later.result(timeout=20) == 7
        with pytest.raises(JobyardError):
            heard.extend(notices)
    assert {notice.job_id for notice in heard} <= {first.id}
    with Client(socket=key, timeout=3600.0) as client, pytest.raises(Unauthorised):
        client.ping()


def test_a_key_is_no_longer_good_when_its_file_is_open_to_others(yard: Yard) -> None:
    key = new_key(yard, "web")
    (granted,) = (path for path in yard.path(".jobyard/keys").iterdir() if path.name != "server")
    with Client(socket=key, timeout=20.0) as client:
        client.ping()
        granted.chmod(0o644)
        with pytest.raises(Unauthorised):
            client.ping()
        granted.chmod(0o600)
        assert client.ping().ready


def test_a_client_refuses_a_key_file_that_others_can_read(yard: Yard) -> None:
    key = new_key(yard, "web")
    key.chmod(0o640)
    with (
        Client(socket=key) as client,
        pytest.raises(InvalidConfig, match=r"web\.key is open to other users \(mode 0640\)"),
    ):
        client.ping()


def test_keys_are_listed_without_their_secrets(yard: Yard) -> None:
    secrets = [keys.read(new_key(yard, name), keys.KeyFile).secret_key for name in ("web", "cron")]
    done = jobctl(yard, "key", "list", "--json")
    listed = json.loads(done.stdout)["keys"]
    assert [one["name"] for one in listed] == ["cron", "web"]
    assert not any(secret in done.stdout for secret in secrets)
    twice = jobctl(yard, "key", "new", "web", "--out", "again.key")
    assert (twice.returncode, "there is a key 'web' already" in twice.stderr) == (2, True), twice


@as_root
def test_another_user_connects_with_a_key_of_his_own_and_with_nothing_else() -> None:
    with open_directory() as base:
        base.joinpath("yard").mkdir(mode=0o755)
        yard = Yard(base / "yard", JOBS, CONFIG)
        try:
            yard.start()
            given = base / "his.key"
            os.rename(new_key(yard, "his"), given)
            os.chown(given, NOBODY, NOBODY)
            kept = new_key(yard, "kept")
            with Client(socket=kept, timeout=20.0) as client:
                client.submit("jobs:add", 1, 2).result(timeout=20)

            def use() -> tuple[Any, list[str]]:
                with Client(socket=given, timeout=20.0) as client:
                    value = client.submit("jobs:add", 20, 22).result(timeout=20)
                refused = []
                for path in (kept, yard.path(".jobyard/run/client.key")):
                    with Client(socket=path, timeout=1.0) as client:
                        try:
                            client.ping()
                        except JobyardError as error:
                            refused.append(error.code)
                return value, refused

            assert as_user(NOBODY, use) == (42, ["invalid_config", "invalid_config"])
        finally:
            yard.close()


# -- how it is asked for -----------------------------------------------------------------------------------------------


def test_an_address_takes_its_key_from_the_variable_or_from_the_config(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = new_key(yard, "web")
    address = own_key(yard).address
    monkeypatch.chdir(tmp_path)
    with Client(socket=address) as client, pytest.raises(BadArguments, match="needs a key, and none is given"):
        client.ping()
    monkeypatch.setenv("JOBYARD_KEY", str(key))
    with Client(socket=address, timeout=20.0) as client:
        assert client.ping().pid == yard.pid
    monkeypatch.delenv("JOBYARD_KEY")
    monkeypatch.chdir(yard.directory)
    with Client(socket=address, timeout=20.0) as client:
        assert client.ping().pid == yard.pid


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
def test_an_address_beyond_loopback_is_refused_unless_that_is_meant(make_yard: Callable[..., Yard], host: str) -> None:
    yard = make_yard(f'{CONFIG}host = "{host}"\n', start=False)
    said = yard.start()
    assert said["error"]["code"] == "invalid_config"
    assert f"{host} can be reached from other machines" in said["error"]["message"]


def test_a_fixed_port_is_kept_with_the_next_one_for_the_stream(make_yard: Callable[..., Yard]) -> None:
    port = _free_pair()
    yard = make_yard(f"{CONFIG}port = {port}\n")
    client = yard.client()
    assert client.status().socket == f"tcp://127.0.0.1:{port}"
    assert client.request(m.Events(None, None, True)).socket == f"tcp://127.0.0.1:{port + 1}"


def _free_pair() -> int:
    for port in range(20_000, 30_000, 7):
        try:
            with (
                closing(socket.create_server(("127.0.0.1", port))),
                closing(socket.create_server(("127.0.0.1", port + 1))),
            ):
                return port
        except OSError:
            continue
    raise AssertionError("no two ports beside each other are free")


def test_transport_does_not_change_by_a_reload(yard: Yard) -> None:
    client = yard.client()
    assert client.ping().ready
    yard.config.write_text('allow = ["jobs:*"]\n')
    with pytest.raises(InvalidConfig, match="transport cannot change while the supervisor runs"):
        client.reload()
    yard.config.write_text('allow = ["jobs:*"]\n' + CONFIG)


def test_the_key_of_the_owner_goes_with_the_supervisor(yard: Yard) -> None:
    assert yard.stop() == 0
    assert not yard.path(".jobyard/run/client.key").exists()
    with Client(config=str(yard.config), timeout=3600.0) as client, pytest.raises(SupervisorUnavailable) as caught:
        client.ping()
    assert caught.value.hint == "jobctl up"
    wait_for("no process to be left", lambda: not yard.left())
