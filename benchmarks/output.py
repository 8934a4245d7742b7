"""What a job that prints 100 MB/s costs the supervisor's loop: round trips of a ping while it prints.

The job prints in large writes and in lines, each once with nobody listening and once with ``jobctl logs -f`` on it. The
limit is a job that computes for as long and prints nothing (``busy``): with few processors that alone makes
a ping slower, and only what comes on top is the output's doing. Target: p99 with a follower at most 1.5 times that.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
from common import median, percentile, report, yard
from jobyard import Client, Job
from live import Yard

PRINTERS = """
import os, time

def busy(seconds):
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass

def pour(seconds, rate=100):
    "Large writes, of so many MB/s."
    data = b"".join(b"%019d\\n" % number for number in range(50_000))
    began, printed = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < seconds:
        if printed < rate * spent:
            os.write(1, data)
            printed += 1
        else:
            time.sleep(0.001)
    return printed

def lines(seconds):
    "A write for each line, as many as there is time for."
    until, printed = time.perf_counter() + seconds, 0
    while time.perf_counter() < until:
        os.write(1, b"%019d\\n" % printed)
        printed += 1
    return printed * 20e-6
"""
FOLLOWED_S = 20.0  # after the job's end


def cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def pings(client: Client, seconds: float) -> list[float]:
    """Seconds of round trips, one after the other."""
    found, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        client.ping()
        found.append(time.perf_counter() - began)
        time.sleep(0.001)
    return found


@contextmanager
def follower(one: Yard, job: Job[object], wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    command = [sys.executable, "-m", "jobyard", "logs", "-f", str(job.id), "--config", str(one.config)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield
    process.wait(FOLLOWED_S)


def measure(name: str, one: Yard, client: Client, ref: str, seconds: float, *, followed: bool = False) -> float:
    """The p99 of a ping while the job runs."""
    before = cpu_s(one.pid)
    job = client.submit(ref, seconds)
    with follower(one, job, followed):
        times = pings(client, seconds)
        printed = job.result(timeout=60)
    p99 = percentile(times, 0.99)
    report(
        name,
        ping_p50_ms=median(times) * 1e3,
        ping_p99_ms=p99 * 1e3,
        ping_max_ms=max(times) * 1e3,
        pings=len(times),
        printed_mb_per_s=(printed or 0) / seconds,
        supervisor_cpu_s=cpu_s(one.pid) - before,
    )
    return p99


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with yard("[pools.default]\nconcurrency = 2\n", PRINTERS) as one, one.client() as client:
        client.submit("jobs:nothing").result()
        ratios: dict[str, list[float]] = {"pour": [], "lines": []}
        for _ in range(options.rounds):
            limit = measure("output busy", one, client, "jobs:busy", options.seconds)
            for name, found in ratios.items():
                measure(f"output {name}", one, client, f"jobs:{name}", options.seconds)
                p99 = measure(f"output {name} followed", one, client, f"jobs:{name}", options.seconds, followed=True)
                found.append(p99 / limit)
        report("output", **{name: median(found) for name, found in ratios.items()}, target="ratio <= 1.5")


if __name__ == "__main__":
    main()
