"""The example's modules, importable as its own programs import them, and a directory with its data to work in."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

ORDERS = Path(__file__).parents[3] / "examples" / "orders"


@pytest.fixture(autouse=True)
def example_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ORDERS))


@pytest.fixture
def orders_directory() -> Path:
    return ORDERS


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory as the jobs have it: the orders are in it, and it is the working directory."""
    shutil.copy(ORDERS / "orders.csv", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path
