"""Streams that take nothing, and Ctrl-C at moments that are hard to hit: still an exit code, and no traceback."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from jobyard.client.cli.render import Output

Run = Callable[..., Any]
JOBCTL = [sys.executable, "-m", "jobyard"]
INTERRUPTED_AT_MAIN = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path, target=None):
        if name == "jobyard.client.cli.main":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
from jobyard.client.cli.start import program
program()
"""


@pytest.mark.parametrize("words", [["--help"], ["sumbit"]])
def test_a_full_disk_under_both_streams_leaves_the_exit_code(words: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        ended = subprocess.run([*JOBCTL, *words], stdout=full, stderr=full, timeout=60)
    assert ended.returncode == 70


def test_ctrl_c_while_jobctl_is_loaded_ends_it_without_a_word() -> None:
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED_AT_MAIN], capture_output=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, b"", b"")


def test_ctrl_c_that_is_ignored_stays_ignored() -> None:
    script = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n{INTERRUPTED_AT_MAIN}"
    ended = subprocess.run([sys.executable, "-c", script, "--version"], capture_output=True, timeout=60)
    assert ended.returncode == 0
    assert ended.stdout.startswith(b"jobyard ")


def test_ctrl_c_again_while_the_first_is_told_of(jobctl: Run, supervisor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*given: Any, **named: Any) -> None:
        raise KeyboardInterrupt

    supervisor.request = interrupted
    monkeypatch.setattr(Output, "say", interrupted)
    monkeypatch.setattr(Output, "abandon", lambda out: None)
    assert jobctl("list").code == 130


@pytest.mark.parametrize("words", ["--json", "-o json", "-o jsonl", "-ojson", "--output json", "--output=jsonl"])
def test_a_bad_command_line_is_told_in_the_form_that_it_asks_for(jobctl: Run, words: str) -> None:
    ended = jobctl("list", "--nope", *words.split())
    assert (ended.code, ended.out) == (2, "")
    assert json.loads(ended.err)["error"]["code"] == "usage"


@pytest.mark.parametrize("words", [["-o", "id"], ["json"], ["--", "--json"], ["--", "-o", "json"]])
def test_a_word_that_looks_like_a_form_is_none(jobctl: Run, words: list[str]) -> None:
    assert jobctl("submit", "--nope", *words).err.startswith("error: ")


@pytest.mark.parametrize(("given", "colour"), [("", True), ("1", False), (None, True)])
def test_no_color_counts_unless_it_is_empty(
    jobctl: Run, supervisor: Any, job: Run, monkeypatch: pytest.MonkeyPatch, given: str | None, colour: bool
) -> None:
    if given is not None:
        monkeypatch.setenv("NO_COLOR", given)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    supervisor.jobs = [job(1, state="failed")]
    assert ("\x1b[" in jobctl("list").out) is colour
