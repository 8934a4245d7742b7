"""``submit`` and its kin, typed once for all that can submit: a client, a client with options, a pipeline.

How submissions travel is left to ``_accept``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar, Unpack, overload

from ..protocol.messages import Submission
from .handle import Job
from .options import JobOptions, parse_options
from .submission import Item, submission, submissions

P = ParamSpec("P")
R = TypeVar("R")


class Submitter(ABC):
    """Something that takes submissions."""

    _given: JobOptions = {}
    _parsed: Mapping[str, Any] = {}

    @abstractmethod
    def _accept(self, wanted: list[Submission]) -> list[Job[Any]]: ...

    @overload
    def submit(self, target: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs) -> Job[R]: ...
    @overload
    def submit(self, target: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Job[R]: ...
    @overload
    def submit(self, target: str, /, *args: Any, **kwargs: Any) -> Job[Any]: ...
    def submit(self, target: Callable[..., Any] | str, /, *args: Any, **kwargs: Any) -> Job[Any]:
        """Store a job; when this returns, it is as durable as asked.

        Args:
            target: a function of an importable module, or a reference: ``"pkg.mod:function"``,
                ``"pkg.mod:Class.method"`` or an alias of the config. Nothing is imported here.
            args, kwargs: the function's own arguments; options of the job go to ``options``.

        Raises:
            NotAllowed, BadArguments, NotSerializable, NotImportable, UnknownQueue, QueueFull, QueueDraining,
            DuplicateJob, TooLarge, StorageUnavailable: refused; nothing was stored.
            SupervisorUnavailable: there was nobody to send it to.
            OutcomeUnknown: sent, but not answered; it may have been stored.
        """
        return self._accept([submission(target, args, kwargs, self._parsed)])[0]

    def submit_by_name(
        self, ref: str, method: str | None = None, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Job[Any]:
        """As ``submit``, for a class and method in two words, and for arguments that are data."""
        return self._accept([submission(ref, args, kwargs or {}, self._parsed, method)])[0]

    @overload
    def submit_many(self, target: Callable[..., Coroutine[Any, Any, R]], items: Iterable[Item], /) -> list[Job[R]]: ...
    @overload
    def submit_many(self, target: Callable[..., R], items: Iterable[Item], /) -> list[Job[R]]: ...
    @overload
    def submit_many(self, target: str, items: Iterable[Item], /) -> list[Job[Any]]: ...
    def submit_many(self, target: Callable[..., Any] | str, items: Iterable[Item], /) -> list[Job[Any]]:
        """Store a job for each item; all or none.

        More than 10,000 jobs or 8 MiB are sent in several requests, each of which is stored whole or not at all; if one
        fails, ``details["submitted"]`` of its error lists the ids that were stored before.

        Args:
            items: for each job a tuple of arguments, a dict of named ones, or a pair of both. (So a job whose two
                arguments are a tuple and a dict is written as such a pair: ``((first, second), {})``.)

        Raises:
            JobyardError: as ``submit``.
        """
        return self._accept(submissions(target, items, self._parsed))

    def options(self, **options: Unpack[JobOptions]) -> WithOptions:
        """The same with options for its jobs: ``client.options(queue="mail", delay="15m").submit(...)``.

        Raises:
            BadArguments: an unknown option or a value that it cannot have.
        """
        merged: JobOptions = {**self._given, **options}
        return WithOptions(self, merged, parse_options(merged))


class WithOptions(Submitter):
    """A client or pipeline with options. Made by ``options``."""

    def __init__(self, base: Submitter, given: JobOptions, parsed: Mapping[str, Any]) -> None:
        self._base = base
        self._given = given
        self._parsed = parsed

    def _accept(self, wanted: list[Submission]) -> list[Job[Any]]:
        return self._base._accept(wanted)
