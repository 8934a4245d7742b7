"""An asyncio client in use, for tests: in a loop of its own, of which nothing may be left."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from typing import Any

from fake_supervisor import DEADLINE_S, FakeSupervisor
from jobyard import AsyncClient
from jobyard.protocol import messages

Use = Callable[[AsyncClient], Coroutine[Any, Any, Any]]


def run(supervisor: FakeSupervisor, use: Use, timeout: float = DEADLINE_S) -> Any:
    """Use a client in a loop of its own; nothing of it may be left."""

    async def main() -> Any:
        async with asyncio.timeout(DEADLINE_S), AsyncClient(socket=supervisor.path, timeout=timeout) as client:
            return await use(client)

    before = descriptors()
    try:
        return asyncio.run(main())
    finally:
        deadline = time.monotonic() + DEADLINE_S
        while descriptors() > before and time.monotonic() < deadline:
            os.sched_yield()  # the other side of the connection belongs to this process too
        assert descriptors() <= before


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def parks(supervisor: FakeSupervisor) -> Callable[[Any], Any]:
    """Leaves waits open; the rest is answered."""
    return lambda request: None if isinstance(request, messages.Wait) else supervisor.accept(request)


async def requests(supervisor: FakeSupervisor, count: int) -> list[Any]:
    """The requests, once there are ``count``; the loop goes on meanwhile."""
    return await asyncio.to_thread(supervisor.wait_for, count)


async def wait_under_way(client: AsyncClient, supervisor: FakeSupervisor) -> asyncio.Task[Any]:
    """A task that waits for the result of job 1, which ``parks`` leaves open."""
    job = await client.submit("m:f")
    task = asyncio.create_task(job.result())
    await requests(supervisor, 2)
    return task
