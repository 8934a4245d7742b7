from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from jobyard.supervisor.history import store
from jobyard.supervisor.history.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.db"


@pytest.fixture(params=["with an index of texts", "without"])
def history(path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """An empty history, with what SQLite offers for searching text and without."""
    if request.param == "without":
        monkeypatch.setattr(store, "_TEXTS", "CREATE VIRTUAL TABLE texts USING no_such_module(x)")
    with Store.open(path) as opened:
        yield opened
