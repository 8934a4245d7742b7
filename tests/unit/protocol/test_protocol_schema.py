"""Dataclasses over the wire: every message comes back; whatever else arrives is a ProtocolError and nothing else."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jobyard.protocol import codec, errors, messages, schema
from jobyard.protocol.errors import JobyardError, ProtocolError, VersionMismatch
from jobyard.protocol.job import JobInfo, Policy, RetryPolicy
from jobyard.protocol.notices import Notice

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | text
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
LEAVES: dict[Any, st.SearchStrategy[Any]] = {
    Any: plain,
    int: st.integers(-(2**63), 2**64 - 1),
    float: st.floats(allow_nan=False),
    str: text,
    bytes: st.binary(max_size=8),
    bool: st.booleans(),
    type(None): st.none(),
}


def of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type."""
    if kind in LEAVES:
        return LEAVES[kind]
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return st.builds(kind, **{field.name: of(hints[field.name]) for field in dataclasses.fields(kind)})
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*map(of, args))
    if origin is dict:
        return st.dictionaries(of(args[0]), of(args[1]), max_size=2)
    return st.lists(of(args[0]), max_size=2).map(origin)


requests = st.one_of(*(of(cls) for cls in messages.REQUESTS.values()))
replies = st.sampled_from(sorted(messages.REPLIES)).flatmap(
    lambda verb: st.tuples(st.just(verb), of(messages.REPLIES[verb]))
)


@given(text, requests)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_every_request_comes_back(request_id: str, request: Any) -> None:
    assert messages.unpack_request(messages.pack_request(request_id, request)) == (request_id, request)


@given(text, replies)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_every_reply_comes_back(request_id: str, answer: tuple[str, Any]) -> None:
    verb, reply = answer
    found_id, frame = messages.unpack_reply(messages.pack_reply(request_id, reply))
    assert (found_id, messages.read_reply(verb, frame)) == (request_id, reply)


@pytest.mark.parametrize("to_wire", [schema.to_wire, schema.to_brief_wire])
@given(notice=of(Notice))
def test_every_notice_comes_back(to_wire: Callable[[Any], dict[str, Any]], notice: Notice) -> None:
    assert schema.from_wire(Notice, codec.unpack(codec.pack(to_wire(notice)))) == notice


def test_brief_message_has_what_is_not_the_default_and_what_has_none() -> None:
    brief = {"epoch": 0, "seq": 0, "at": 0.0, "kind": "pruned", "text": ""}
    assert schema.to_brief_wire(Notice(0, 0, 0.0, "pruned", attempt=0, text="", ids=[])) == brief


@pytest.mark.parametrize("cls", errors.BY_CODE.values(), ids=lambda cls: cls.__name__)
def test_every_error_comes_back_as_itself(cls: type[JobyardError]) -> None:
    error = cls("what", hint="do", details={"id": 7, "list": [1, None]})
    found_id, frame = messages.unpack_reply(messages.pack_reply("x", error))
    with pytest.raises(cls) as caught:
        messages.read_reply("ping", frame)
    assert (found_id, type(caught.value), caught.value.to_wire()) == ("x", cls, error.to_wire())


@given(st.sampled_from([*messages.REQUESTS.values(), *messages.REPLIES.values(), Notice]), plain)
def test_garbage_in_place_of_a_message_is_a_protocol_error(cls: type[Any], wire: Any) -> None:
    try:
        schema.from_wire(cls, wire)
    except ProtocolError:
        pass


@given(requests, st.data())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_message_with_one_field_replaced_is_a_message_or_a_protocol_error(request: Any, data: st.DataObject) -> None:
    wire = schema.to_wire(request)
    places = list(_places(wire))
    if not places:
        return
    holder, key = data.draw(st.sampled_from(places))
    holder[key] = data.draw(plain)
    try:
        schema.from_wire(type(request), wire)
    except ProtocolError:
        pass


def _places(wire: Any) -> Any:
    """Every spot in a message where another value can be put."""
    items = wire.items() if isinstance(wire, dict) else enumerate(wire) if isinstance(wire, list) else ()
    for key, value in list(items):
        yield wire, key
        yield from _places(value)


GOOD = {"ids": [1], "any": False}


@pytest.mark.parametrize(
    "wire, told",
    [
        (None, "Wait is NoneType, not a map"),
        ([], "Wait is list, not a map"),
        ({}, "Wait lacks the field 'ids'"),
        ({**GOOD, "some": 1}, "Wait has no field 'some'"),
        ({**GOOD, 7: 1}, "Wait has no field '7'"),
        ({"ids": 1}, "Wait.ids is int, not a list"),
        ({"ids": ["1"]}, "Wait.ids[0] is str, not int"),
        ({"ids": [True]}, "Wait.ids[0] is bool, not int"),
        ({"ids": [1.0]}, "Wait.ids[0] is float, not int"),
        ({**GOOD, "any": 1}, "Wait.any is int, not bool"),
        ({**GOOD, "any": None}, "Wait.any is NoneType, not bool"),
    ],
)
def test_wrong_field_is_named(wire: Any, told: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        schema.from_wire(messages.Wait, wire)
    assert caught.value.message == told


def test_wrong_field_deep_inside_is_named_with_its_way() -> None:
    wire = {"jobs": [{"uid": "u", "ref": "r", "payload": b"", "options": {"a": 1}, "kwarg_names": [7]}]}
    with pytest.raises(ProtocolError, match=r"^Submit\.jobs\[0\]\.kwarg_names\[0\] is int, not str$"):
        schema.from_wire(messages.Submit, wire)


@pytest.mark.parametrize(
    "tags, told", [([], "not a map"), ({"a": 1}, "tags['a'] is int"), ({1: "a"}, "tags key is int")]
)
def test_wrong_map_is_named(tags: Any, told: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        schema.from_wire(messages.Filter, {"tags": tags})
    assert told in caught.value.message


def test_whole_number_serves_as_a_float_and_a_list_as_a_tuple() -> None:
    found = schema.from_wire(Policy, {"timeout_s": 5, "retry": {"delays_s": [1, 2.5]}})
    assert found == Policy(timeout_s=5.0, retry=RetryPolicy(delays_s=(1.0, 2.5)))
    assert type(found.timeout_s) is float


def test_fields_with_defaults_may_be_absent() -> None:
    assert schema.from_wire(messages.List, {}) == messages.List()


def test_defaults_of_messages_of_the_same_fields_are_not_shared() -> None:
    for _ in range(2):
        found = schema.from_wire(messages.Filter, {"states": ["queued"]})
        assert found.tags == {} and found.states == ["queued"]
        found.tags["a"] = "b"
        found.states.append("x")


def test_message_like_one_that_was_right_is_looked_into_all_the_same() -> None:
    for _ in range(2):
        schema.from_wire(messages.Wait, GOOD)
        with pytest.raises(ProtocolError, match=r"^Wait\.ids\[1\] is str, not int$"):
            schema.from_wire(messages.Wait, {**GOOD, "ids": [1, "2"]})


def test_union_of_two_types_takes_either_and_refuses_others() -> None:
    @dataclasses.dataclass
    class Either:
        value: int | str

    globals()["Either"] = Either
    assert schema.from_wire(Either, {"value": 1}).value == 1
    assert schema.from_wire(Either, {"value": "a"}).value == "a"
    for wrong in (None, b"a"):
        with pytest.raises(ProtocolError, match=r"Either\.value"):
            schema.from_wire(Either, {"value": wrong})


# -- frames ------------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=200))
def test_garbage_is_never_a_request(data: bytes) -> None:
    with pytest.raises(JobyardError):
        messages.unpack_request(data)


@given(plain)
def test_any_message_is_a_request_or_a_protocol_error(message: Any) -> None:
    data = codec.pack(message)
    for read in (messages.unpack_request, messages.unpack_reply):
        try:
            read(data)
        except (ProtocolError, VersionMismatch):
            pass


def request_frame(**changes: Any) -> bytes:
    return codec.pack({"v": messages.PROTOCOL_VERSION, "id": "7", "verb": "ping", "body": {}, **changes})


@pytest.mark.parametrize(
    "changes, kind",
    [
        ({"v": 2}, VersionMismatch),
        ({"v": None}, VersionMismatch),
        ({"verb": "pong"}, ProtocolError),
        ({"verb": None}, ProtocolError),
        ({"verb": ["ping"]}, ProtocolError),
        ({"verb": "__class__"}, ProtocolError),
        ({"body": None}, ProtocolError),
        ({"body": {"x": 1}}, ProtocolError),
    ],
)
def test_refused_request_tells_its_id(changes: dict[str, Any], kind: type[JobyardError]) -> None:
    with pytest.raises(kind) as caught:
        messages.unpack_request(request_frame(**changes))
    assert caught.value.details["id"] == "7"


@pytest.mark.parametrize("frame", [{}, {"id": 7}, [], 1, {"id": None}])
def test_frame_without_an_id_is_a_protocol_error(frame: Any) -> None:
    for read in (messages.unpack_request, messages.unpack_reply):
        with pytest.raises(ProtocolError, match="text id"):
            read(codec.pack(frame))


@given(plain)
def test_any_answer_is_a_reply_or_an_error(content: Any) -> None:
    for part in ("ok", "error"):
        try:
            messages.read_reply("ping", {"v": messages.PROTOCOL_VERSION, "id": "7", part: content})
        except JobyardError:
            pass


@pytest.mark.parametrize("wire", [{}, {"code": 7}, {"code": "no_such_code", "message": None}, {"details": []}])
def test_error_of_an_unknown_code_is_a_plain_error(wire: dict[str, Any]) -> None:
    error = errors.from_wire(wire)
    assert type(error) is JobyardError and error.details == {}


def test_every_verb_has_a_reply() -> None:
    assert messages.REQUESTS.keys() == messages.REPLIES.keys()
    assert {cls.VERB for cls in typing.get_args(messages.Request)} == messages.REQUESTS.keys()


def test_job_info_decodes_what_the_supervisor_never_opened() -> None:
    base: dict[str, Any] = {
        "id": 1,
        "uid": "u",
        "ref": "m:f",
        "name": "f",
        "state": "succeeded",
        "queue": "q",
        "pool": "p",
    }
    info = JobInfo(
        **base,
        priority=0,
        created_at=0.0,
        run_at=0.0,
        policy=Policy(),
        payload=codec.pack_arguments((1, (2,)), {"a": {3}}),
        result_payload=codec.pack_value({"k": (4,)}),
    )
    assert (info.args, info.kwargs, info.result) == ((1, (2,)), {"a": {3}}, {"k": (4,)})
    assert (info.finished, info.max_attempts, info.last_attempt, info.error) == (True, 3, None, None)
    assert dataclasses.replace(info, result_payload=None).result is None
