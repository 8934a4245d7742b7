"""``make demo``, as a program: what it shows at the end, and what it leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "examples" / "orders" / "demo.py"
DEMO_S = 90


def start(directory: Path) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JOBYARD")}
    return subprocess.Popen(
        [sys.executable, str(DEMO), "--dir", str(directory)],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def still_there(directory: Path) -> list[str]:
    """Command lines of processes that carry the demo's mark for this directory."""
    wanted = os.fsencode(f"ORDERS_DEMO={directory}")
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:  # it ended meanwhile
            continue
    return [line for line in found if line]


@pytest.mark.slow
def test_demo_ends_well_and_leaves_no_process(tmp_path):
    directory = tmp_path / "demo"
    with start(directory) as process:
        page, _ = process.communicate(timeout=DEMO_S)
    assert process.returncode == 0, page
    assert "What happened" in page and "NOT " not in page
    assert len(list((directory / "invoices").glob("*.pdf"))) == 85
    assert still_there(directory) == []


@pytest.mark.slow
def test_demo_that_is_interrupted_stops_everything(tmp_path):
    directory = tmp_path / "demo"
    with start(directory) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("submitted"):
                break
        process.send_signal(signal.SIGINT)  # once: another one would interrupt the demo's own jobctl down
        process.communicate(timeout=DEMO_S)
        assert process.returncode == 130
    assert still_there(directory) == []


def test_demo_does_not_write_into_a_directory_that_exists(tmp_path):
    with start(tmp_path) as process:
        said, _ = process.communicate(timeout=DEMO_S)
    assert process.returncode == 1
    assert said.startswith("error: ") and "exists" in said
    assert list(tmp_path.iterdir()) == []
