"""Streams: what is found step by step, and what is to be done between; written once for threads and for event loops.

A stream is a generator. It yields what is to be done, such as a request or a pause, and is sent the reply; and it
yields lists of what it has found. Owns how a stream is driven; what its steps do is left to who drives it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import closing, suppress
from typing import Any, TypeVar

from ..protocol.plain import dataclass


@dataclass(frozen=True)
class Pause:
    """Go on after so many seconds; none means that others may have their turn."""

    seconds: float


T = TypeVar("T")


def drive(steps: Generator[Any | list[T], Any, None], do: Callable[[Any], Any]) -> Generator[T, None, None]:
    """What is found, one by one. ``do`` does a step and gives the reply."""
    with closing(steps), suppress(StopIteration):
        step = next(steps)
        while True:
            if isinstance(step, list):
                yield from step
                step = next(steps)
            else:
                step = steps.send(do(step))


async def drive_async(
    steps: Generator[Any | list[T], Any, None], do: Callable[[Any], Awaitable[Any]]
) -> AsyncGenerator[T, None]:
    """As ``drive``, where a step is awaited."""
    with closing(steps), suppress(StopIteration):
        step = next(steps)
        while True:
            if isinstance(step, list):
                for found in step:
                    yield found
                step = next(steps)
            else:
                step = steps.send(await do(step))
