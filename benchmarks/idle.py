"""Wake-ups of an idle supervisor and of everything below it. Target: none."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from common import report, tree, yard


def switches(pid: int) -> int:
    """Voluntary context switches of all threads of a process."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        for line in status.read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                total += int(line.split()[1])
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    with yard() as one:
        with one.client() as client:
            client.submit("jobs:add", 1, 2).result(timeout=30)
        time.sleep(1.0)
        pids = tree(one.pid)
        before = {pid: switches(pid) for pid in pids}
        time.sleep(options.seconds)
        woken = {pid: switches(pid) - before[pid] for pid in pids}
        names = {pid: Path(f"/proc/{pid}/cmdline").read_text().split("\0")[-2][-40:] for pid in pids}
    report("idle", seconds=options.seconds, processes=len(pids), wakeups=sum(woken.values()), target="wakeups == 0")
    for pid, count in woken.items():
        if count:
            report("idle process", pid=pid, command=names[pid], wakeups=count)


if __name__ == "__main__":
    main()
