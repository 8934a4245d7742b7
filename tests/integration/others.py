"""Doing something as another user of the machine: in a forked process that gives up root for good."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")
NOBODY = 65534  # "nobody" with the group "nogroup" on Debian
DAEMON = 1
LIMIT_S = 60

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


def as_user(uid: int, deed: Callable[[], T]) -> T:
    """What ``deed`` returns when this user does it; what it raises comes as an AssertionError with its traceback.

    Whatever it needs must have been imported before: the user may not be able to read the checkout.
    """
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child execs nothing, and ends without cleaning up
        pid = os.fork()
    if pid == 0:
        signal.alarm(LIMIT_S)
        os.close(read)
        _become(uid)
        try:
            told = pickle.dumps((True, deed()))
        except BaseException:
            told = pickle.dumps((False, traceback.format_exc()))
        with open(write, "wb") as pipe:
            pipe.write(told)
        os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(pid, 0)
    assert data, f"the other user's process ended with {status}"
    done, value = pickle.loads(data)
    assert done, value
    result: T = value
    return result


def _become(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


@contextmanager
def open_directory() -> Iterator[Path]:
    """A directory that every user can enter, unlike those of pytest."""
    path = Path(tempfile.mkdtemp(prefix="jobyard-test-", dir="/tmp"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
