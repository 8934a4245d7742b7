"""Jobs per second through the executor port alone (no journal), against bare fork/_exit/wait in the same zygote.

The job returns None and prints nothing. The zygote measures its bare rate itself while it starts: this file is its
``setup``. Several zygotes are measured in turn, so that both figures come from the same moments of the machine.

    python benchmarks/fork_rate.py [JOBS]
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

ROUNDS = 5
SLOTS = (1, 2, 4)
BARE_FORKS = 400
RATE_FILE = "JOBYARD_BENCHMARK_RATE"


def nothing() -> None:
    """The job."""


def measure_bare() -> None:
    """In the zygote: how fast it can fork, end and collect a child."""
    began = time.perf_counter()
    for _ in range(BARE_FORKS):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    Path(os.environ[RATE_FILE]).write_text(str(BARE_FORKS / (time.perf_counter() - began)))


def run_round(directory: str, slots: int, jobs: int) -> tuple[float, float]:
    """Jobs per second of one fresh zygote, and its bare rate."""
    import select  # here, since what a zygote loads is what every child carries

    from jobyard.protocol import codec
    from jobyard.supervisor.core.effects import Order
    from jobyard.supervisor.core.events import ChildExited, ChildReady
    from jobyard.supervisor.executors.base import PoolSpec
    from jobyard.supervisor.executors.zygote.executor import ZygoteExecutor

    rate_file = Path(directory, "rate")
    spec = PoolSpec(
        name="default",
        python=sys.executable,
        cwd=directory,
        path=[str(Path(__file__).parent)],
        env={**os.environ, RATE_FILE: str(rate_file)},
        allow=["fork_rate:nothing"],
        runtime_dir=directory,
        output_dir=str(Path(directory, "output")),
        setup="fork_rate:measure_bare",
    )
    executor = ZygoteExecutor(spec, generation=1, salt="benchmark")
    executor.start()
    payload = codec.pack_arguments((), {})
    executor.prepare(slots + 1)
    given = done = 0
    began = 0.0
    while done < jobs:
        select.select([executor.fileno()], [], [])
        for event in executor.events():
            if isinstance(event, ChildReady) and given < jobs:
                began = began or time.perf_counter()
                given += 1
                order = Order(given, 1, f"u{given}", "fork_rate:nothing", payload, 1, 0, timeout_s=60.0)
                executor.go(event.child, order)
            elif isinstance(event, ChildExited):
                assert event.end is not None and event.end.kind == "ok", event
                done += 1
                executor.prepare(1)
                executor.ack(event.child, event.seq)
    rate = jobs / (time.perf_counter() - began)
    executor.close()
    return rate, float(rate_file.read_text())


def main() -> None:
    import statistics
    import tempfile

    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    rows: dict[int, list[tuple[float, float]]] = {slots: [] for slots in SLOTS}
    with tempfile.TemporaryDirectory() as directory:
        for _ in range(ROUNDS):
            for slots in SLOTS:
                rows[slots].append(run_round(directory, slots, jobs))
    for slots, found in rows.items():
        jobs_s = statistics.median(rate for rate, _ in found)
        bare_s = statistics.median(bare for _, bare in found)
        ratio = statistics.median(rate / bare for rate, bare in found)
        print(f"{slots} slots: {jobs_s:6.0f} jobs/s, {bare_s:6.0f} bare forks/s, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
