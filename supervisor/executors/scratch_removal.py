"""Removal of what attempts left in their scratch directories: by a process of its own, for it may be a million files.

Owns one link per executor beside its socket, which says where its scratch directories lie. It goes when they are gone,
so that a supervisor finds what those before it could not finish. Attempts of a zygote are tidied up by the zygote.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import sys
import threading
from collections.abc import Container
from pathlib import Path

from .launch import scratch_name
from .orphans import note_own

_PREFIX = "scratch-"
# What cannot be removed stays, and is not tried for ever; whoever nests too deep for Python keeps it.
_PROGRAM = """
import os, shutil, sys
os.nice(10)
try:
    shutil.rmtree(sys.argv[1], ignore_errors=True)
finally:
    if sys.argv[2]:
        os.unlink(sys.argv[2])
"""


def note(runtime_dir: str, uuid: str, root: str) -> None:
    """Attempts of this executor may have directories in ``root``; one that is not named for it is left alone."""
    if os.path.basename(root) == scratch_name(uuid):
        with contextlib.suppress(OSError):  # it is there already; or cannot be, and what a crash leaves then stays
            os.symlink(root, _link(runtime_dir, uuid))


def remove(runtime_dir: str, uuid: str, owner: int | None = None) -> None:
    """Start removing what the attempts of this executor, which has ended, have left.

    Args:
        owner: user to whom the directory must belong; None if whoever has made it is believed.
    """
    link = _link(runtime_dir, uuid)
    try:
        root = os.readlink(link)
        if os.path.basename(root) != scratch_name(uuid):
            return
        if _is_gone(root) or (owner is not None and os.lstat(root).st_uid != owner):
            os.unlink(link)
        else:
            remove_tree(root, link)
    except OSError:  # no such link, or no room for a process: the next supervisor tries again
        return


def remove_tree(path: str, link: str = "") -> None:
    """Start removing a directory, and ``link`` after it.

    Raises:
        OSError: there is no room for another process, or for a thread that waits for its end.
    """
    null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(3)]
    command = [sys.executable, "-I", "-S", "-c", _PROGRAM, path, link]
    pid, started = 0, queue.SimpleQueue[int]()
    try:
        threading.Thread(target=_reap, args=(started,), daemon=True).start()  # first: a process needs somebody
    except RuntimeError as error:
        raise OSError(errno.EAGAIN, str(error)) from None
    try:
        pid = os.posix_spawn(command[0], command, os.environ, file_actions=null, setsid=True)
        note_own(pid)
    finally:
        started.put(pid)


def _reap(started: queue.SimpleQueue[int]) -> None:
    """Wait for the process that is started, if it was."""
    if pid := started.get():
        os.waitpid(pid, 0)


def remove_left(runtime_dir: Path, living: Container[str]) -> None:
    """Start removing what executors have left that are not among the ``living``, by uuid."""
    for link in runtime_dir.glob(f"{_PREFIX}*"):
        uuid = link.name.removeprefix(_PREFIX)
        if uuid not in living:
            remove(str(runtime_dir), uuid)


def _is_gone(root: str) -> bool:
    """Whether nothing is there, or was but for an empty directory."""
    try:
        os.rmdir(root)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _link(runtime_dir: str, uuid: str) -> str:
    return os.path.join(runtime_dir, f"{_PREFIX}{uuid}")
