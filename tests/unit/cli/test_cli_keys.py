"""``jobctl key``: files that somebody else makes meanwhile, and places where none can be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jobyard.conf import keys

Run = Callable[..., Any]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "jobyard.toml").write_text('allow = ["jobs:*"]\nsupervisor.transport = "tcp"\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_that_came_meanwhile_is_kept_and_its_key_is_the_one_that_is_valid(
    jobctl: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant = keys.grant

    def slowly(*args: Any) -> None:
        (place / "web.key").write_text("of somebody who was faster")
        grant(*args)

    monkeypatch.setattr(keys, "grant", slowly)
    ended = jobctl("key", "new", "web")
    assert ended.code == 2
    assert "web.key is there already" in ended.err
    assert (place / "web.key").read_text() == "of somebody who was faster"
    assert keys.grants(place / ".jobyard" / "keys") == []


def test_a_directory_in_which_no_file_can_be_made_is_told_of_as_that_of_out(jobctl: Run, place: Path) -> None:
    (place / "file").touch()
    ended = jobctl("key", "new", "web", "--out", "file/web.key")
    assert ended.code == 2
    assert "try: set --out to another directory" in ended.err


@pytest.mark.parametrize("host", ["", "a b", "\udcff", "a\nb", "tcp://a", "a:b"])
def test_what_is_no_host_makes_no_key(jobctl: Run, place: Path, host: str) -> None:
    ended = jobctl("key", "new", "web", "--host", host)
    assert ended.code == 2 and "is no host" in ended.err
    assert not (place / "web.key").exists()


@pytest.mark.parametrize("host", ["jobs.example.org", "10.0.0.5", "::1", "fe80::1%eth0"])
def test_what_is_a_host(jobctl: Run, place: Path, host: str) -> None:
    assert jobctl("key", "new", "web", "--host", host, "--json").json["address"].startswith("tcp://")
