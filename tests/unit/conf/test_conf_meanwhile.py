"""A config whose files are removed or replaced while it is read, as editors do: refused, or read, but never a part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jobyard.conf import loader

TEXT = 'allow = ["a:*"]'


@pytest.fixture
def drop_ins(tmp_path: Path) -> Path:
    directory = tmp_path / "jobyard.d"
    directory.mkdir()
    (directory / "10-a.toml").write_text('allow = ["b:*"]')
    (directory / "20-b.toml").write_text('allow = ["c:*"]')
    return directory


def gone_for_a_look(monkeypatch: pytest.MonkeyPatch, name: str, path: Path) -> None:
    """At its next look by this method of Path the file is not there: an editor has renamed it, and writes another."""
    look = getattr(Path, name)

    def missing(self: Path) -> Any:
        if self != path:
            return look(self)
        monkeypatch.setattr(Path, name, look)
        path.rename(f"{path}~")
        try:
            return look(self)
        finally:
            Path(f"{path}~").rename(path)

    monkeypatch.setattr(Path, name, missing)


def test_drop_in_that_is_gone_for_a_moment_does_not_take_the_others_with_it(
    drop_ins: Path, problems: Any, read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone_for_a_look(monkeypatch, "lstat", drop_ins / "10-a.toml")
    assert problems(TEXT) == ["jobyard.d/10-a.toml: error: cannot be read: No such file or directory"]
    assert read(TEXT).settings.allow == ("a:*", "b:*", "c:*")


def test_config_that_is_gone_for_a_moment_does_not_take_its_drop_ins_with_it(
    tmp_path: Path, drop_ins: Path, problems: Any, read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone_for_a_look(monkeypatch, "stat", tmp_path / "jobyard.toml")
    assert problems(TEXT) == ["jobyard.toml: error: cannot be read: No such file or directory"]
    assert read(TEXT).settings.allow == ("a:*", "b:*", "c:*")


def test_config_that_is_gone_when_it_was_read_is_read(
    tmp_path: Path, read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader.build, "build", _then_remove(loader.build.build, tmp_path / "jobyard.toml"))
    assert read(TEXT).settings.allow == ("a:*",)


def _then_remove(build: Any, path: Path) -> Any:
    def instead(*given: Any) -> Any:
        path.unlink()
        return build(*given)

    return instead
