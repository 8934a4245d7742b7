"""Zygotes that lie to their supervisor: it goes on, kills nobody else's process, and all other pools work."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live import Yard, wait_for
from test_other_user import USER, usable_interpreter

ACTS: dict[str, dict[str, Any]] = {
    "time": {"act": "exit_so", "fields": {"5": "soon"}},
    "cause": {"act": "exit_so", "fields": {"4": "boredom"}},
    "future": {"act": "exit_so", "fields": {"5": 9e10}},
    "usage": {"act": "end_so", "usage": [0, 0, "=inf", 0, True]},
    "shrink": {"act": "shrink"},
    "chatter": {"act": "chatter"},
    "heirs": {"act": "heirs"},
    "errno": {"act": "odd_message", "say": ["Unwritten", "../../x", 5, 99999999999]},
    "path": {"act": "claim", "pid": "self"},
    "many": {"act": "odd_message", "say": ["Made", [[kid, 0, 0] for kid in range(200)]], "fds": 200},
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
{pool}[pools.{name}.env]
ACT = {json.dumps(json.dumps(act))}
"""
        for name, act in acts.items()
    )
    return f"[queues.default]\n{pools}[pools.default]\n{pool}"


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
            problems = {pool.name: pool.problem or "" for pool in client.status().pools}
            seen.update(name for name, problem in problems.items() if "what it cannot mean" in problem)
            return seen >= FOUND_OUT

        seen: set[str] = set()
        wait_for("the lies to be found out", found_out, 60)
        assert client.submit("jobs:ok").result(timeout=20) == 1
        assert jobs["future"].wait(20)
        ended_at = jobs["future"].info().finished_at
        assert ended_at is not None and ended_at < time.time() + 1, "or all deadlines would be over"
        assert yard.process is not None and yard.process.poll() is None
        assert client.status().pid == yard.pid, "it was not started again meanwhile"
        yard.kill()  # to end in order would take until each of them is given up
    finally:
        yard.close()


@pytest.fixture
def other_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The lines of a pool that runs as another user."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    found = usable_interpreter()
    if found is None:
        pytest.skip(f"no interpreter that {USER} may run has jobyard")
    python, path = found
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o755)
    monkeypatch.setenv("PYTHONPATH", path)
    return f'user = "{USER}"\npython = "{python}"\n'


def test_descriptors_of_another_user_that_take_long_to_close_hold_up_nobody(tmp_path: Path, other_user: str) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o777)
    shared.chmod(0o777)
    acts = {"linger": {"act": "linger", "sent": str(shared / "sent")}}
    yard = Yard(tmp_path, JOBS, config(acts, other_user))
    bring(tmp_path)
    try:
        assert "pid" in yard.start()
        wait_for("the descriptors to be sent", (shared / "sent").exists)
        wait_for("its pool to be given up", lambda: "what it cannot mean" in yard.log)
        assert yard.client().submit("jobs:ok").result(timeout=20) == 1
        yard.kill()
    finally:
        yard.close()


def test_zygote_of_another_user_cannot_have_somebody_else_s_process_killed(
    tmp_path: Path, bystander: subprocess.Popen[bytes], other_user: str
) -> None:
    yard = Yard(tmp_path, JOBS, config({"claim": {"act": "claim", "pid": bystander.pid}}, other_user))
    bring(tmp_path)
    try:
        assert "pid" in yard.start()
        wait_for("two zygotes to end", lambda: yard.log.count("pool claim: its zygote ended") > 1)
        assert bystander.poll() is None
        assert yard.client().submit("jobs:ok").result(timeout=20) == 1
    finally:
        yard.close()
