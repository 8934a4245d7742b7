"""A disk of 64 MiB that can be filled, freed and made read-only, and system calls that fail: both need their rights."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from live import wait_for

FILLER = "filler"


class SmallDisk:
    """A tmpfs at ``path``."""

    size = 64 << 20

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        done = _run("mount", "-t", "tmpfs", "-o", f"size={self.size},mode=700", "jobyard-test", str(path))
        if done.returncode != 0:
            pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")

    @property
    def free(self) -> int:
        return shutil.disk_usage(self.path).free

    def fill(self) -> None:
        """Take all that is left, also what becomes free while it is taken."""
        with open(self.path / FILLER, "ab") as file, contextlib.suppress(OSError):
            while True:
                os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, max(self.free, 4096))

    def release(self) -> None:
        (self.path / FILLER).unlink()

    def read_only(self, on: bool) -> None:
        done = _run("mount", "-o", f"remount,{'ro' if on else 'rw'}", str(self.path))
        assert done.returncode == 0, done.stderr

    def close(self) -> None:
        _run("umount", "--lazy", str(self.path))


@contextlib.contextmanager
def failing_calls(pid: int, inject: str) -> Iterator[None]:
    """The system calls of a process are tampered with, as ``strace --inject`` says, until the end of the context."""
    command = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"inject={inject}", "-p", str(pid)]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        wait_for("strace to be at it", lambda: _traced(pid) or tracer.poll() is not None)
        if tracer.poll() is not None:
            assert tracer.stderr is not None
            pytest.skip(f"strace may not do this here: {tracer.stderr.read().strip()}")
        yield
    finally:
        tracer.terminate()
        tracer.communicate()


def _traced(pid: int) -> bool:
    """Whether every thread of it has a tracer."""
    states = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
    return bool(states) and not any("TracerPid:\t0\n" in state for state in states)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


needs_root = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root may mount a file system"
)
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
