"""Processes of ours import nothing from the directory that they happen to run in."""

from __future__ import annotations

from collections.abc import Callable

from live import Yard, wait_for

MODULES = ("msgpack", "zmq", "json", "logging", "sqlite3", "argparse", "jobyard", "tomli", "site", "sitecustomize")
EVIL = "import os\nopen(os.path.join({directory!r}, 'taken-in'), 'a').write(__name__)\nraise SystemExit(9)\n"


def test_modules_in_the_working_directory_do_not_take_the_place_of_others(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard('[pools.default]\npath = ["code"]\n[limits]\nfinished_jobs = 0\n', start=False)
    yard.path("code").mkdir()
    yard.path("jobs.py").rename(yard.path("code/jobs.py"))
    for name in MODULES:
        yard.path(f"{name}.py").write_text(EVIL.format(directory=str(yard.directory)))
    yard.start()
    client = yard.client()
    assert client.submit("jobs:add", 1, 2).result(timeout=20) == 3
    client.cancel(client.options(delay=600).submit_many("jobs:add", [(1, 2)] * 1100))
    wait_for("jobs to leave memory", lambda: sum(client.status().counts.values()) < 1000)
    assert client.list(search="nothing of this kind") == []
    client.reload()
    assert yard.stop() == 0
    assert not yard.path("taken-in").exists()
