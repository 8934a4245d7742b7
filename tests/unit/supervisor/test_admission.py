"""Who may ask for what, how much of it at once, and whose turn it is."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from desk_bench import OWNER, DeskBench
from jobyard.conf import keys
from jobyard.protocol import messages as m
from jobyard.protocol.codec import pack_arguments
from jobyard.protocol.errors import RateLimited, Unauthorised
from jobyard.supervisor.admission import ADMIN_RESERVE, CLIENT_VERBS, Admission
from jobyard.supervisor.entrance import Keyring
from jobyard.supervisor.refusals import LINES_AT_ONCE, Refusals
from jobyard.supervisor.sockets import Peer
from jobyard.supervisor.token import UNREAD, Token

CLIENT, STRANGER = "localhost:33:33:7", "localhost:99:99:8"


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def token(client: str, verb: str, route: bytes = b"r") -> Token:
    return Token(Peer(route, client), "1", verb)


def may(admission: Admission, client: str, verb: str) -> bool:
    try:
        admission.admit(token(client, verb))
    except Unauthorised:
        return False
    finally:
        admission.done(token(client, verb))
    return True


def test_the_owner_may_ask_for_everything_a_client_for_some_and_others_for_nothing() -> None:
    admission = Admission(frozenset({33}), None, lambda: 10)
    assert {verb for verb in m.REQUESTS if may(admission, OWNER, verb)} == set(m.REQUESTS)
    assert {verb for verb in m.REQUESTS if may(admission, CLIENT, verb)} == CLIENT_VERBS
    for client in (STRANGER, "unknown", "", ":", "localhost:x:y:z", "33:33", "a:33:b", "web:" + "0f" * 32):
        assert not any(may(admission, client, verb) for verb in m.REQUESTS), client


def test_a_key_has_the_rights_of_its_name_for_as_long_as_it_is_there(tmp_path: Path) -> None:
    keyring = Keyring(tmp_path)
    public, _ = keys.make_pair()
    mark = keys.mark_of(public)
    keys.grant(tmp_path, mark, "web", public, 10)
    admission = Admission(frozenset(), keyring, lambda: 10)
    owner = f"owner:{keys.mark_of(keyring.own_pair[0])}"
    assert may(admission, owner, "stop")
    assert may(admission, f"web:{mark}", "submit") and not may(admission, f"web:{mark}", "stop")
    assert not may(admission, f"cron:{mark}", "submit"), "the name was of another key"
    assert not may(admission, OWNER, "ping") and not may(admission, f"owner:{mark}", "stop")
    keys.revoke(tmp_path, "web")
    assert not may(admission, f"web:{mark}", "submit")


def test_requests_of_one_connection_are_bounded_and_answers_make_room() -> None:
    admission = Admission(frozenset(), None, lambda: 3)
    for _ in range(3):
        admission.admit(token(OWNER, "list"))
    with pytest.raises(RateLimited):
        admission.admit(token(OWNER, "list"))
    admission.done(token(OWNER, "list"))  # the refusal is an answer as well
    with pytest.raises(RateLimited):
        admission.admit(token(OWNER, "list"))
    admission.done(token(OWNER, "list"))
    admission.admit(token(OWNER, "list", b"another connection"))
    admission.done(token(OWNER, "list"))
    admission.admit(token(OWNER, "list"))


def test_there_is_room_for_some_more_by_which_a_flood_is_ended() -> None:
    admission = Admission(frozenset(), None, lambda: 1)
    admission.admit(token(OWNER, "list"))
    for _ in range(ADMIN_RESERVE):
        admission.admit(token(OWNER, "stop"))
    with pytest.raises(RateLimited):
        admission.admit(token(OWNER, "stop"))


def test_what_waits_is_not_counted_and_what_could_not_be_read_gives_nothing_back() -> None:
    admission = Admission(frozenset(), None, lambda: 1)
    for _ in range(5):
        admission.admit(token(OWNER, "wait"))
        admission.done(token(OWNER, "wait"))
    admission.admit(token(OWNER, "list"))
    admission.done(token(OWNER, UNREAD))
    with pytest.raises(RateLimited):
        admission.admit(token(OWNER, "list"))


# -- turns -------------------------------------------------------------------------------------------------------------


def _submit(number: int) -> bytes:
    job = m.Submission(f"{number:032x}", "jobs:add", pack_arguments((1,), {}), 1)
    return m.pack_request(str(number), m.Submit([job]))


def test_clients_have_their_turn_one_after_the_other_however_many_connections_they_have() -> None:
    bench = DeskBench()
    for number in range(10):
        bench.feed(m.pack_request(f"many {number}", m.Ping()), OWNER, b"%d" % number)
    bench.feed(m.pack_request("one", m.Ping()), OWNER.replace("4711", "4712"), b"x")
    order = [answer["id"] for _, answer in bench.turn()]
    assert order.index("one") == 1
    assert [one for one in order if one != "one"] == [f"many {number}" for number in range(10)]


def test_a_request_too_many_before_its_turn_is_refused_and_an_admins_is_not() -> None:
    bench = DeskBench(connection_requests=5)
    for number in range(8):
        bench.feed(_submit(number), OWNER, b"%d" % number)
    bench.feed(m.pack_request("admin", m.Status()), OWNER, b"a")
    bench.feed(b"\xc1", OWNER, b"b")
    answers: dict[str, Any] = {answer["id"]: answer for _, answer in bench.turn()}
    refused = {one: answer["error"]["code"] for one, answer in answers.items() if "error" in answer}
    assert refused == {"5": "rate_limited", "6": "rate_limited", "7": "rate_limited"}
    assert "ok" in answers["admin"]
    assert bench.machine.state.unfinished_count == 5


def test_waits_of_one_connection_are_bounded() -> None:
    bench = DeskBench(connection_waits=2)
    bench.feed(_submit(1))
    bench.turn()
    for number in range(3):
        bench.feed(m.pack_request(f"wait {number}", m.Wait([1])))
    ((_, answer),) = bench.turn()
    assert (answer["id"], answer["error"]["code"]) == ("wait 2", "rate_limited")
    bench.feed(m.pack_request("other", m.Wait([1])), route=b"another connection")
    assert bench.turn() == []
    bench.feed(m.pack_request("cancel", m.Cancel([1])))
    bench.feed(_submit(2))
    assert {answer["id"] for _, answer in bench.turn()} >= {"cancel", "wait 0", "wait 1", "other"}
    bench.feed(m.pack_request("again", m.Wait([2])))
    assert bench.turn() == [], "what was answered made room"


def test_a_refused_client_is_told_who_he_is() -> None:
    bench = DeskBench(clients=frozenset({33}))
    answer = bench.ask(m.Stop(), client=CLIENT)
    assert answer["error"]["code"] == "unauthorised"
    assert answer["error"]["message"] == "uid 33 pid 7 may submit and read, and not stop"


def test_garbage_is_logged_some_times_and_then_counted(caplog: pytest.LogCaptureFixture) -> None:
    logging.disable(logging.NOTSET)
    refusals = Refusals()
    with caplog.at_level(logging.INFO):
        for _ in range(10 * LINES_AT_ONCE):
            refusals.malformed(Peer(b"r", CLIENT), Unauthorised("x"))
    assert len(caplog.records) == LINES_AT_ONCE
