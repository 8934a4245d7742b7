"""The name of the code that a zygote has loaded, and of the description that it was started with."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from jobyard.supervisor.executors.base import PoolSpec
from jobyard.supervisor.executors.launch import digest
from jobyard.supervisor.executors.zygote import code_version


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "codeshop").mkdir()
    (tmp_path / "codeshop" / "__init__.py").write_text("")
    (tmp_path / "codeshop" / "orders.py").write_text("a = 1\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


def test_sources_are_what_is_loaded_and_what_jobs_will_load(root: Path) -> None:
    found = code_version.sources(["codeshop.orders:*", "codeshop:ship", "nowhere:*"])
    assert {str(root / "codeshop" / "orders.py"), str(root / "codeshop" / "__init__.py"), code_version.__file__} <= set(
        found
    )
    assert "codeshop.orders" not in sys.modules, "nothing is imported for it"
    assert not any("nowhere" in path for path in found)


def test_name_changes_with_any_file_and_with_nothing_else(root: Path) -> None:
    path = root / "codeshop" / "orders.py"
    sources = code_version.sources(["codeshop.orders:*"])
    first = code_version.name(sources)
    assert len(first) == 12 and code_version.name(sources) == first
    os.utime(path, ns=(1, 1))
    second = code_version.name(sources)
    path.unlink()
    assert len({first, second, code_version.name(sources)}) == 3


def spec(**changes: Any) -> PoolSpec:
    base = PoolSpec("default", "python", "/", [], {"A": "b"}, ["jobs:*"], "/run", "/out")
    return dataclasses.replace(base, **changes)


def test_digest_is_the_same_for_equal_descriptions_alone() -> None:
    changes = [{"env": {"A": "c"}}, {"cwd": "/tmp"}, {"preload": ["x"]}, {"nice": 3}, {"allow": []}, {"python": "/p"}]
    assert digest(spec()) == digest(spec())
    assert len({digest(spec()), *(digest(spec(**change)) for change in changes)}) == 1 + len(changes)


def test_digest_does_not_depend_on_the_order_of_variables_nor_on_those_of_one_start() -> None:
    one, other = {"A": "b", "C": "d", "SHLVL": "1"}, {"C": "d", "INVOCATION_ID": "x", "A": "b"}
    assert digest(spec(env=one)) == digest(spec(env=other))


def test_digest_takes_variables_that_are_no_text() -> None:
    assert digest(spec(env={"A": "\udcff"})) != digest(spec(env={"A": "x"}))
