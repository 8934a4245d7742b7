"""Plain data behaves as a frozen dataclass would: equality, text, copies, keys of dicts."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import sys
import threading
from typing import Any

import pytest
from jobyard.protocol.job import Policy, RetryPolicy, Usage
from jobyard.protocol.messages import Filter, List, Pong
from jobyard.protocol.plain import dataclass


def test_equal_fields_of_one_class_are_equal_and_hash_alike() -> None:
    one, other = Pong(1, "0", True, 2), Pong(1, "0", True, 2)
    assert one == other and hash(one) == hash(other) and one is not other
    assert one != Pong(2, "0", True, 2)
    assert List() != Filter()


def test_text_shows_every_field() -> None:
    assert repr(Pong(1, "0", True, 2)) == "Pong(pid=1, version='0', ready=True, generation=2)"


def test_defaults_are_not_shared() -> None:
    Filter().states.append("x")
    assert Filter().states == []


def test_the_standard_functions_take_them() -> None:
    one = List(Filter(["failed"]), 3)
    assert dataclasses.asdict(one)["filter"]["states"] == ["failed"]
    assert dataclasses.replace(one, limit=4).limit == 4
    assert copy.deepcopy(one) == pickle.loads(pickle.dumps(one)) == one


def test_instances_with_slots_have_no_dictionary() -> None:
    assert not hasattr(Usage(), "__dict__")


def test_keys_of_dicts_are_found_again_whatever_was_asked_first() -> None:
    one, other = Policy(), Policy(RetryPolicy(max_attempts=3))
    assert {one: 1}[other] == 1
    assert one == other and one != Policy(grace_s=3.0) and one != "policy"


@pytest.mark.parametrize("slots", [True, False])
def test_fields_are_known_before_there_is_an_instance_and_in_classes_below(slots: bool) -> None:
    @dataclass(frozen=True, slots=slots)
    class Above:
        one: int
        other: list[int] = dataclasses.field(default_factory=list)

    @dataclass(frozen=True, slots=slots)
    class Below(Above):
        third: int = 3

    assert dataclasses.is_dataclass(Below)
    assert [field.name for field in dataclasses.fields(Below)] == ["one", "other", "third"]
    assert [field.name for field in dataclasses.fields(Above)] == ["one", "other"]
    assert Below(1) == Below(1, [], 3) and Below(1).other is not Below(1).other
    with pytest.raises(TypeError, match="one"):
        Above()  # type: ignore[call-arg]


def test_threads_that_make_the_first_instances_at_once_all_get_theirs() -> None:
    interval = sys.getswitchinterval()
    made: list[Any] = []

    def first(cls: Any, begin: threading.Barrier) -> None:
        begin.wait()
        made.append(cls(1))

    sys.setswitchinterval(1e-6)
    try:
        for _ in range(30):

            @dataclass(frozen=True)
            class Fresh:
                number: int
                names: list[str] = dataclasses.field(default_factory=list)
                text: str = ""
                labels: dict[str, str] = dataclasses.field(default_factory=dict)

            begin = threading.Barrier(8)
            threads = [threading.Thread(target=first, args=(Fresh, begin)) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert [(one.number, one.names, one.text, one.labels) for one in made] == [(1, [], "", {})] * 240
