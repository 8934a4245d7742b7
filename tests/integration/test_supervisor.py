"""The supervisor itself under bad treatment: configs that hang or cannot be used, a journal that must be compacted."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgpack
import pytest
from jobyard.conf.settings import JournalSettings
from jobyard.protocol.errors import InvalidConfig
from jobyard.supervisor.core import records as r
from jobyard.supervisor.recovery import recover
from live import Yard, wait_for

MIB = 1024 * 1024


def test_pool_goes_on_while_its_next_zygote_hangs_and_the_hanging_one_is_ended_by_a_reload(yard: Yard) -> None:
    good = yard.config.read_text()
    yard.path("hang.py").write_text("import time\ntime.sleep(1000)\n")
    client = yard.client()
    (before,) = yard.zygotes()
    yard.config.write_text(good.replace("[pools.default]", '[pools.default]\npreload = ["hang"]'))
    client.reload()
    assert client.submit("jobs:add", 1, 2).result(timeout=10) == 3
    assert client.status().pools[0].state == "starting"
    yard.config.write_text(good)
    client.reload()
    pool = wait_for("a zygote to be up", lambda: [one for one in client.status().pools if one.state == "up"])[0]
    assert pool.pid != before
    wait_for("the others to end", lambda: client.status().pools[0].retiring == 0)
    assert client.submit("jobs:add", 1, 2).result(timeout=10) == 3


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ('[logging]\nfile = "missing/supervisor.log"', "missing/supervisor.log"),
        ('[output]\ndir = "elsewhere"', "output_dir"),
    ],
)
def test_config_that_cannot_be_taken_over_is_refused_and_the_old_one_stays(yard: Yard, line: str, named: str) -> None:
    client = yard.client()
    with yard.config.open("a") as config:
        config.write(line + "\n")
    with pytest.raises(InvalidConfig, match=named):
        client.reload()
    assert client.submit("jobs:add", 1, 2).result(timeout=10) == 3


def test_journal_is_compacted_while_jobs_run_and_what_is_left_survives_a_kill(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard("[pools.default]\nconcurrency = 2\n[limits]\nfinished_jobs = 5\n")
    client = yard.client(timeout=60)
    waiting = client.options(delay=600).submit("jobs:add", 1, 2)
    text = "x" * (900 * 1024)
    for _ in range(40):
        client.submit("jobs:echo", text).wait(30)
    wait_for("a compaction", lambda: "journal: compacted" in yard.log)
    assert client.status().journal_bytes < 2 * 12 * MIB + 64 * MIB
    yard.restart()
    client = yard.client()
    assert client.get(waiting.id).state == "scheduled"
    wait_for("the older jobs to leave memory", lambda: client.status().counts["succeeded"] <= 6)
    assert len(client.list(limit=None)) == 41


def write_journal(directory: Path, at: float) -> None:
    """The journal of a supervisor that was last there at this time."""
    for path in (directory.parent, directory):
        path.mkdir(mode=0o700)
    journal = recover(directory, JournalSettings(), 20).journal
    journal.append([msgpack.packb(r.to_wire(r.Began(1, "another boot", at)))])
    journal.flush()
    journal.close()


def test_wall_clock_that_is_behind_the_journal_is_told_and_jobs_run(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard(start=False)
    write_journal(yard.path(".jobyard") / "journal", time.time() + 3600)
    assert "pid" in yard.start()
    assert yard.client().submit("jobs:add", 1, 2).result(timeout=10) == 3
    assert yard.log.count("the wall clock says") == 1
    yard.restart()
    assert yard.log.count("the wall clock says") == 2, "what the clock says has not been taken for the last time"
