"""An executor under test, driven through its port alone, and what it left behind afterwards."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jobyard.protocol import codec, outputs
from jobyard.protocol.messages import LogChunk
from jobyard.supervisor import output
from jobyard.supervisor.core.effects import Order
from jobyard.supervisor.core.events import (
    Child,
    ChildExited,
    ChildReady,
    End,
    Exit,
    LogGrown,
    OutputRefused,
    PrepareFailed,
    Progressed,
    ZygoteGone,
    ZygoteUp,
)
from jobyard.supervisor.executors.base import Executor, ExecutorEvent, PoolSpec
from jobyard.supervisor.executors.spawn import SpawnExecutor
from jobyard.supervisor.executors.zygote.executor import ZygoteExecutor
from jobyard.supervisor.executors.zygote.fence import MARK
from jobyard.supervisor.executors.zygote.procs import Search

DEADLINE_S = 30.0
MAKERS: dict[str, Callable[..., Executor]] = {"zygote": ZygoteExecutor, "spawn": SpawnExecutor}


def spec(directory: Path, kind: str, **changes: Any) -> PoolSpec:
    jobs = Path(__file__).parent
    (directory / "run").mkdir(exist_ok=True, mode=0o700)
    base = PoolSpec(
        name="default",
        python=sys.executable,
        cwd=str(directory),
        path=[str(jobs)],
        env={**os.environ, "TMPDIR": str(directory)},
        allow=["conformance_jobs:*", "output_jobs:*", "conformance_jobs:Greeter.*", "conformance_jobs:OrderedDict"],
        runtime_dir=str(directory / "run"),
        output_dir=str(directory / "output"),
        preload=["conformance_jobs", "output_jobs"] if kind == "zygote" else [],
    )
    return replace(base, **changes)


@dataclass
class Attempt:
    """One order, and what became of it."""

    order: Order
    child: Child
    exit: Exit | None = None
    end: End | None = None
    seq: int = 0
    progress: list[tuple[float, float | None, str]] = field(default_factory=list)
    grown: list[bool] = field(default_factory=list)

    @property
    def value(self) -> Any:
        assert self.end is not None and self.end.kind == "ok" and self.end.result is not None, (self.end, self.exit)
        return codec.unpack_value(self.end.result)


class Yard:
    """Starts an executor, feeds it, and collects its events."""

    def __init__(self, kind: str, pool: PoolSpec) -> None:
        self.kind = kind
        self.spec = pool
        self.executor = MAKERS[kind](pool, generation=1, salt="conformance")
        self.seen: list[ExecutorEvent] = []
        self.up: ZygoteUp | None = None
        self.gone: ZygoteGone | None = None
        self.ready: list[Child] = []
        self.failed: list[PrepareFailed] = []
        self.attempts: dict[int, Attempt] = {}
        self.unbound_exits: list[ChildExited] = []
        self.refused: list[OutputRefused] = []
        self.acknowledging = True
        self._last_job = 0
        self.executor.start()

    # -- doing ---------------------------------------------------------------------------------------------------------

    def begin(self, function: str, *args: Any, options: dict[str, Any] | None = None, **kwargs: Any) -> Attempt:
        """Start a job; ``function`` is one of conformance_jobs, or a whole reference."""
        ref = function if ":" in function else f"conformance_jobs:{function}"
        if not self.ready:
            self.executor.prepare(1)
            self.wait(lambda: self.ready or self.failed or self.gone, "a child")
        assert self.ready, (self.failed, self.gone)
        self._last_job += 1
        order = Order(
            job_id=self._last_job,
            attempt=1,
            uid=f"uid-{self._last_job}",
            ref=ref,
            payload=codec.pack_arguments(args, kwargs),
            max_attempts=3,
            tried=0,
        )
        order = replace(order, **(options or {}))
        attempt = Attempt(order, self.ready.pop(0))
        self.attempts[attempt.child.kid] = attempt
        self.executor.go(attempt.child, order)
        return attempt

    def run(self, function: str, *args: Any, options: dict[str, Any] | None = None, **kwargs: Any) -> Attempt:
        return self.finish(self.begin(function, *args, options=options, **kwargs))

    def finish(self, attempt: Attempt) -> Attempt:
        self.wait(lambda: attempt.exit is not None, f"the end of {attempt.order.ref}")
        return attempt

    def kill(self, attempt: Attempt, kind: str = "cancel", grace_s: float = 5.0, reason: str | None = None) -> None:
        self.executor.kill(attempt.child, kind, grace_s, reason)

    # -- seeing --------------------------------------------------------------------------------------------------------

    def wait(self, condition: Callable[[], object], what: str, limit_s: float = DEADLINE_S) -> None:
        """Handle events until ``condition`` holds."""
        until = time.monotonic() + limit_s
        while not condition():
            left_s = until - time.monotonic()
            assert left_s > 0, f"{what} did not come; last events: {self.seen[-5:]}"
            select.select([self.executor.fileno()], [], [], min(left_s, 0.05))
            self.step()

    def wait_for_text(self, path: Path, text: str) -> None:
        self.wait(lambda: path.exists() and text in path.read_text(), f"{text!r} in {path.name}")

    def step(self) -> None:
        for event in self.executor.events():
            self.seen.append(event)
            self._handle(event)

    def _handle(self, event: ExecutorEvent) -> None:
        match event:
            case ZygoteUp():
                self.up = event
            case ZygoteGone():
                self.gone = event
            case ChildReady():
                self.ready.append(event.child)
            case PrepareFailed():
                self.failed.append(event)
            case ChildExited():
                self._exited(event)
            case Progressed():
                progress = event.progress
                self.attempts[event.child.kid].progress.append((progress.done, progress.total, progress.text))
            case OutputRefused():
                self.refused.append(event)
            case LogGrown():
                self.attempts[event.child.kid].grown.append(event.done)

    def _exited(self, event: ChildExited) -> None:
        attempt = self.attempts.get(event.child.kid)
        if attempt is None:
            self.unbound_exits.append(event)
            self.ready = [child for child in self.ready if child.kid != event.child.kid]
        else:
            assert attempt.exit is None, "one exit was told twice"
            attempt.exit, attempt.end, attempt.seq = event.exit, event.end, event.seq
        if self.acknowledging:
            self.executor.ack(event.child, event.seq)

    def size(self, attempt: Attempt) -> int:
        """How much an attempt has printed."""
        return outputs.size(self._output(attempt), settled=attempt.exit is not None)

    def chunks(self, attempt: Attempt, limit: int = 1 << 20) -> tuple[list[LogChunk], int]:
        """All that is kept of what an attempt has printed, and how much was dropped."""
        base, size = self._output(attempt), self.size(attempt)
        position, dropped, chunks = 0, 0, list[LogChunk]()
        while position < size:
            reading = outputs.read(base, position, size, limit)
            assert reading.chunks and sum(len(chunk.data) for chunk in reading.chunks) <= limit
            chunks += reading.chunks
            position, dropped = reading.reached, dropped + reading.dropped_bytes
        assert position == size
        return chunks, dropped

    def text(self, attempt: Attempt, stream: str | None = None) -> bytes:
        """All that an attempt has printed, of one stream or of all."""
        return b"".join(chunk.data for chunk in self.chunks(attempt)[0] if stream in (None, chunk.stream))

    def _output(self, attempt: Attempt) -> str:
        return output.base(self.spec.output_dir, attempt.order.job_id, 1)

    # -- ending --------------------------------------------------------------------------------------------------------

    def retire(self) -> ZygoteGone:
        self.executor.retire()
        self.wait(lambda: self.gone is not None, "the end of the executor")
        assert self.gone is not None
        return self.gone

    def marked(self) -> list[int]:
        """Living processes that belong to this executor."""
        return [pid for pid in Search(f"{MARK}={self.executor.uuid}").find() if is_alive(pid)]


MakeYard = Callable[..., Yard]


def is_alive(pid: int) -> bool:
    """Whether there is such a process that is not a zombie."""
    try:
        data = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return data.rpartition(")")[2].split()[0] not in "ZX"


def open_descriptors() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue
    return found
