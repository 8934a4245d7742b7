"""Time of ``jobctl list`` with 50 jobs, from start to exit. Target: at most 1.5 times that of the imports it needs.

Takes turns with the limit, since the machine's speed drifts. Modules are compiled, as they are once installed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from common import median, report, yard

JOBS = 50
LIMIT = [sys.executable, "-c", "import zmq, msgpack, argparse"]
LIST = [sys.executable, "-c", "from jobyard.client.cli.main import program; program()", "list"]  # as bin/jobctl does


def timed(command: Sequence[str], directory: Path, environ: dict[str, str]) -> tuple[float, float]:
    """Seconds by the clock, and of CPU time, that a process took."""
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=directory, env=environ, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    with yard() as one:
        client = one.client()
        client.wait(client.submit_many("jobs:add", [(number, 1) for number in range(JOBS)]))
        timed(LIST, one.directory, environ)  # compiles what is not compiled yet
        pairs = [(timed(LIMIT, one.directory, environ), timed(LIST, one.directory, environ)) for _ in range(rounds)]
    limit_s, list_s = (median([pair[at][0] for pair in pairs]) for at in (0, 1))
    report(
        "cli",
        jobs=JOBS,
        list_ms=1000 * list_s,
        limit_ms=1000 * limit_s,
        ratio=median([ours[0] / bare[0] for bare, ours in pairs]),
        cpu_ratio=min(ours[1] for _, ours in pairs) / min(bare[1] for bare, _ in pairs),
    )


if __name__ == "__main__":
    main()
