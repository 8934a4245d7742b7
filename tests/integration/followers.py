"""Followers of the status stream in a process of their own, which tests can stop and kill.

``python followers.py CONFIG COUNT FILE``: COUNT threads follow everything. When all have asked for their position it
prints "ready". Each appends a line of JSON for each notice to FILE.NUMBER: kind, epoch, seq, job, and whether it was
published or had to be asked for.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from jobyard import Client
from jobyard.client import stream
from jobyard.client.events import Follower
from jobyard.protocol.notices import EventFilter


class Noted(Follower):
    """A follower that knows where its notices came from."""

    def published(self, frames: Any) -> Any:
        return [(notice, True) for notice in super().published(frames)]

    def answered(self, reply: Any) -> Any:
        return [(notice, False) for notice in super().answered(reply)]


def follow(client: Client, path: str, begun: threading.Semaphore) -> None:
    follower = Noted(None, EventFilter())
    first = client.request(follower.request())
    begun.release()
    with open(path, "a", buffering=1) as file:
        found: Any = stream.follow(client, follower, first, 20.0)
        for notice, published in found:
            line = [notice.kind, notice.epoch, notice.seq, notice.job_id, published]
            file.write(json.dumps(line) + "\n")


def main() -> None:
    config, count, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    begun = threading.Semaphore(0)
    client = Client(config=config, timeout=20.0)
    threads = [threading.Thread(target=follow, args=(client, f"{path}.{n}", begun)) for n in range(count)]
    for thread in threads:
        thread.start()
    for _ in threads:
        begun.acquire()
    print("ready", flush=True)
    for thread in threads:
        thread.join()


class Followers:
    """Such a process, and what its followers have got so far."""

    def __init__(self, config: Path, count: int, name: str) -> None:
        self.count = count
        self._path = config.parent / name
        command = [sys.executable, str(Path(__file__)), str(config), str(count), str(self._path)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=config.parent)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"
        self.process.stdout.close()

    def seen(self, number: int = 0) -> list[tuple[str, int, int, int | None, bool]]:
        path = self._path.with_name(f"{self._path.name}.{number}")
        lines = path.read_text().splitlines() if path.exists() else []
        return [tuple(json.loads(line)) for line in lines if line.endswith("]")]

    def numbers(self, number: int = 0) -> list[tuple[int, int]]:
        """Positions of all notices but progress."""
        return [(epoch, seq) for kind, epoch, seq, _, _ in self.seen(number) if kind != "progress"]

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


if __name__ == "__main__":
    main()
