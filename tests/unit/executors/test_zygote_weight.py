"""What a zygote carries: every child pays for it at its fork."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"asyncio", "dataclasses", "inspect", "logging", "subprocess", "threading", "traceback", "uuid", "zmq"}


def test_zygote_imports_nothing_heavy() -> None:
    code = "import sys, jobyard.supervisor.executors.zygote.zygote; print(*sys.modules)"
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert HEAVY & set(done.stdout.split()) == set()
