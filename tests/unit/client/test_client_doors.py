"""Where a client connects: a socket, a key file, an address with a key; and with what."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from jobyard.client.address import Door, Target, find_target
from jobyard.client.sync import Client
from jobyard.conf import keys
from jobyard.protocol.errors import BadArguments, JobyardError, SupervisorUnavailable

KEY = keys.KeyFile("web", "tcp://127.0.0.1:9", "s" * 40, "p" * 40, "x" * 40)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "web.key"
    keys.write(path, KEY)
    return path


def test_a_path_is_a_socket_and_a_key_file_the_address_in_it(key_file: Path) -> None:
    assert find_target("/run/s", None, {}).door() == Door("ipc:///run/s")
    assert find_target(key_file, None, {}).door() == Door("tcp://127.0.0.1:9", KEY)
    assert find_target(None, None, {"JOBYARD_SOCKET": str(key_file)}).door().key == KEY


def test_an_address_goes_before_that_in_the_key_file(key_file: Path) -> None:
    found = find_target("tcp://[::1]:8", None, {"JOBYARD_KEY": str(key_file)})
    assert (found.door(), found.argument) == (Door("tcp://[::1]:8", KEY), "tcp://[::1]:8")


def test_an_address_without_a_key_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadArguments, match="needs a key, and none is given"):
        find_target("tcp://127.0.0.1:9", None, {"HOME": str(tmp_path)})
    with pytest.raises(BadArguments, match="is not the path of a key file"):
        find_target("tcp://127.0.0.1:9", None, {"JOBYARD_KEY": "/x/web"})


@pytest.mark.parametrize(
    ("door", "told", "endpoint"),
    [
        (Door("ipc:///run/s"), "/run/e", "ipc:///run/e"),
        (Door("tcp://host:8", KEY), "tcp://0.0.0.0:9", "tcp://host:9"),
        (Door("tcp://[::1]:8", KEY), "tcp://[::]:9", "tcp://[::1]:9"),
    ],
)
def test_another_socket_of_the_same_supervisor_is_at_the_host_that_is_known(
    door: Door, told: str, endpoint: str
) -> None:
    assert door.beside(told) == Door(endpoint, door.key)


def test_a_key_file_that_is_not_there_is_an_absent_supervisor(tmp_path: Path) -> None:
    target = Target(str(tmp_path / "web.key"), "given")
    assert target.is_absent()
    with Client(socket=target.path, timeout=3600.0) as client, pytest.raises(SupervisorUnavailable) as caught:
        client.ping()
    assert "web.key (given as socket=): no such file or directory" in caught.value.message


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense", "tcp://nowhere", "ipc:///x", "tcp://127.0.0.1:0"])
@pytest.mark.parametrize("key", ["s" * 40, "short", "\x00" * 40])
def test_whatever_is_in_a_key_file_ends_in_an_error_that_names_it(key_file: Path, address: str, key: str) -> None:
    keys.write(key_file, keys.KeyFile("web", address, key, key, key))
    with Client(socket=key_file, timeout=0.2) as client, pytest.raises(JobyardError) as caught:
        client.ping()
    assert str(key_file) in caught.value.message
    assert os.path.exists(key_file)
