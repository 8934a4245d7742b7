from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=None, help="run the simulation with this seed only")
    parser.addoption(
        "--seeds", type=int, default=None, help="how many the simulation runs with; by the tier if not given"
    )
