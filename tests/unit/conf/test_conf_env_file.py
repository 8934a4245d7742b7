"""The env_file of a pool."""

from __future__ import annotations

from pathlib import Path

import pytest
from jobyard.conf.env_file import read_env_file
from jobyard.protocol.errors import InvalidConfig


def test_values_are_read_as_written(tmp_path: Path) -> None:
    path = tmp_path / "jobs.env"
    path.write_text(
        '# comment\n\nA=1\nexport B = two words \nC=\'$x \\n\'\nD="a\\nb\\"c\\\\"\nE=\nF=a#b\nG=x=y\nA=2\r\n',
        newline="",
    )
    expected = {"A": "2", "B": "two words", "C": "$x \\n", "D": 'a\nb"c\\', "E": "", "F": "a#b", "G": "x=y"}
    assert read_env_file(path) == expected


def test_all_wrong_lines_are_told_with_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "jobs.env"
    path.write_text('A=1\nnonsense\n2X=1\nB=\'open\nC="a"b"\nD=\'a\'b\'\nE="end\\"\nF=\x00\n')
    with pytest.raises(InvalidConfig) as caught:
        read_env_file(path)
    lines = [line.removeprefix(f"{path}:") for line in caught.value.details["problems"]]
    misplaced = "error: a value with a quote or NUL out of place"
    assert lines == [
        "2:1: error: not NAME=value",
        "3:1: error: not NAME=value",
        *(f"{number}:1: {misplaced}" for number in (4, 5, 6, 7, 8)),
    ]


@pytest.mark.parametrize(("data", "why"), [(None, "cannot be read: No such file"), (b"A=\xff", "is not UTF-8")])
def test_file_that_cannot_be_read_says_why(tmp_path: Path, data: bytes | None, why: str) -> None:
    path = tmp_path / "jobs.env"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(InvalidConfig, match=why):
        read_env_file(path)
