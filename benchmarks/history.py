"""A history of many finished jobs: how fast it is written, and how fast it answers.

The rows come through the archivist's own writer. The answers are measured twice: at the history process alone, and by
a client of a supervisor that has the history, whose memory must not notice. Target: at most 100 ms for the first page,
for a filter by state and job, and for a text search. Whether the loop notices is told by pings of another client, taken
while nothing is asked of the history and while all of the questions are asked without a pause.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgpack
from common import JOBS, median, report, rss_bytes
from jobyard import Client
from jobyard.conf.settings import JournalSettings
from jobyard.protocol import codec, schema
from jobyard.protocol.history import Stats
from jobyard.protocol.job import AttemptInfo, ErrorInfo, Policy, Usage
from jobyard.protocol.messages import Filter, List
from jobyard.supervisor.core.records import Cancelled, NewJob, Pruned, Record, Submitted, to_wire
from jobyard.supervisor.core.state import Job
from jobyard.supervisor.history.server import Server
from jobyard.supervisor.history.store import Store
from jobyard.supervisor.journal.journal import Journal
from live import Yard

BATCH = 20_000
PAGE = 50
TARGET_MS = 100.0
WITHIN_S = 60.0
PING_ROUNDS_S = 5.0
STARTED_AT = 1_780_000_000.0


def finished_job(number: int, rng: random.Random) -> Job:
    """One of 20 functions in 5 queues; every 20th failed."""
    at = STARTED_AT + number * 2.0
    payload = codec.pack_arguments(
        (f"customer-{number}", f"user{number % 1000}@example.org"), {"report": f"monthly-{number % 37}", "n": number}
    )
    name = f"jobs:task{rng.randrange(20)}"
    uid = f"{int(at * 1000):012x}{number:020x}"
    job = Job(NewJob(number, uid, name, name, payload, f"queue{rng.randrange(5)}", 0, Policy(), at, at), Policy())
    failed = number % 20 == 0
    error = ErrorInfo("builtins.ValueError", f"no such customer {number % 500}", "Traceback\n" * 20) if failed else None
    run_s = rng.expovariate(1.0)
    job.state, job.attempt, job.finished_at = "failed" if failed else "succeeded", 1, at + run_s
    usage = Usage(run_s / 2, 0.01, 20 << 20)
    job.attempts = (
        AttemptInfo(1, at, at + run_s, "error" if failed else "ok", error=error, usage=usage, wait_s=rng.random()),
    )
    return job


def fill(path: Path, count: int) -> float:
    """Seconds that it took the writer, without those for making up the jobs."""
    rng, spent = random.Random(1), 0.0
    with Store.open(path) as store:
        for start in range(1, count + 1, BATCH):
            jobs = [finished_job(number, rng) for number in range(start, min(start + BATCH, count + 1))]
            began = time.perf_counter()
            store.archive(jobs, jobs[-1].id, 0.0)
            spent += time.perf_counter() - began
    return spent


def forget(directory: Path, count: int) -> None:
    """A journal that says: there were so many jobs, and they have left memory."""
    directory.mkdir(mode=0o700, parents=True)
    recovery = Journal.open(directory, JournalSettings())
    assert not list(recovery.groups())
    journal = recovery.begin()
    new = NewJob(count, f"{count:032x}", "jobs:add", "jobs:add", b"", "default", 0, Policy(), 0.0, 0.0)
    records: list[Record] = [Submitted([new]), Cancelled([count], 0.0, "benchmark"), Pruned([count])]
    journal.append([msgpack.packb(to_wire(record)) for record in records])
    journal.close()


def questions(count: int) -> Iterator[tuple[str, List]]:
    middle = count // 2
    yield "first_page", List(limit=PAGE)
    yield "far_page", List(limit=PAGE, before=middle)
    yield "last_finished", List(limit=PAGE, sort="finished")
    yield "state_and_job", List(Filter(states=["failed"], ref="jobs:task7"), PAGE)
    yield "queue_and_state", List(Filter(states=["failed"], queue="queue3"), PAGE)
    yield "since", List(Filter(since=STARTED_AT + (count - 1000) * 2.0), PAGE)
    yield "search_rare", List(Filter(search=f"customer-{middle}"), PAGE)
    yield "search_common", List(Filter(search="monthly"), PAGE)
    yield "search_two_words", List(Filter(search="user777@ monthly-3"), PAGE)
    yield "search_nothing", List(Filter(search="nobody-has-this"), PAGE)
    yield "error_text", List(Filter(error="no such customer 420"), PAGE)


def timed_ms(ask: Callable[[], Any], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        ask()
        times.append((time.perf_counter() - began) * 1e3)
    return median(times)


def pings(client: Client, seconds: float) -> dict[str, float]:
    """One ping after the other for so long."""
    times, until = [], time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        client.ping()
        times.append((time.perf_counter() - began) * 1e3)
    times.sort()
    return {"count": len(times), "p50_ms": median(times), "p99_ms": times[len(times) * 99 // 100], "max_ms": times[-1]}


@contextmanager
def busy(one: Yard, count: int) -> Iterator[None]:
    """Another process asks all of the questions again and again."""
    pid = os.fork()
    if not pid:
        client = one.client()
        while True:
            for _, request in questions(count):
                client.request(request, WITHIN_S)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    os.umask(0o077)
    with tempfile.TemporaryDirectory(prefix="jobyard-bench-", dir=os.environ.get("BENCH_DIR", "/var/tmp")) as name:
        one = Yard(Path(name), JOBS, "[history]\nanswer_within = 60\n")
        path = one.directory / ".jobyard" / "history.db"
        forget(path.parent / "journal", options.jobs)
        spent = fill(path, options.jobs)
        size = path.stat().st_size
        report("history_fill", jobs=options.jobs, seconds=spent, jobs_per_s=options.jobs / spent, bytes=size)
        try:
            said = one.start()
            if "error" in said:
                raise RuntimeError(said["error"])
            measure(one, path, options.jobs, options.rounds)
        finally:
            one.close()


def measure(one: Yard, path: Path, count: int, rounds: int) -> None:
    client, server = one.client(), Server(path)
    before = rss_bytes(one.pid)
    for name, request in questions(count):
        body = {"request": schema.to_wire(request), "highest": count, "count": PAGE + 1}
        report(
            f"history_{name}",
            alone_ms=timed_ms(partial(server.answer, "page", body, WITHIN_S), rounds),
            client_ms=timed_ms(partial(client.request, request, WITHIN_S), rounds),
            target_ms=TARGET_MS,
        )
    report(
        "history_stats",
        alone_ms=timed_ms(lambda: server.answer("stats", schema.to_wire(Stats()), WITHIN_S), rounds),
        client_ms=timed_ms(lambda: client.request(Stats(), WITHIN_S), rounds),
        target_ms=TARGET_MS,
    )
    server.close()
    report("history_ping_idle", **pings(client, PING_ROUNDS_S))
    with busy(one, count):
        report("history_ping_while_asked", **pings(client, PING_ROUNDS_S))
    report("history_memory", before_bytes=before, after_bytes=rss_bytes(one.pid))


if __name__ == "__main__":
    main()
