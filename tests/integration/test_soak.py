"""A supervisor under a load of everything at once, for as long as one likes: nothing of it may grow. T13."""

from __future__ import annotations

import itertools
import math
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import tiers
from jobyard import Client
from live import Yard, wait_for
from soak_load import Load
from soak_watch import Watch, at_work, files_below, rss, slope

ROUNDS = tiers.size(4, 500, 12_000)  # of some seven seconds each
RELOAD_EVERY = tiers.size(3, 100, 500)  # it begins fresh zygotes, and their memory can be compared only while they live
WARM = 0.2  # of all rounds: caches fill, arenas find their size
KEPT_JOBS, KEPT_BYTES, KEPT_OUTPUTS = 300, 2 << 20, 300
CONFIG = f"""
[defaults.retry]
delay = 0.05
[queues.slow]
[queues.changing]
pool = "changing"
[pools.default]
concurrency = 6
[pools.changing]
concurrency = 2
env = {{ ROUND = "%d" }}
[limits]
finished_jobs = {KEPT_JOBS}
finished_bytes = {KEPT_BYTES}
kept_notices = 1000
[output]
keep_count = {KEPT_OUTPUTS}
[history]
retention = "2m"
[logging]
max_bytes = "256KiB"
keep_files = 2
"""
JOURNAL_BYTES = 2 * (KEPT_BYTES + KEPT_JOBS * 2048) + (64 << 20)
FILES_OF_ITS_OWN = 40  # journal, history, sockets, logs
DESCRIPTORS_MORE = 4  # the process that answers for the history may not have been there when they were counted first
PRUNED_S, FORGOTTEN_S = 200.0, 300.0  # old output and old history are gone so long after that was due, at the latest
# What processes may grow by. Size P sees a leak of 5 KB per job, N one of 50 bytes, R one of 3.
GROWN_BYTES = 12 << 20
GROWN_BYTES_PER_JOB = 1.0
ARCHIVIST_GROWN_BYTES = 16 << 20


@dataclass
class Course:
    """What was measured at rest, after each round: memory by number of jobs so far, the rest by time."""

    first_descriptors: int
    jobs: int = 0
    supervisor: list[tuple[float, float]] = field(default_factory=list)
    zygotes: dict[int, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    journal_bytes: list[int] = field(default_factory=list)
    history_bytes: list[tuple[float, int]] = field(default_factory=list)
    outputs: list[tuple[float, int]] = field(default_factory=list)
    own_files: list[int] = field(default_factory=list)
    ping_ms: list[float] = field(default_factory=list)


def rest(yard: Yard, client: Client) -> None:
    """Return when nothing is under way, and the process that answers for the history is there."""

    def nothing() -> bool:
        counts = client.status().counts
        return not any(counts[state] for state in ("queued", "running", "scheduled", "blocked"))

    wait_for("all jobs to have ended", nothing, 60)
    wait_for("the archivist and the pruner to have ended", lambda: not at_work(yard), 60)
    client.list(limit=1, sort="oldest")
    wait_for("all zygotes to be up", lambda: all(pool.state == "up" for pool in client.status().pools))


def descriptors(yard: Yard) -> int:
    count: int = psutil.Process(yard.pid).num_fds()
    return count


def measure(yard: Yard, client: Client, course: Course) -> None:
    for _ in range(20):
        began = time.monotonic()
        client.ping()
        course.ping_ms.append((time.monotonic() - began) * 1000)
    status = client.status()
    (zygote,) = (pool.pid for pool in status.pools if pool.name == "default")
    assert zygote is not None
    course.supervisor.append((course.jobs, rss(yard.pid)))
    course.zygotes[zygote].append((course.jobs, rss(zygote)))
    course.journal_bytes.append(status.journal_bytes)
    state, now = yard.path(".jobyard"), time.monotonic()
    outputs = files_below(state / "output")
    course.outputs.append((now, outputs))
    course.own_files.append(files_below(state) - outputs)
    course.history_bytes.append((now, sum(path.stat().st_size for path in state.glob("history.db*"))))
    allowed = course.first_descriptors + DESCRIPTORS_MORE
    wait_for("all descriptors to be closed again", lambda: descriptors(yard) <= allowed)


def grown(points: list[tuple[float, float]]) -> float:
    """Bytes by which memory has grown over all jobs but the first, by its slope; 0 if there are too few points."""
    points = points[math.ceil(len(points) * WARM) :]
    return slope(points) * (points[-1][0] - points[0][0]) if len(points) >= 3 else 0.0


def assert_bounded(points: list[tuple[float, int]], kept: int, within_s: float) -> None:
    """There is never more than what is kept, and what came within that time, if it came as fast as it ever did."""
    rates = [(after[1] - before[1]) / (after[0] - before[0]) for before, after in itertools.pairwise(points)]
    assert max(count for _, count in points) <= points[0][1] + kept + within_s * max(rates, default=0.0)


@pytest.mark.tier("T13")
@pytest.mark.timeout(tiers.size(120, 7_000, 90_000))
def test_nothing_grows_under_a_load_of_everything(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard(CONFIG % 0, Path(__file__).parent / "soak_jobs.py")
    client = yard.client(timeout=60)
    warm = Load(yard, 0)
    warm.run()
    assert warm.wrong == []
    rest(yard, client)
    course = Course(descriptors(yard))
    with Watch(yard) as watch:
        for number in range(1, ROUNDS + 1):
            if number % RELOAD_EVERY == 0:
                yard.config.write_text(f'allow = ["jobs:*"]\n{CONFIG % number}')
                client.reload()
            client.recycle("changing")
            load = Load(yard, number)
            load.run()
            assert load.wrong == []
            course.jobs += load.jobs
            rest(yard, client)
            measure(yard, client, course)
    _judge(course, watch)


def _judge(course: Course, watch: Watch) -> None:
    supervisor = grown(course.supervisor)
    zygote = sum(max(0.0, grown(points)) for points in course.zygotes.values())
    archivists = watch.archivist_bytes
    half = len(archivists) // 2
    tiers.report(
        "T13", "soak", jobs=course.jobs, rounds=ROUNDS, samples=watch.samples, zombies=len(watch.zombies),
        supervisor_grown_bytes=round(supervisor), zygote_grown_bytes=round(zygote),
        journal_bytes_max=max(course.journal_bytes),
        ping_p99_ms_max=round(sorted(course.ping_ms)[len(course.ping_ms) * 99 // 100], 1),
    )  # fmt: skip
    allowed = GROWN_BYTES + GROWN_BYTES_PER_JOB * course.jobs
    assert supervisor <= allowed and zygote <= allowed
    assert max(archivists[half:], default=0) <= max(archivists[:half], default=0) + ARCHIVIST_GROWN_BYTES
    assert watch.zombies == set()
    assert [len(counts) for counts in watch.threads.values()] == [1, 1], watch.threads
    assert max(course.journal_bytes) <= JOURNAL_BYTES
    assert max(course.own_files) <= FILES_OF_ITS_OWN
    assert_bounded(course.outputs, 2 * KEPT_OUTPUTS, PRUNED_S)
    assert_bounded(course.history_bytes, 0, FORGOTTEN_S)
