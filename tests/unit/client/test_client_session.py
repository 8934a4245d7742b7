"""The session alone: frames and times in, frames and completions out."""

from __future__ import annotations

import math
from typing import Any

import pytest
from fake_supervisor import make_info
from hypothesis import given
from hypothesis import strategies as st
from jobyard.client.session import GIVEN_UP_MAX, Session
from jobyard.protocol import codec, messages
from jobyard.protocol.errors import (
    JobNotFound,
    NotAllowed,
    OutcomeUnknown,
    ProtocolError,
    SupervisorUnavailable,
    TooLarge,
    VersionMismatch,
    WaitTimeout,
)

PATIENCE_S = 5.0
PING, WAIT, FOLLOW = messages.Ping(), messages.Wait([7]), messages.Logs(7, follow=True)
SUBMIT = messages.Submit([messages.Submission("0" * 32, "m:f", b"")])
MUTATING = [SUBMIT, messages.Cancel([1]), messages.SetQueue("paused"), messages.Reload()]
NOT_TWICE = [messages.RetryJob(1), messages.Stop()]
PONG = messages.Pong(1, "0", True, 1)


def unreachable() -> SupervisorUnavailable:
    return SupervisorUnavailable("nobody there")


@pytest.fixture
def session() -> Session:
    return Session(PATIENCE_S, unreachable)


@pytest.fixture
def online(session: Session) -> Session:
    assert session.connected() == []
    return session


def sent(frame: bytes | None) -> tuple[str, Any]:
    assert frame is not None
    return messages.unpack_request(frame)


def test_request_while_online_gives_its_frame_at_once(online: Session) -> None:
    request_id, frame = online.request(PING, 0.0, 1.0)
    assert sent(frame) == (request_id, PING)


def test_request_while_offline_is_sent_when_a_connection_is_up(session: Session) -> None:
    request_id, frame = session.request(SUBMIT, 0.0, 1.0)
    assert frame is None
    (later,) = session.connected()
    assert sent(later) == (request_id, SUBMIT)  # for the first time, so not marked as sent again


def test_ids_are_never_used_twice(online: Session) -> None:
    ids = [online.request(PING, 0.0, 1.0)[0] for _ in range(50)]
    assert len(set(ids)) == 50


def test_reply_completes_its_request_and_no_other(online: Session) -> None:
    first, _ = online.request(PING, 0.0, 1.0)
    second, _ = online.request(PING, 0.0, 2.0)
    assert online.receive(messages.pack_reply(second, PONG)) == [(second, PONG)]
    assert online.next_deadline() == 1.0
    assert online.receive(messages.pack_reply(first, PONG)) == [(first, PONG)]
    assert online.next_deadline() == math.inf


def test_deadlines_of_requests_that_have_ended_are_forgotten(online: Session) -> None:
    for _ in range(1_000):
        request_id, _ = online.request(PING, 0.0, 3_600.0)
        online.receive(messages.pack_reply(request_id, PONG))
    assert len(online._deadlines) < 200
    last, _ = online.request(PING, 0.0, 7.0)
    assert online.next_deadline() == 7.0
    assert [completion.id for completion in online.expire(7.0)] == [last]


def test_error_reply_completes_with_that_error(online: Session) -> None:
    request_id, _ = online.request(SUBMIT, 0.0, 1.0)
    refusal = NotAllowed("m:f is not allowed", hint="add it", details={"ref": "m:f"})
    ((completed, error),) = online.receive(messages.pack_reply(request_id, refusal))
    assert completed == request_id
    assert type(error) is NotAllowed and error.to_wire() == refusal.to_wire()


def test_second_answer_to_the_same_request_is_dropped(online: Session) -> None:
    request_id, _ = online.request(PING, 0.0, 1.0)
    reply = messages.pack_reply(request_id, PONG)
    assert len(online.receive(reply)) == 1
    assert online.receive(reply) == []


def test_reply_of_another_shape_is_a_protocol_error_for_its_request_alone(online: Session) -> None:
    first, _ = online.request(PING, 0.0, 1.0)
    second, _ = online.request(PING, 0.0, 1.0)
    ((completed, error),) = online.receive(messages.pack_reply(first, messages.Requeued(1)))
    assert completed == first and type(error) is ProtocolError
    assert online.receive(messages.pack_reply(second, PONG)) == [(second, PONG)]


def test_reply_in_another_version_is_a_version_mismatch(online: Session) -> None:
    request_id, _ = online.request(PING, 0.0, 1.0)
    ((_, error),) = online.receive(codec.pack({"v": 99, "id": request_id, "ok": {}}))
    assert type(error) is VersionMismatch and "99" in error.message


def test_error_in_another_version_is_still_read(online: Session) -> None:
    request_id, _ = online.request(PING, 0.0, 1.0)
    wire = VersionMismatch("install the same version").to_wire()
    ((_, error),) = online.receive(codec.pack({"v": 99, "id": request_id, "error": wire}))
    assert type(error) is VersionMismatch and error.message == "install the same version"


@pytest.mark.parametrize("garbage", [b"", b"\xc1", b"\x93\x01\x02", codec.pack([1]), codec.pack({"id": 7}), b"x" * 100])
def test_reply_that_cannot_be_read_ends_everything_under_way(online: Session, garbage: bytes) -> None:
    ids = {online.request(PING, 0.0, 1.0)[0], online.request(WAIT, 0.0, math.inf)[0]}
    completions = online.receive(garbage)
    assert {one.id for one in completions} == ids
    assert {type(one.outcome) for one in completions} == {ProtocolError}
    assert online.next_deadline() == math.inf


@given(st.binary(max_size=200))
def test_no_reply_makes_the_session_raise(garbage: bytes) -> None:
    session = Session(PATIENCE_S, unreachable)
    session.connected()
    session.request(PING, 0.0, 1.0)
    session.receive(garbage)


# -- overdue -----------------------------------------------------------------------------------------------------------


def test_deadline_is_the_earliest_of_all_requests(online: Session) -> None:
    online.request(WAIT, 0.0, math.inf)
    assert online.next_deadline() == math.inf
    online.request(PING, 10.0, 3.0)
    online.request(PING, 10.0, 2.0)
    assert online.next_deadline() == 12.0


def test_nothing_expires_before_its_time(online: Session) -> None:
    online.request(PING, 0.0, 2.0)
    assert online.expire(1.999) == []


@pytest.mark.parametrize("request_", MUTATING + NOT_TWICE, ids=lambda request: request.VERB)
def test_unanswered_change_has_an_unknown_outcome(online: Session, request_: Any) -> None:
    request_id, _ = online.request(request_, 0.0, 2.0)
    ((completed, error),) = online.expire(2.0)
    assert completed == request_id
    assert type(error) is OutcomeUnknown and error.details["verb"] == request_.VERB
    assert online.receive(messages.pack_reply(request_id, PONG)) == []


def test_unknown_outcome_of_a_submit_names_its_uids(online: Session) -> None:
    online.request(SUBMIT, 0.0, 2.0)
    ((_, error),) = online.expire(2.0)
    assert error.details["uids"] == ["0" * 32]


def test_unanswered_read_says_that_the_supervisor_does_not_answer(online: Session) -> None:
    online.request(PING, 0.0, 2.0)
    ((_, error),) = online.expire(2.0)
    assert type(error) is SupervisorUnavailable and "'ping'" in error.message


@pytest.mark.parametrize("request_", [WAIT, FOLLOW])
def test_parked_request_that_is_over_is_a_wait_timeout(online: Session, request_: Any) -> None:
    online.request(request_, 0.0, 2.0)
    ((_, error),) = online.expire(2.0)
    assert type(error) is WaitTimeout


def test_logs_without_follow_are_a_read_and_not_parked(online: Session) -> None:
    online.request(messages.Logs(7), 0.0, 2.0)
    ((_, error),) = online.expire(2.0)
    assert type(error) is SupervisorUnavailable


@pytest.mark.parametrize("request_", [PING, SUBMIT, WAIT, *NOT_TWICE], ids=lambda request: request.VERB)
def test_request_that_was_never_sent_is_unavailable_not_unknown(session: Session, request_: Any) -> None:
    session.request(request_, 0.0, math.inf)
    assert session.next_deadline() == PATIENCE_S
    ((_, error),) = session.expire(PATIENCE_S)
    assert error.message == "nobody there"


def test_infinity_expires_even_what_may_wait_for_ever(online: Session) -> None:
    online.request(WAIT, 0.0, math.inf)
    assert len(online.expire(math.inf)) == 1


def test_time_of_the_caller_ends_before_patience(session: Session) -> None:
    session.request(PING, 0.0, 1.0)
    assert session.next_deadline() == 1.0


# -- lost connections --------------------------------------------------------------------------------------------------


def test_reconnect_sends_again_in_order_with_the_same_ids(online: Session) -> None:
    first, _ = online.request(PING, 0.0, 9.0)
    second, _ = online.request(WAIT, 0.0, 9.0)
    assert online.disconnected(1.0) == []
    assert [sent(frame) for frame in online.connected()] == [(first, PING), (second, WAIT)]


def test_submit_sent_again_keeps_its_uids_and_says_so(online: Session) -> None:
    request_id, _ = online.request(SUBMIT, 0.0, 9.0)
    online.disconnected(1.0)
    (frame,) = online.connected()
    again_id, again = sent(frame)
    assert again_id == request_id
    assert [(job.uid, job.resent) for job in again.jobs] == [("0" * 32, True)]


@pytest.mark.parametrize("request_", NOT_TWICE, ids=lambda request: request.VERB)
def test_request_that_must_not_be_done_twice_ends_when_the_connection_is_lost(online: Session, request_: Any) -> None:
    kept, _ = online.request(PING, 0.0, 9.0)
    ended, _ = online.request(request_, 0.0, 9.0)
    ((completed, error),) = online.disconnected(1.0)
    assert completed == ended and type(error) is OutcomeUnknown
    assert [sent(frame)[0] for frame in online.connected()] == [kept]


def test_request_made_while_offline_may_be_one_that_must_not_be_done_twice(session: Session) -> None:
    request_id, _ = session.request(messages.RetryJob(1), 0.0, 9.0)
    assert session.disconnected(1.0) == []  # an attempt to connect failed
    assert [sent(frame)[0] for frame in session.connected()] == [request_id]


def test_failed_attempts_to_connect_do_not_extend_patience(online: Session) -> None:
    online.request(WAIT, 0.0, math.inf)
    online.disconnected(1.0)
    online.disconnected(4.0)
    assert online.next_deadline() == 1.0 + PATIENCE_S


@pytest.mark.parametrize("request_", [PING, WAIT], ids=lambda request: request.VERB)
def test_read_that_outlives_patience_offline_is_unavailable(online: Session, request_: Any) -> None:
    online.request(request_, 0.0, math.inf)
    online.disconnected(1.0)
    ((_, error),) = online.expire(1.0 + PATIENCE_S)
    assert error.message == "nobody there"


def test_change_that_outlives_patience_offline_has_an_unknown_outcome(online: Session) -> None:
    online.request(SUBMIT, 0.0, math.inf)
    online.disconnected(1.0)
    ((_, error),) = online.expire(1.0 + PATIENCE_S)
    assert type(error) is OutcomeUnknown


def test_connection_that_is_back_ends_the_hurry(online: Session) -> None:
    online.request(WAIT, 0.0, math.inf)
    online.disconnected(1.0)
    online.connected()
    assert online.next_deadline() == math.inf


# -- requests that are given up ----------------------------------------------------------------------------------------


def test_forgotten_request_is_neither_sent_again_nor_completed(online: Session) -> None:
    request_id, _ = online.request(PING, 0.0, 1.0)
    online.forget(request_id)
    online.forget("no such id")
    assert online.expire(9.0) == [] and online.receive(messages.pack_reply(request_id, PONG)) == []
    online.disconnected(9.0)
    assert online.connected() == []


def test_same_wait_after_a_timeout_takes_up_the_parked_request(online: Session) -> None:
    request_id, _ = online.request(WAIT, 0.0, 1.0)
    online.expire(1.0)
    assert online.request(messages.Wait([7]), 2.0, 1.0) == (request_id, None)
    reply = messages.Jobs([make_info(7)])
    assert online.receive(messages.pack_reply(request_id, reply)) == [(request_id, reply)]


def test_two_waits_do_not_share_a_parked_request(online: Session) -> None:
    request_id, _ = online.request(WAIT, 0.0, 1.0)
    online.expire(1.0)
    assert online.request(WAIT, 2.0, 1.0)[0] == request_id
    assert online.request(WAIT, 2.0, 1.0)[0] != request_id


@pytest.mark.parametrize("other", [messages.Wait([8]), messages.Wait([7], any=True), FOLLOW])
def test_another_wait_parks_anew(online: Session, other: Any) -> None:
    online.request(WAIT, 0.0, 1.0)
    online.expire(1.0)
    assert sent(online.request(other, 2.0, 1.0)[1])[1] == other


def test_wait_that_was_answered_after_it_was_given_up_parks_anew(online: Session) -> None:
    request_id, _ = online.request(WAIT, 0.0, 1.0)
    online.forget(request_id)
    assert online.receive(messages.pack_reply(request_id, JobNotFound("pruned"))) == []
    assert sent(online.request(WAIT, 2.0, 1.0)[1])[1] == WAIT


def test_wait_given_up_before_the_connection_was_lost_parks_anew_and_is_not_sent_again(online: Session) -> None:
    request_id, _ = online.request(WAIT, 0.0, 1.0)
    online.forget(request_id)
    online.disconnected(2.0)
    assert online.connected() == []
    assert sent(online.request(WAIT, 3.0, 1.0)[1])[1] == WAIT


def test_wait_given_up_while_offline_leaves_nothing(session: Session) -> None:
    request_id, _ = session.request(WAIT, 0.0, 1.0)
    session.forget(request_id)
    assert session.connected() == []
    assert sent(session.request(WAIT, 0.0, 1.0)[1])[1] == WAIT


def test_number_of_remembered_waits_is_bounded(online: Session) -> None:
    first = [online.request(messages.Wait([number]), 0.0, 1.0)[0] for number in range(1, GIVEN_UP_MAX + 2)]
    online.expire(1.0)
    assert online.request(messages.Wait([1]), 2.0, 1.0)[1] is not None  # the oldest was forgotten
    assert online.request(messages.Wait([2]), 2.0, 1.0) == (first[1], None)


def test_request_that_is_too_large_raises_and_leaves_nothing(online: Session) -> None:
    big = messages.Submit([messages.Submission("0" * 32, "m:f", bytes(codec.MESSAGE_BYTES_MAX))])
    with pytest.raises(TooLarge):
        online.request(big, 0.0, 1.0)
    assert online.next_deadline() == math.inf
