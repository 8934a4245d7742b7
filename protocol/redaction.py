"""Arguments without what is to be hidden in them, and texts without the hidden values. Pure.

Owns the form of a redacted payload: that of the payload, with ``HIDDEN`` in the place of each hidden value. Which names
are hidden is the config's business (``conf/redaction.py``); here they are a function.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice, zip_longest
from typing import Any

import msgpack

from . import codec
from .errors import ProtocolError
from .job import ErrorInfo
from .text import json_number

HIDDEN = "***"
ELEMENTS_MAX = 100_000  # the supervisor's loop waits meanwhile
TEXT_CHARS_MIN = 4  # a shorter value is part of too much else to be taken out of a text
TEXTS_MAX = 1_000  # each is looked for in all of the text
_LINE_CHARS_MIN = 8  # of a value of many lines, such as a key
_HARMLESS: tuple[Any, ...] = (None, True, False, "", b"")


def hide(payload: bytes, positions: Callable[[int], bool], names: Callable[[str], bool]) -> bytes | None:
    """The payload without its hidden values; None if it has none.

    Only what holds other values is looked at one by one, so that large texts and bytes cost nothing. Nothing, yes and
    no and empty text stay as they are: they are no secrets, and a job that was given none is not one with a secret.
    Arguments of more than ``ELEMENTS_MAX`` values are hidden as a whole.

    Args:
        positions: whether the positional argument at an index is hidden.
        names: whether values of this name are: named arguments, and keys of dicts at any depth.

    Raises:
        ProtocolError: ``payload`` is not one of arguments.
    """
    walk = _Walk(names)
    hidden: list[Any] = [[HIDDEN], {}]
    try:
        args, kwargs = msgpack.unpackb(payload, raw=False, strict_map_key=False)
        hidden = [
            [walk.hidden(item) if positions(at) else walk.value(item, 0) for at, item in enumerate(args)],
            walk.mapping(kwargs, 0),
        ]
    except _TooMany:
        walk.found = True
    except ProtocolError:
        raise
    except Exception as error:  # msgpack raises eight different classes on bad input
        raise ProtocolError(f"not a payload of arguments: {type(error).__name__}") from None
    data: bytes = msgpack.packb(hidden)
    return data if walk.found else None


class _TooMany(Exception):
    """There is more to look at than there is time."""


class _Walk:
    """Over values as msgpack has them: what the codec would make of extensions is not built."""

    def __init__(self, names: Callable[[str], bool]) -> None:
        self._names = names
        self._elements = 0
        self.found = False

    def hidden(self, value: Any) -> Any:
        if any(value is one or (value == one and type(value) is type(one)) for one in _HARMLESS):
            return value
        self.found = True
        return HIDDEN

    def value(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is dict:
            return self.mapping(value, depth)
        if kind is list:
            return self._items(value, depth)
        if kind is msgpack.ExtType and value.code == codec.TUPLE:
            items = msgpack.unpackb(value.data, raw=False, strict_map_key=False)
            return msgpack.ExtType(codec.TUPLE, msgpack.packb(self._items(items, depth)))
        return value

    def mapping(self, value: dict[Any, Any], depth: int) -> dict[Any, Any]:
        self._count(len(value), depth)
        return {
            key: self.hidden(item) if type(key) is str and self._names(key) else self.value(item, depth + 1)
            for key, item in value.items()
        }

    def _items(self, items: list[Any], depth: int) -> list[Any]:
        self._count(len(items), depth)
        return [self.value(item, depth + 1) for item in items]

    def _count(self, size: int, depth: int) -> None:
        self._elements += size
        if self._elements > ELEMENTS_MAX:
            raise _TooMany
        if depth > codec.VALUE_DEPTH_MAX:
            raise ProtocolError(f"not a payload of arguments: nested deeper than {codec.VALUE_DEPTH_MAX}")


def scrub(error: ErrorInfo, payload: bytes, shown: bytes) -> ErrorInfo:
    """The error without the values that ``shown`` hides of ``payload``, where it repeats them as they are.

    "As they are" is their text, with or without the escapes of Python or JSON, in one piece and of ``TEXT_CHARS_MIN``
    characters or more. What was encoded, shortened or put together otherwise is not found. Where more is hidden than
    ``TEXTS_MAX``, or what is hidden cannot be read, nothing of message and traceback is kept.
    """
    try:
        texts = hidden_texts(payload, shown)
    except ProtocolError:  # which the child was told as well
        texts = None
    if texts is None:
        return replace(error, message=HIDDEN, traceback=HIDDEN)
    return replace(error, message=_without(error.message, texts), traceback=_without(error.traceback, texts))


def hidden_texts(payload: bytes, shown: bytes) -> list[str] | None:
    """The texts by which the values that ``shown`` hides of ``payload`` are known, the longest first; None if there are
    more of either than ``TEXTS_MAX``.

    Raises:
        ProtocolError: one of them is not a payload of arguments.
    """
    whole, seen = codec.unpack_arguments(payload), codec.unpack_arguments(shown)
    leaves = (leaf for value in _hidden(list(whole), list(seen)) for leaf in _leaves(value))
    few = list(islice(leaves, TEXTS_MAX + 1))
    if len(few) > TEXTS_MAX:
        return None
    found = {text for leaf in few for text in _texts(leaf)}
    return sorted(found, key=len, reverse=True) if len(found) <= TEXTS_MAX else None


def _without(text: str, texts: list[str]) -> str:
    for hidden in texts:
        text = text.replace(hidden, HIDDEN)
    return text


def _hidden(whole: Any, seen: Any) -> Iterator[Any]:
    """The values of ``whole`` for which ``seen`` has the stand-in."""
    if seen == HIDDEN and type(seen) is str:
        yield whole
    elif isinstance(whole, dict):
        for key, item in whole.items():
            yield from _hidden(item, seen.get(key, HIDDEN))
    elif isinstance(whole, list | tuple):
        for item, other in zip_longest(whole, seen, fillvalue=HIDDEN):
            yield from _hidden(item, other)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from _leaves(item)
    elif not isinstance(value, bool) and value is not None:
        yield value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, bytes):
        texts = [value.decode(errors="backslashreplace"), repr(value)[2:-1]]
    else:
        text = str(json_number(value)) if isinstance(value, int | float) else str(value)
        texts = [text, text.strip(), *_escaped(text)]
        texts += [] if isinstance(value, str | int | float) else [repr(value)]
        texts += [line for line in text.splitlines() if len(line) >= _LINE_CHARS_MIN]
    return (text for text in texts if len(text) >= TEXT_CHARS_MIN)


def _escaped(text: str) -> Iterator[str]:
    """As Python and JSON write it, by itself and inside of a text that has quotation marks already."""
    for write in (repr, ascii):
        yield write(text)[1:-1]
        yield write('"' + text)[2:-1]
    yield text.encode("ascii", "backslashreplace").decode()
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
