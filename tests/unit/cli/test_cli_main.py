"""The boundary: whatever happens, one line for people, an exit code, and never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jobyard.protocol import messages
from jobyard.protocol.errors import BY_CODE, from_wire

Run = Callable[..., Any]
JOBCTL = [sys.executable, "-m", "jobyard"]


@pytest.mark.parametrize(
    "argv",
    [
        ["sumbit"],
        [""],
        ["\x1b[2J"],
        ["-"],
        ["--nope"],
        ["--config"],
        ["submit"],
        ["submit", "--delay", "soon", "jobs:hello"],
        ["submit", "--delay", "1", "--at", "2026-10-01", "jobs:hello"],
        ["submit", "--at", "", "jobs:hello"],
        ["submit", "--retries", "many", "jobs:hello"],
        ["submit", "--retries", "-1", "jobs:hello"],
        ["submit", "--retries", "1", "--max-attempts", "2", "jobs:hello"],
        ["submit", "--max-attempts", "0", "jobs:hello"],
        ["submit", "--retry-delay", "5,x", "jobs:hello"],
        ["submit", "--priority", "urgent", "jobs:hello"],
        ["submit", "--queue", "a b", "jobs:hello"],
        ["submit", "--timeout", "0", "jobs:hello"],
        ["submit", "--timeout", "1e99999", "jobs:hello"],
        ["submit", "--tag", "x", "jobs:hello"],
        ["submit", "--key", "", "jobs:hello"],
        ["submit", "--on-duplicate", "panic", "jobs:hello"],
        ["submit", "jobs:hello", "a:=[1"],
        ["submit", "jobs:hello", "a:=" + "[" * 100_000],
        ["submit", "jobs:hello", "@/nowhere"],
        ["submit", "jobs:hello", "a=1", "a=2"],
        ["submit", "jobs:hello", "\udcff"],
        ["submit", "jobs:hello", 'a:="\\ud800"'],
        ["list", "extra"],
        ["list", "--limit", "0"],
        ["list", "--limit", "x"],
        ["list", "-o", "xml"],
        ["list", "--color", "pink"],
        ["show", "--since", "9" * 400],
        ["wait", "7", "--timeout", "-1"],
        ["wait", "7", "--timeout", "0"],
        ["cancel", "7", "--grace", "nan"],
        ["retry"],
        ["logs"],
        ["logs", "7", "--stream", "stdlog"],
        ["up", "--timeout", "x"],
        ["config", "show", "--config", "/nowhere/jobyard.toml"],
        ["config", "check", "/"],
        ["config", "check", "a\0b"],
        ["config", "check", "--env", "no such env"],
        ["init", "/dev/null/x"],
    ],
)
def test_a_bad_command_line_ends_with_2_and_one_error(jobctl: Run, accepting: Any, argv: list[str]) -> None:
    ended = jobctl(*argv)
    assert (ended.code, ended.out) == (2, "")
    assert "error: " in ended.err
    assert "Traceback" not in ended.err
    assert "bug" not in ended.err
    assert all(char.isprintable() or char == "\n" for char in ended.err)
    assert jobctl(*argv, "--json").error["message"]


def test_an_unexpected_exception_is_one_line_that_asks_to_report_it(
    jobctl: Run, supervisor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor.answers[messages.Ping] = ZeroDivisionError("oh\x1b[2J")
    ended = jobctl("ping")
    assert (ended.code, ended.out) == (70, "")
    assert ended.err == (
        "error: this is a bug in jobyard: ZeroDivisionError: oh\\x1b[2J\n"
        "try: the same command with JOBYARD_DEBUG=1 shows where; please report it\n"
    )
    monkeypatch.setenv("JOBYARD_DEBUG", "1")
    assert "Traceback" in jobctl("ping").err


def test_ctrl_c_ends_with_130(jobctl: Run, supervisor: Any) -> None:
    supervisor.answers[messages.Ping] = KeyboardInterrupt()
    ended = jobctl("ping")
    assert (ended.code, ended.out, ended.err) == (130, "", "interrupted\n")


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_every_error_of_the_protocol_has_a_documented_exit_code(jobctl: Run, supervisor: Any, code: str) -> None:
    supervisor.answers[messages.Ping] = from_wire({"code": code, "message": "m", "hint": "", "details": {}})
    assert jobctl("ping").code in {2, 3, 4, 5, 6, 7, 124}


def test_help_and_version_need_no_supervisor(jobctl: Run, supervisor: Any) -> None:
    assert jobctl("--help").out.startswith("usage: jobctl VERB")
    assert jobctl("submit", "--help").out.startswith("usage: jobctl submit")
    assert jobctl("--version").out.startswith("jobyard 0")
    assert supervisor.requests == []


def test_a_closed_stdout_ends_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run([*JOBCTL, "--help"], stdout=writer, stderr=subprocess.PIPE, timeout=60)
    finally:
        os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_a_full_disk_under_stdout_is_told() -> None:
    with open("/dev/full", "wb") as full:
        ended = subprocess.run([*JOBCTL, "--help"], stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert ended.returncode == 70
    assert ended.stderr == b"error: the system refused: [Errno 28] No space left on device\n"


def test_closed_standard_streams_are_no_reason_to_fail() -> None:
    ended = subprocess.run(["sh", "-c", '"$0" -m jobyard --help <&- >&- 2>&-', sys.executable], timeout=60)
    assert ended.returncode == 0


def test_text_that_the_terminal_cannot_encode_is_escaped(tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONIOENCODING": "ascii"}
    ended = subprocess.run(
        [*JOBCTL, "config", "check", "Grüße.toml"], env=environ, cwd=tmp_path, capture_output=True, timeout=60
    )
    assert ended.returncode == 2
    assert b"Gr\\xfc\\xdfe.toml" in ended.stderr


def test_a_working_directory_that_is_gone_is_told(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = 'rmdir "$PWD"; exec "$0" -P -m jobyard config check'
    ended = subprocess.run(["sh", "-c", script, sys.executable], cwd=gone, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert ended.stderr == "error: the working directory is gone\ntry: cd to another directory\n"


def test_help_loads_neither_zeromq_nor_rich_nor_the_supervisor() -> None:
    script = (
        "import sys; from jobyard.client.cli.main import main; main(['submit', '--help']); "
        "print([name for name in ('zmq', 'rich', 'jobyard.supervisor') if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert ended.stdout.splitlines()[-1] == "[]"
