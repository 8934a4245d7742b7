"""Many queued small jobs: memory, and how long a start with them takes. For 100,000: at most 150 MB and 10 s."""

from __future__ import annotations

import argparse
import time

from common import report, rss_bytes, yard


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    options = parser.parse_args()
    with yard("[queues.held]\npaused = true\n") as one:
        empty = rss_bytes(one.pid)
        with one.client() as client:
            held = client.options(queue="held")
            began = time.perf_counter()
            held.submit_many("jobs:add", [(number, number) for number in range(options.jobs)])
            submitted_s = time.perf_counter() - began
            full = rss_bytes(one.pid)
        one.kill()
        began = time.perf_counter()
        one.start()
        reopened_s = time.perf_counter() - began
        with one.client() as client:
            queued = client.status().counts["queued"]
        reopened = rss_bytes(one.pid)
    report(
        "memory",
        jobs=options.jobs,
        found_again=queued,
        rss_empty_mb=empty / 1e6,
        rss_full_mb=full / 1e6,
        rss_reopened_mb=reopened / 1e6,
        bytes_per_job=(full - empty) / options.jobs,
        submit_many_per_s=options.jobs / submitted_s,
        reopen_s=reopened_s,
        target="100,000 jobs: rss_full_mb <= 150, reopen_s <= 10",
    )


if __name__ == "__main__":
    main()
