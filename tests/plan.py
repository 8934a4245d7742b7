"""Runs the reliability plan at one tier, and makes its table of figures.

``python tests/plan.py N`` runs every test that is marked ``tier`` with the counts of that tier, prints the table, and
with ``--write`` puts it into docs/reliability.md. Owns the table; what is counted is said by the tests themselves
(tiers.py).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
TIMES_S = {"P": 120, "N": 2 * 3600, "R": 24 * 3600}  # for one test
TEXTS = {"row", "tier", "what", "at"}
Line = dict[str, Any]


def run(tier: str, arguments: list[str], figures: Path) -> int:
    """Every marked test; pytest's exit code."""
    environ = {**os.environ, "JOBYARD_TIER": tier, "JOBYARD_REPORT": str(figures)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        "tier",
        f"--timeout={TIMES_S[tier]}",
        "-p",
        "no:cacheprovider",
    ]
    return subprocess.run([*command, "-o", "faulthandler_timeout=0", *arguments], cwd=ROOT, env=environ).returncode


def read(figures: Path) -> list[Line]:
    """The lines of a run, in the order of the plan's rows."""
    lines = [json.loads(line) for line in figures.read_text(encoding="utf-8").splitlines()]
    return sorted(merged(lines), key=lambda line: _row_order(line["row"]))


def merged(lines: list[Line]) -> list[Line]:
    """One line for each thing that was done: counts are added up; of what ends in ``_max`` the largest stays."""
    found: dict[tuple[str, str], Line] = {}
    for line in lines:
        known = found.setdefault((line["row"], line["what"]), {})
        for name, value in line.items():
            if name not in known or name in TEXTS or isinstance(value, str):
                known[name] = value
            else:
                known[name] = max(known[name], value) if name.endswith("_max") else known[name] + value
    return list(found.values())


def table(lines: list[Line]) -> str:
    """The lines as a table in Markdown."""
    rows = ["| row | what was done | figures |", "|---|---|---|"]
    for line in lines:
        said = ", ".join(f"{_words(name)} {_number(value)}" for name, value in line.items() if name not in TEXTS)
        rows.append(f"| {line['row']} | {line['what']} | {said} |")
    return "\n".join(rows)


def heading(tier: str, code: int, took_s: float) -> str:
    """When, of what, on what, and how it went."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    machine = f"{os.cpu_count()} processors, Linux {platform.release()}, Python {platform.python_version()}"
    went = "all passed" if code == 0 else "not all passed"
    day = time.strftime("%Y-%m-%d", time.gmtime())
    of = f"commit {commit.stdout.strip() or 'unknown'}, {machine}"
    return f"Size {tier}, {day}, {of}: {went} in {took_s / 60:,.0f} minutes."


def write(text: str) -> None:
    """Put it into the page, in the place of the last."""
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}", encoding="utf-8")


def _row_order(row: str) -> tuple[int, str]:
    number = re.search(r"\d+", row)
    return int(number.group()) if number else 99, row


def _words(name: str) -> str:
    return name.replace("_", " ")


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tier", choices=list(TIMES_S))
    parser.add_argument(
        "--figures", type=Path, help="keep the figures in this file, after those that are there already"
    )
    parser.add_argument("--write", action="store_true", help="put the table into docs/reliability.md")
    options, arguments = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as directory:
        figures = (options.figures or Path(directory, "figures.jsonl")).resolve()
        figures.touch()
        began = time.monotonic()
        code = run(options.tier, arguments, figures)
        text = f"{heading(options.tier, code, time.monotonic() - began)}\n\n{table(read(figures))}"
    print(text)
    if options.write:
        write(text)
    return code


if __name__ == "__main__":
    sys.exit(main())
