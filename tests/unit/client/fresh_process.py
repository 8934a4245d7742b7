"""Python in a process of its own, in which nothing was imported yet."""

from __future__ import annotations

import subprocess
import sys
import textwrap

from fake_supervisor import DEADLINE_S


def run_python(code: str, *args: str, warnings: str = "error") -> str:
    """What this prints; it must end well and say nothing on stderr. ``warnings``: as of ``python -W``."""
    command = [sys.executable, "-W", warnings, "-c", textwrap.dedent(code), *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
