"""Jobs per second, end to end and durable, fresh process each, against bare fork/_exit/wait.

The bare rate is taken twice in each round: by the pool's own zygote as it serves, between two of its messages
(``bare``), and by a job of the pool (``bare_job``). Target: at least half of it. The CPU time of each job, by process,
is the steadier figure on a machine that does other things too.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from common import median, report, tree, yard

FORKS = """
import os, time

def bare_forks(count):
    began = time.perf_counter()
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    return count / (time.perf_counter() - began)

def measure_when_asked():
    '''In the zygote: before the first message after somebody has made the file ``ask``.'''
    from jobyard.supervisor.executors.zygote.link import Link

    take = Link._message

    def take_later(self, *message):
        if os.path.exists("ask"):
            os.unlink("ask")
            with open("rate", "w") as file:
                file.write(str(bare_forks(500)))
        take(self, *message)

    Link._message = take_later
"""


def cpu_s(supervisor: int) -> dict[str, float]:
    """CPU seconds so far of the supervisor, its zygotes, and the zygotes' children that have ended."""
    found = dict.fromkeys(("supervisor", "zygote", "children"), 0.0)
    for pid in tree(supervisor):
        fields = [int(field) for field in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]]
        if pid == supervisor:
            found["supervisor"] += sum(fields[:2])
        elif b"zygote.zygote" in Path(f"/proc/{pid}/cmdline").read_bytes():
            found["zygote"] += sum(fields[:2])
            found["children"] += sum(fields[2:])
    return {name: ticks / os.sysconf("SC_CLK_TCK") for name, ticks in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    pool = f"[pools.default]\nconcurrency = {options.slots}\npreload = ['jobs']\nsetup = 'jobs:measure_when_asked'\n"
    with yard(f"{pool}[logging]\nlevel = 'warning'\n", FORKS) as one, one.client() as client:
        ratios, job_ratios = [], []
        for _ in range(options.rounds):
            (one.directory / "ask").touch()
            client.submit("jobs:nothing").result(timeout=60)
            bare = float((one.directory / "rate").read_text())
            bare_job = client.submit("jobs:bare_forks", 500).result(timeout=60)
            client.pause()
            jobs = client.submit_many("jobs:nothing", [()] * options.jobs)
            before, began = cpu_s(one.pid), time.perf_counter()
            client.resume()
            client.wait(jobs)
            rate = options.jobs / (time.perf_counter() - began)
            after = cpu_s(one.pid)
            used = {f"{name}_us": round((after[name] - before[name]) / options.jobs * 1e6) for name in after}
            ratios.append(rate / bare)
            job_ratios.append(rate / bare_job)
            report(
                "throughput round",
                jobs_per_s=rate,
                bare_per_s=bare,
                bare_job_per_s=bare_job,
                ratio=rate / bare,
                ratio_job=rate / bare_job,
                **used,
            )
    report("throughput", ratio=median(ratios), ratio_job=median(job_ratios), target="ratio >= 0.5")


if __name__ == "__main__":
    main()
