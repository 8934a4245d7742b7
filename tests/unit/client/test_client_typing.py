"""What a type checker sees: the types of results, and the arguments of submitted functions."""

from __future__ import annotations

from pathlib import Path

import jobyard
import jobyard.client
import jobyard.conf
import jobyard.protocol
import jobyard.supervisor
import pytest

CODE = """
from typing import Any, assert_type
from jobyard import AsyncClient, AsyncJob, Client, Job, run_background_job, task
from jobyard.testing import JobRun, run_job
from jobyard.client.helpers import Rejected

def build(month: str, *, fmt: str = "pdf") -> int: raise NotImplementedError
async def fetch(url: str) -> bytes: raise NotImplementedError
@task(queue="mail")
def send(to: str) -> float: raise NotImplementedError
@task
async def poll(count: int) -> list[str]: raise NotImplementedError

client = Client()
assert_type(client.submit(build, "2026-10", fmt="html"), Job[int])
assert_type(client.submit(fetch, "u"), Job[bytes])
assert_type(client.submit("app:f", 1, x=2), Job[Any])
assert_type(client.options(queue="q", delay="15m").submit(build, "x").result(), int)
assert_type(client.submit_many(build, [("x",)]), list[Job[int]])
assert_type(client.submit(send, "x"), Job[float])
assert_type(client.submit(poll, 1), Job[list[str]])
assert_type(send.submit("x"), Job[float])
assert_type(poll.submit(1), Job[list[str]])
assert_type(send.options(delay=5).submit("x"), Job[float])
assert_type(poll.options(delay=5).submit(1).result(), list[str])
assert_type(send("x"), float)
assert_type(run_background_job("A", "b"), Job[Any])
assert_type(run_background_job("A", "b", errors="return"), Job[Any] | Rejected)

async def use(c: AsyncClient) -> None:
    assert_type(await c.submit(build, "x"), AsyncJob[int])
    assert_type(await c.submit(fetch, "u"), AsyncJob[bytes])
    assert_type(await c.options(queue="q").submit("app:f", 1), AsyncJob[Any])
    assert_type(await (await c.submit(build, "x")), int)
    assert_type(await c.submit_many(build, [("x",)]), list[AsyncJob[int]])
    assert_type([job async for job in c.as_completed([await c.submit(build, "x")])], list[AsyncJob[int]])
    await c.submit(build, 7)             # wrong 7
assert_type(run_job(build, "x"), JobRun[int])
assert_type(run_job(fetch, "u").result, bytes | None)

client.submit(build)                     # wrong 1
client.submit(build, 7)                  # wrong 2
client.submit(build, "x", fnt="y")       # wrong 3
client.options(quue="mail")              # wrong 4
send.submit(7)                           # wrong 5
task(queue=7)                            # wrong 6
"""


def test_checker_knows_results_and_refuses_wrong_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api = pytest.importorskip("mypy.api")
    package = tmp_path / "path" / "jobyard"
    package.mkdir(parents=True)
    for file in Path(jobyard.__file__).parent.iterdir():
        (package / file.name).symlink_to(file)
    for part in (jobyard.client, jobyard.conf, jobyard.protocol, jobyard.supervisor):
        if not (package / part.__name__.rpartition(".")[2]).exists():
            (package / part.__name__.rpartition(".")[2]).symlink_to(Path(part.__file__ or "").parent)
    code = tmp_path / "code.py"
    code.write_text(CODE)
    monkeypatch.setenv("MYPYPATH", str(tmp_path / "path"))
    options = ["--strict", "--follow-imports=silent", "--config-file=", f"--cache-dir={tmp_path / 'cache'}"]
    found, _, _ = api.run([*options, str(code)])
    lines = CODE.splitlines()
    told = {lines[int(line.split(":")[1]) - 1].partition("# ")[2] for line in found.splitlines() if ": error:" in line}
    assert told == {f"wrong {number}" for number in range(1, 8)}, found
