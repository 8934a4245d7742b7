"""Key files: who may read them, which are valid, and what is said of those that are not ours."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from pathlib import Path

import pytest
from jobyard.conf import keys
from jobyard.protocol.errors import BadArguments, InvalidConfig, StorageUnavailable

HEX = "0f" * 32
OTHER = "f0" * 32


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.mkdir(mode=0o700)
    return path


def test_a_key_that_was_granted_is_found_until_it_is_revoked(directory: Path) -> None:
    keys.grant(directory, HEX, "web", "p" * 40, 10)
    found = keys.granted(directory, HEX)
    assert found is not None and (found.name, found.public_key) == ("web", "p" * 40)
    assert keys.granted(directory, OTHER) is None
    assert keys.revoke(directory, "web") == 1
    assert keys.granted(directory, HEX) is None
    assert keys.revoke(directory, "web") == 0


def test_keys_are_listed_by_name_and_the_supervisors_own_is_not_one_of_them(directory: Path) -> None:
    keys.server_key(directory, "127.0.0.1")
    keys.grant(directory, HEX, "web", "p" * 40, 10)
    keys.grant(directory, OTHER, "cron", "q" * 40, 10)
    assert [one.name for one in keys.grants(directory)] == ["cron", "web"]


def test_a_name_that_is_taken_and_a_key_too_many_are_refused(directory: Path) -> None:
    keys.grant(directory, HEX, "web", "p" * 40, 1)
    with pytest.raises(BadArguments, match="there is a key 'web' already"):
        keys.grant(directory, OTHER, "web", "q" * 40, 1)
    with pytest.raises(InvalidConfig, match="there are 1 keys already"):
        keys.grant(directory, OTHER, "cron", "q" * 40, 1)


def test_where_there_is_no_directory_there_are_no_keys(tmp_path: Path) -> None:
    assert keys.grants(tmp_path / "keys") == []
    assert keys.revoke(tmp_path / "keys", "web") == 0


@pytest.mark.parametrize("name", ["web", "web-1", "a.b_c", "9", "x" * 64])
def test_names_of_keys(name: str) -> None:
    assert keys.valid_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "-x", "a b", "a/b", "../x", "x" * 65, "é", "a:b", "a\n", "*", "\x1b[31m"])
def test_what_is_no_name_for_a_key(name: str) -> None:
    with pytest.raises(BadArguments, match="is not a name for a key"):
        keys.valid_name(name)


def test_files_are_for_their_owner_alone_whatever_the_umask(directory: Path) -> None:
    before = os.umask(0)
    try:
        keys.grant(directory, HEX, "web", "p" * 40, 10)
    finally:
        os.umask(before)
    assert stat.S_IMODE((directory / HEX).stat().st_mode) == 0o600
    assert os.listdir(directory) == [HEX], "nothing is left beside it"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666, 0o601])
def test_a_file_that_is_open_to_others_is_not_read(directory: Path, mode: int) -> None:
    keys.grant(directory, HEX, "web", "p" * 40, 10)
    (directory / HEX).chmod(mode)
    with pytest.raises(InvalidConfig, match=rf"is open to other users \(mode {mode:04o}\)"):
        keys.granted(directory, HEX)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_not_read(directory: Path) -> None:
    keys.grant(directory, HEX, "web", "p" * 40, 10)
    os.chown(directory / HEX, 12345, 12345)
    with pytest.raises(InvalidConfig, match="belongs to user #12345"):
        keys.granted(directory, HEX)


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", "null", '{"name": 1, "public_key": "", "created_at": 0.0}', "\xff", "[" * 4000, '{"a": 1}' * 900],
)
def test_a_file_with_anything_else_in_it_is_refused(directory: Path, content: str) -> None:
    path = directory / HEX
    path.write_text(content, encoding="latin-1")
    path.chmod(0o600)
    with pytest.raises(InvalidConfig, match="is not a key that jobyard has written"):
        keys.granted(directory, HEX)


def test_links_and_pipes_are_not_followed(directory: Path) -> None:
    (directory / HEX).symlink_to(directory / OTHER)
    os.mkfifo(directory / OTHER, 0o600)
    with pytest.raises(InvalidConfig, match="cannot be read"):
        keys.granted(directory, HEX)
    with pytest.raises(InvalidConfig, match="is not a file"):
        keys.granted(directory, OTHER)


def test_the_supervisors_key_is_made_once(directory: Path) -> None:
    first = keys.server_key(directory, "127.0.0.1")
    assert keys.server_key(directory, "127.0.0.1") == first
    assert 0 < first.port != first.events_port
    assert len(first.public_key) == len(first.secret_key) == 40
    assert len(keys.mark_of(first.public_key)) == 64


def test_a_file_that_is_there_is_kept_where_it_is_not_to_be_replaced(directory: Path) -> None:
    path = directory / "x.key"
    one, other = (keys.Grant(name, "p", 1.0) for name in ("one", "other"))
    keys.write(path, one, replace=False)
    with pytest.raises(FileExistsError):
        keys.write(path, other, replace=False)
    assert keys.read(path, keys.Grant) == one
    keys.write(path, other)
    assert keys.read(path, keys.Grant) == other


def test_two_who_ask_for_a_key_of_one_name_at_once_get_one(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both, look = threading.Barrier(2), keys.grants

    def grants(where: Path) -> list[keys.Grant]:
        found = look(where)
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.5)  # for the other one to have looked as well, unless it has to wait for its turn
        return found

    def ask(mark: str) -> None:
        try:
            keys.grant(directory, mark, "web", "p" * 40, 10)
        except BadArguments:
            refused.append(mark)

    refused: list[str] = []
    monkeypatch.setattr(keys, "grants", grants)
    threads = [threading.Thread(target=ask, args=(mark,)) for mark in (HEX, OTHER)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == len(look(directory)) == 1


def test_addresses_are_written_as_zeromq_takes_them() -> None:
    assert keys.endpoint("127.0.0.1", 80) == "tcp://127.0.0.1:80"
    assert keys.endpoint("::1", 80) == "tcp://[::1]:80"


def test_file_that_others_can_read_does_not_keep_another_key_from_being_revoked(tmp_path: Path) -> None:
    for number, name in enumerate(("open", "web", "other")):
        keys.grant(tmp_path, f"{number:064x}", name, "k" * 40, at_most=9)
    (tmp_path / f"{0:064x}").chmod(0o644)
    assert keys.revoke(tmp_path, "web") == 1
    assert not (tmp_path / f"{1:064x}").exists() and (tmp_path / f"{2:064x}").exists()
    with pytest.raises(InvalidConfig, match="is open to other users"):
        keys.revoke(tmp_path, "open")


def test_a_file_that_the_disk_refuses_leaves_nothing_behind(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageUnavailable):
        keys.grant(directory, HEX, "web", "p" * 40, 10)
    assert list(directory.iterdir()) == []


def test_a_grant_and_its_end_are_on_disk_when_they_are_told(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_ino))
    keys.grant(directory, HEX, "web", "p" * 40, 10)
    assert synced[-1] == directory.stat().st_ino and len(synced) == 2
    keys.revoke(directory, "web")
    assert synced[2:] == [directory.stat().st_ino]
