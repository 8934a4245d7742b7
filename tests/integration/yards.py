"""Fixtures that make yards, for the tests of every directory that wants real supervisors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from live import Yard, wait_for

JOBS = Path(__file__).parent / "jobs_app.py"


@pytest.fixture
def make_yard(tmp_path: Path) -> Iterator[Callable[..., Yard]]:
    """Builds yards; at the end none of their processes may be left."""
    made: list[Yard] = []

    def make(config: str = "", jobs: str | Path = JOBS, *, start: bool = True) -> Yard:
        directory = tmp_path / f"yard{len(made)}"
        directory.mkdir()
        yard = Yard(directory, jobs, config)
        made.append(yard)
        if start:
            said = yard.start()
            assert "pid" in said, said
        return yard

    yield make
    for yard in made:
        yard.close()
    wait_for("no process of any yard to be left", lambda: not any(yard.left() for yard in made), 5)


@pytest.fixture
def yard(make_yard: Callable[..., Yard]) -> Yard:
    return make_yard("[defaults]\ngrace = 1\n[pools.default]\nconcurrency = 4\n")
