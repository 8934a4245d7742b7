"""Jobs per second, end to end and durable, fresh process each, against bare fork/_exit/wait of an equal process.

The bare rate is taken by a job of the same pool: a process that maps what the zygote maps. Target: at least half of it.
"""

from __future__ import annotations

import argparse
import time

from common import report, yard

FORKS = """
def bare_forks(count):
    import gc, os, time
    gc.collect(); gc.freeze(); gc.disable()
    began = time.perf_counter()
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    return count / (time.perf_counter() - began)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with yard(
        f"[pools.default]\nconcurrency = {options.slots}\npreload = ['jobs']\n[logging]\nlevel = 'warning'\n"
    ) as one:
        (one.directory / "jobs.py").open("a").write(FORKS)
        with one.client() as client:
            client.reload()
            ratios = []
            for _ in range(options.rounds):
                bare = client.submit("jobs:bare_forks", 500).result(timeout=60)
                client.pause()
                jobs = client.submit_many("jobs:nothing", [()] * options.jobs)
                began = time.perf_counter()
                client.resume()
                client.wait(jobs)
                rate = options.jobs / (time.perf_counter() - began)
                ratios.append(rate / bare)
                report("throughput round", jobs_per_s=rate, bare_forks_per_s=bare, ratio=rate / bare)
    report("throughput", ratio_median=sorted(ratios)[len(ratios) // 2], target="ratio >= 0.5")


if __name__ == "__main__":
    main()
