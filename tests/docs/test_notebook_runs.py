"""The cells of ``docs/how-to/jupyter.md`` are run by a kernel, from top to bottom, and print what the page says.

A ``python`` fence that is no file is a cell; the ``text`` fence after it, if there is one, is its output.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyter_client.manager import start_new_kernel
from transcripts import File, read

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "jupyter.md"
CELL_S = 60
RESTART = "In a fresh kernel."
_CELL = re.compile(
    r"(?<!-->\n)^(?P<indent> *)```python\n(?P<code>.*?)^ *```$(?:\n\n^ *```text\n(?P<output>.*?)^ *```$)?",
    re.MULTILINE | re.DOTALL,
)


def cells(text: str) -> list[tuple[str, str]]:
    """Code and output of each cell of the page, in its order."""
    return [(textwrap.dedent(cell["code"]), textwrap.dedent(cell["output"] or "")) for cell in _CELL.finditer(text)]


@pytest.fixture
def notebook(tmp_path: Path) -> Iterator[Path]:
    """The directory of the notebook, with the page's files and a supervisor."""
    for step in read(PAGE):
        if isinstance(step, File):
            (tmp_path / step.name).write_text(step.text, encoding="utf-8")
    jobctl = [sys.executable, "-P", "-m", "jobyard"]
    subprocess.run([*jobctl, "up", "-d"], cwd=tmp_path, check=True, capture_output=True, timeout=CELL_S)
    yield tmp_path
    subprocess.run([*jobctl, "down", "--now"], cwd=tmp_path, check=True, capture_output=True, timeout=CELL_S)


def run(cells: list[tuple[str, str]], directory: Path) -> None:
    """Run the cells in a kernel of their own."""
    said: list[str] = []

    def take(message: dict[str, object]) -> None:
        kind, content = message["msg_type"], message["content"]
        assert isinstance(content, dict)
        if kind == "error":
            said.append("\n".join(content["traceback"]))
        elif kind == "stream":
            said.append(content["text"])
        elif kind == "execute_result":
            said.append(content["data"]["text/plain"])

    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JOBYARD", "PYTEST"))}
    manager, kernel = start_new_kernel(cwd=str(directory), env=environment)
    try:
        for code, output in cells:
            said.clear()
            kernel.execute_interactive(code, output_hook=take, timeout=CELL_S)
            assert re.sub(r"^.*\r", "", "".join(said), flags=re.MULTILINE).strip() == output.strip(), code
    finally:
        kernel.stop_channels()
        manager.shutdown_kernel(now=True)


def test_every_cell_prints_what_the_page_says_also_in_a_fresh_kernel(notebook):
    before, found, after = PAGE.read_text(encoding="utf-8").partition(RESTART)
    assert found and len(cells(before)) >= 3 and len(cells(after)) >= 2
    run(cells(before), notebook)
    run(cells(after), notebook)
