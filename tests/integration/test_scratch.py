"""What attempts leave in their scratch directories goes, whoever dies before it has."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from live import Yard, wait_for

JOBS = """
import time
from jobyard import current_job

def litter(path):
    file = current_job().scratch / "file"
    file.write_text("left")
    with open(path, "w") as where:
        where.write(str(file))
    time.sleep(600)
"""


@pytest.mark.parametrize(
    ("start", "dies"),
    [("fork", ("zygote",)), ("fork", ("supervisor", "zygote")), ("spawn", ("supervisor",))],
    ids=["zygote", "supervisor+zygote", "supervisor of a pool that spawns"],
)
def test_scratch_directories_go_also_if_nobody_was_left_to_remove_them(
    make_yard: Callable[..., Yard], dies: tuple[str, ...], start: str
) -> None:
    yard = make_yard(f'[pools.default]\nstart = "{start}"\n', JOBS)
    job = yard.client().options(retries=0, on_lost="fail").submit("jobs:litter", str(yard.path("where")))
    file = Path(wait_for("the job to run", lambda: yard.path("where").exists() and yard.path("where").read_text()))
    (zygote,) = yard.zygotes()
    if "supervisor" in dies:
        yard.kill()
    if "zygote" in dies:
        os.kill(zygote, signal.SIGKILL)
    if "supervisor" in dies:
        assert "pid" in yard.start()
    assert yard.client().get(job.id).wait(20)
    wait_for("the directory of its zygote to go", lambda: not file.parent.parent.exists())
