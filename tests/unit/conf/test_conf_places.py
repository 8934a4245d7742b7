"""Names of a supervisor that name none: they are refused, before anybody is asked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from jobyard.client.address import find_target
from jobyard.conf.find import find_config
from jobyard.protocol.errors import BadArguments, InvalidConfig

ODD = os.fsdecode(b"\xff")


def test_a_socket_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(BadArguments, match="is not the path of a socket"):
        find_target(f"/p/{ODD}", None, {})


def test_a_config_without_a_name_is_none_and_not_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "jobyard.toml").touch()
    with pytest.raises(InvalidConfig, match="--config '': there is no such file"):
        find_config("", tmp_path, {})
    assert find_config(None, tmp_path, {"JOBYARD_CONFIG": ""}) == tmp_path / "jobyard.toml"
