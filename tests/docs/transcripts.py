"""Reads the parts of a Markdown page that can be run: files to write, and commands with the output they must have.

A fence after ``<!-- file: NAME -->`` is a file. A ``console`` fence holds commands after ``$ ``, each followed by its
output, stdout and stderr together; a line ``...`` stands for any lines, ``...`` within a line for any text, and a last
line ``exit N`` for the exit code, which else is 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

_FENCE = re.compile(
    r"(?:^<!-- file: (?P<name>\S+) -->\n)?^```(?P<language>\w*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class File:
    name: str
    text: str


@dataclass
class Command:
    line: str
    output: list[str] = field(default_factory=list)
    exit_code: int = 0

    def pattern(self) -> re.Pattern[str]:
        """What the output must match as a whole."""
        return re.compile("".join(map(_line_pattern, self.output)) + r"\Z")


def read(page: Path) -> list[File | Command]:
    """The steps of a page from top to bottom."""
    steps: list[File | Command] = []
    for fence in _FENCE.finditer(page.read_text(encoding="utf-8")):
        if fence["name"]:
            steps.append(File(fence["name"], fence["body"]))
        elif fence["language"] == "console":
            steps += _commands(fence["body"].splitlines())
    return steps


def _line_pattern(line: str) -> str:
    return r"(?:.*\n)*?" if line == "..." else ".*".join(map(re.escape, line.split("..."))) + "\n"


def _commands(lines: list[str]) -> list[Command]:
    commands: list[Command] = []
    for line in lines:
        if line.startswith("$ "):
            commands.append(Command(line[2:]))
        elif match := re.fullmatch(r"exit (\d+)", line):
            commands[-1].exit_code = int(match[1])
        else:
            commands[-1].output.append(line)
    return commands
