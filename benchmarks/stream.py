"""Durable submit with 100 subscribers of everything, one of them stopped, against one with none.

Two supervisors, which are asked in turn, in small rounds, on the same disk. The subscribers run on the same machine, so
the figure holds their work too. Target: p99 at most 1.2 times that without subscribers.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time

from common import median, percentile, report, yard
from jobyard import Client

HELD = "[queues.held]\npaused = true\n[logging]\nlevel = 'warning'\n"
PROCESSES = 3
REST_S = 0.3  # after a round, for subscribers that are behind
FOLLOW = """
import os, sys, threading
from jobyard import Client
os.nice(int(sys.argv[3]))
client = Client(config=sys.argv[1], timeout=60)

def follow():
    events = client.events()
    for number, notice in enumerate(events):
        if number == 0:
            print("hears", flush=True)

for _ in range(int(sys.argv[2])):
    threading.Thread(target=follow).start()
"""


def subscribers(config: str, count: int, nice: int, client: Client) -> subprocess.Popen[bytes]:
    """A process with so many, all of which have heard something."""
    process = subprocess.Popen([sys.executable, "-c", FOLLOW, config, str(count), str(nice)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    heard = b""
    while heard.count(b"\n") < count:
        client.pause("default")
        client.resume("default")
        time.sleep(0.05)
        heard += process.stdout.read() or b""
    return process


def submit(client: Client, count: int) -> list[float]:
    held = client.options(queue="held")
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        held.submit("jobs:add", 1, 2)
        taken.append(time.perf_counter() - began)
    time.sleep(REST_S)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--count", type=int, default=200, help="per round and side")
    parser.add_argument("--subscribers", type=int, default=100)
    parser.add_argument("--nice", type=int, default=0, help="of the subscribers: 19 leaves out that they take CPU time")
    options = parser.parse_args()
    with yard(HELD) as alone, yard(HELD) as heard, alone.client() as quiet, heard.client() as busy:
        shares = [(options.subscribers - 1 + part) // PROCESSES for part in range(PROCESSES)]
        processes = [subscribers(str(heard.config), count, options.nice, busy) for count in [1, *shares]]
        try:
            processes[0].send_signal(signal.SIGSTOP)
            without: list[float] = []
            with_all: list[float] = []
            for _ in range(options.rounds):
                without += submit(quiet, options.count)
                with_all += submit(busy, options.count)
        finally:
            for process in processes:
                process.kill()
                process.wait()
    report(
        "stream",
        subscribers=options.subscribers,
        stopped=1,
        nice=options.nice,
        submit_p50_ms=median(with_all) * 1e3,
        submit_p99_ms=percentile(with_all, 0.99) * 1e3,
        alone_p50_ms=median(without) * 1e3,
        alone_p99_ms=percentile(without, 0.99) * 1e3,
        ratio_p50=median(with_all) / median(without),
        ratio_p99=percentile(with_all, 0.99) / percentile(without, 0.99),
        target="ratio_p99 <= 1.2",
    )


if __name__ == "__main__":
    main()
