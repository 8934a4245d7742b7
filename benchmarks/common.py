"""What the benchmarks share: a supervisor in a directory of its own, and figures as JSON lines.

Every figure that matters is a ratio against a limit measured in the same run, since machines differ and are noisy.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "integration"))

from live import Yard

JOBS = """
def nothing(*args):
    return None

def add(a, b):
    return a + b
"""


@contextlib.contextmanager
def yard(config: str = "", code: str = "") -> Iterator[Yard]:
    """A supervisor in a temporary directory on a real disk, stopped at the end. ``code`` is added to its jobs."""
    with tempfile.TemporaryDirectory(prefix="jobyard-bench-", dir=os.environ.get("BENCH_DIR", "/var/tmp")) as name:
        one = Yard(Path(name), JOBS + code, config)
        try:
            said = one.start()
            if "error" in said:
                raise RuntimeError(said["error"])
            yield one
        finally:
            one.close()


def report(name: str, **figures: object) -> None:
    """One line of JSON on standard output."""
    shown = {key: round(value, 4) if isinstance(value, float) else value for key, value in figures.items()}
    print(json.dumps({"benchmark": name, **shown}), flush=True)


def percentile(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def rss_bytes(pid: int) -> int:
    """Resident memory of one process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def tree(pid: int) -> list[int]:
    """The process and all its descendants."""
    found = [pid]
    for one in found:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += [int(child) for child in children.read_text().split()]
    return found
