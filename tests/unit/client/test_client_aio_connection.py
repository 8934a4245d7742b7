"""The connections of the asyncio client: one to a loop, over restarts, forks and threads."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from aio_run import descriptors, parks, requests, run, wait_under_way
from fake_supervisor import DEADLINE_S, FakeSupervisor, make_info
from fresh_process import run_python
from jobyard import AsyncClient
from jobyard.protocol import messages
from jobyard.protocol.errors import (
    SupervisorUnavailable,
)

# -- the connection ----------------------------------------------------------------------------------------------------


def test_no_supervisor_fails_at_once_for_every_task_and_tells_the_place(tmp_path: Path) -> None:
    path = tmp_path / "nobody.sock"

    async def main() -> list[Any]:
        async with AsyncClient(socket=path, timeout=600) as client:
            return await asyncio.gather(*(client.submit("m:f") for _ in range(3)), return_exceptions=True)

    for error in asyncio.run(main()):
        assert isinstance(error, SupervisorUnavailable) and str(path) in error.message


def test_path_that_is_too_long_for_a_socket_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncClient(socket=tmp_path / ("x" * 110)) as client:
            for _ in range(2):
                with pytest.raises(SupervisorUnavailable, match="cannot open"):
                    await client.ping()

    asyncio.run(main())


def test_listener_that_takes_nobody_in_does_not_hold_up_the_loop(tmp_path: Path) -> None:
    path = tmp_path / "hung.sock"
    with socket.socket(socket.AF_UNIX) as hung, socket.socket(socket.AF_UNIX) as first:
        hung.bind(str(path))
        hung.listen(0)
        first.connect(str(path))

        async def main() -> None:
            async with AsyncClient(socket=path, timeout=0.1) as client:
                with pytest.raises(SupervisorUnavailable, match="does not answer"):
                    await client.ping()

        asyncio.run(main())


def test_requests_and_waits_go_on_over_a_restart_of_the_supervisor(supervisor: FakeSupervisor) -> None:
    supervisor.answer = parks(supervisor)

    async def use(client: AsyncClient) -> Any:
        wait = await wait_under_way(client, supervisor)
        await asyncio.to_thread(supervisor.stop)
        submit = asyncio.create_task(client.submit("m:g"))
        supervisor.infos[1] = make_info(1, result="r")
        supervisor.answer = supervisor.accept
        await asyncio.to_thread(supervisor.start)
        return await wait, (await submit).id

    assert run(supervisor, use) == ("r", 2)


def test_supervisor_that_stays_away_ends_the_waits(supervisor: FakeSupervisor) -> None:
    supervisor.answer = parks(supervisor)

    async def use(client: AsyncClient) -> None:
        wait = await wait_under_way(client, supervisor)
        await asyncio.to_thread(supervisor.stop)
        with pytest.raises(SupervisorUnavailable):
            await wait

    run(supervisor, use, timeout=0.2)


def timers() -> list[str]:
    """What of the client would wake the loop up."""
    scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    return [repr(timer) for timer in scheduled if not timer.cancelled() and "AsyncLink" in repr(timer)]


def test_client_has_a_timer_only_while_something_may_be_late(supervisor: FakeSupervisor) -> None:
    supervisor.answer = lambda request: None

    async def use(client: AsyncClient) -> None:
        ping = asyncio.create_task(client.ping())
        await requests(supervisor, 1)
        assert len(timers()) == 1
        supervisor.tell(0, messages.Pong(1, "0", True, 1))
        await ping
        assert timers() == []

    run(supervisor, use)


def test_one_client_serves_loops_one_after_another_and_beside_each_other(supervisor: FakeSupervisor) -> None:
    client = AsyncClient(socket=supervisor.path, timeout=DEADLINE_S)
    ids: list[int] = []

    async def submit() -> None:
        ids.append((await client.submit("m:f")).id)

    before = descriptors()
    for _ in range(3):
        asyncio.run(submit())
    threads = [threading.Thread(target=lambda: asyncio.run(submit())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    asyncio.run(client.close())
    assert sorted(ids) == [1, 2, 3, 4, 5, 6]
    assert descriptors() <= before


def test_close_lets_tasks_finish_and_a_later_request_connects_anew(supervisor: FakeSupervisor) -> None:
    supervisor.answer = parks(supervisor)

    async def use(client: AsyncClient) -> Any:
        wait = await wait_under_way(client, supervisor)
        await client.close()
        await client.close()
        assert (await client.submit("m:g")).id == 2
        supervisor.tell(1, messages.Jobs([make_info(1, result=5)]))
        return await wait

    assert run(supervisor, use) == 5
    assert len(set(supervisor.routes)) == 2


def test_loop_that_ends_with_waits_under_way_leaves_nothing_behind(supervisor: FakeSupervisor) -> None:
    supervisor.answer = parks(supervisor)

    async def use(client: AsyncClient) -> None:
        wait = await wait_under_way(client, supervisor)
        assert not wait.done()

    run(supervisor, use)


def test_thousands_of_requests_that_end_in_turn_cost_little_each(supervisor: FakeSupervisor) -> None:
    async def use(client: AsyncClient) -> int:
        pongs = await asyncio.gather(*(client.ping() for _ in range(3_000)))
        return len(pongs)

    assert run(supervisor, use) == 3_000


def test_client_works_on_both_sides_of_a_fork(supervisor: FakeSupervisor) -> None:
    out = run_python(
        """
        import asyncio, os, sys, warnings
        from jobyard import AsyncClient
        warnings.filterwarnings("ignore", "This process .* is multi-threaded")  # from 3.12 on; it is the test's point
        client = AsyncClient(socket=sys.argv[1], timeout=20)
        async def submit(ref):
            await client.submit(ref)
        asyncio.run(submit("m:parent"))
        pid = os.fork()
        if pid == 0:
            asyncio.run(submit("m:child"))
            asyncio.run(client.close())
            sys.exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        asyncio.run(submit("m:parent"))
        print("ok")
        """,
        str(supervisor.path),
        warnings="ignore::ResourceWarning",  # what a child inherits and never touches, pyzmq reports as unclosed
    )
    assert out == "ok\n"
    assert [request.jobs[0].ref for request in supervisor.requests] == ["m:parent", "m:child", "m:parent"]


def test_program_that_never_closes_its_client_ends_without_a_word(supervisor: FakeSupervisor) -> None:
    out = run_python(
        """
        import asyncio, sys
        from jobyard import AsyncClient
        client = AsyncClient(socket=sys.argv[1], timeout=20)
        async def main():
            await AsyncClient(socket=sys.argv[1], timeout=20).submit("m:f")  # garbage at once
            print((await client.submit("m:f")).id)
        asyncio.run(main())
        """,
        str(supervisor.path),
    )
    assert out == "2\n"


def test_nothing_heavy_is_imported_before_it_is_used() -> None:
    run_python(
        """
        import sys, jobyard
        assert not {"zmq", "asyncio", "tomli"} & set(sys.modules)
        jobyard.AsyncClient()
        assert not {"zmq", "tomli"} & set(sys.modules)
        """
    )
