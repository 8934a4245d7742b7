"""Whether a config can move sockets: told without reading it, and only where that is certain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jobyard.conf.find import leaves_places
from jobyard.conf.json_schema import json_schema
from jobyard.conf.loader import load
from jobyard.conf.paths import paths_for
from jobyard.conf.settings import Settings


def write(directory: Path, text: str) -> Path:
    path = directory / "jobyard.toml"
    path.write_text(text)
    return path


def test_a_config_that_says_nothing_of_places_has_them_at_their_defaults(tmp_path: Path) -> None:
    file = write(tmp_path, 'allow = ["jobs:*"]\n[queues.mail]\nconcurrency = 2\n')
    assert leaves_places(file, {"HOME": "/"})
    assert paths_for(load(file, environ={}).settings, {}) == paths_for(Settings(file=file), {})


@pytest.mark.parametrize(
    "text",
    [
        '[supervisor]\nstate_dir = "elsewhere"\n',
        'supervisor.socket = "here"\n',
        '[env.local.supervisor]\nsocket = "here"\n',
        '["\\u0073upervisor"]\nsocket = "here"\n',
    ],
)
def test_one_that_may_move_them_has_to_be_read(tmp_path: Path, text: str) -> None:
    assert not leaves_places(write(tmp_path, text), {})


@pytest.mark.parametrize(
    "environ", [{"JOBYARD__SUPERVISOR__SOCKET": "x"}, {"jobyard__x": "y"}, {"JOBYARD_ENV": "other"}]
)
def test_variables_may_move_them_too(tmp_path: Path, environ: dict[str, str]) -> None:
    assert not leaves_places(write(tmp_path, ""), environ)


def test_so_may_files_beside_it(tmp_path: Path) -> None:
    (tmp_path / "jobyard.d").mkdir()
    assert not leaves_places(write(tmp_path, ""), {})
    assert not leaves_places(tmp_path / "gone.toml", {})


def test_the_schema_has_type_and_description_of_every_key() -> None:
    def walk(node: dict[str, Any], path: str = "") -> None:
        for key, inner in node.get("properties", {}).items():
            assert inner["type"] != [], f"{path}.{key} takes none of the samples"
            assert "description" in inner or "properties" in inner or key == "env", f"{path}.{key}"
            walk(inner, f"{path}.{key}")
        if isinstance(node.get("additionalProperties"), dict):
            walk(node["additionalProperties"], f"{path}.*")

    walk(json_schema())
    timeout = json_schema()["properties"]["defaults"]["properties"]["timeout"]
    assert (timeout["default"], "string" in timeout["type"], "integer" in timeout["type"]) == ("none", True, True)
