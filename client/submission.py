"""From a call as the user writes it to a submission as the supervisor wants it. Pure but for the uid.

Owns the shape of the items of ``submit_many``, and how many jobs go into one request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..protocol.codec import pack_arguments
from ..protocol.current import CURRENT
from ..protocol.errors import BadArguments, NotSerializable
from ..protocol.ids import new_uid
from ..protocol.messages import SUBMIT_JOBS_MAX, Submission
from ..protocol.text import shown
from .reference import reference

SUBMIT_BYTES_MAX = 8 * 1024 * 1024
SUBMIT_ELEMENTS_MAX = 400_000  # below ENVELOPE_ELEMENTS_MAX, beyond which the supervisor refuses a message unread
_SUBMISSION_BYTES = 256  # at most, of names and lengths around a submission's own text
_SUBMISSION_ELEMENTS = 12

Item = Sequence[Any] | Mapping[str, Any]


def submission(
    target: Callable[..., Any] | str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    options: Mapping[str, Any],
    method: str | None = None,
) -> Submission:
    """One job to submit. ``options`` are parsed; ``method`` is the second word of the two-word form.

    Raises:
        NotImportable: a function that another process cannot import.
        NotSerializable: an argument that cannot be sent; names it.
    """
    current = CURRENT.get()
    return Submission(
        uid=new_uid(),
        ref=target if isinstance(target, str) else reference(target),
        payload=pack_arguments(tuple(args), dict(kwargs)),
        arg_count=len(args),
        kwarg_names=list(kwargs),
        method=method,
        options=dict(options),
        parent=current.id if current is not None else None,
    )


def submissions(
    target: Callable[..., Any] | str, items: Iterable[Item], options: Mapping[str, Any]
) -> list[Submission]:
    """A job for each item of ``submit_many``; raises as ``submission``, and names the item."""
    made: list[Submission] = []
    for index, item in enumerate(items):
        args, kwargs = arguments(item, index)
        try:
            made.append(submission(target, args, kwargs, options))
        except NotSerializable as error:
            where = f"item {index} of submit_many"
            raise NotSerializable(f"{where}: {error.message}", hint=error.hint, details={"index": index}) from None
    return made


def arguments(item: Item, index: int) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """Positional and named arguments from an item of ``submit_many``.

    Raises:
        BadArguments: not an item; says which.
    """
    if isinstance(item, Mapping):
        return (), item
    if (
        isinstance(item, tuple)
        and len(item) == 2
        and isinstance(item[0], tuple | list)
        and isinstance(item[1], Mapping)
    ):
        return item
    if isinstance(item, tuple | list):
        return item, {}
    raise BadArguments(
        f"item {index} of submit_many is {shown(item)}, a {type(item).__name__}",
        hint="give a tuple of arguments such as ('a@x',), a dict of named ones, or a pair (args, kwargs)",
    )


def chunks(submissions: list[Submission]) -> Iterator[list[Submission]]:
    """The submissions in lists that fit into one request each."""
    if len(submissions) == 1:
        yield submissions
        return
    chunk: list[Submission] = []
    size = elements = 0
    for one in submissions:
        its_size, its_elements = _size(one), _elements(one.options) + len(one.kwarg_names) + _SUBMISSION_ELEMENTS
        full = (
            len(chunk) == SUBMIT_JOBS_MAX
            or size + its_size > SUBMIT_BYTES_MAX
            or elements + its_elements > SUBMIT_ELEMENTS_MAX
        )
        if chunk and full:
            yield chunk
            chunk, size, elements = [], 0, 0
        chunk.append(one)
        size, elements = size + its_size, elements + its_elements
    if chunk:
        yield chunk


def _size(one: Submission) -> int:
    # Four bytes to a character is the most that UTF-8 takes.
    text = len(one.ref) + sum(map(len, one.kwarg_names)) + len(repr(one.options))
    return len(one.payload) + 4 * text + _SUBMISSION_BYTES


def _elements(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(1 + _elements(item) for item in value.values())
    if isinstance(value, list | tuple):
        return sum(1 + _elements(item) for item in value)
    return 0
