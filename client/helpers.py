"""The two helper functions for programs that name a class and a method: ``submit`` through the default client.

Both raise what ``submit`` raises; with ``errors="return"`` a refusal is returned as a falsy ``Rejected`` instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, overload

from ..protocol import options as parsers
from ..protocol.errors import BadArguments, JobyardError
from ..protocol.text import shown
from .default import default_client
from .options import Duration, JobOptions
from .reference import class_reference

if TYPE_CHECKING:
    from .handle import Job

Parameters = Sequence[Any] | Mapping[str, Any]
Errors = Literal["raise", "return"]


@dataclass(frozen=True, slots=True)
class Rejected:
    """A job that was not accepted; falsy. ``code`` is that of the error."""

    code: str
    message: str

    def __bool__(self) -> Literal[False]:
        return False


@overload
def run_background_job(
    class_name: str | type,
    method: str,
    params: Parameters | None = None,
    retries: int | None = None,
    retry_delay: Duration | None = None,
    priority: int | str | None = None,
    delay: Duration = 0,
    *,
    errors: Literal["raise"] = "raise",
) -> Job[Any]: ...
@overload
def run_background_job(
    class_name: str | type,
    method: str,
    params: Parameters | None = None,
    retries: int | None = None,
    retry_delay: Duration | None = None,
    priority: int | str | None = None,
    delay: Duration = 0,
    *,
    errors: Literal["return"],
) -> Job[Any] | Rejected: ...
def run_background_job(
    class_name: str | type,
    method: str,
    params: Parameters | None = None,
    retries: int | None = None,
    retry_delay: Duration | None = None,
    priority: int | str | None = None,
    delay: Duration = 0,
    *,
    errors: Errors = "raise",
) -> Job[Any] | Rejected:
    """Run a method of a class in the background.

    Args:
        class_name: the class, or its name: an alias, a short name under the namespace, or ``pkg.mod.Class``.
        params: a list of positional or a dict of named arguments.
        retries: further attempts after a failed first one; None takes the configured value.
        retry_delay: seconds between attempts; None takes the configured value.
        priority: "high" (10), "normal" (0), "low" (-10) or a number; a higher one runs first.
        delay: seconds before it may start.

    Raises:
        JobyardError: as ``Client.submit``.
    """
    return _submit(class_name, method, params, lambda: _retry(retries, retry_delay), priority, delay, errors)


@overload
def queue_background_job(
    class_name: str | type,
    method: str,
    params: Parameters | None = None,
    max_attempts: int | None = None,
    priority: int | str | None = None,
    delay: Duration = 0,
    *,
    errors: Literal["raise"] = "raise",
) -> Job[Any]: ...
@overload
def queue_background_job(
    class_name: str | type,
    method: str,
    params: Parameters | None = None,
    max_attempts: int | None = None,
    priority: int | str | None = None,
    delay: Duration = 0,
    *,
    errors: Literal["return"],
) -> Job[Any] | Rejected: ...
def queue_background_job(
    class_name: str | type,
    method: str,
    params: Parameters | None = None,
    max_attempts: int | None = None,
    priority: int | str | None = None,
    delay: Duration = 0,
    *,
    errors: Errors = "raise",
) -> Job[Any] | Rejected:
    """As ``run_background_job``, with the number of attempts in all, the first included, instead of retries."""
    retry = {} if max_attempts is None else {"max_attempts": max_attempts}
    return _submit(class_name, method, params, lambda: retry, priority, delay, errors)


def _submit(
    class_name: str | type,
    method: str,
    params: Parameters | None,
    retry: Callable[[], dict[str, Any]],
    priority: int | str | None,
    delay: Duration,
    errors: Errors,
) -> Job[Any] | Rejected:
    if errors not in ("raise", "return"):
        raise BadArguments(f"errors={shown(errors)}", hint='errors="raise" or errors="return"')
    try:
        options: JobOptions = {"retry": retry() or None, "priority": priority, "delay": delay or None}
        args, kwargs = _arguments(params)
        ref, second = _target(class_name, method)
        return default_client().options(**options).submit_by_name(ref, second, args, kwargs)
    except JobyardError as error:
        if errors == "raise":
            raise
        return Rejected(error.code, error.message)


def _retry(retries: int | None, retry_delay: Duration | None) -> dict[str, Any]:
    retry: dict[str, Any] = {}
    if retries is not None:
        retry["max_attempts"] = parsers.retries(retries) + 1
    if retry_delay is not None:
        retry["delay"] = retry_delay
    return retry


def _arguments(params: Parameters | None) -> tuple[Sequence[Any], Mapping[str, Any]]:
    if params is None:
        return (), {}
    if isinstance(params, Mapping):
        if not all(isinstance(name, str) for name in params):
            raise BadArguments(f"params {shown(params)} has a name that is not text", hint="give {'user_id': 123}")
        return (), params
    if isinstance(params, list | tuple):
        return params, {}
    raise BadArguments(
        f"params is {shown(params)}, a {type(params).__name__}",
        hint="give a list of arguments, or a dict of named ones",
    )


def _target(class_name: str | type, method: str) -> tuple[str, str | None]:
    if not isinstance(method, str) or not method:
        raise BadArguments(f"{shown(method)} is not the name of a method")
    if isinstance(class_name, type):
        return f"{class_reference(class_name)}.{method}", None
    if not isinstance(class_name, str) or not class_name:
        raise BadArguments(
            f"{shown(class_name)} is neither a class nor its name", hint='"Email", "pkg.mod.Class", or the class itself'
        )
    return class_name, method
