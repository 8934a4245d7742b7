"""The asyncio client over a real socket: what is its own beside the client whose translation it shares."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aio_run import parks, requests, run
from fake_supervisor import FakeSupervisor, failed_info, make_info
from jobyard import AsyncClient, AsyncJob
from jobyard.client.aio_link import IN_FLIGHT_MAX
from jobyard.client.exchange import FOUND_AT_ONCE
from jobyard.client.handle import WAIT_IDS_MAX
from jobyard.client.lines import LogLine
from jobyard.protocol import messages, states
from jobyard.protocol.errors import (
    BadArguments,
    JobFailed,
    JobNotFound,
    NotAllowed,
    OutcomeUnknown,
    WaitTimeout,
    WrongState,
)

# -- submit ------------------------------------------------------------------------------------------------------------


def test_submit_gives_a_handle_that_can_be_awaited(supervisor: FakeSupervisor) -> None:
    async def use(client: AsyncClient) -> Any:
        job = await client.options(queue="mail").submit("m:f", 1, to="x")
        supervisor.infos[job.id] = make_info(job.id, result=(1, 2))
        return repr(job), await job

    assert run(supervisor, use) == ("<AsyncJob 1>", (1, 2))
    (sent,) = supervisor.requests[0].jobs
    assert (sent.ref, sent.arg_count, sent.kwarg_names, sent.options) == ("m:f", 1, ["to"], {"queue": "mail"})


def test_submits_of_many_tasks_are_under_way_together_but_not_too_many(supervisor: FakeSupervisor) -> None:
    open_requests: list[Any] = []

    def answer(request: Any) -> Any:
        open_requests.append(request)

    async def use(client: AsyncClient) -> list[AsyncJob[Any]]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(client.submit("m:f", number)) for number in range(IN_FLIGHT_MAX + 10)]
            sent = await requests(supervisor, IN_FLIGHT_MAX)
            assert len(open_requests) == len(sent) == IN_FLIGHT_MAX
            supervisor.answer = supervisor.accept
            for index, request in enumerate(sent):
                supervisor.tell(index, supervisor.accept(request))
        return [task.result() for task in tasks]

    supervisor.answer = answer
    assert len({job.id for job in run(supervisor, use)}) == IN_FLIGHT_MAX + 10
    assert len(set(supervisor.routes)) == 1


def test_submit_many_and_submit_by_name_send_what_the_other_client_sends(supervisor: FakeSupervisor) -> None:
    async def use(client: AsyncClient) -> None:
        await client.submit_many("m:f", [(1,), {"a": 2}])
        await client.submit_by_name("Email", "send", [1], {"to": "x"})
        with pytest.raises(BadArguments, match="item 0 of submit_many"):
            await client.submit_many("m:f", [7])

    run(supervisor, use)
    many, one = supervisor.requests
    assert [job.arg_count for job in many.jobs] == [1, 0]
    assert (one.jobs[0].ref, one.jobs[0].method) == ("Email", "send")


def test_refusal_is_raised_with_its_hint(supervisor: FakeSupervisor) -> None:
    supervisor.answer = lambda request: NotAllowed("'m:f' is not allowed", hint="jobctl catalog")

    async def use(client: AsyncClient) -> None:
        with pytest.raises(NotAllowed) as caught:
            await client.submit("m:f")
        assert caught.value.hint == "jobctl catalog"

    run(supervisor, use)


def test_submit_without_an_answer_has_an_unknown_outcome(supervisor: FakeSupervisor) -> None:
    supervisor.answer = lambda request: None

    async def use(client: AsyncClient) -> None:
        with pytest.raises(OutcomeUnknown) as caught:
            await client.submit("m:f")
        assert caught.value.details["uids"] == [supervisor.requests[0].jobs[0].uid]

    run(supervisor, use, timeout=0.2)


def test_cancelled_submit_gives_its_turn_and_its_place_back(supervisor: FakeSupervisor) -> None:
    supervisor.answer = lambda request: None

    async def use(client: AsyncClient) -> int:
        for number in range(IN_FLIGHT_MAX + 1):
            task = asyncio.create_task(client.submit("m:f"))
            await requests(supervisor, number + 1)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        supervisor.answer = supervisor.accept
        return (await client.submit("m:f")).id

    assert run(supervisor, use) == 1


# -- waiting -----------------------------------------------------------------------------------------------------------


def test_thousands_of_tasks_wait_with_few_requests(supervisor: FakeSupervisor) -> None:
    supervisor.answer = parks(supervisor)
    count = 5_000

    async def use(client: AsyncClient) -> list[int]:
        jobs = await client.submit_many("m:f", [()] * count)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job.result()) for job in jobs]
            sent = await requests(supervisor, 1 + count // WAIT_IDS_MAX)
            for index, request in enumerate(sent[1:], 1):
                supervisor.tell(index, messages.Jobs([make_info(one, result=one) for one in request.ids]))
        return [task.result() for task in tasks]

    assert run(supervisor, use) == list(range(1, count + 1))
    assert len(supervisor.requests) == 1 + count // WAIT_IDS_MAX


def test_jobs_that_have_not_ended_are_asked_for_again(supervisor: FakeSupervisor) -> None:
    supervisor.answer = parks(supervisor)

    async def use(client: AsyncClient) -> list[int]:
        first, second = await client.submit_many("m:f", [()] * 2)
        waits = [asyncio.create_task(first.result()), asyncio.create_task(second.result())]
        await requests(supervisor, 2)
        supervisor.tell(1, messages.Jobs([make_info(2, result=20)]))
        assert await waits[1] == 20
        assert (await requests(supervisor, 3))[2] == messages.Wait([1], any=True)
        supervisor.tell(2, messages.Jobs([make_info(1, result=10)]))
        return [await wait for wait in waits]

    assert run(supervisor, use) == [10, 20]


def test_one_task_that_stops_waiting_does_not_disturb_another(supervisor: FakeSupervisor) -> None:
    supervisor.answer = parks(supervisor)

    async def use(client: AsyncClient) -> Any:
        job = await client.submit("m:f")
        patient = asyncio.create_task(job.result())
        with pytest.raises(WaitTimeout, match=r"job 1 has not ended within 0\.05 s"):
            await job.result(timeout=0.05)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await job
        assert await job.wait(0.05) is False
        supervisor.tell(1, messages.Jobs([make_info(1, result="r")]))
        return await patient

    assert run(supervisor, use) == "r"
    assert len(supervisor.requests) == 2


def test_wait_that_was_given_up_is_taken_up_again(supervisor: FakeSupervisor) -> None:
    supervisor.answer = parks(supervisor)

    async def use(client: AsyncClient) -> Any:
        job = await client.submit("m:f")
        for _ in range(3):
            assert await job.wait(0.05) is False
        wait = asyncio.create_task(job.result())
        await requests(supervisor, 2)  # the loop comes round to it: an answer that came before would be nobody's
        await asyncio.to_thread(supervisor.tell, 1, messages.Jobs([make_info(1, result="r")]))
        return await wait

    assert run(supervisor, use) == "r"
    assert len(supervisor.requests) == 2


def test_no_time_to_wait_only_looks(supervisor: FakeSupervisor) -> None:
    async def use(client: AsyncClient) -> None:
        job = await client.submit("m:f")
        supervisor.infos[1] = make_info(1, states.RUNNING)
        assert (await job.wait(0), await job.done()) == (False, False)
        supervisor.infos[1] = make_info(1, result=3)
        assert (await job.result(timeout=0), await job.done()) == (3, True)

    run(supervisor, use)


def test_job_that_failed_raises_and_exception_returns_it(supervisor: FakeSupervisor) -> None:
    supervisor.infos[1] = failed_info(1)

    async def use(client: AsyncClient) -> None:
        job = await client.submit("m:f")
        with pytest.raises(JobFailed, match="no such month"):
            await job
        assert isinstance(await job.exception(), JobFailed)

    run(supervisor, use)


def test_job_that_is_gone_fails_its_own_wait_only(supervisor: FakeSupervisor) -> None:
    supervisor.infos[1] = make_info(1, result=1)

    async def use(client: AsyncClient) -> list[Any]:
        jobs = await client.submit_many("m:f", [()] * 2)
        return await asyncio.gather(*(job.result() for job in jobs), return_exceptions=True)

    first, second = run(supervisor, use)
    assert first == 1 and isinstance(second, JobNotFound)


@pytest.mark.parametrize(
    "when, done",
    [("ALL_COMPLETED", {1, 2, 3}), ("FIRST_COMPLETED", {2}), ("FIRST_EXCEPTION", {2, 3})],
)
def test_wait_returns_when_asked(supervisor: FakeSupervisor, when: Any, done: set[int]) -> None:
    supervisor.answer = parks(supervisor)
    ends = [make_info(2), failed_info(3), make_info(1)]

    async def use(client: AsyncClient) -> Any:
        jobs = await client.submit_many("m:f", [()] * 3)
        task = asyncio.create_task(client.wait(jobs, return_when=when))
        for number, info in enumerate(ends, 1):
            await requests(supervisor, number + 1)
            supervisor.tell(number, messages.Jobs([info]))
            if info.id in done and len(done) == number:
                break
        return await task

    result = run(supervisor, use)
    assert ({job.id for job in result.done}, {job.id for job in result.not_done}) == (done, {1, 2, 3} - done)


def test_wait_and_as_completed_end_with_their_time(supervisor: FakeSupervisor) -> None:
    supervisor.answer = parks(supervisor)

    async def use(client: AsyncClient) -> None:
        jobs = await client.submit_many("m:f", [()] * 2)
        result = await client.wait(jobs, timeout=0.05)
        assert (result.done, result.not_done) == (set(), set(jobs))
        with pytest.raises(WaitTimeout, match="2 of 2 jobs"):
            await anext(client.as_completed(jobs, timeout=0.05))

    run(supervisor, use)


def test_as_completed_gives_jobs_in_the_order_of_their_ends(supervisor: FakeSupervisor) -> None:
    supervisor.answer = parks(supervisor)

    async def use(client: AsyncClient) -> list[int]:
        jobs = await client.submit_many("m:f", [()] * 3)
        found = []
        steps = client.as_completed(jobs)
        for number, job_id in enumerate((3, 1, 2), 1):
            step = asyncio.create_task(anext(steps))
            await requests(supervisor, number + 1)
            supervisor.tell(number, messages.Jobs([make_info(job_id)]))
            found.append((await step).id)
        with pytest.raises(StopAsyncIteration):
            await anext(steps)
        return found

    assert run(supervisor, use) == [3, 1, 2]


def test_nothing_to_wait_for_is_over_at_once(supervisor: FakeSupervisor) -> None:
    async def use(client: AsyncClient) -> None:
        assert (await client.wait([])).done == set()
        assert [job async for job in client.as_completed([])] == []
        with pytest.raises(BadArguments, match="return_when='SOON'"):
            await client.wait([], return_when="SOON")  # type: ignore[arg-type]

    run(supervisor, use)
    assert supervisor.requests == []


def test_jobs_of_another_client_are_refused(supervisor: FakeSupervisor) -> None:
    async def use(client: AsyncClient) -> None:
        job = AsyncJob[int](AsyncClient(), 1, "0" * 32)
        with pytest.raises(BadArguments, match="another client"):
            await client.wait([job])

    run(supervisor, use)


# -- the other verbs ---------------------------------------------------------------------------------------------------


def test_reads_give_handles_and_infos(supervisor: FakeSupervisor) -> None:
    supervisor.infos[4] = make_info(4, uid="f" * 32)

    async def use(client: AsyncClient) -> None:
        assert (await client.get(4)).uid == "f" * 32
        assert [info.id for info in await client.infos([4, 4])] == [4, 4]
        with pytest.raises(JobNotFound):
            await client.info(5)
        supervisor.answer = lambda request: messages.Jobs([make_info(9), make_info(8)])
        assert [job.id for job in await client.list(state="failed", limit=None)] == [9, 8]

    run(supervisor, use)
    assert supervisor.requests[-1].filter == messages.Filter(["failed"])


def test_cancel_and_retry_are_sent(supervisor: FakeSupervisor) -> None:
    def answer(request: Any) -> Any:
        if isinstance(request, messages.Cancel):
            return messages.Cancelled([1]) if request.ids == [1] else messages.Cancelled([], [2])
        return WrongState("job 1 is running")

    supervisor.answer = answer

    async def use(client: AsyncClient) -> None:
        first, second = (AsyncJob[Any](client, number, "") for number in (1, 2))
        assert (await first.cancel(grace="2s", reason="enough"), await second.cancel()) == (True, False)
        assert (await client.cancel(queue="mail")).finished == [2]
        with pytest.raises(BadArguments, match="either jobs or a filter"):
            await client.cancel()
        with pytest.raises(WrongState):
            await first.retry()

    run(supervisor, use)
    assert (supervisor.requests[0].grace_s, supervisor.requests[0].reason) == (2.0, "enough")


def test_queue_and_supervisor_verbs_send_their_requests(supervisor: FakeSupervisor) -> None:
    replies = {"catalog": messages.CatalogReply([]), "reload": messages.Reloaded(True), "stop": messages.Stopping(3)}
    supervisor.answer = lambda request: replies.get(request.VERB) or supervisor.accept(request)

    async def use(client: AsyncClient) -> None:
        assert [await client.pause("mail"), await client.resume("mail"), await client.drain()] == [
            ["mail"],
            ["mail"],
            ["default"],
        ]
        assert (await client.catalog(), await client.reload(), await client.stop(now=True)) == tuple(replies.values())

    run(supervisor, use)
    assert [request.mode for request in supervisor.requests[:3]] == ["paused", "open", "draining"]
    assert supervisor.requests[-1].mode == "now"


def chunk(offset: int, data: bytes) -> messages.LogChunk:
    return messages.LogChunk(offset, "stdout", 1.0, data)


async def texts(lines: AsyncIterator[LogLine]) -> list[str]:
    return [line.text async for line in lines]


def test_logs_are_followed_through_the_attempts(supervisor: FakeSupervisor) -> None:
    replies = [
        messages.LogReply(1, [chunk(0, b"one\ntw")], 6, False),
        messages.LogReply(1, [chunk(6, b"o\n")], 8, True),
        messages.Jobs([make_info(1, states.SCHEDULED, outcome=states.ERROR)]),
        messages.LogReply(2, [chunk(0, b"three")], 5, True),
        messages.Jobs([make_info(1, attempt=2)]),
    ]
    supervisor.answer = lambda request: replies[len(supervisor.requests)]

    async def use(client: AsyncClient) -> list[str]:
        return await texts(AsyncJob[Any](client, 1, "").logs(follow=True))

    assert run(supervisor, use) == ["one", "two", "three"]
    assert supervisor.requests[3] == messages.Logs(1, 2, 0, True)


def test_logs_stop_with_their_reader(supervisor: FakeSupervisor) -> None:
    supervisor.answer = lambda request: (
        messages.LogReply(1, [chunk(0, b"one\ntwo\n")], 8, False) if not (request.offset) else None
    )

    async def use(client: AsyncClient) -> str:
        async with contextlib.aclosing(client.logs(1, follow=True)) as lines:
            async for line in lines:
                return line.text
        raise AssertionError("no line")

    assert run(supervisor, use) == "one"


def test_other_tasks_have_their_turn_while_much_output_is_read(supervisor: FakeSupervisor) -> None:
    count = 4 * FOUND_AT_ONCE
    supervisor.answer = lambda request: messages.LogReply(1, [chunk(0, b"x\n" * count)], 2 * count, True)

    async def use(client: AsyncClient) -> int:
        loop, turns, seen = asyncio.get_running_loop(), 0, []

        def turn() -> None:
            nonlocal turns
            turns += 1
            if len(seen) < count:
                loop.call_soon(turn)

        turn()
        async for _ in client.logs(1):
            seen.append(turns)
        assert len(seen) == count
        return seen[-1] - seen[0]

    assert run(supervisor, use) >= 3
