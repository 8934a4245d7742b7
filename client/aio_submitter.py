"""``submit`` and its kin for asyncio, typed once for the client and for a client with options."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar, Unpack, overload

from ..protocol.messages import Submission
from .aio_handle import AsyncJob
from .options import JobOptions, parse_options
from .submission import Item, submission, submissions

P = ParamSpec("P")
R = TypeVar("R")


class AsyncSubmitter(ABC):
    """Something that takes submissions. The methods are those of ``Client``, to be awaited."""

    _given: JobOptions = {}
    _parsed: Mapping[str, Any] = {}

    @abstractmethod
    async def _accept(self, wanted: list[Submission]) -> list[AsyncJob[Any]]: ...

    @overload
    async def submit(
        self, target: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> AsyncJob[R]: ...
    @overload
    async def submit(self, target: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> AsyncJob[R]: ...
    @overload
    async def submit(self, target: str, /, *args: Any, **kwargs: Any) -> AsyncJob[Any]: ...
    async def submit(self, target: Callable[..., Any] | str, /, *args: Any, **kwargs: Any) -> AsyncJob[Any]:
        """Store a job; when this returns, it is as durable as asked. See ``Client.submit`` for arguments and errors.

        If the task is cancelled meanwhile, the job may or may not have been stored.
        """
        return (await self._accept([submission(target, args, kwargs, self._parsed)]))[0]

    async def submit_by_name(
        self, ref: str, method: str | None = None, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> AsyncJob[Any]:
        """As ``submit``, for a class and method in two words, and for arguments that are data."""
        return (await self._accept([submission(ref, args, kwargs or {}, self._parsed, method)]))[0]

    @overload
    async def submit_many(
        self, target: Callable[..., Coroutine[Any, Any, R]], items: Iterable[Item], /
    ) -> list[AsyncJob[R]]: ...
    @overload
    async def submit_many(self, target: Callable[..., R], items: Iterable[Item], /) -> list[AsyncJob[R]]: ...
    @overload
    async def submit_many(self, target: str, items: Iterable[Item], /) -> list[AsyncJob[Any]]: ...
    async def submit_many(self, target: Callable[..., Any] | str, items: Iterable[Item], /) -> list[AsyncJob[Any]]:
        """Store a job for each item; all or none. See ``Client.submit_many``."""
        return await self._accept(submissions(target, items, self._parsed))

    def options(self, **options: Unpack[JobOptions]) -> AsyncWithOptions:
        """The same with options for its jobs; raises BadArguments. Nothing is sent, so this is not awaited."""
        merged: JobOptions = {**self._given, **options}
        return AsyncWithOptions(self, merged, parse_options(merged))


class AsyncWithOptions(AsyncSubmitter):
    """A client with options. Made by ``options``."""

    def __init__(self, base: AsyncSubmitter, given: JobOptions, parsed: Mapping[str, Any]) -> None:
        self._base = base
        self._given = given
        self._parsed = parsed

    async def _accept(self, wanted: list[Submission]) -> list[AsyncJob[Any]]:
        return await self._base._accept(wanted)
