"""Durable submit with 100 subscribers of everything, one of them stopped, against one with none.

Three supervisors are asked in turn, in small rounds, on the same disk: one with followers as programs have them, one
with bare SUB sockets that take the same messages in C and look at none, and one with nobody. The subscribers run on the
same machine, so the figures hold their work too; the bare ones are the limit of what a follower can do about that.
Target: p99 at most 1.2 times that without subscribers.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
from common import median, percentile, report, yard
from jobyard import Client
from live import Yard

HELD = "[queues.held]\npaused = true\n[logging]\nlevel = 'warning'\n"
PROCESSES = 3
REST_S = 0.3  # after a round, for subscribers that are behind
COMMON = """
import json, os, sys, threading, time
from jobyard import Client
from jobyard.protocol.messages import Events
config, count = sys.argv[1], int(sys.argv[2])
os.nice(int(sys.argv[3]))
client = Client(config=config, timeout=60)
late = []  # seconds from what happened to its notice, of one follower
"""
FOLLOW = """
def follow(number):
    for position, notice in enumerate(client.events()):
        if position == 0:
            print("hears", flush=True)
        elif number == 0:
            late.append(time.time() - notice.at)
"""
BARE = """
import zmq
context = zmq.Context()
path = client.request(Events()).socket

def follow(number):
    bare, nowhere = context.socket(zmq.SUB), context.socket(zmq.PUB)
    bare.connect(f"ipc://{path}")
    bare.subscribe("all/")
    bare.subscribe(f"hello/{os.getpid()}-{number}/all/")
    for _ in range(2):
        bare.recv_multipart()
    print("hears", flush=True)
    zmq.proxy(bare, nowhere)
"""
RUN = """
for number in range(count):
    threading.Thread(target=follow, args=(number,), daemon=True).start()
for line in sys.stdin:
    print(json.dumps(late), flush=True)
    late.clear()
"""


class Subscribers:
    """So many in one process, all of which have heard something."""

    def __init__(self, kind: str, one: Yard, client: Client, count: int, nice: int) -> None:
        self.count = count
        command = [sys.executable, "-c", COMMON + kind + RUN, str(one.config), str(count), str(nice)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        heard = 0
        while heard < count:
            client.pause("default")
            client.resume("default")
            time.sleep(0.05)
            heard += len(self.process.stdout.readlines())
        os.set_blocking(self.process.stdout.fileno(), True)
        self.late()

    def late(self) -> list[float]:
        """What the first of them has measured since the last time."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("\n")
        found: list[float] = json.loads(self.process.stdout.readline())
        return found

    def cpu_s(self) -> float:
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


class Side:
    """A supervisor, and who listens to it."""

    def __init__(self, stack: contextlib.ExitStack, kind: str | None, options: argparse.Namespace) -> None:
        one = stack.enter_context(yard(HELD))
        self._client = one.client()
        self.taken: list[float] = []
        self.groups: list[Subscribers] = []
        shares = [(options.subscribers - 1 + part) // PROCESSES for part in range(PROCESSES)]
        for count in [1, *shares] if kind else []:
            self.groups.append(Subscribers(kind or "", one, self._client, count, options.nice))
            stack.callback(self.groups[-1].close)
        if self.groups:
            self.groups[0].process.send_signal(signal.SIGSTOP)
        self._cpu_s = self._used_s()

    def submit(self, count: int) -> None:
        held = self._client.options(queue="held")
        for _ in range(count):
            began = time.perf_counter()
            held.submit("jobs:add", 1, 2)
            self.taken.append(time.perf_counter() - began)
        time.sleep(REST_S)

    def follower_us(self) -> float:
        """CPU time of one follower for one notice."""
        return (self._used_s() - self._cpu_s) * 1e6 / len(self.taken) / sum(group.count for group in self.groups[1:])

    def _used_s(self) -> float:
        return sum(group.cpu_s() for group in self.groups[1:])


@contextlib.contextmanager
def sides(options: argparse.Namespace) -> Iterator[tuple[Side, Side, Side]]:
    with contextlib.ExitStack() as stack:
        yield Side(stack, None, options), Side(stack, BARE, options), Side(stack, FOLLOW, options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--count", type=int, default=200, help="per round and side")
    parser.add_argument("--subscribers", type=int, default=100)
    parser.add_argument("--nice", type=int, default=0, help="of the subscribers: 19 leaves out that they take CPU time")
    options = parser.parse_args()
    with sides(options) as (alone, bare, heard):
        for _ in range(options.rounds):
            for side in random.sample([alone, bare, heard], 3):  # what one leaves behind disturbs the next
                side.submit(options.count)
        late = heard.groups[1].late()
        follower_us, bare_us = heard.follower_us(), bare.follower_us()
    report(
        "stream",
        subscribers=options.subscribers,
        stopped=1,
        nice=options.nice,
        submit_p50_ms=median(heard.taken) * 1e3,
        submit_p99_ms=percentile(heard.taken, 0.99) * 1e3,
        alone_p50_ms=median(alone.taken) * 1e3,
        alone_p99_ms=percentile(alone.taken, 0.99) * 1e3,
        ratio_p50=median(heard.taken) / median(alone.taken),
        ratio_p99=percentile(heard.taken, 0.99) / percentile(alone.taken, 0.99),
        bare_ratio_p99=percentile(bare.taken, 0.99) / percentile(alone.taken, 0.99),
        follower_us=follower_us,
        bare_us=bare_us,
        told_p50_ms=median(late) * 1e3,
        told_p99_ms=percentile(late, 0.99) * 1e3,
        target="ratio_p99 <= 1.2",
    )


if __name__ == "__main__":
    main()
