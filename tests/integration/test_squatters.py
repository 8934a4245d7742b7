"""S2: what another user, or a careless one, left where the supervisor's directories and sockets are to be.

Each case puts something in the way and starts as the supervisor does: directories, lock, sockets. It must refuse with
an error that names the path, and neither follow nor change what is there.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tiers
from jobyard.conf import paths as conf_paths
from jobyard.conf.paths import Paths, paths_for, secure_directories, secure_directory
from jobyard.conf.settings import Settings, SupervisorSettings
from jobyard.protocol.errors import InvalidConfig, JobyardError
from jobyard.supervisor.addresses import open_addresses
from jobyard.supervisor.entrance import IpcEntrance
from jobyard.supervisor.journal.lock import DirectoryLock
from live import Yard
from others import NOBODY, as_root, as_user, open_directory

RACES = tiers.size(100, 2_000, 20_000)


@pytest.fixture
def base() -> Iterator[Path]:
    with open_directory() as path:
        yield path


def begin(settings: Settings) -> None:
    """As ``__main__`` does it, up to the sockets, and back."""
    paths = paths_for(settings, {})
    secure_directories(paths)
    with DirectoryLock(paths.state_dir):
        addresses = open_addresses(settings, paths, None, lambda: 1)
        addresses.requests.close()
        addresses.events.close()
        addresses.close()


# -- what lies in the way ----------------------------------------------------------------------------------------------


def link_to_own(path: Path) -> None:
    target = path.with_name("elsewhere")
    target.mkdir(mode=0o700)
    path.symlink_to(target)


def link_to_foreign(path: Path) -> None:
    target = path.with_name("elsewhere")
    target.mkdir(mode=0o700)
    os.chown(target, NOBODY, NOBODY)
    path.symlink_to(target)


def dangling_link(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def file(path: Path) -> None:
    path.write_text("mine")


def fifo(path: Path) -> None:
    os.mkfifo(path)


def foreign_directory(path: Path) -> None:
    path.mkdir(mode=0o700)
    os.chown(path, NOBODY, NOBODY)


def directory_for_all(path: Path) -> None:
    path.mkdir()
    path.chmod(0o1777)


def directory_for_a_group(path: Path) -> None:
    path.mkdir()
    path.chmod(0o770)


def directory_for_readers(path: Path) -> None:
    path.mkdir()
    path.chmod(0o755)


def own_directory(path: Path) -> None:
    path.mkdir(mode=0o700)


def foreign_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))
    os.chown(path, NOBODY, NOBODY)


def link_to_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path.with_name("real")))
    path.symlink_to(path.with_name("real"))


def link_to_file(path: Path) -> None:
    path.with_name("precious").write_text("mine")
    path.symlink_to(path.with_name("precious"))


Put = Callable[[Path], None]
AT_DIRECTORY: list[Put] = [
    link_to_own, link_to_foreign, dangling_link, file, fifo, foreign_directory, directory_for_all,
    directory_for_a_group, directory_for_readers,
]  # fmt: skip
AT_SOCKET: list[Put] = [
    file, fifo, own_directory, foreign_socket, link_to_socket, link_to_file, dangling_link, link_to_own,
]  # fmt: skip
CASES = [
    *((where, put) for where in ("state", "journal", "run", "output") for put in AT_DIRECTORY),
    *((where, put) for where in ("socket", "events") for put in AT_SOCKET),
    *(("lock", put) for put in (dangling_link, link_to_file, own_directory)),
    *(("keys", put) for put in (link_to_own, foreign_directory, directory_for_all, file)),
    *(("server key", put) for put in (link_to_file, dangling_link, fifo, own_directory)),
]


def place_of(paths: Paths, where: str) -> Path:
    return {
        "state": paths.state_dir,
        "journal": paths.journal_dir,
        "run": paths.runtime_dir,
        "output": paths.output_dir,
        "socket": paths.socket,
        "events": paths.events_socket,
        "lock": paths.lock,
        "keys": paths.keys_dir,
        "server key": paths.keys_dir / "server",
    }[where]


def snapshot(directory: Path) -> dict[str, tuple[int, int, int, str]]:
    """Type, owner and size of everything below, and where links lead."""
    found = {}
    for path in sorted(directory.rglob("*")):
        seen = path.lstat()
        target = os.readlink(path) if path.is_symlink() else ""
        found[str(path)] = (seen.st_mode, seen.st_uid, seen.st_size if stat.S_ISREG(seen.st_mode) else 0, target)
    return found


@as_root
@pytest.mark.parametrize(("where", "put"), CASES, ids=lambda one: one if isinstance(one, str) else one.__name__)
def test_whatever_lies_in_the_way_is_refused_and_left_alone(base: Path, where: str, put: Put) -> None:
    transport = "tcp" if "key" in where else "ipc"
    settings = Settings(base / "jobyard.toml", supervisor=SupervisorSettings(transport=transport))
    place = place_of(paths_for(settings, {}), where)
    for parent in (*reversed(place.parents),):
        if not parent.exists():
            parent.mkdir(mode=0o700)
    put(place)
    before = snapshot(base)
    with pytest.raises((JobyardError, OSError)) as caught:
        begin(settings)
    assert str(place) in f"{caught.value} {getattr(caught.value, 'filename', '')}"
    after = snapshot(base)
    assert {path: after.get(path) for path in before} == before
    assert not (place.with_name("elsewhere").exists() and any(place.with_name("elsewhere").iterdir()))
    assert not place.with_name("nowhere").exists()


def test_socket_that_a_dead_supervisor_left_is_taken_over(base: Path) -> None:
    settings = Settings(base / "jobyard.toml")
    begin(settings)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(paths_for(settings, {}).socket))
    begin(settings)


def test_whoever_puts_something_there_between_look_and_bind_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "socket"

    def squat(self: socket.socket, address: str, bind: Callable[..., None] = socket.socket.bind) -> None:
        path.write_text("mine")
        bind(self, address)

    monkeypatch.setattr(socket.socket, "bind", squat)
    with pytest.raises(InvalidConfig, match=r"cannot listen on .*in use"):
        IpcEntrance(str(path), None)
    assert path.read_text() == "mine"


@as_root
def test_in_a_race_for_a_directory_in_tmp_either_it_is_ours_alone_or_we_do_not_start(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A longer path than a socket may have goes below /tmp, where everybody may be faster."""
    shared = base / "tmp"
    shared.mkdir()
    shared.chmod(0o1777)
    monkeypatch.setattr(conf_paths, "_shared_root", lambda: shared / "jobyard-0")
    place = shared / "jobyard-0"
    refused = 0
    for turn in range(RACES):
        squat = turn % 3
        if squat:
            as_user_in_the_background = os.fork()
            if as_user_in_the_background == 0:
                os.setresuid(NOBODY, NOBODY, NOBODY)
                try:
                    place.symlink_to(base) if squat == 1 else place.mkdir(mode=0o777)
                except OSError:
                    pass
                os._exit(0)
        try:
            secure_directory(place, "[supervisor] runtime_dir")
        except InvalidConfig:
            refused += 1
        else:
            found = place.lstat()
            assert stat.S_ISDIR(found.st_mode)
            assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (0, 0o700)
        if squat:
            os.waitpid(as_user_in_the_background, 0)
        if place.is_symlink():
            place.unlink()
        elif place.exists():
            place.rmdir()
    tiers.report("S2", "races for a directory in /tmp", races=RACES, refused=refused, taken_in=0)


@as_root
def test_runtime_directory_of_another_user_in_the_environment_is_not_touched(
    base: Path, make_yard: Callable[..., Yard]
) -> None:
    """What ``su`` leaves in XDG_RUNTIME_DIR."""
    foreign = base / "run-user"
    foreign.mkdir(mode=0o700)
    os.chown(foreign, NOBODY, NOBODY)
    yard = make_yard(start=False)
    assert "pid" in yard.start(env={**os.environ, "XDG_RUNTIME_DIR": str(foreign)})
    assert list(foreign.iterdir()) == []
    assert yard.client().status().pid == yard.pid


@as_root
def test_another_user_cannot_squat_the_socket_of_a_supervisor_that_is_down(base: Path) -> None:
    settings = Settings(base / "jobyard.toml")
    begin(settings)
    paths = paths_for(settings, {})

    def attempts() -> list[str]:
        found = []
        for path in (paths.socket, paths.events_socket, paths.lock):
            with socket.socket(socket.AF_UNIX) as made:
                try:
                    made.bind(str(path))
                    found.append(str(path))
                except OSError:
                    pass
        return found

    assert as_user(NOBODY, attempts) == []
