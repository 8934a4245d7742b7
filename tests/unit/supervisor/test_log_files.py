"""The log's files: what goes where, and that they may be moved away or grow at any time."""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from jobyard.conf.paths import Paths
from jobyard.conf.settings import LoggingSettings
from jobyard.supervisor import logs

log = logging.getLogger("jobyard.test")


class Places:
    """Where the log files are."""

    def __init__(self, directory: Path) -> None:
        self.supervisor_log, self.error_log = directory / "jobs.log", directory / "errors.log"


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Begins to log in a directory with these settings; gives the directory."""

    def set_up(*, quiet: bool = True, env: str = "local", **settings: Any) -> Path:
        given = dataclasses.replace(LoggingSettings(), **settings)
        logs.set_up(given, cast(Paths, Places(tmp_path)), env=env, quiet=quiet)
        return tmp_path

    yield set_up
    root = logging.getLogger("jobyard")
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    root.propagate = True


def texts(directory: Path, pattern: str) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(directory.glob(pattern))}


def test_everything_from_the_level_on_goes_to_one_file_and_errors_to_another_too(begin: Callable[..., Path]) -> None:
    directory = begin(level="warning", format="string")
    log.info("quiet")
    log.warning("odd")
    log.error("bad")
    general, errors = (directory / "jobs.log").read_text(), (directory / "errors.log").read_text()
    assert [line[22:] for line in general.splitlines()] == ["local.WARNING: odd", "local.ERROR: bad"]
    assert errors == general.splitlines(keepends=True)[1]


def test_error_file_takes_the_level_that_it_is_given(begin: Callable[..., Path]) -> None:
    directory = begin(error_level="warning")
    log.warning("odd")
    assert "odd" in (directory / "errors.log").read_text()


def test_format_can_be_changed_while_it_logs(begin: Callable[..., Path]) -> None:
    directory = begin(env="production")
    log.error("one")
    logs.use_format("json", "production")
    log.error("two")
    logs.use_format("laravel", "production")
    log.error("three")
    for name in ("jobs.log", "errors.log"):
        plain, json, laravel = (directory / name).read_text().splitlines()
        assert plain.endswith("ERROR   one")
        assert json.startswith('{"job_name": null, "status": "two", "log_type": "error"')
        assert laravel.endswith(" production.ERROR: three")


def test_file_that_logrotate_moved_away_is_made_anew(begin: Callable[..., Path]) -> None:
    directory = begin()
    log.error("before")
    (directory / "jobs.log").rename(directory / "jobs.log.1")
    log.error("after")
    assert [("before" in text, "after" in text) for text in texts(directory, "jobs.log*").values()] == [
        (False, True),
        (True, False),
    ]


def test_file_that_was_emptied_in_place_goes_on_at_its_beginning(begin: Callable[..., Path]) -> None:
    directory = begin(format="string")
    log.error("before")
    with open(directory / "jobs.log", "r+b") as file:
        file.truncate(0)
    log.error("after")
    assert (directory / "jobs.log").read_bytes().startswith(b"[")


def test_large_file_is_renamed_and_as_many_as_asked_are_kept(begin: Callable[..., Path]) -> None:
    directory = begin(max_bytes=100, keep_files=2)
    for number in range(5):
        log.error("%d %s", number, "x" * 100)
    log.error("last")
    for base in ("jobs.log", "errors.log"):
        found = texts(directory, f"{base}*")
        assert list(found) == [base, f"{base}.1", f"{base}.2"]
        assert [text.split("ERROR   ")[1][:4].strip() for text in found.values()] == ["last", "4 xx", "3 xx"]


def test_both_logs_may_be_one_file_that_grows_large(begin: Callable[..., Path], tmp_path: Path) -> None:
    places = Places(tmp_path)
    places.error_log = places.supervisor_log
    begin()
    logs.set_up(LoggingSettings(max_bytes=100, keep_files=9), cast(Paths, places), quiet=True)
    for number in range(3):
        log.error("%d %s", number, "x" * 100)
    whole = "".join(texts(tmp_path, "jobs.log*").values())
    assert [whole.count(f"ERROR   {number} ") for number in range(3)] == [2, 2, 2]


def test_file_that_cannot_be_renamed_goes_on_as_it_is(
    begin: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = begin(max_bytes=10)

    def refuse(*paths: str) -> None:
        raise PermissionError(13, "no")

    monkeypatch.setattr("jobyard.supervisor.logs.os.replace", refuse)
    log.error("one")
    log.error("two")
    assert (directory / "jobs.log").read_text().count("\n") == 2


@pytest.mark.parametrize(
    ("terminal", "no_color", "coloured"), [(True, "", True), (True, "1", False), (False, "", False)]
)
def test_only_a_terminal_gets_colours_and_only_if_they_are_wanted(
    begin: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, terminal: bool, no_color: str, coloured: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    written: list[str] = []
    monkeypatch.setattr(sys.stderr, "write", written.append)
    directory = begin(quiet=False)
    log.error("seen")
    assert "seen" in "".join(written)
    assert ("\x1b[" in "".join(written)) is coloured
    assert "\x1b[" not in (directory / "jobs.log").read_text()
