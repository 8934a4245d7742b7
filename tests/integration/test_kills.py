"""kill -9 of the supervisor at random moments under load, again and again, with a ledger that the jobs write."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest
import tiers
from jobyard import Client
from live import Yard, overlaps, read_ledger, wait_for

CONFIG = "[pools.default]\nconcurrency = 8\n[queues.held]\npaused = true\n[limits]\nfinished_jobs = 2000\n"
CLIENTS = 2
JOBS_PER_KILL = 60  # that run; most of the time is to go by with kills, not with finishing what was submitted
BATCH = 100  # of those that are only kept
KILLS = tiers.size(25, 500, 5000)
KEPT_MAX = tiers.size(20_000, 100_000, 400_000)
PATIENCE_S = 600  # on a busy machine a supervisor may be killed many times before it answers


class Load:
    """Clients that submit jobs until they are told to stop: some that run, each with a name of its own, and many more
    that are only kept."""

    def __init__(self, yard: Yard) -> None:
        self.acked: list[list[str]] = [[] for _ in range(CLIENTS)]
        self.kept = 0
        self.errors: list[Exception] = []
        self.room = threading.Semaphore(JOBS_PER_KILL)
        self.room_to_keep = threading.Semaphore(KEPT_MAX // BATCH // KILLS)
        self._stop = threading.Event()
        self._rng = random.Random(int(os.environ.get("JOBYARD_SEED", "1")))
        self._path = str(yard.path("ledger"))
        clients = [yard.client(timeout=PATIENCE_S) for _ in range(CLIENTS)]
        self._threads = [threading.Thread(target=self._submit, args=one) for one in enumerate(clients)]
        self._threads.append(threading.Thread(target=self._keep, args=(yard.client(timeout=PATIENCE_S),)))
        for thread in self._threads:
            thread.start()

    def allow_more(self) -> None:
        self.room.release(JOBS_PER_KILL)
        self.room_to_keep.release(KEPT_MAX // BATCH // KILLS)

    def _keep(self, client: Client) -> None:
        try:
            while not self._stop.is_set():
                if self.room_to_keep.acquire(timeout=0.1):
                    client.options(queue="held").submit_many("jobs:add", [(1, 2)] * BATCH)
                    self.kept += BATCH
        except Exception as error:
            self.errors.append(error)

    def _submit(self, number: int, client: Client) -> None:
        try:
            while not self._stop.is_set():
                if self.room.acquire(timeout=0.1):
                    name = f"{number}-{len(self.acked[number])}"
                    client.submit("jobs:ledger", self._path, name, self._rng.choice((0.0, 0.0, 0.02, 0.3)))
                    self.acked[number].append(name)
        except Exception as error:
            self.errors.append(error)

    def end(self) -> set[str]:
        """Names of all that was acknowledged."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert self.errors == []
        return {name for names in self.acked for name in names}


@pytest.mark.tier("T1")
def test_kills_at_random_moments_lose_nothing_and_run_nothing_twice(make_yard: Callable[..., Yard]) -> None:
    rng = random.Random(int(os.environ.get("JOBYARD_SEED", "1")))
    yard = make_yard(CONFIG)
    (zygote,) = yard.zygotes()
    load = Load(yard)
    slowest_s = 0.0
    try:
        for _ in range(KILLS):
            time.sleep(rng.uniform(0.0, 0.4))
            began_at = time.monotonic()
            yard.restart()
            slowest_s = max(slowest_s, time.monotonic() - began_at)
            load.allow_more()
    finally:
        acked = load.end()
    client = yard.client(timeout=60)

    def unfinished() -> int:
        counts = client.status().counts
        return counts["queued"] + counts["running"] - load.kept

    def wait_for_the_next(left: int) -> None:
        wait_for("the next job to be done", lambda: unfinished() < left, 60)

    while left := unfinished():
        wait_for_the_next(left)
    ledger = read_ledger(yard.path("ledger"))
    begun = Counter(name for name, what, _ in ledger if what == "begin")
    ended = Counter(name for name, what, _ in ledger if what == "end")
    figures = {
        "lost": len(acked - ended.keys()) + load.kept - client.status().counts["queued"],
        "phantom": len(begun.keys() - acked),
        "overlap": len(overlaps(ledger, [])),
        "reruns": sum(begun.values()) - len(begun),
    }
    count = len(acked) + load.kept
    tiers.report("T1", "kill -9 under load", kills=KILLS, acked=count, slowest_start_s=round(slowest_s, 2), **figures)
    assert set(figures.values()) == {0}, figures
    assert begun == ended and len(acked) > KILLS
    assert all(attempt.outcome == "ok" for job in client.list(limit=1000) for attempt in job.info().attempts)
    assert yard.zygotes() == [zygote]
