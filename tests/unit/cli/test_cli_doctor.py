"""``jobctl doctor`` while what it looks at goes away: files of the journal, and zygotes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jobyard import __version__
from jobyard.protocol import messages

Run = Callable[..., Any]


@pytest.fixture
def checks(jobctl: Run, supervisor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """What is found, by name, in a project whose supervisor has one pool with a zygote of this pid."""
    (tmp_path / "jobyard.toml").write_text('allow = ["jobs:*"]')
    monkeypatch.chdir(tmp_path)

    def run(pid: int) -> Any:
        pools = [messages.PoolStatus("default", "up", 4, 1, 0, pid=pid)]
        supervisor.answers[messages.Status] = messages.SupervisorStatus(
            1, __version__, 1, 0.0, "", str(tmp_path), "", False, True, {}, 0, [], pools, 0
        )
        return {check["name"]: check for check in jobctl("doctor", "--json").json["checks"]}

    return run


def test_file_of_the_journal_that_is_removed_meanwhile_is_no_error(
    checks: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A supervisor that compacts makes and removes some all the time."""
    journal = tmp_path / ".jobyard" / "journal"
    journal.mkdir(parents=True)
    for number in range(3):
        (journal / f"{number}.segment").touch()
        os.utime(journal / f"{number}.segment", (0, 0))
    glob = Path.glob

    def listed(self: Path, pattern: str) -> list[Path]:
        found = list(glob(self, pattern))
        if self == journal:
            found[1].unlink()
        return found

    monkeypatch.setattr(Path, "glob", listed)
    assert checks(1)["clock"]["verdict"] == "ok"


def test_zygote_that_has_ended_meanwhile_is_not_another_users(checks: Callable[..., Any]) -> None:
    with subprocess.Popen(["true"]) as zygote:
        pass
    found = checks(zygote.pid)["pool default"]
    assert (found["verdict"], found["advice"]) == ("warn", "jobctl doctor in a moment")
    assert found["text"] == f"its zygote (pid {zygote.pid}) has ended since it was named"
