"""A client that runs nothing and remembers what was submitted: for tests of what a program asks for.

Owns the record and the assertions over it. No config is asked: whether a job is allowed is for an ``InlineClient``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...protocol import codec
from ...protocol.errors import JobyardError
from ...protocol.messages import Accepted, Request, Submission, Submit, Submitted
from ..reference import reference
from .local import LocalClient


@dataclass(frozen=True, slots=True)
class Recorded:
    """One submit. ``method`` is the second word of the two-word form; ``options`` are parsed, times in seconds."""

    ref: str
    method: str | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    options: dict[str, Any]

    def __str__(self) -> str:
        name = self.ref if self.method is None else f"{self.ref} {self.method}"
        given = [*map(repr, self.args), *(f"{key}={value!r}" for key, value in self.kwargs.items())]
        return f"{name}({', '.join(given)})" + (f" with {self.options}" if self.options else "")


class RecordingClient(LocalClient):
    """Takes every submit, gives it an id, and runs nothing.

    Attributes:
        submitted: what was submitted, oldest first.
    """

    def __init__(self) -> None:
        super().__init__()
        self.submitted: list[Recorded] = []
        self._count = 0

    def request(self, request: Request, timeout: float | None = None) -> Any:
        """Take a submit; raises JobyardError for anything else."""
        if not isinstance(request, Submit):
            raise JobyardError(
                f"a RecordingClient runs nothing, so it cannot answer {request.VERB!r}",
                hint="use an InlineClient where the test needs jobs that run",
            )
        return Submitted([self._record(job) for job in request.jobs])

    def clear(self) -> None:
        """Forget what was submitted."""
        self.submitted.clear()

    def assert_submitted(self, job: Callable[..., Any] | str, /, *args: Any, **kwargs: Any) -> Recorded:
        """The last submit of ``job``, with exactly these arguments if any are given.

        Raises:
            AssertionError: there is none; says what was submitted instead.
        """
        wanted = job if isinstance(job, str) else reference(job)
        found = [one for one in self.submitted if one.ref == wanted]
        if args or kwargs:
            given = codec.unpack_arguments(codec.pack_arguments(args, kwargs))
            found = [one for one in found if [list(one.args), one.kwargs] == list(given)]
        if not found:
            asked = Recorded(wanted, None, args, kwargs, {}) if args or kwargs else wanted
            raise AssertionError(f"{asked} was not submitted; submitted: {self._told()}")
        return found[-1]

    def assert_not_submitted(self, job: Callable[..., Any] | str, /) -> None:
        """Raises AssertionError if ``job`` was submitted, with whatever arguments."""
        wanted = job if isinstance(job, str) else reference(job)
        if any(one.ref == wanted for one in self.submitted):
            raise AssertionError(f"{wanted} was submitted: {self._told()}")

    def assert_nothing_submitted(self) -> None:
        """Raises AssertionError if anything was submitted."""
        if self.submitted:
            raise AssertionError(f"something was submitted: {self._told()}")

    def _record(self, job: Submission) -> Accepted:
        args, kwargs = codec.unpack_arguments(job.payload)
        self.submitted.append(Recorded(job.ref, job.method, tuple(args), kwargs, dict(job.options)))
        self._count += 1
        return Accepted(self._count, job.uid)

    def _told(self) -> str:
        return "; ".join(map(str, self.submitted)) or "nothing"
