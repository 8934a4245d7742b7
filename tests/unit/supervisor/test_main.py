"""How a supervisor ends when something in it goes wrong, and that its own log is no reason to."""

from __future__ import annotations

import errno
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from jobyard.conf.paths import Paths
from jobyard.conf.settings import LoggingSettings
from jobyard.supervisor import __main__ as main
from jobyard.supervisor import logs


class Failing:
    """A driver whose loop ends in an error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def run(self) -> int:
        raise self._error


class Places:
    """Where the log files are."""

    def __init__(self, directory: Path) -> None:
        self.supervisor_log, self.error_log = directory / "jobs.log", directory / "errors.log"


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    found = tmp_path / "log"
    found.mkdir()
    logs.set_up(LoggingSettings(), cast(Paths, Places(found)), quiet=True)
    yield found
    root = logging.getLogger("jobyard")
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    root.propagate = True


@pytest.mark.parametrize("error", [OSError(errno.EINVAL, "Invalid argument"), KeyError("x"), ValueError()])
def test_fault_in_the_loop_is_logged_and_ends_with_a_code_that_makes_the_guard_start_the_next(
    directory: Path, error: Exception
) -> None:
    assert main._live(cast(Any, Failing(error))) == main.EXIT_FAULT
    said = (directory / "errors.log").read_text()
    assert "a fault in jobyard" in said and type(error).__name__ in said


def test_log_whose_directory_is_gone_is_no_error(directory: Path) -> None:
    shutil.rmtree(directory)
    logging.getLogger("jobyard").error("nobody hears this")
    directory.mkdir()
    logging.getLogger("jobyard").error("here again")
    assert "here again" in (directory / "jobs.log").read_text()


def test_log_that_cannot_be_opened_leaves_the_old_one(directory: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        logs.set_up(LoggingSettings(), cast(Paths, Places(directory / "nowhere")), quiet=True)
    logging.getLogger("jobyard").error("still here")
    assert "still here" in (directory / "jobs.log").read_text()
