"""Clocks of a yard that a test sets, stops, and lets go on as after a suspend; those of everybody else are left alone.

The processes get a small library (clock_shim.c) that is compiled here and preloaded into them. It moves the wall clock
and boot time; what the system's own monotonic clock says stays true, so that a test can measure by it.
"""

from __future__ import annotations

import mmap
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from live import Yard

_OFFSETS = struct.Struct("=qqq")
NS = 1_000_000_000


class Clock:
    """One for a yard. ``environ`` is what its processes are to be started with."""

    def __init__(self, directory: Path) -> None:
        library, path = directory / "clock.so", directory / "clock"
        source = Path(__file__).with_name("clock_shim.c")
        command = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        self.environ = {"LD_PRELOAD": str(library), "TEST_CLOCK": str(path)}
        self._wall_s = self._boot_s = 0.0
        path.write_bytes(bytes(_OFFSETS.size))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _OFFSETS.size)

    def time(self) -> float:
        """What the yard's wall clock says, while it runs."""
        return time.time() + self._wall_s

    def step(self, yard: Yard, wall_s: float, boot_s: float = 0.0) -> None:
        """Move the clocks by so much; ``boot_s`` with them is a suspend."""
        self._wall_s += wall_s
        self._boot_s += boot_s
        self._write(yard)

    def set(self, yard: Yard, at: float) -> None:
        self.step(yard, at - self.time())

    def freeze(self, yard: Yard) -> None:
        """The wall clock stands still until the next change."""
        self._write(yard, self.time())

    def _write(self, yard: Yard, frozen_at: float = 0.0) -> None:
        times = (self._wall_s, self._boot_s, frozen_at)
        self._shared[:] = _OFFSETS.pack(*(round(seconds * NS) for seconds in times))
        os.kill(yard.pid, signal.SIGURG)


needs_compiler = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="a library to preload cannot be compiled here"
)
