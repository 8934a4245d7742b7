"""Bytes that wait for clients to read them."""

from __future__ import annotations

from typing import cast

import pytest
import zmq
from jobyard.supervisor import unread
from jobyard.supervisor.unread import Unread

ONE, OTHER = "one:0:0:1", "other:0:0:2"


class Tracker:
    """Of a reply that is read when the test says so; counts how often it was looked at."""

    looks = 0

    def __init__(self) -> None:
        self.read = False

    @property
    def done(self) -> bool:
        Tracker.looks += 1
        return self.read


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Unread:
    monkeypatch.setattr(unread, "CLIENT_BYTES_MAX", 100)
    monkeypatch.setattr(unread, "ALL_BYTES_MAX", 150)
    monkeypatch.setattr(Tracker, "looks", 0)
    return Unread()


def sent(table: Unread, client: str, route: bytes, size: int) -> Tracker:
    tracker = Tracker()
    table.add(cast(zmq.MessageTracker, tracker), client, route, size)
    return tracker


def test_a_client_has_room_again_when_it_has_read_over_any_of_its_connections(table: Unread) -> None:
    first, _ = sent(table, ONE, b"a", 60), sent(table, ONE, b"b", 40)
    assert not table.has_room(ONE, b"b", 10)
    first.read = True
    assert table.has_room(ONE, b"b", 60)
    assert not table.has_room(ONE, b"b", 61)


def test_what_all_hold_together_counts_as_far_as_it_is_not_read(table: Unread) -> None:
    others = [sent(table, OTHER, b"o", 50), sent(table, OTHER, b"o", 50)]
    sent(table, ONE, b"a", 10)
    assert not table.has_room(ONE, b"a", 50)
    others[0].read = True
    assert table.has_room(ONE, b"a", 50)


def test_one_that_has_read_everything_may_ask_for_anything(table: Unread) -> None:
    sent(table, OTHER, b"o", 150)
    last = sent(table, ONE, b"a", 1000)
    assert not table.has_room(ONE, b"a", 1)
    last.read = True
    assert table.has_room(ONE, b"a", 1000)


def test_room_is_found_without_a_look_at_each_answer_that_waits(table: Unread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unread, "CLIENT_BYTES_MAX", 1000)
    monkeypatch.setattr(unread, "ALL_BYTES_MAX", 1500)
    for _ in range(900):
        sent(table, OTHER, b"o", 1)
    for number in range(10):
        sent(table, ONE, b"%d" % number, 1)
    assert table.has_room(ONE, b"0", 1)
    assert not table.has_room(OTHER, b"o", 101)
    assert Tracker.looks <= 3
