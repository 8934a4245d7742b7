"""``@task``: options kept beside the function they are for, and ``function.submit(...)``.

The decorator returns the function itself with a few attributes, so that it is called, pickled and inspected as before.
It allows nothing to run: the config does. Job modules import it, so it imports no client until something is submitted.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, Unpack, overload

from ..protocol.errors import BadArguments
from ..protocol.options import POLICY_OPTIONS
from ..protocol.text import shown
from .default import default_client
from .options import JobOptions, PolicyOptions, parse_options

if TYPE_CHECKING:
    from .handle import Job

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class TaskCall(Generic[P, R_co]):
    """A task and options for its next jobs."""

    def __init__(self, function: Callable[P, R_co], options: JobOptions) -> None:
        self._function = function
        self._options = options

    @overload
    def submit(self: TaskCall[P, Coroutine[Any, Any, R]], *args: P.args, **kwargs: P.kwargs) -> Job[R]: ...
    @overload
    def submit(self: TaskCall[P, R], *args: P.args, **kwargs: P.kwargs) -> Job[R]: ...
    def submit(self, *args: Any, **kwargs: Any) -> Any:
        """Submit a job through the default client; raises as ``Client.submit``."""
        return default_client().options(**self._options).submit(self._function, *args, **kwargs)

    def options(self, **options: Unpack[JobOptions]) -> TaskCall[P, R_co]:
        """The same task with further options; raises BadArguments."""
        merged: JobOptions = {**self._options, **options}
        parse_options(merged)
        return TaskCall(self._function, merged)


class Task(Protocol[P, R_co]):
    """A function with ``submit`` and ``options``."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

    @overload
    def submit(self: Task[P, Coroutine[Any, Any, R]], *args: P.args, **kwargs: P.kwargs) -> Job[R]: ...
    @overload
    def submit(self: Task[P, R], *args: P.args, **kwargs: P.kwargs) -> Job[R]: ...

    def options(self, **options: Unpack[JobOptions]) -> TaskCall[P, R_co]: ...


@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(**options: Unpack[PolicyOptions]) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Keep options for the jobs of a function: ``@task`` or ``@task(queue="mail", timeout="5m")``.

    Raises:
        BadArguments: an unknown option or a value that it cannot have.
    """
    parsed = parse_options(options, POLICY_OPTIONS)
    if function is not None:
        return _marked(function, parsed)
    return lambda function: _marked(function, parsed)


def _marked(function: Any, options: dict[str, Any]) -> Any:
    is_function = callable(function) and hasattr(function, "__dict__") and hasattr(function, "__qualname__")
    if not is_function or isinstance(function, type | staticmethod | classmethod):
        raise BadArguments(
            f"@task is for functions, not for {shown(function)}",
            hint='write @task or @task(queue="mail"), directly above def (below @staticmethod)',
        )
    call = TaskCall(function, {})
    function.__jobyard_ref__ = f"{function.__module__}:{function.__qualname__}"
    function.__jobyard_options__ = options
    function.submit = call.submit
    function.options = call.options
    return function
