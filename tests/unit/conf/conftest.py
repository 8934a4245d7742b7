"""Builders shared by the tests of the config."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from jobyard.conf.loader import Loaded, load
from jobyard.protocol.errors import InvalidConfig


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], Path]:
    """Write a config file and give its path."""

    def write(text: str) -> Path:
        path = tmp_path / "jobyard.toml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def read(config: Callable[[str], Path]) -> Callable[..., Loaded]:
    """Load a config given as text, which may run ``app:*`` unless it says itself what may."""

    def read_text(
        text: str, environ: Mapping[str, str] | None = None, sets: Sequence[str] = (), env: str | None = None
    ) -> Loaded:
        if "allow" not in text:
            text = 'allow = ["app:*"]\n' + text
        return load(config(text), environ=environ or {}, env_name=env, overrides=sets)

    return read_text


@pytest.fixture
def problems(config: Callable[[str], Path], tmp_path: Path) -> Callable[..., list[str]]:
    """The problems of a config given as text, without the directory in front of each."""

    def refused(
        text: str, environ: Mapping[str, str] | None = None, sets: Sequence[str] = (), env: str | None = None
    ) -> list[str]:
        with pytest.raises(InvalidConfig) as caught:
            load(config(text), environ=environ or {}, env_name=env, overrides=sets)
        found = caught.value.details["problems"]
        assert all(line in caught.value.message for line in found)
        return [line.replace(f"{tmp_path}/", "") for line in found]

    return refused
