"""A pool whose jobs run as another user: who that is, the command that becomes that user, and files made for it.

Owns what a supervisor that is root does on behalf of such a pool. ``drop.py`` is what runs in between.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from ...protocol import logfile
from . import drop

_DIRECTORY_MODE = 0o711  # the user may reach its files by name, and list none


@dataclass(frozen=True, slots=True)
class User:
    """A user of the system; ``groups`` are all of its groups, ``gid`` among them."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str

    def environment(self) -> dict[str, str]:
        """The variables that say who one is."""
        return {"HOME": self.home, "USER": self.name, "LOGNAME": self.name}


def command(user: User | None, program: list[str]) -> list[str]:
    """What to run so that ``program`` runs as ``user``, with the environment of ``environment``; None: as it is."""
    if user is None:
        return program
    groups = ",".join(map(str, user.groups))
    return [sys.executable, "-I", "-S", drop.__file__, str(user.uid), str(user.gid), groups, *program]


def environment(user: User | None, variables: Mapping[str, str]) -> dict[str, str]:
    """The environment for ``command``, in which no variable has a meaning for what runs as root."""
    if user is None:
        return dict(variables)
    return {drop.PREFIX + name: value for name, value in variables.items()}


def make_output_files(owner: tuple[int, int], output_dir: str, name: str) -> None:
    """Make the files of an attempt's output for its log writer, which may make none in a directory of root's.

    The directory stays root's, so that nobody can put a link in the place of what root will read and remove. What
    cannot be made the writer will miss, and tell so when there is output. ``owner`` is a user and a group.
    """
    directory = os.path.dirname(os.path.join(output_dir, name))
    try:
        os.makedirs(directory, _DIRECTORY_MODE, exist_ok=True)
        os.chmod(directory, _DIRECTORY_MODE)
        for path in _files(output_dir, name):
            _make_for(owner, path)
    except OSError:
        return


def _make_for(owner: tuple[int, int], path: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.fchown(fd, *owner)
    finally:
        os.close(fd)


def remove_empty_files(output_dir: str, name: str) -> None:
    """Remove what an attempt that is over has not used."""
    for path in _files(output_dir, name):
        try:
            if os.stat(path, follow_symlinks=False).st_size == 0:
                os.unlink(path)
        except OSError:
            continue


def _files(output_dir: str, name: str) -> list[str]:
    base = os.path.join(output_dir, name)
    parts = (logfile.HEAD, *logfile.TAILS)
    return [file(base, part) for part in parts for file in (logfile.data_file, logfile.index_file)]
