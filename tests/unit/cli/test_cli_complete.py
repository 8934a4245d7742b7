"""Completion: what may stand where the cursor is, from the parsers and from the supervisor; never an error."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from jobyard.client.cli.main import main
from jobyard.protocol.errors import SupervisorUnavailable
from jobyard.protocol.messages import Catalog, CatalogEntry, CatalogReply, List, PoolStatus, QueueStatus, Status
from jobyard.protocol.messages import SupervisorStatus as Told

Run = Callable[..., Any]


@pytest.fixture
def answered(supervisor: Any, job: Run) -> Any:
    supervisor.jobs = [job(40), job(41)]
    entry = CatalogEntry("jobs:hello", "default", [], aliases=["Hello"])
    bad = CatalogEntry("jobs:$(reboot)", "default", [])
    supervisor.answers[Catalog] = CatalogReply([entry, bad])
    supervisor.answers[Status] = Told(
        1, "0", 1, 0.0, "", "", "", False, True, {}, 0,
        [QueueStatus("mail", "open", "slow", None, 0, 0, 0)], [PoolStatus("slow", "up", 1, 0, 0)], 0,
    )  # fmt: skip
    return supervisor


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        (["can"], ["cancel"]),
        (["qu"], ["queue"]),
        (["queue", "s"], ["show", "set"]),
        (["journal", ""], ["check", "repair", "dump", "compact"]),
        (["--vers"], ["--version"]),
        (["list", "--sta"], ["--state"]),
        (["list", "--state", "su"], ["succeeded"]),
        (["list", "--state=fa"], ["--state=failed"]),
        (["list", "-o", "json"], ["json", "jsonl"]),
        (["list", "--queue", ""], ["mail"]),
        (["queue", "set", "mail", "p"], ["paused"]),
        (["pool", "recycle", ""], ["slow"]),
        (["show", ""], ["last", "41", "40"]),
        (["show", "41", "4"], ["41", "40"]),
        (["logs", "41", ""], ["last", "41", "40"]),
        (["submit", ""], ["jobs:hello", "Hello"]),
        (["run", "--queue", "mail", "H"], ["Hello"]),
        (["submit", "Hello", ""], []),
        (["completion", "b"], ["bash"]),
        (["nosuch", ""], []),
        (["nosuch", "x", "--"], []),
    ],
)
def test_what_fits_is_suggested(jobctl: Run, answered: Any, typed: list[str], found: list[str]) -> None:
    ended = jobctl("__complete", "--", *typed)
    assert (ended.out.split("\n")[:-1], ended.err, ended.code) == (found, "", 0)


@pytest.mark.parametrize("typed", [[], ["show", ""], ["\x1b", "\udcff"], ["submit", ""], ["list", "--", "--", ""]])
def test_whatever_goes_wrong_there_is_nothing_to_say(jobctl: Run, supervisor: Any, typed: list[str]) -> None:
    supervisor.answers[List] = supervisor.answers[Catalog] = SupervisorUnavailable("gone")
    ended = jobctl("__complete", "--", *typed)
    assert (ended.err, ended.code) == ("", 0)


def test_a_fault_is_no_reason_to_write_on_the_line(supervisor: Any, capsys: pytest.CaptureFixture[str]) -> None:
    supervisor.answers[List] = RuntimeError("a fault")
    assert main(["__complete", "--", "show", ""], connect=lambda context: supervisor) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_one_that_it_can_read(jobctl: Run, shell: str) -> None:
    script = jobctl("completion", shell).out
    assert "jobctl __complete" in script
    if (program := shutil.which(shell)) is not None:
        subprocess.run([program, "-n"], input=script, text=True, check=True)


def test_bash_completes_what_stands_behind_a_colon(jobctl: Run, tmp_path: Any) -> None:
    """Readline takes the colon for a word break, so only what follows it may be suggested."""
    fake = tmp_path / "jobctl"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" jobs:hello jobs:help\n')
    fake.chmod(0o755)
    line = "jobctl submit jobs:he"
    ask = f'COMP_LINE="{line}" COMP_POINT={len(line)}; _jobctl; printf "%s\\n" "${{COMPREPLY[@]}}"'
    script = f"PATH={tmp_path}:$PATH\n{jobctl('completion', 'bash').out}\n{ask}"
    ended = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert (ended.stdout.split(), ended.stderr) == (["hello", "help"], "")
