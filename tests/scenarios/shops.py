"""Yards with the jobs that other job runners show in their documentation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jobyard.client.default import own_client
from live import Yard

JOBS = Path(__file__).parent / "document_jobs.py"
CLASSES = ("ExampleJob", "SendWelcomeEmail", "ProcessUserReport", "SampleJob", "CompleteInvoiceJob")
EVERYTHING = ", ".join(['"jobs:*"', *(f'"jobs:{name}.*"' for name in CLASSES)])

Shop = Callable[..., Yard]


@pytest.fixture
def make_shop(make_yard: Callable[..., Yard], monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """Builds yards with the jobs of ``document_jobs.py``; the helper functions find the newest one."""

    def make(config: str = "", *, allow: str = EVERYTHING, start: bool = True) -> Yard:
        yard = make_yard(jobs=JOBS, start=False)
        yard.config.write_text(f"allow = [{allow}]\n{config}")
        monkeypatch.setenv("JOBYARD_CONFIG", str(yard.config))
        own_client.cache_clear()
        if start:
            said = yard.start()
            assert "pid" in said, said
        return yard

    yield make
    own_client().close()
    own_client.cache_clear()
