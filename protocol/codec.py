"""Bytes to values and back: message envelopes with caps, and job values with exact round trip.

Two formats, both msgpack, never pickle:

- an *envelope* holds plain values only and is checked for size, depth and element count before anything reads it;
- a *value* (arguments, results) is opaque to the supervisor and may hold, beside plain values, tuples, sets, integers
  of any size, and the types of ``_TYPES``; each comes back as exactly the type that went in.

Imported by every job process, so it pulls in nothing but msgpack until a value needs more.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable
from typing import Any

import msgpack

from .errors import NotSerializable, ProtocolError, TooDeep, TooLarge

MESSAGE_BYTES_MAX = 16 * 1024 * 1024
ENVELOPE_DEPTH_MAX = 32
ENVELOPE_ELEMENTS_MAX = 500_000
VALUE_DEPTH_MAX = 200
_ENVELOPE_LEAVES = frozenset({type(None), bool, int, float, str, bytes})
# To make a packer costs a job process more than to use one: it allocates 256 KiB.
_packer = msgpack.Packer(buf_size=4096)
_packed = _packer.pack


def pack_plain(value: Any) -> bytes:
    """What msgpack takes as it is, as bytes; raises what msgpack raises."""
    try:
        return _packed(value)  # type: ignore[no-any-return]
    except MemoryError:
        _packer.reset()  # it keeps what it had no room to give, and would put it before the next
        raise


# -- envelopes ---------------------------------------------------------------------------------------------------------


def pack(message: Any) -> bytes:
    """An envelope of plain values as bytes.

    Raises:
        ProtocolError: not plain values.
        TooLarge: longer than a message may be.
    """
    try:
        # Text that is no text, such as some file names, must not keep an error from being told.
        data: bytes = msgpack.packb(message, unicode_errors="backslashreplace")
    except (TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"a message cannot be packed: {error}") from None
    if len(data) > MESSAGE_BYTES_MAX:
        raise TooLarge(
            f"a message of {len(data):,} bytes is over the limit of {MESSAGE_BYTES_MAX:,}",
            hint="write what is large to a file and pass its path",
        )
    return data


def unpack(data: bytes) -> Any:
    """The plain value in ``data``.

    Raises:
        ProtocolError: not msgpack, or over the caps on depth, elements or types; ``details["id"]`` is that of the
            message where that could be read.
        TooLarge: longer than a message may be.
        MemoryError: there is no room for it, which says nothing of the message.
    """
    if len(data) > MESSAGE_BYTES_MAX:
        raise TooLarge(f"a message of {len(data):,} bytes is over the limit of {MESSAGE_BYTES_MAX:,}")
    try:
        value = msgpack.unpackb(data, raw=False, strict_map_key=True, ext_hook=_refuse_ext)
        _check(value)
    except (ProtocolError, MemoryError):
        raise
    except Exception as error:  # msgpack raises eight different classes on bad input
        raise ProtocolError(f"not a valid message: {type(error).__name__}") from None
    return value


def _check(value: Any) -> None:
    try:
        if _cap(value) > ENVELOPE_ELEMENTS_MAX:
            raise TooDeep(f"a message of more than {ENVELOPE_ELEMENTS_MAX:,} elements")
    except ProtocolError as error:
        if type(value) is dict and type(value.get("id")) is str:
            error.details["id"] = value["id"]  # so that whoever sent it can be told
        raise


def _refuse_ext(code: int, data: bytes) -> Any:
    raise ProtocolError(f"not a valid message: extension type {code}")


def _cap(value: Any, depth: int = 1) -> int:
    """How many values are in ``value``, itself included; refuses what an envelope must not hold."""
    kind = type(value)
    if kind in _ENVELOPE_LEAVES:
        return 1
    if kind is not dict and kind is not list:
        raise ProtocolError("a message with a value that is not plain")
    if depth > ENVELOPE_DEPTH_MAX:
        raise TooDeep(f"a message nested deeper than {ENVELOPE_DEPTH_MAX}")
    items = value
    if kind is dict:
        for key in value:
            if type(key) is not str:
                raise ProtocolError("a message with a key that is not text")
        items = value.values()
    elements = 1 + len(value)
    for item in items:
        if type(item) not in _ENVELOPE_LEAVES:
            elements += _cap(item, depth + 1) - 1
    return elements


# -- values ------------------------------------------------------------------------------------------------------------

_PLAIN = frozenset({type(None), bool, float, str, bytes})
TUPLE, _SET, _BIGINT, _OTHER = 1, 2, 3, 4
_INT64_MIN, _UINT64_MAX = -(2**63), 2**64 - 1


def pack_value(value: Any, name: str = "value") -> bytes:
    """``value`` as bytes.

    Args:
        name: what it is called in errors.

    Raises:
        NotSerializable: says where in the value, and what to send instead.
    """
    try:
        data: bytes = pack_plain(value if type(value) in _PLAIN else _encode(value, name, 0))
    except (ValueError, RecursionError) as error:
        raise _not_packed(error, f"the {name}", {name: value}) from None
    return data


def unpack_value(data: bytes) -> Any:
    """The value in ``data``.

    Raises:
        ProtocolError: ``data`` was not made by ``pack_value``.
    """
    try:
        return _decode(_unpacked(data), 0)
    except ProtocolError:
        raise
    except Exception as error:
        raise _not_unpacked(error) from None


def pack_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """Positional and named arguments as one payload; an error names the argument that cannot be sent."""
    try:
        named = {name: _encode(item, f"argument {name}", 1) for name, item in kwargs.items()}
        encoded = [[_encode(item, f"argument {index}", 1) for index, item in enumerate(args, 1)], named]
        data: bytes = msgpack.packb(encoded)
    except (ValueError, RecursionError) as error:
        values = {f"argument {name}": item for name, item in (*enumerate(args, 1), *kwargs.items())}
        raise _not_packed(error, "the arguments", values) from None
    return data


def unpack_arguments(payload: bytes) -> tuple[list[Any], dict[str, Any]]:
    """Positional and named arguments from a payload.

    Raises:
        ProtocolError: ``payload`` was not made by ``pack_arguments``.
    """
    try:
        value = msgpack.unpackb(payload, raw=False, strict_map_key=False)
        if type(value) is list and len(value) == 2:
            args, kwargs = value
            if type(args) is list and type(kwargs) is dict:
                return args and _decode(args, 1), kwargs and _decode(kwargs, 1)
    except ProtocolError:
        raise
    except Exception as error:
        raise _not_unpacked(error) from None
    raise ProtocolError("not a payload of arguments")


def _not_packed(error: Exception, what: str, values: dict[str, Any]) -> NotSerializable:
    """``values`` are named by what they are called in errors."""
    if not isinstance(error, UnicodeEncodeError):
        return NotSerializable(f"{what} cannot be packed: {error}")
    where = next(filter(None, (_no_text(value, name) for name, value in values.items())), what)
    return NotSerializable(
        f"{where} cannot be sent: the character {error.object[error.start]!r} has no form in UTF-8",
        hint="send bytes, such as os.fsencode(text), or a pathlib.Path for the name of a file",
    )


def _not_unpacked(error: Exception) -> ProtocolError:
    """msgpack and the constructors of the types raise whatever they like."""
    return ProtocolError(f"not a valid value: {type(error).__name__}: {error}")


def _no_text(value: Any, where: str) -> str | None:
    """Where in ``value`` there is a str without a form in UTF-8, such as ``os.fsdecode`` makes of other encodings."""
    kind = type(value)
    if kind is str:
        return None if _is_text(value) else where
    found: Iterable[str | None] = ()
    if kind is list or kind is tuple:
        found = (_no_text(item, f"{where}[{i}]") for i, item in enumerate(value))
    elif kind is set:
        found = (_no_text(item, f"{where}{{...}}") for item in value)
    elif kind is dict:
        found = (
            _no_text(key, f"a key of {where}") or _no_text(item, f"{where}[{key!r}]") for key, item in value.items()
        )
    return next(filter(None, found), None)


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _encode(value: Any, where: str, depth: int) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is int:
        return value if _INT64_MIN <= value <= _UINT64_MAX else msgpack.ExtType(_BIGINT, _int_bytes(value))
    if depth > VALUE_DEPTH_MAX:
        raise NotSerializable(
            f"{where[:200]} is nested deeper than {VALUE_DEPTH_MAX}", hint="send a file's path, or flatter data"
        )
    if kind is list:
        return [
            item if type(item) in _PLAIN else _encode(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value)
        ]
    if kind is dict:
        return _encode_dict(value, where, depth)
    if kind is tuple:
        return msgpack.ExtType(
            TUPLE, msgpack.packb([_encode(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value)])
        )
    if kind is set:
        return msgpack.ExtType(_SET, msgpack.packb([_encode(item, f"{where}{{...}}", depth + 1) for item in value]))
    return _encode_other(value, kind, where)


def _encode_dict(value: dict[Any, Any], where: str, depth: int) -> dict[Any, Any]:
    encoded = {}
    for key, item in value.items():
        if type(key) is int and not _INT64_MIN <= key <= _UINT64_MAX:
            raise NotSerializable(f"{where} has a key of more than 64 bits", hint="use text keys")
        if type(key) is not str and type(key) is not int:
            shown = f"the key {key!r}" if type(key) in _PLAIN else "a key"
            raise NotSerializable(f"{where} has {shown} that is {_spoken(type(key))}", hint="use str or int keys")
        encoded[key] = item if type(item) in _PLAIN else _encode(item, f"{where}[{key!r}]", depth + 1)
    return encoded


def _encode_other(value: Any, kind: type, where: str) -> Any:
    tag = f"{kind.__module__}.{kind.__qualname__}"
    codec = _TYPES.get(tag)
    if codec is None or _class(tag) is not kind:
        raise NotSerializable(f"{where} is {_spoken(kind)}, which cannot be sent", hint=_hint(kind))
    try:
        stored = codec[0](value)
    except NotSerializable as error:
        raise NotSerializable(f"{where}: {error.message}", hint=error.hint) from None
    return msgpack.ExtType(_OTHER, msgpack.packb([tag, stored]))


def _unpacked(data: bytes) -> Any:
    # Extensions stay bytes here and are decoded by _decode: a hook that unpacks again would nest the large C frames of
    # msgpack, and a few hundred of them overflow the stack.
    return msgpack.unpackb(data, raw=False, strict_map_key=False)


def _decode(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind in _PLAIN or kind is int:
        return value
    if depth > VALUE_DEPTH_MAX + 2:  # arguments are two levels inside their payload
        raise ProtocolError(f"not a valid value: nested deeper than {VALUE_DEPTH_MAX}")
    if kind is list:
        return [item if type(item) in _PLAIN else _decode(item, depth + 1) for item in value]
    if kind is dict:
        if not all(type(key) is str or type(key) is int for key in value):
            raise ProtocolError("not a valid value: a key that is neither text nor a number")
        return {key: item if type(item) in _PLAIN else _decode(item, depth + 1) for key, item in value.items()}
    if kind is msgpack.ExtType:
        return _decode_ext(value.code, value.data, depth)
    raise ProtocolError(f"not a valid value: a {kind.__name__}")


def _decode_ext(code: int, data: bytes, depth: int) -> Any:
    if code == _BIGINT:
        return int.from_bytes(data, "big", signed=True)
    items = _unpacked(data)
    if type(items) is list:
        if code == TUPLE:
            return tuple([_decode(item, depth + 1) for item in items])
        if code == _SET:
            return {_decode(item, depth + 1) for item in items}
        if code == _OTHER and len(items) == 2 and items[0] in _TYPES:
            return _TYPES[items[0]][1](items[1])
    raise ProtocolError(f"not a valid value: extension type {code}")


def _int_bytes(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 8) // 8, "big", signed=True)


def _class(tag: str) -> Any:
    module, _, name = tag.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _spoken(kind: type) -> str:
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def _hint(kind: type) -> str:
    hints = {
        "frozenset": "send a set",
        "bytearray": "send bytes(...)",
        "memoryview": "send bytes(...)",
        "complex": "send a tuple of two floats",
        "generator": "send a list",
        "function": "send the function's name as text",
        "TextIOWrapper": "send the file's path",
    }
    if kind.__name__ in hints:
        return hints[kind.__name__]
    for base in (str, int, float, tuple, list, dict, set):
        if issubclass(kind, base):
            return f"it is a subclass of {base.__name__}: send {base.__name__}(value), or value.value of an enum"
    return "send an id, a path, or a dict of plain values"


# -- date, time, decimal, uuid, path: by name, so that their modules load only when a value of them is met -------------


def _iso(value: Any) -> list[Any]:
    zone = value.tzinfo
    key = getattr(zone, "key", None)
    if key:
        return [value.replace(tzinfo=None).isoformat(), key, value.fold]
    if zone is not None and type(zone).__name__ != "timezone":
        raise NotSerializable(
            f"the time zone of {value!r} is {_spoken(type(zone))}", hint="use zoneinfo or timezone.utc"
        )
    offset = None if zone is None else zone.utcoffset(None)
    seconds = None if offset is None else [offset.days, offset.seconds, offset.microseconds]
    return [value.replace(tzinfo=None).isoformat(), seconds, value.fold]


def _zone(stored: Any) -> Any:
    import datetime

    if stored is None:
        return None
    if isinstance(stored, str):
        import zoneinfo

        return zoneinfo.ZoneInfo(stored)
    offset = datetime.timedelta(*stored)
    return datetime.UTC if not offset else datetime.timezone(offset)


def _from_iso(name: str) -> Callable[[Any], Any]:
    def decode(stored: Any) -> Any:
        import datetime

        value = getattr(datetime, name).fromisoformat(stored[0])
        return value.replace(tzinfo=_zone(stored[1]), fold=stored[2])

    return decode


def _build(tag: str) -> Callable[[Any], Any]:
    return lambda stored: _class(tag)(stored)


def _timedelta(stored: Any) -> Any:
    import datetime

    return datetime.timedelta(*stored)


def _date(stored: Any) -> Any:
    import datetime

    return datetime.date.fromisoformat(stored)


def _path_text(value: Any) -> str | bytes:
    text = str(value)
    return text if _is_text(text) else os.fsencode(text)  # a file name need not be text


def _path(stored: Any) -> Any:
    import pathlib

    return pathlib.Path(os.fsdecode(stored))


_PATHS = ("pathlib.PosixPath", "pathlib.WindowsPath", "pathlib._local.PosixPath", "pathlib._local.WindowsPath")

_TYPES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "datetime.datetime": (_iso, _from_iso("datetime")),
    "datetime.time": (_iso, _from_iso("time")),
    "datetime.date": (lambda value: value.isoformat(), _date),
    "datetime.timedelta": (lambda value: [value.days, value.seconds, value.microseconds], _timedelta),
    "decimal.Decimal": (str, _build("decimal.Decimal")),
    "uuid.UUID": (lambda value: value.hex, _build("uuid.UUID")),
    **dict.fromkeys(_PATHS, (_path_text, _path)),
}
