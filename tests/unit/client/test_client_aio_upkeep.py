"""What the asyncio client sends to change, remove, explain and count jobs; and its pipelines."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aio_run import requests, run
from fake_supervisor import FakeSupervisor, make_info
from jobyard import AsyncClient, AsyncJob
from jobyard.client.pipeline import IN_FLIGHT_MAX
from jobyard.protocol import messages
from jobyard.protocol.errors import BadArguments, NotAllowed, OutcomeUnknown, WrongState

# -- jobs that are there -----------------------------------------------------------------------------------------------


def test_set_sends_plain_values_for_several_jobs_and_for_one(supervisor: FakeSupervisor) -> None:
    supervisor.answer = lambda request: messages.Changed(request.ids)

    async def use(client: AsyncClient) -> None:
        job = AsyncJob[Any](client, 7, "u")
        assert await client.set([job, 8], priority="high", delay="2m") == messages.Changed([7, 8])
        await job.set(timeout=None)
        with pytest.raises(BadArguments, match="both delay and at"):
            await client.set(7, delay=1, at=1.0)

    run(supervisor, use)
    assert supervisor.requests == [
        messages.SetJob([7, 8], {"priority": 10, "delay": 120.0}),
        messages.SetJob([7], {"timeout": None}),
    ]


def test_remove_goes_in_bounded_requests_and_prune_on_while_there_is_more(supervisor: FakeSupervisor) -> None:
    limit = messages.CHANGE_JOBS_MAX
    replies = [messages.Removed([1], [2]), messages.Removed([3]), messages.Pruned(1000, more=True), messages.Pruned(7)]
    supervisor.answer = lambda request: replies[len(supervisor.requests)]

    async def use(client: AsyncClient) -> None:
        assert await client.remove(range(1, limit + 2)) == messages.Removed([1, 3], [2])
        assert await client.prune(older="7d", state="failed") == 1007

    run(supervisor, use)
    assert [len(one.ids) for one in supervisor.requests[:2]] == [limit, 1]
    assert supervisor.requests[2:] == 2 * [messages.Prune(604800.0, ["failed"])]


def test_why_log_format_and_recycle_send_their_requests(supervisor: FakeSupervisor) -> None:
    replies = {"log_format": messages.LogFormatSet("json"), "recycle": messages.Recycled("default")}
    reasons = [messages.Reason("queue_paused", "its queue mail is paused")]
    supervisor.answer = lambda request: (
        replies.get(request.VERB) or messages.Explanation(request.id, "queued", reasons, 1, "jobctl resume mail")
    )

    async def use(client: AsyncClient) -> None:
        assert str(await AsyncJob[Any](client, 7, "u").why()) == "job 7 is queued: its queue mail is paused"
        assert await client.log_format("json") == "json"
        await client.recycle("default")

    run(supervisor, use)
    assert supervisor.requests == [messages.Why(7), messages.LogFormat("json"), messages.RecyclePool("default")]


def test_list_cancel_and_stats_know_the_same_filters(supervisor: FakeSupervisor) -> None:
    supervisor.answer = lambda request: (
        messages.Jobs([make_info(1)]) if isinstance(request, messages.List) else messages.Cancelled([])
    )

    async def use(client: AsyncClient) -> None:
        await client.list(after=7)
        await client.cancel(after=AsyncJob[Any](client, 8, "u"))
        assert (await client.stats(queue="mail", tags={"user": "7"})).total.jobs == 1

    run(supervisor, use)
    assert [one.filter for one in supervisor.requests] == [
        messages.Filter(after=7),
        messages.Filter(after=8),
        messages.Filter(queue="mail", tags={"user": "7"}),
    ]


def test_jobs_of_this_client_can_be_waited_for_by_others(supervisor: FakeSupervisor) -> None:
    async def use(client: AsyncClient) -> None:
        first = await client.submit("app:f")
        await client.options(after=[first]).submit("app:g")

    run(supervisor, use)
    assert supervisor.requests[1].jobs[0].options == {"after": [1]}


# -- pipelines ---------------------------------------------------------------------------------------------------------


def test_jobs_of_a_pipeline_are_under_way_together_and_have_ids_after_its_block(supervisor: FakeSupervisor) -> None:
    supervisor.answer = lambda request: None

    async def use(client: AsyncClient) -> list[int]:
        async with client.pipeline() as pipeline:
            jobs = [await pipeline.submit("m:f", 1), *await pipeline.options(queue="mail").submit_many("m:g", [(), ()])]
            with pytest.raises(WrongState, match="no id yet"):
                await jobs[0].info()
            assert repr(jobs[0]) == "<Job under way>"
            for index, request in enumerate(await requests(supervisor, 2)):
                supervisor.tell(index, supervisor.accept(request))
        return [job.id for job in jobs]

    assert run(supervisor, use) == [1, 2, 3]
    assert [len(one.jobs) for one in supervisor.requests] == [1, 2]
    assert supervisor.requests[1].jobs[0].options == {"queue": "mail"}


def test_refusals_of_a_pipeline_end_its_block_together(supervisor: FakeSupervisor) -> None:
    supervisor.answer = lambda request: (
        NotAllowed("m:no is not allowed") if request.jobs[0].ref == "m:no" else supervisor.accept(request)
    )

    async def use(client: AsyncClient) -> None:
        pipeline = client.pipeline()
        await pipeline.__aenter__()
        refused, taken, _ = [await pipeline.submit(ref) for ref in ("m:no", "m:yes", "m:no")]
        with pytest.raises(ExceptionGroup, match="2 submits of the pipeline were refused") as caught:
            await pipeline.__aexit__(None, None, None)
        assert {type(error) for error in caught.value.exceptions} == {NotAllowed}
        assert taken.id == 1
        with pytest.raises(NotAllowed):
            await refused
        with pytest.raises(RuntimeError, match="only inside"):
            await pipeline.submit("m:yes")

    run(supervisor, use)


def test_pipeline_has_so_many_requests_under_way_and_no_more(supervisor: FakeSupervisor) -> None:
    supervisor.answer = lambda request: None

    async def use(client: AsyncClient) -> int:
        async with client.pipeline() as pipeline:
            for _ in range(IN_FLIGHT_MAX):
                await pipeline.submit("m:f")
            next_one = asyncio.create_task(pipeline.submit("m:f"))
            sent = await requests(supervisor, IN_FLIGHT_MAX)
            assert not next_one.done()
            supervisor.answer = supervisor.accept
            for index, request in enumerate(sent):
                supervisor.tell(index, supervisor.accept(request))
            last = await next_one
        return last.id

    assert run(supervisor, use) == IN_FLIGHT_MAX + 1


def test_pipeline_that_is_left_by_an_interrupt_leaves_its_jobs_in_doubt(supervisor: FakeSupervisor) -> None:
    supervisor.answer = lambda request: None

    async def use(client: AsyncClient) -> None:
        jobs: list[AsyncJob[Any]] = []

        async def submit() -> None:
            async with client.pipeline() as pipeline:
                jobs.append(await pipeline.submit("m:f"))
                await asyncio.Event().wait()

        task = asyncio.create_task(submit())
        await requests(supervisor, 1)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        with pytest.raises(OutcomeUnknown, match="the pipeline was left"):
            await jobs[0].info()

    run(supervisor, use)
