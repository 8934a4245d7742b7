"""The shapes of what is counted. See ``shapes.py``."""

from __future__ import annotations

from typing import Literal, TypedDict


class Times(TypedDict):
    """How a number of times are spread; null if there are none."""

    count: int
    p50_s: float | None
    p95_s: float | None
    max_s: float | None


class Figures(TypedDict):
    """Figures of a set of jobs. ``success_rate`` leaves out cancelled jobs and is null if nothing else has finished."""

    name: str
    jobs: int
    states: dict[str, int]
    attempts: int
    success_rate: float | None
    wait: Times
    run: Times
    cpu_s: float
    peak_rss_bytes: int


class Stats(TypedDict):
    """Figures of all jobs that match, and of each function and queue. ``incomplete`` is as of jobs."""

    total: Figures
    jobs: list[Figures]
    queues: list[Figures]
    incomplete: str | None


class Sample(TypedDict):
    """One value of a metric."""

    name: str
    labels: dict[str, str]
    value: float


class Family(TypedDict):
    """One metric."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    help: str
    samples: list[Sample]


class Metrics(TypedDict):
    """What ``jobctl metrics`` prints as Prometheus text."""

    families: list[Family]
