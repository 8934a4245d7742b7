"""Values come back exactly; envelopes that are not plain, small and shallow are refused; garbage is one error."""

from __future__ import annotations

import enum
import io
import math
import re
import subprocess
import sys
import zoneinfo
from collections import OrderedDict, namedtuple
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path, PurePosixPath
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobyard.protocol import codec, messages
from jobyard.protocol.errors import NotSerializable, ProtocolError, TooLarge

ZONES = [None, UTC, timezone(timedelta(hours=-3, minutes=30)), zoneinfo.ZoneInfo("Europe/Berlin")]
ZONES_OF_TIMES = ZONES[:3]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
    | st.datetimes(timezones=st.sampled_from(ZONES))
    | st.dates()
    | st.times(timezones=st.sampled_from(ZONES_OF_TIMES))
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.sampled_from([Path("/a/b"), Path("c"), Path("d\udcff")])
)
keys = st.text(st.characters(exclude_categories=["Cs"])) | st.integers(-(2**63), 2**64 - 1)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.sets(scalars, max_size=4)
        | st.dictionaries(keys, inner, max_size=4)
    ),
    max_leaves=20,
)


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, datetime):
        return one == other and (one.fold, one.tzinfo) == (other.fold, other.tzinfo)
    if isinstance(one, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    return bool(one == other)


@given(values)
def test_value_comes_back_exactly(value: Any) -> None:
    assert same(codec.unpack_value(codec.pack_value(value)), value)


@given(st.lists(values, max_size=3), st.dictionaries(st.text("abc", min_size=1), values, max_size=3))
def test_arguments_come_back_exactly(args: list[Any], kwargs: dict[str, Any]) -> None:
    assert same(codec.unpack_arguments(codec.pack_arguments(tuple(args), kwargs)), (args, kwargs))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), -0.0])
def test_odd_floats_come_back(value: float) -> None:
    assert repr(codec.unpack_value(codec.pack_value(value))) == repr(value)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 2**64, -(2**64), 10**5000, -(10**5000)], ids=lambda v: "big")
def test_integers_of_any_size_come_back(value: int) -> None:
    assert codec.unpack_value(codec.pack_value([value])) == [value]


@pytest.mark.parametrize("fold", [0, 1])
def test_the_hour_that_is_twice_comes_back_as_the_one_it_was(fold: int) -> None:
    value = datetime(2026, 10, 25, 2, 30, fold=fold, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
    again = codec.unpack_value(codec.pack_value(value))
    assert (again.fold, again.utcoffset()) == (fold, value.utcoffset())


class Colour(enum.IntEnum):
    RED = 1


class Odd:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class NoZone(zoneinfo.ZoneInfo):
    key = None  # type: ignore[assignment]


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    "value, where, hint",
    [
        (frozenset({1}), "value", "send a set"),
        (bytearray(b"x"), "value", "bytes"),
        (memoryview(b"x"), "value", "bytes"),
        (1j, "value", "two floats"),
        ((n for n in ()), "value", "send a list"),
        (len, "value", "dict of plain values"),
        (lambda: None, "value", "name as text"),
        (io.StringIO(), "value", "dict of plain values"),
        (Colour.RED, "value", "subclass of int"),
        (Point(1, 2), "value", "subclass of tuple"),
        (OrderedDict(), "value", "subclass of dict"),
        (PurePosixPath("x"), "value", "a path"),
        (Odd(), "value", "dict of plain values"),
        (object, "value", "dict of plain values"),
        ({"a": [1, {2: object()}]}, "value['a'][1][2]", "dict of plain values"),
        ((1, object()), "value[1]", "dict of plain values"),
        ({"rows": {(1, object)}}, "value['rows']{...}[1]", "dict of plain values"),
        ({"a": {1.5: 1}}, "value['a'] has the key 1.5 that is a float", "str or int"),
        ({True: 1}, "the key True", "str or int"),
        ({Odd(): 1}, "a key that is", "str or int"),
        ({2**64: 1}, "more than 64 bits", "text keys"),
        ([datetime(2026, 1, 1, tzinfo=NoZone("UTC"))], "value[0]: ", "zoneinfo"),
    ],
)
def test_what_cannot_be_sent_says_where_it_is_and_what_to_send(value: Any, where: str, hint: str) -> None:
    with pytest.raises(NotSerializable) as caught:
        codec.pack_value(value)
    assert where in caught.value.message and hint in caught.value.hint
    assert isinstance(caught.value, TypeError)


def test_value_is_called_by_the_name_that_it_is_given() -> None:
    with pytest.raises(NotSerializable, match=r"^result\[0\]\['a'\] is a .*Odd, which cannot be sent"):
        codec.pack_value([{"a": Odd()}], "result")
    with pytest.raises(NotSerializable, match=r"^result cannot be sent"):
        codec.pack_value("\ud800", "result")


def test_open_file_is_told_to_send_its_path(tmp_path: Path) -> None:
    with open(tmp_path / "x", "w") as file, pytest.raises(NotSerializable) as caught:
        codec.pack_value(file)
    assert "path" in caught.value.hint


def test_value_that_cannot_be_packed_leaves_nothing_in_the_next_one() -> None:
    for bad in ("\ud800", ["x" * 100, "\ud800"], 1j):
        with pytest.raises(NotSerializable):
            codec.pack_value(bad)
        assert codec.pack_value("text") == b"\xa4text"


def test_value_that_contains_itself_is_too_deep() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(NotSerializable, match="deeper than 200"):
        codec.pack_value(value)


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: (v,), lambda v: {"k": v}], ids=["list", "tuple", "dict"])
def test_value_as_deep_as_may_be_comes_back(wrap: Any) -> None:
    value: Any = 1
    for _ in range(codec.VALUE_DEPTH_MAX):
        value = wrap(value)
    assert codec.unpack_value(codec.pack_value(value)) == value
    with pytest.raises(NotSerializable):
        codec.pack_value(wrap(wrap(value)))


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ("a\udcff", "x"),
        (["a", "\udcff"], "x[1]"),
        ({"k": {"\udcff": 1}}, "a key of x['k']"),
        ({"k": {"\udcfe": "\udcff"}}, "a key of x['k']"),
        (("a", ["\udcff"]), "x[1][0]"),
        ({"\udcff"}, "x{...}"),
        ([1, 2.0, None, b"", {"k": "\udcff"}], "x[4]['k']"),
    ],
)
def test_text_without_a_form_in_utf8_is_refused_by_its_place(value: Any, where: str) -> None:
    with pytest.raises(NotSerializable) as caught:
        codec.pack_value(value, "x")
    assert caught.value.message.startswith(f"{where} cannot be sent: the character '\\udcf")
    assert "os.fsencode" in caught.value.hint
    where = where.replace("x", "argument 2", 1)
    with pytest.raises(NotSerializable, match=f"^{re.escape(where)} cannot be sent"):
        codec.pack_arguments((1, value), {"to": "b"})
    with pytest.raises(NotSerializable, match=f"^{re.escape(where.replace('2', 'to'))} cannot be sent"):
        codec.pack_arguments((1,), {"to": value})


def test_text_that_is_hidden_in_another_type_is_refused() -> None:
    with pytest.raises(NotSerializable, match=r"^the arguments cannot be sent"):
        codec.pack_arguments((Path("\ud800"),), {})


def test_message_over_the_limit_says_what_to_do() -> None:
    with pytest.raises(TooLarge) as caught:
        codec.pack(b"x" * codec.MESSAGE_BYTES_MAX)
    assert "write what is large to a file and pass its path" in caught.value.hint


@given(st.binary(max_size=300))
def test_garbage_is_a_value_or_a_protocol_error(data: bytes) -> None:
    for read in (codec.unpack_value, codec.unpack_arguments):
        try:
            read(data)
        except ProtocolError:
            pass


def ext(code: int, content: Any) -> bytes:
    data: bytes = msgpack.packb(
        msgpack.ExtType(code, content if isinstance(content, bytes) else msgpack.packb(content))
    )
    return data


@pytest.mark.parametrize(
    "data",
    [
        ext(1, 7),
        ext(2, [[1]]),
        ext(4, ["os.system", "true"]),
        ext(4, ["datetime.datetime", "soon"]),
        ext(4, ["datetime.datetime", ["2026-01-01", "No/Zone", 0]]),
        ext(4, ["decimal.Decimal", "x"]),
        ext(4, ["uuid.UUID", 7]),
        ext(4, [["list"], 1]),
        ext(4, "text"),
        ext(9, []),
        msgpack.packb(msgpack.Timestamp(1)),
        msgpack.packb({1.5: 1}),
        msgpack.packb({b"a": 1}),
        ext(1, b"\xc1"),
    ],
)
def test_forged_extension_is_a_protocol_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        codec.unpack_value(data)


@pytest.mark.parametrize("count", [codec.VALUE_DEPTH_MAX + 10, 900])
def test_lists_nested_too_deep_are_a_protocol_error(count: int) -> None:
    with pytest.raises(ProtocolError, match="nested deeper"):
        codec.unpack_value(b"\x91" * count + b"\x01")


def test_extensions_nested_without_end_are_a_protocol_error() -> None:
    data = msgpack.packb([])
    for _ in range(5_000):
        data = ext(1, data)
    with pytest.raises(ProtocolError):
        codec.unpack_value(data)


@pytest.mark.parametrize("value", [1, [1], [[], []], [{}, {}], [[], {}, []]])
def test_value_that_is_no_payload_of_arguments_is_a_protocol_error(value: Any) -> None:
    with pytest.raises(ProtocolError, match="arguments"):
        codec.unpack_arguments(codec.pack_value(value))


# -- envelopes ---------------------------------------------------------------------------------------------------------

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc"), inner, max_size=4),
    max_leaves=20,
)


@given(plain)
def test_plain_message_comes_back(message: Any) -> None:
    assert codec.unpack(codec.pack(message)) == message


@given(st.binary(max_size=300))
def test_garbage_is_a_message_or_a_protocol_error(data: bytes) -> None:
    try:
        codec.unpack(data)
    except ProtocolError:
        pass


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x01\x02",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xa2\xff\xfe",
        b"\x91" * 100 + b"\x01",
        b"\x91" * 100_000,
        b"\x81\x01\x01",
        b"\x81\xc4\x01a\x01",
        b"\x81\x90\x01",
        ext(5, b"x"),
        msgpack.packb(msgpack.Timestamp(1)),
        msgpack.packb([{"a": [msgpack.Timestamp(1)]}]),
        msgpack.packb({"a": {1: 2}}),
    ],
    ids=repr,
)
def test_message_that_is_not_plain_is_a_protocol_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        codec.unpack(data)


def nested(depth: int) -> Any:
    message: Any = 1
    for _ in range(depth - 1):
        message = [message]
    return message


def test_depth_is_capped() -> None:
    assert codec.unpack(msgpack.packb(nested(codec.ENVELOPE_DEPTH_MAX))) == nested(codec.ENVELOPE_DEPTH_MAX)
    with pytest.raises(ProtocolError, match="nested deeper"):
        codec.unpack(msgpack.packb(nested(codec.ENVELOPE_DEPTH_MAX + 2)))


def test_number_of_elements_is_capped() -> None:
    most = [0] * (codec.ENVELOPE_ELEMENTS_MAX - 1)
    assert codec.unpack(msgpack.packb(most)) == most
    with pytest.raises(ProtocolError, match="elements"):
        codec.unpack(msgpack.packb([most, 1]))


def test_size_is_capped_on_both_sides() -> None:
    with pytest.raises(TooLarge):
        codec.pack(bytes(codec.MESSAGE_BYTES_MAX))
    with pytest.raises(TooLarge):
        codec.unpack(bytes(codec.MESSAGE_BYTES_MAX + 1))


def test_text_that_is_no_text_does_not_keep_a_message_from_being_sent() -> None:
    """A file name that is not UTF-8 reaches an error's message; the reply must get through all the same."""
    assert codec.unpack(codec.pack({"message": "caf\udce9.toml"})) == {"message": "caf\\udce9.toml"}


@pytest.mark.parametrize("message", [2**64, {"a": object()}, {"a": {1}}])
def test_message_that_cannot_be_packed_is_a_protocol_error(message: Any) -> None:
    with pytest.raises(ProtocolError):
        codec.pack(message)


def test_codec_loads_no_module_of_a_value_before_one_is_met() -> None:
    code = "import sys, jobyard.protocol.codec as c; c.unpack_value(c.pack_value([1, (2,)])); "
    code += "sys.exit(bool({'decimal', 'uuid', 'zoneinfo'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_want_of_memory_is_not_taken_for_a_bad_message_but_a_request_is_refused_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    request = messages.pack_request("1", messages.Ping())

    def no_memory(*args: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr(codec.msgpack, "unpackb", no_memory)
    with pytest.raises(MemoryError):
        codec.unpack(request)
    with pytest.raises(ProtocolError, match="no memory"):
        messages.unpack_request(request)


WITHOUT_ROOM = """
import os, resource
from jobyard.protocol.codec import pack_plain

used = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
resource.setrlimit(resource.RLIMIT_AS, (used + (96 << 20), resource.RLIM_INFINITY))
failed = 0
for size in range(1 << 20, 96 << 20, 1 << 20):
    try:
        pack_plain(b"x" * size)
    except MemoryError:
        failed += 1
    assert pack_plain([1, "a"]) == b"\\x92\\x01\\xa1a", "what there was no room for is in the next message"
print(failed)
"""


def test_value_that_there_was_no_memory_for_is_not_in_what_is_packed_next() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_ROOM], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and int(done.stdout) > 10, done
