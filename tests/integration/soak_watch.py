"""What the soak test measures of a supervisor and of all that belongs to it, under load and between two rounds of it.

Reads /proc and the state directory only; knows nothing of what was asked.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import psutil
from live import Yard

EVERY_S = 0.25
ZOMBIE_S = 5.0  # a process that has ended is there until its parent has looked for what it left: two seconds at most
ZYGOTE = "jobyard.supervisor.executors.zygote.zygote"
ARCHIVIST = "jobyard.supervisor.archivist"


def module_of(process: psutil.Process) -> str:
    """The module that it was started with by ``-m``, or nothing."""
    with contextlib.suppress(psutil.Error, ValueError, IndexError):
        line = process.cmdline()
        return str(line[line.index("-m") + 1])
    return ""


def rss(pid: int) -> int:
    """Resident memory in bytes."""
    size: int = psutil.Process(pid).memory_info().rss
    return size


class Watch:
    """Looks at the yard's processes all the while, from ``with`` to its end.

    Attributes:
        zombies: those that stayed. samples: how often it has looked.
        threads: how many the supervisor had, and a zygote had, each time. archivist_bytes: the largest one.
    """

    def __init__(self, yard: Yard) -> None:
        self.zombies: set[str] = set()
        self.samples = 0
        self.threads: dict[str, set[int]] = {"supervisor": set(), "zygote": set()}
        self.archivist_bytes: list[int] = []
        self._supervisor = psutil.Process(yard.pid)
        self._ended: dict[tuple[int, float], float] = {}
        self._archivists: dict[tuple[int, float], int] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()
        self.archivist_bytes = list(self._archivists.values())

    def _run(self) -> None:
        while not self._over.wait(EVERY_S):
            self._look()

    def _look(self) -> None:
        now, ended = time.monotonic(), {}
        self.samples += 1
        self.threads["supervisor"].add(self._supervisor.num_threads())
        for process in self._supervisor.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                who = process.pid, process.create_time()
                if process.status() == psutil.STATUS_ZOMBIE:
                    ended[who] = self._ended.get(who, now)
                    if now - ended[who] > ZOMBIE_S:
                        self.zombies.add(f"{process.pid}, a child of {process.ppid()}")
                    continue
                module = module_of(process)
                if module == ARCHIVIST:
                    self._archivists[who] = max(self._archivists.get(who, 0), process.memory_info().rss)
                elif module == ZYGOTE and process.ppid() == self._supervisor.pid:
                    self.threads["zygote"].add(process.num_threads())
        self._ended = ended


def at_work(yard: Yard) -> bool:
    """Whether a helper of the supervisor's that ends by itself has not ended yet."""
    return any(module_of(one) in (ARCHIVIST, "jobyard.supervisor.output_pruner") for one in yard.left())


def files_below(directory: Path) -> int:
    """How many files there are."""
    return sum(len(files) for _, _, files in os.walk(directory))


def slope(points: Sequence[tuple[float, float]]) -> float:
    """By how much the second grows when the first grows by one, so that a few odd points weigh nothing: the median of
    the slopes between points that are far apart."""
    half = len(points) // 2
    found = sorted((y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in zip(points[:-half], points[half:], strict=True))
    return found[len(found) // 2]
