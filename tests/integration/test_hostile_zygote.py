"""Zygotes that lie to their supervisor: it goes on, kills nobody else's process, and all other pools work."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live import Yard, wait_for
from others import open_directory

SENT = 200  # descriptors beside one message
ACTS: dict[str, dict[str, Any]] = {
    "time": {"act": "exit_so", "fields": {"5": "soon"}},
    "cause": {"act": "exit_so", "fields": {"4": "boredom"}},
    "future": {"act": "exit_so", "fields": {"5": 9e10}},
    "usage": {"act": "end_so", "usage": [0, 0, math.inf, 0, True]},
    "shrink": {"act": "shrink"},
    "chatter": {"act": "chatter"},
    "heirs": {"act": "heirs"},
    "die": {"act": "die", "signal": signal.SIGRTMIN + 1},
    "errno": {"act": "odd_message", "say": ["Unwritten", "../../x", 5, 99999999999]},
    "path": {"act": "claim", "pid": "self"},
    "many": {"act": "odd_message", "say": ["Made", [[kid, 0, 0] for kid in range(SENT)]], "fds": SENT},
    "welcome": {"act": "odd_message", "say": ["Refused", "no"], "lies": {"scratch_root": "a\0b"}},
}
FOUND_OUT = {"time", "cause", "shrink", "errno", "path", "many"}
JOBS = "def ok(): return 1"


def config(acts: dict[str, dict[str, Any]], pool: str = "") -> str:
    pools = "".join(
        f"""[queues.{name}]
pool = "{name}"
[pools.{name}]
preload = ["hostile_zygote"]
concurrency = 1
env.ACT = {json.dumps(json.dumps(act))}
{pool}"""
        for name, act in acts.items()
    )
    return f"[queues.default]\n{pools}[pools.default]\n{pool}"


def descriptors(pid: int, path: str) -> int:
    """How many of this file the process has open."""
    found = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found += os.readlink(f"/proc/{pid}/fd/{fd}") == path
    return found


def bring(directory: Path) -> None:
    shutil.copy(Path(__file__).with_name("hostile_zygote.py"), directory)


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def test_whatever_a_zygote_says_the_supervisor_and_other_pools_go_on(tmp_path: Path) -> None:
    yard = Yard(tmp_path, JOBS, config(ACTS))
    bring(tmp_path)
    try:
        assert "pid" in yard.start()
        client = yard.client()
        jobs = {name: client.options(queue=name, retries=0, on_lost="fail").submit("jobs:ok") for name in ACTS}

        def found_out() -> bool:
            return all(f"pool {name}: its zygote said what it cannot mean" in yard.log for name in FOUND_OUT)

        wait_for("the lies to be found out", found_out, 60)
        wait_for("the end that has no name", lambda: "pool die: its zygote was killed by SIG35" in yard.log)
        assert client.submit("jobs:ok").result(timeout=20) == 1
        assert descriptors(yard.pid, "/dev/null") < SENT / 2, "what is sent beside a lie is closed"
        assert jobs["future"].wait(20)
        ended_at = jobs["future"].info().finished_at
        assert ended_at is not None and ended_at < time.time() + 1, "or all deadlines would be over"
        assert yard.process is not None and yard.process.poll() is None
        assert client.status().pid == yard.pid, "it was not started again meanwhile"
        yard.kill()  # to end in order would take until each of them is given up
    finally:
        yard.close()


def test_descriptors_of_another_user_that_take_long_to_close_hold_up_nobody(as_nobody: str) -> None:
    with open_directory() as directory:
        shared = directory / "shared"
        shared.mkdir()
        shared.chmod(0o777)
        yard = Yard(directory, JOBS, config({"linger": {"act": "linger", "sent": str(shared / "sent")}}, as_nobody))
        bring(directory)
        try:
            assert "pid" in yard.start()
            wait_for("the descriptors to be sent", (shared / "sent").exists)
            wait_for("its pool to be given up", lambda: "what it cannot mean" in yard.log)
            assert yard.client().submit("jobs:ok").result(timeout=20) == 1
            yard.kill()
        finally:
            yard.close()


def test_zygote_of_another_user_cannot_have_somebody_else_s_process_killed(
    as_nobody: str, bystander: subprocess.Popen[bytes]
) -> None:
    with open_directory() as directory:
        yard = Yard(directory, JOBS, config({"claim": {"act": "claim", "pid": bystander.pid}}, as_nobody))
        bring(directory)
        try:
            assert "pid" in yard.start()
            wait_for("two zygotes to end", lambda: yard.log.count("pool claim: its zygote ended") > 1)
            assert bystander.poll() is None
            assert yard.client().submit("jobs:ok").result(timeout=20) == 1
        finally:
            yard.close()
