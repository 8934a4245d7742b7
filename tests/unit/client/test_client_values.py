"""Values that a caller cannot mean: each is refused in words, whatever it does when it is written down."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from fake_supervisor import FakeSupervisor
from jobyard.client.aio import AsyncClient
from jobyard.client.sync import Client
from jobyard.protocol.errors import BadArguments
from jobyard.protocol.text import shown


class Mute:
    """What raises where its value is asked for."""

    def __repr__(self) -> str:
        raise ZeroDivisionError


HUGE = 10**5000  # Python refuses to write it in decimal
LONG = "x" * 1_000_000


@pytest.mark.parametrize("value", [Mute(), HUGE, LONG], ids=["mute", "huge", "long"])
@pytest.mark.parametrize(
    "call",
    [
        lambda client, value: client.get(value),
        lambda client, value: client.options(timeout=value),
        lambda client, value: client.options(priority=value),
        lambda client, value: client.options(tags={"a": value}),
        lambda client, value: client.options(after=value),
        lambda client, value: client.options(key=value),
        lambda client, value: client.submit_many("m:f", [value]),
        lambda client, value: client.list(since=value),
        lambda client, value: client.events(job=value),
        lambda client, value: client.prune(older=value),
        lambda client, value: client.wait([value]),
        lambda client, value: client.ping(timeout=value),
        lambda client, value: Client(timeout=value),
    ],
)
def test_what_is_refused_is_named_in_a_readable_length(
    client: Client, call: Callable[[Client, Any], object], value: Any
) -> None:
    with pytest.raises(BadArguments) as caught:
        call(client, value)
    assert len(str(caught.value)) < 600


def test_what_cannot_be_written_goes_by_its_type() -> None:
    assert shown(Mute()) == "<Mute>"
    assert shown("text") == "'text'"
    assert len(shown(LONG)) == 200


@pytest.mark.parametrize("timeout", [0, -1, math.nan, "soon", True])
def test_no_answer_comes_in_no_time(client: Client, supervisor: FakeSupervisor, timeout: Any) -> None:
    with pytest.raises(BadArguments):
        client.ping(timeout=timeout)
    with pytest.raises(BadArguments):
        client.pipeline(timeout=timeout)
    with pytest.raises(BadArguments):
        AsyncClient(socket=supervisor.path).pipeline(timeout=timeout)
    assert supervisor.requests == []


def test_an_answer_may_be_waited_for_as_long_as_it_takes(client: Client) -> None:
    assert client.ping(timeout=math.inf).ready


def test_a_path_may_be_given_as_bytes(supervisor: FakeSupervisor) -> None:
    with Client(socket=bytes(supervisor.path)) as client:  # type: ignore[arg-type]
        assert client.ping().ready


def test_a_pipeline_is_for_one_block(client: Client) -> None:
    pipeline = client.pipeline()
    with pipeline:
        pipeline.submit("m:f")
    with pytest.raises(RuntimeError, match="is for one with block"), pipeline:
        pass
