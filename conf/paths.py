"""Where files and sockets lie, for client and supervisor alike, and that their directories are nobody else's.

Owns the names in the state directory and the length of socket paths. Knows nothing of what is written there.
"""

from __future__ import annotations

import errno
import os
import pwd
import shlex
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

from ..protocol.errors import InvalidConfig, JobyardError, StorageUnavailable
from ..protocol.plain import dataclass
from .settings import Settings

SOCKET_PATH_BYTES_MAX = 107  # what sockaddr_un holds on Linux, less its final zero
_LONGEST_NAME = "z-01234567"  # of the sockets in the runtime directory: a zygote's
OWN_KEY = "client.key"
OWN_MODE, GROUP_MODE = 0o700, 0o710
STATE_DIR, RUNTIME_DIR, OUTPUT_DIR = "[supervisor] state_dir", "[supervisor] runtime_dir", "[output] dir"
OUTPUT_MODE = 0o711  # the user of a pool gets at files of output by name


@dataclass(frozen=True)
class Paths:
    """All absolute.

    Attributes:
        socket: takes requests. events_socket: sends notices. Both over IPC only.
        own_key: over TCP, the file by which clients of this user connect. keys_dir: who else may.
        tcp: how clients connect.
    """

    state_dir: Path
    journal_dir: Path
    output_dir: Path
    history: Path
    runtime_dir: Path
    socket: Path
    events_socket: Path
    supervisor_log: Path
    error_log: Path
    lock: Path
    own_key: Path
    keys_dir: Path
    tcp: bool

    @property
    def address(self) -> Path:
        """What clients of this user are to be told: the socket or the key."""
        return self.own_key if self.tcp else self.socket


def paths_for(settings: Settings, environ: Mapping[str, str]) -> Paths:
    """The same for everyone who reads the same config.

    Raises:
        InvalidConfig: the path of a socket would be longer than the system allows, or a path is not UTF-8.
    """

    def given_or(given: str | None, default: Path) -> Path:
        return settings.absolute(given, environ) if given else default

    given_socket = settings.supervisor.socket
    state_dir = settings.absolute(settings.supervisor.state_dir, environ)
    runtime_dir = given_or(settings.supervisor.runtime_dir, _default_runtime_dir(settings.file, state_dir))
    socket = given_or(given_socket, runtime_dir / "socket")
    events_socket = socket.with_name(socket.name + ".events") if given_socket else runtime_dir / "events"
    output_dir = given_or(settings.output.dir, state_dir / "output")
    for path, key in (
        (state_dir, STATE_DIR),
        (runtime_dir, RUNTIME_DIR),
        (output_dir, OUTPUT_DIR),
        (socket, "[supervisor] socket"),
    ):
        _check_text(path, key)
    _check_length(runtime_dir / _LONGEST_NAME, "supervisor.runtime_dir")
    _check_length(events_socket, "supervisor.socket")
    return Paths(
        state_dir=state_dir,
        journal_dir=state_dir / "journal",
        output_dir=output_dir,
        history=state_dir / "history.db",
        runtime_dir=runtime_dir,
        socket=socket,
        events_socket=events_socket,
        supervisor_log=given_or(settings.logging.file, state_dir / "background_jobs.log"),
        error_log=given_or(settings.logging.error_file, state_dir / "background_jobs_errors.log"),
        lock=state_dir / "lock",
        own_key=runtime_dir / OWN_KEY,
        keys_dir=state_dir / "keys",
        tcp=is_tcp(settings.supervisor.transport),
    )


def is_tcp(transport: str) -> bool:
    """Whether clients connect over TCP."""
    return transport == "tcp" or (transport == "auto" and sys.platform == "win32")


def _default_runtime_dir(config: Path, state_dir: Path) -> Path:
    """Never below XDG_RUNTIME_DIR: a login shell has it and cron has not, and it is emptied when the user logs out."""
    directory = state_dir / "run"
    if len(os.fsencode(directory / _LONGEST_NAME)) <= SOCKET_PATH_BYTES_MAX:
        return directory
    import hashlib  # brings in OpenSSL, which a short path has no use for

    mark = hashlib.sha256(os.fsencode(config) + b"\0" + os.fsencode(state_dir)).hexdigest()[:16]
    return _shared_root() / mark


def _shared_root() -> Path:
    return Path(f"/tmp/jobyard-{os.geteuid()}")


def _check_text(path: Path, key: str) -> None:
    """What speaks of these paths in messages speaks UTF-8; the name of the directory of the config need not be."""
    name = os.fsencode(path)
    try:
        name.decode()
    except UnicodeDecodeError:
        raise _refused(f"the path {name!r} is not UTF-8", f"rename that directory, or set {key} to another") from None


def _check_length(path: Path, key: str) -> None:
    length = len(os.fsencode(path))
    if length > SOCKET_PATH_BYTES_MAX:
        message = f"{key} leads to a socket path of {length} bytes, the system allows {SOCKET_PATH_BYTES_MAX}: {path}"
        raise _refused(message, "give a shorter path")


def secure_directories(paths: Paths, group: int | None = None) -> None:
    """Make all directories of ``paths``, or see that those there are ours alone.

    Args:
        group: whose members may go through to the sockets.

    Raises:
        InvalidConfig: one of them is not safe to use, or cannot be made. StorageUnavailable: the disk refuses.
    """
    if paths.runtime_dir.parent == _shared_root():
        secure_directory(paths.runtime_dir.parent, RUNTIME_DIR, group)
    secure_directory(paths.state_dir, STATE_DIR, group if paths.state_dir in paths.runtime_dir.parents else None)
    secure_directory(paths.journal_dir, STATE_DIR)
    secure_directory(paths.output_dir, OUTPUT_DIR, mode=OUTPUT_MODE)
    secure_directory(paths.runtime_dir, RUNTIME_DIR, group)
    if paths.socket.parent != paths.runtime_dir:
        secure_directory(paths.socket.parent, "[supervisor] socket", group)


def secure_directory(path: Path, key: str = STATE_DIR, group: int | None = None, mode: int = OWN_MODE) -> None:
    """Make ``path`` a directory that this user alone may use; parents are made as needed.

    Args:
        key: the setting that names another directory, for hints.
        group: whose members may go through it, to what they know by name.
        mode: ``OWN_MODE``, or ``OUTPUT_MODE`` if everybody may do so.

    Raises:
        InvalidConfig: it is a link or a file, belongs to somebody else, is open to others, or cannot be made.
        StorageUnavailable: its disk is full or read-only.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _secure_entry(parent, path, key, group, mode)
        finally:
            os.close(parent)
    except OSError as error:
        raise unusable(path, error, key) from None


def unusable(path: Path, error: OSError, key: str = STATE_DIR) -> JobyardError:
    """The error for a file or directory of ours that cannot be made or written: the disk's fault, or the config's."""
    message = f"{path} cannot be used: {error.strerror or error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageUnavailable(message, hint=f"free space there, or set {key} to a directory on another disk")
    if error.errno == errno.EROFS:
        return StorageUnavailable(message, hint=f"make it writable, or set {key} to a directory on another disk")
    if error.errno == errno.ENOENT:
        return _refused(message, f"mkdir -p {shlex.quote(str(path.parent))}")
    return _refused(message, f"set {key} to another directory")


def user_name(uid: int) -> str:
    """The name of a user; one who has none goes by number, written as sudo takes it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def be_user(uid: int) -> str:
    """The hint to be another user."""
    return f"sudo -u {shlex.quote(user_name(uid))} jobctl ..."


def _secure_entry(parent: int, path: Path, key: str, group: int | None, mode: int) -> None:
    try:
        os.mkdir(path.name, mode, dir_fd=parent)
        made = True
    except FileExistsError:
        made = False
    if stat.S_ISLNK(os.stat(path.name, dir_fd=parent, follow_symlinks=False).st_mode):
        raise _refused(f"{path} is a symbolic link, which somebody could turn elsewhere", "name the directory itself")
    directory = os.open(path.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        found = os.fstat(directory)
        if found.st_uid != os.geteuid():
            raise _refused(
                f"{path} belongs to user {user_name(found.st_uid)}, not to user {user_name(os.geteuid())}",
                f"{be_user(found.st_uid)}, or set {key} to another directory",
            )
        if made:
            os.fchmod(directory, mode)  # the umask may have taken bits that we need
            os.fsync(parent)  # or a power failure could take the directory with all that is in it
        elif stat.S_IMODE(found.st_mode) & 0o777 & ~(GROUP_MODE | mode):
            raise _refused(
                f"{path} is open to other users (mode {stat.S_IMODE(found.st_mode):04o})", f"chmod {mode:o} {path}"
            )
        if mode == OWN_MODE:
            _share(directory, os.fstat(directory), group)
    finally:
        os.close(directory)


def _share(directory: int, found: os.stat_result, group: int | None) -> None:
    """Let the group through, or nobody, if it was let through at an earlier start."""
    shared_with = found.st_gid if stat.S_IMODE(found.st_mode) & 0o010 else None
    if shared_with == group:
        return
    if group is not None:
        os.fchown(directory, -1, group)
    os.fchmod(directory, OWN_MODE if group is None else GROUP_MODE)


def _refused(message: str, hint: str) -> InvalidConfig:
    return InvalidConfig(message, hint=hint, details={"problems": [message]})
