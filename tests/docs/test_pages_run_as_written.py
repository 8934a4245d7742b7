"""Pages with commands are followed as a new user would: in an empty directory, with the installed package."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from transcripts import Command, File, read

ROOT = Path(__file__).parents[2]
COMMAND_S = 60
PAGES = [
    page.relative_to(ROOT).as_posix()
    for page in [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
    if any(isinstance(step, Command) for step in read(page))
]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A user's environment: the programs of this virtual environment come first, nothing of jobyard is set."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JOBYARD", "PYTEST", "PYTHON"))}
    return {**kept, "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}", "HOME": str(tmp_path / "home")}


@pytest.fixture
def empty_directory(tmp_path: Path, environment: dict[str, str]) -> Iterator[Path]:
    """Where the page is followed; whatever it left running is stopped."""
    directory = tmp_path / "empty"
    directory.mkdir()
    yield directory
    subprocess.run(["jobctl", "down", "--now"], cwd=directory, env=environment, capture_output=True, timeout=COMMAND_S)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_page_prints_what_the_page_says(page, empty_directory, environment):
    for step in read(ROOT / page):
        if isinstance(step, File):
            path = empty_directory / step.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step.text, encoding="utf-8")
        else:
            follow(step, empty_directory, environment)


def follow(step: Command, directory: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        step.line, shell=True, cwd=directory, env=environment, timeout=COMMAND_S,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    said = f"$ {step.line}\n{done.stdout}(exit {done.returncode})"
    assert done.returncode == step.exit_code, said
    assert step.pattern().match(done.stdout), f"{said}\nexpected:\n" + "\n".join(step.output)
