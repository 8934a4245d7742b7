"""Where things lie, how long socket paths get, and directories that others could reach."""

from __future__ import annotations

import dataclasses
import errno
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobyard.conf.paths import (
    RUNTIME_DIR,
    SOCKET_PATH_BYTES_MAX,
    paths_for,
    secure_directories,
    secure_directory,
    unusable,
)
from jobyard.conf.settings import LoggingSettings, OutputSettings, Settings, SupervisorSettings
from jobyard.protocol.errors import InvalidConfig, StorageUnavailable


def made(file: str, **supervisor: Any) -> Settings:
    return Settings(file=Path(file), supervisor=SupervisorSettings(**supervisor))


def test_everything_lies_beside_the_config() -> None:
    paths = paths_for(made("/srv/app/jobyard.toml"), {})
    assert {key: str(value) for key, value in dataclasses.asdict(paths).items()} == {
        "state_dir": "/srv/app/.jobyard",
        "journal_dir": "/srv/app/.jobyard/journal",
        "output_dir": "/srv/app/.jobyard/output",
        "history": "/srv/app/.jobyard/history.db",
        "runtime_dir": "/srv/app/.jobyard/run",
        "socket": "/srv/app/.jobyard/run/socket",
        "events_socket": "/srv/app/.jobyard/run/events",
        "supervisor_log": "/srv/app/.jobyard/background_jobs.log",
        "error_log": "/srv/app/.jobyard/background_jobs_errors.log",
        "lock": "/srv/app/.jobyard/lock",
        "own_key": "/srv/app/.jobyard/run/client.key",
        "keys_dir": "/srv/app/.jobyard/keys",
        "tcp": "False",
    }


def test_given_paths_are_taken() -> None:
    settings = dataclasses.replace(
        made("/srv/app/jobyard.toml", state_dir="/var/lib/x", runtime_dir="~/run", socket="s/jobs.sock"),
        logging=LoggingSettings(file="a.log", error_file="/e.log"),
        output=OutputSettings(dir="../out"),
    )
    paths = paths_for(settings, {"HOME": "/home/me"})
    assert str(paths.journal_dir) == "/var/lib/x/journal"
    assert str(paths.runtime_dir) == "/home/me/run"
    assert str(paths.socket) == "/srv/app/s/jobs.sock"
    assert str(paths.events_socket) == "/srv/app/s/jobs.sock.events"
    assert (str(paths.supervisor_log), str(paths.error_log)) == ("/srv/app/a.log", "/e.log")
    assert str(paths.output_dir) == "/srv/out"


@given(
    st.integers(1, 300), st.dictionaries(st.sampled_from(["XDG_RUNTIME_DIR", "TMPDIR", "USER"]), st.text(), max_size=3)
)
def test_default_sockets_fit_and_do_not_depend_on_who_asks(length: int, environ: dict[str, str]) -> None:
    settings = made("/" + "d" * length + "/jobyard.toml")
    paths = paths_for(settings, environ)
    assert paths == paths_for(settings, {})
    for name in (paths.socket, paths.events_socket, paths.runtime_dir / "z-01234567"):
        assert len(os.fsencode(name)) <= SOCKET_PATH_BYTES_MAX
    assert paths.socket.parent == paths.runtime_dir


def test_projects_with_long_paths_do_not_meet() -> None:
    one, other = ("/" + "d" * 200 + f"/{name}/jobyard.toml" for name in "ab")
    assert paths_for(made(one), {}).socket != paths_for(made(other), {}).socket
    assert paths_for(made(one), {}).socket != paths_for(made(one, state_dir="x"), {}).socket
    assert paths_for(made(one), {}).runtime_dir.parent == Path(f"/tmp/jobyard-{os.geteuid()}")


@pytest.mark.parametrize(
    ("given", "output_dir", "key"),
    [
        ({}, None, r"\[supervisor\] state_dir"),
        ({"state_dir": "/s", "runtime_dir": "r"}, None, r"\[supervisor\] runtime_dir"),
        ({"state_dir": "/s", "socket": "socket"}, None, r"\[supervisor\] socket"),
        ({"state_dir": "/s"}, "out", r"\[output\] dir"),
    ],
)
def test_path_that_is_no_text_is_refused(given: dict[str, Any], output_dir: str | None, key: str) -> None:
    settings = dataclasses.replace(made("/caf\udce9/jobyard.toml", **given), output=OutputSettings(dir=output_dir))
    with pytest.raises(InvalidConfig, match=r"the path b'/caf\\xe9/.*' is not UTF-8") as refused:
        paths_for(settings, {})
    assert re.search(f"set {key} to another", refused.value.hint)


@pytest.mark.parametrize("key", ["socket", "runtime_dir"])
def test_given_path_that_is_too_long_is_refused(key: str) -> None:
    with pytest.raises(
        InvalidConfig, match=rf"supervisor\.{key} leads to a socket path of \d+ bytes, the system allows 107"
    ):
        paths_for(made("/srv/jobyard.toml", **{key: "é" * 50}), {})


# -- directories -------------------------------------------------------------------------------------------------------


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_directory_is_made_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    for umask in (0o000, 0o277):
        before = os.umask(umask)
        try:
            secure_directory(tmp_path / f"{umask}")
        finally:
            os.umask(before)
        assert mode(tmp_path / f"{umask}") == 0o700


def test_directory_that_is_right_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir(mode=0o500)
    secure_directory(tmp_path / "d")
    assert mode(tmp_path / "d") == 0o500


@pytest.mark.parametrize("bits", [0o755, 0o750, 0o701, 0o720, 0o777])
def test_directory_open_to_others_is_refused_with_the_command_that_helps(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "d"
    path.mkdir()
    path.chmod(bits)
    with pytest.raises(InvalidConfig, match=f"is open to other users \\(mode {bits:04o}\\)") as caught:
        secure_directory(path)
    assert caught.value.hint == f"chmod 700 {path}"
    assert mode(path) == bits


def test_link_is_refused_even_to_a_directory_of_ours(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("link", "dangling"):
        with pytest.raises(InvalidConfig, match="is a symbolic link"):
            secure_directory(tmp_path / name)
    assert not (tmp_path / "nowhere").exists()


def test_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d").write_text("")
    with pytest.raises(InvalidConfig, match="cannot be used: Not a directory"):
        secure_directory(tmp_path / "d")
    with pytest.raises(InvalidConfig, match="cannot be used"):
        secure_directory(tmp_path / "d" / "below")


def test_parent_that_is_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    secure_directory(tmp_path / "link" / "a" / "b")
    assert mode(tmp_path / "real" / "a" / "b") == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a directory of somebody else")
def test_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "d"
    path.mkdir(mode=0o700)
    os.chown(path, 12345, 12345)
    with pytest.raises(InvalidConfig, match="belongs to user #12345, not to user root") as caught:
        secure_directory(path, RUNTIME_DIR)
    assert caught.value.hint == "sudo -u '#12345' jobctl ..., or set [supervisor] runtime_dir to another directory"


@pytest.mark.parametrize(
    ("number", "kind", "hint"),
    [
        (errno.ENOSPC, StorageUnavailable, "free space there"),
        (errno.EDQUOT, StorageUnavailable, "free space there"),
        (errno.EROFS, StorageUnavailable, "make it writable"),
        (errno.ENOENT, InvalidConfig, "mkdir -p /s"),
        (errno.EACCES, InvalidConfig, "set [supervisor] state_dir to another directory"),
    ],
)
def test_what_cannot_be_written_is_named_with_cause_and_advice(number: int, kind: type[Exception], hint: str) -> None:
    error = unusable(Path("/s/lock"), OSError(number, os.strerror(number)))
    assert type(error) is kind
    assert error.message == f"/s/lock cannot be used: {os.strerror(number)}"
    assert error.hint.startswith(hint)


def test_all_directories_of_a_config_are_made(tmp_path: Path) -> None:
    paths = paths_for(made(f"{tmp_path}/jobyard.toml", runtime_dir="r", socket="s/socket"), {})
    secure_directories(paths)
    secure_directories(paths)
    for directory in (paths.state_dir, paths.journal_dir, paths.runtime_dir, paths.socket.parent):
        assert mode(directory) == 0o700
    assert mode(paths.output_dir) == 0o711, "it lies in a directory of ours, and the user of a pool has files in it"


def test_descriptors_do_not_leak(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    (tmp_path / "open").mkdir(mode=0o755)
    for name in ("new", "open"):
        try:
            secure_directory(tmp_path / name)
        except InvalidConfig:
            assert name == "open"
    assert len(os.listdir("/proc/self/fd")) == before
