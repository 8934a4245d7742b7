"""The asyncio client, and jobs that submit jobs, with a real supervisor."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jobyard import AsyncClient, JobFailed, NotAllowed, SupervisorUnavailable
from jobyard.protocol.notices import Events
from live import Yard, wait_for

JOBS = """
import time
from jobyard import task  # every job process imports what this module does


def add(a, b=0):
    return a + b


def fail():
    raise ValueError("no such month")


def slow(path):
    for number in range(3):
        print("line", number, flush=True)
    while not __import__("os").path.exists(path):
        time.sleep(0.01)
    print("end")
    return "done"


def parent():
    from jobyard import Client

    with Client() as client:
        child = client.submit("jobs:add", 1, 2)
        return child.id, child.result(timeout=30)


@task
def child_of_task():
    return 5


def parent_by_task():
    child = child_of_task.submit()
    return child.id, child.result(timeout=30)


async def async_parent():
    from jobyard import AsyncClient

    async with AsyncClient() as client:
        children = [await client.submit("jobs:add", number) for number in range(3)]
        return [child.id for child in children], sum([await child for child in children])
"""


@pytest.fixture
def yard(make_yard: Callable[..., Yard]) -> Yard:
    return make_yard("[pools.default]\nconcurrency = 4\n", JOBS)


def run(yard: Yard, use: Callable[[AsyncClient], Any]) -> Any:
    async def main() -> Any:
        async with asyncio.timeout(60), AsyncClient(config=yard.config, timeout=20) as client:
            return await use(client)

    return asyncio.run(main())


def test_async_client_submits_waits_and_tells_of_failures(yard: Yard) -> None:
    async def use(client: AsyncClient) -> Any:
        job = await client.submit("jobs:add", 40, b=2)
        with pytest.raises(JobFailed, match="no such month"):
            await (await client.options(retries=0).submit("jobs:fail"))
        return await job, (await job.info()).state

    assert run(yard, use) == (42, "succeeded")


def test_many_async_submits_and_waits_are_under_way_at_once(yard: Yard) -> None:
    async def use(client: AsyncClient) -> Any:
        jobs = await asyncio.gather(*(client.submit("jobs:add", number) for number in range(100)))
        first = [job.id async for job in client.as_completed(jobs[:20])]
        assert sorted(first) == sorted(job.id for job in jobs[:20])
        return await asyncio.gather(*jobs)

    assert run(yard, use) == list(range(100))


def test_async_waits_and_logs_outlive_a_kill_of_the_supervisor(yard: Yard, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    async def use(client: AsyncClient) -> Any:
        job = await client.submit("jobs:slow", str(gate))
        waits = [asyncio.create_task(job.result()) for _ in range(10)]
        lines = job.logs(follow=True)
        first = await anext(lines)
        await asyncio.to_thread(yard.restart)
        gate.touch()
        rest = [line.text async for line in lines]
        return first.text, rest[-1], set(await asyncio.gather(*waits))

    assert run(yard, use) == ("line 0", "end", {"done"})


def test_async_events_tell_the_life_of_a_job_and_end_with_it(yard: Yard) -> None:
    async def use(client: AsyncClient) -> list[str]:
        job = await client.submit("jobs:add", 1)
        return [notice.kind async for notice in job.events()]

    assert run(yard, use) == ["submitted", "started", "ended", "succeeded"]


def test_many_async_followers_are_told_what_happens_also_over_a_kill_of_the_supervisor(yard: Yard) -> None:
    async def use(client: AsyncClient) -> list[list[tuple[str, int | None]]]:
        await (await client.submit("jobs:add", 0))
        heard = asyncio.Semaphore(0)

        async def follow() -> list[tuple[str, int | None]]:
            told = []
            async for notice in client.events("oldest", kinds="succeeded"):
                told.append((notice.kind, notice.job_id))
                heard.release()
                if len(told) == 4:
                    break
            return told

        followers = [asyncio.create_task(follow()) for _ in range(10)]
        for number in (1, 2):
            await client.submit("jobs:add", number)
            for _ in followers:
                await heard.acquire()
            if number == 1:
                for _ in followers:
                    await heard.acquire()
                await asyncio.to_thread(yard.restart)
        return await asyncio.gather(*followers)

    assert run(yard, use) == 10 * [[("succeeded", 1), ("succeeded", 2), ("events_truncated", None), ("succeeded", 3)]]


def test_followers_that_stop_or_are_left_over_leave_nothing_open(yard: Yard) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    async def use(client: AsyncClient) -> None:
        await client.submit("jobs:add", 1)
        async for _ in client.events("oldest"):
            break
        left = client.events("oldest")
        await anext(left)
        waits = asyncio.create_task(anext(client.events()))
        await asyncio.wait([waits], timeout=0)
        await client.close()
        left_over.append(left)

    before, left_over = descriptors(), list[Any]()
    run(yard, use)
    assert descriptors() == before


def test_async_follower_of_an_idle_system_does_not_wake_up(yard: Yard) -> None:
    async def use(client: AsyncClient) -> str:
        loop: Any = asyncio.get_running_loop()
        turns, select = [0], loop._selector.select

        def counted(timeout: float | None = None) -> Any:
            turns[0] += 1
            return select(timeout)

        loop._selector.select = counted
        following = client.events()
        first = asyncio.create_task(anext(following))
        while not first.done():
            await client.pause("default")
            await client.resume("default")
        still = asyncio.create_task(anext(client.events(kinds="refused")))
        before = -1
        while turns[0] - before > 2:  # until half a second has passed with no turns but those of its own timer
            before = turns[0]
            await asyncio.sleep(0.5)
        assert not still.done()
        refused = asyncio.create_task(client.submit("jobs:unknown"))
        await asyncio.wait([refused])
        assert isinstance(refused.exception(), NotAllowed)
        return (await still).kind

    assert run(yard, use) == "refused"


def test_removed_socket_of_the_stream_is_told_to_an_async_follower(yard: Yard) -> None:
    async def main() -> None:
        async with asyncio.timeout(60), AsyncClient(config=yard.config, timeout=0.5) as client:
            Path((await client.request(Events())).socket).unlink()
            await anext(client.events())

    with pytest.raises(SupervisorUnavailable, match=r"its status stream at .* cannot be reached"):
        asyncio.run(main())


@pytest.mark.parametrize("ref", ["jobs:parent", "jobs:parent_by_task"])
def test_job_finds_its_supervisor_and_is_the_parent_of_what_it_submits(yard: Yard, ref: str) -> None:
    client = yard.client()
    job = client.submit(ref)
    child_id, result = job.result(timeout=30)
    assert result in (3, 5)
    assert client.info(child_id).parent == job.id
    assert f"  parent     {job.id}\n" in yard.jobctl("show", str(child_id)).stdout


def test_async_job_is_the_parent_of_what_it_submits(yard: Yard) -> None:
    client = yard.client()
    job = client.submit("jobs:async_parent")
    ids, total = job.result(timeout=30)
    assert total == 3
    assert {info.parent for info in client.infos(ids)} == {job.id}


def test_parents_are_known_after_a_restart(yard: Yard) -> None:
    client = yard.client()
    job = client.submit("jobs:parent")
    child_id, _ = job.result(timeout=30)
    yard.restart()
    assert wait_for("the child to be known again", lambda: client.info(child_id).parent) == job.id
