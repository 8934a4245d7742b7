"""Plain data behaves as a frozen dataclass would: equality, text, copies, keys of dicts."""

from __future__ import annotations

import copy
import dataclasses
import pickle

from jobyard.protocol.messages import Filter, List, Pong


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
    assert not hasattr(one, "__dict__")
