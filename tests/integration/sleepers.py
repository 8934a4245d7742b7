"""Jobs that run while supervisors come and go, and what the next supervisor knows of them."""

from __future__ import annotations

from typing import Any

from jobyard import Job
from jobyard.protocol.job import AttemptInfo
from live import Yard, wait_for

WIDE = "[defaults]\ngrace = 1\nretries = 0\n[pools.default]\nconcurrency = 220\n"
SMALL = "[defaults]\ngrace = 1\nretries = 0\n[pools.default]\nconcurrency = 2\n"


def begun(yard: Yard) -> list[tuple[int, int, int]]:
    """(job, attempt, pid) of every run of ``begin_and_sleep``."""
    path = yard.path("begun")
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(job), int(attempt), int(pid)) for job, attempt, pid in map(str.split, lines)]


def sleepers(yard: Yard, count: int, seconds: float = 600, **options: Any) -> list[Job[Any]]:
    """That many jobs more which run and do nothing."""
    before = len(begun(yard))
    client = yard.client().options(**options)
    jobs = [client.submit("jobs:begin_and_sleep", str(yard.path("begun")), seconds) for _ in range(count)]
    wait_for("all to run", lambda: len(begun(yard)) == before + count)
    return jobs


def text(job: Job[Any]) -> list[str]:
    return [line.text for line in job.logs()]


def attempts(yard: Yard, job: Job[Any]) -> list[AttemptInfo]:
    return yard.client().get(job.id).info().attempts


def start(yard: Yard, *arguments: str) -> None:
    said = yard.start(*arguments)
    assert "pid" in said, said
