"""Files that come with the project and that no program reads: what they say is so."""

from __future__ import annotations

import configparser
import shlex
import tomllib
from pathlib import Path

from jobyard.client.cli.exits import REFUSED, USAGE
from jobyard.supervisor.__main__ import EXIT_JOURNAL

ROOT = Path(__file__).parents[2]


def test_licence_is_the_one_that_the_package_names():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "MIT"
    assert (ROOT / project["license-files"][0]).read_text().startswith("MIT License")
    assert (ROOT / "CONTRIBUTING.md").read_text().startswith("# Contributing")


def test_systemd_unit_starts_jobctl_up_and_leaves_mistakes_alone():
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str
    unit.read(ROOT / "conf" / "systemd" / "jobyard.service")
    service = unit["Service"]
    program, *words = shlex.split(service["ExecStart"])
    assert (Path(program).name, words) == ("jobctl", ["up"])
    assert {int(code) for code in service["RestartPreventExitStatus"].split()} == {USAGE, REFUSED, EXIT_JOURNAL}
