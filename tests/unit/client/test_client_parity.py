"""The asyncio client has what the other one has: names, arguments, annotations."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from jobyard import AsyncClient, AsyncJob, Client, Job
from jobyard.client.aio_pipeline import AsyncPipeline
from jobyard.client.pipeline import Pipeline

# A connection of one's own is for threads; each question about a job is a request, so it cannot be a property.
ONLY_IN_THREADS = {Client: {"borrow"}, Job: {"state", "progress"}, Pipeline: {"settle_one"}}
# Functions of ``jobyard`` for jobs of the other client.
ONLY_IN_LOOPS = {AsyncClient: {"as_completed", "end_of"}}
PAIRS = [(Client, AsyncClient), (Job, AsyncJob), (Pipeline, AsyncPipeline)]


def public(owner: type) -> set[str]:
    return {name for name in dir(owner) if not name.startswith("_")}


def arguments(owner: type, name: str) -> Any:
    """Names, kinds, defaults and annotations, with the words of the other client."""
    return [
        parameter.replace(annotation=str(parameter.annotation).replace("Async", ""))
        for parameter in inspect.signature(getattr(owner, name)).parameters.values()
    ]


@pytest.mark.parametrize(("threads", "loops"), PAIRS)
def test_every_public_name_has_its_counterpart(threads: type, loops: type) -> None:
    expected = (public(threads) - ONLY_IN_THREADS.get(threads, set())) | ONLY_IN_LOOPS.get(loops, set())
    assert public(loops) == expected


@pytest.mark.parametrize(("threads", "loops"), PAIRS)
def test_counterparts_take_the_same_arguments(threads: type, loops: type) -> None:
    shared = [name for name in public(threads) & public(loops) if inspect.isfunction(getattr(threads, name))]
    assert shared
    for name in [*shared, "__init__"] if threads is Client else shared:
        assert arguments(loops, name) == arguments(threads, name), name


@pytest.mark.parametrize(("threads", "loops"), PAIRS)
def test_what_asks_the_supervisor_is_awaited(threads: type, loops: type) -> None:
    local = {"options", "pipeline", "id"}
    for name in public(loops) - local:
        method = getattr(loops, name)
        given = str(inspect.signature(method).return_annotation)
        is_stream = given.startswith(("AsyncGenerator", "AsyncIterator"))
        assert is_stream or inspect.iscoroutinefunction(method), name
