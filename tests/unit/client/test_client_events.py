"""Following the stream without a socket: what is a gap, when to ask, and that a notice is given once, in order."""

from __future__ import annotations

from typing import Any

import pytest
from jobyard.client.events import Follower, Receive, follow
from jobyard.protocol import codec, schema, topics
from jobyard.protocol.errors import BadArguments, ProtocolError, QueueFull, SupervisorUnavailable, VersionMismatch
from jobyard.protocol.job import Progress
from jobyard.protocol.notices import EventFilter, Events, EventsReply, Notice

WINDOW = 8
ALL = EventFilter()


def notice(seq: int, kind: str = "started", job_id: int = 1, epoch: int = 3, **rest: Any) -> Notice:
    return Notice(epoch, seq, 10.0, kind, job_id, queue="default", **rest)


def message(before: int, *notices: Notice, epoch: int = 3, last: int | None = None) -> list[bytes]:
    newest = max((one.seq for one in notices), default=before) if last is None else last
    return [topics.ALL, *topics.pack(epoch, before, newest, [schema.to_wire(one) for one in notices])]


def reply(seq: int, *notices: Notice, epoch: int = 3, more: bool = False, ended: bool = False) -> EventsReply:
    return EventsReply(epoch, seq, list(notices), "/run/events", WINDOW, more, ended)


def follower_at(seq: int, wanted: EventFilter = ALL) -> Follower:
    follower = Follower(None, wanted)
    assert follower.answered(reply(seq)) == []
    assert not follower.behind
    return follower


def seqs(notices: list[Notice]) -> list[int]:
    return [one.seq for one in notices]


def test_one_who_gives_no_position_asks_for_now_and_gets_what_comes_after() -> None:
    follower = Follower(None, ALL)
    assert follower.behind
    assert follower.request() == Events(None, None, False, ALL)
    follower.answered(reply(7))
    assert seqs(follower.published(message(7, notice(8), notice(9)))) == [8, 9]
    assert follower.request() == Events(3, 9, False, ALL)


@pytest.mark.parametrize(
    ("since", "asked"),
    [(5, (None, 5, False)), ((2, 5), (2, 5, False)), ("oldest", (None, None, True)), (0, (None, 0, False))],
)
def test_position_is_asked_for_as_given(since: Any, asked: tuple[int | None, int | None, bool]) -> None:
    assert Follower(since, ALL).request() == Events(*asked, ALL)


@pytest.mark.parametrize("since", [-1, True, 1.5, "newest", (1,), (1, 2, 3), (None, None), ("1", 2), 2**63, (1, "2")])
def test_what_is_no_position_is_refused_with_the_value_itself(since: Any) -> None:
    with pytest.raises(BadArguments) as caught:
        Follower(since, ALL)
    assert repr(since) in caught.value.message
    assert caught.value.hint


def test_gap_gives_nothing_until_the_answer_has_filled_it_and_nothing_twice() -> None:
    follower = follower_at(7)
    assert follower.published(message(8, notice(9))) == []
    assert follower.behind
    assert follower.request() == Events(3, 7, False, ALL)
    assert seqs(follower.answered(reply(10, notice(8), notice(9), notice(10)))) == [8, 9, 10]
    assert not follower.behind
    assert follower.published(message(9, notice(10))) == []
    assert seqs(follower.published(message(10, notice(11)))) == [11]


def test_message_that_an_answer_has_overtaken_in_part_gives_the_rest() -> None:
    follower = follower_at(8)
    assert seqs(follower.published(message(6, notice(7), notice(8), notice(9)))) == [9]


def test_notices_that_were_asked_for_before_they_were_published_are_not_given_again() -> None:
    follower = follower_at(8)
    assert seqs(follower.published(message(8, notice(7), notice(8), notice(9)))) == [9]


def test_one_asks_again_from_where_the_answer_ended_while_there_is_more() -> None:
    follower = Follower((3, 0), ALL)
    follower.answered(reply(2, notice(1), notice(2), more=True))
    assert follower.behind
    assert follower.request() == Events(3, 2, False, ALL)
    follower.answered(reply(3, notice(3)))
    assert not follower.behind


def test_message_of_another_epoch_is_a_gap() -> None:
    follower = follower_at(7)
    assert follower.published(message(0, notice(1, epoch=4), epoch=4)) == []
    assert follower.request() == Events(3, 7, False, ALL)
    lost = notice(0, "events_truncated", epoch=4)
    assert follower.answered(reply(1, lost, notice(1, epoch=4), epoch=4)) == [lost, notice(1, epoch=4)]
    assert seqs(follower.published(message(1, notice(2, epoch=4), epoch=4))) == [2]


def test_lost_tail_is_asked_for_after_as_many_messages_as_are_still_unread_then() -> None:
    follower = follower_at(0)
    follower.request()
    for seq in range(1, WINDOW):
        follower.published(message(seq - 1, notice(seq)))
        assert not follower.behind
    assert seqs(follower.published(message(WINDOW - 1, notice(WINDOW)))) == [WINDOW]
    assert follower.behind
    follower.request()
    follower.answered(reply(WINDOW + 5, notice(WINDOW + 5)))
    assert not follower.behind


def test_messages_that_come_between_request_and_answer_count_for_the_next_window() -> None:
    follower = follower_at(0)
    follower.request()
    for seq in range(1, WINDOW):
        follower.published(message(seq - 1, notice(seq)))
    follower.answered(reply(WINDOW - 1))
    follower.published(message(WINDOW - 1, notice(WINDOW)))
    assert follower.behind


def test_new_subscription_is_behind_until_it_has_asked() -> None:
    follower = follower_at(7)
    follower.lost()
    assert follower.behind


def test_one_job_is_over_with_the_notice_of_its_end_even_if_that_kind_was_not_wanted() -> None:
    follower = follower_at(0, EventFilter(job_id=1, kinds=["started"]))
    assert seqs(follower.published(message(0, notice(1, "started")))) == [1]
    assert not follower.ended
    assert follower.published(message(1, notice(2, "ended"), notice(3, "succeeded"))) == []
    assert follower.ended


def test_one_job_that_was_put_back_in_the_same_message_goes_on() -> None:
    follower = follower_at(0, EventFilter(job_id=1))
    follower.published(message(0, notice(1, "failed"), notice(2, "requeued")))
    assert not follower.ended
    follower.published(message(2, notice(3, "cancelled")))
    assert follower.ended


def test_one_job_is_over_when_the_answer_says_so() -> None:
    follower = Follower("oldest", EventFilter(job_id=1))
    follower.answered(reply(3, notice(3, "succeeded"), ended=True))
    assert follower.ended


def test_ends_of_jobs_end_nobody_who_follows_them_all() -> None:
    follower = follower_at(0)
    follower.published(message(0, notice(1, "succeeded")))
    assert not follower.ended


def test_what_the_filter_keeps_back_moves_the_position_all_the_same() -> None:
    follower = follower_at(0, EventFilter(queue="default", kinds=["failed", "cancelled"]))
    assert seqs(follower.published(message(0, notice(1), notice(2, "failed"), notice(3)))) == [2]
    assert follower.request().seq == 3


def test_progress_is_given_though_it_has_no_number_of_its_own_unless_something_newer_was_told() -> None:
    follower = follower_at(7)
    said = notice(7, "progress", progress=Progress(1, 2))
    assert follower.published(message(7, said)) == [said]
    later = notice(8, "progress", progress=Progress(2, 2))
    assert follower.published(message(7, notice(8), later)) == [notice(8), later]
    assert follower.published(message(7, said)) == []


@pytest.mark.parametrize("frames", [[], [b"all/"], [b"all/", b"", b""], [b"all/", b"x" * 24], [b"a", b"b", b"c", b"d"]])
def test_frames_that_are_no_message_are_refused(frames: list[bytes]) -> None:
    with pytest.raises(ProtocolError):
        follower_at(0).published(frames)


@pytest.mark.parametrize("body", [b"\xc1", codec.pack([]), codec.pack({"v": 1}), codec.pack({"v": 1, "notices": [{}]})])
def test_body_that_is_no_message_is_refused(body: bytes) -> None:
    frames = message(0, notice(1))
    with pytest.raises(ProtocolError):
        follower_at(0).published([*frames[:2], body])


def test_message_of_another_version_says_so() -> None:
    frames = message(0, notice(1))
    with pytest.raises(VersionMismatch):
        follower_at(0).published([*frames[:2], codec.pack({"v": 99, "notices": []})])


def test_refusal_in_a_greeting_is_raised() -> None:
    frames = [b"hello/x/all/", *topics.pack_refusal(3, QueueFull("no room"))]
    with pytest.raises(QueueFull, match="no room"):
        topics.unpack(frames).notices()


# -- the stream: what is asked for, in which order ---------------------------------------------------------------------


class Follows:
    """Drives ``follow``, and shows what it wants next."""

    def __init__(self, wanted: EventFilter = ALL) -> None:
        self.now = 0.0
        self._wanted = wanted
        self.found: list[int] = []
        self._steps = follow(Follower(None, wanted), reply(5), 10.0, lambda: self.now)
        self.step: Any = next(self._steps)
        self._collect()

    def answer(self, given: Any = None) -> Any:
        """What is wanted after this reply."""
        self.step = self._steps.send(given)
        self._collect()
        return self.step

    def subscribed(self) -> bytes:
        """The topic, once the supervisor has greeted."""
        topic, hello = self.step.topics
        assert self.answer() == Receive(until=self.now + 10.0)
        assert hello.startswith(topics.HELLO) and hello.endswith(topic)
        assert self.answer([hello, *message(5)[1:]]) == Events(3, 5, filter=self._wanted)
        return bytes(topic)

    def _collect(self) -> None:
        while isinstance(self.step, list):
            self.found += seqs(self.step)
            self.step = next(self._steps)


def test_what_was_published_before_the_subscription_is_asked_for() -> None:
    one = Follows()
    assert one.step.path == "/run/events"
    assert one.subscribed() == topics.ALL
    assert one.answer(reply(6, notice(6))) == Receive()
    one.answer(message(6, notice(7)))
    assert one.found == [6, 7]


def test_lost_connection_is_made_anew_where_the_supervisor_says_after_asking_what_was_missed() -> None:
    one = Follows()
    one.subscribed()
    one.answer(reply(5))
    assert one.answer(None) == Events(3, 5)
    moved = one.answer(EventsReply(3, 6, [notice(6)], "/run/elsewhere", WINDOW))
    assert (moved.path, one.found) == ("/run/elsewhere", [6])


def test_socket_that_is_out_of_reach_is_tried_again_less_and_less_often_and_then_told() -> None:
    one, pauses = Follows(), []
    for _ in range(4):
        one.answer()
        pauses.append(one.answer(None).seconds)  # nobody greets
        one.now += 3.0
        one.answer()
        one.answer(reply(5))
    assert pauses == [0.01, 0.02, 0.04, 0.08]
    one.answer()
    with pytest.raises(SupervisorUnavailable, match=r"its status stream at /run/events cannot be reached"):
        one.answer(None)


def test_following_a_job_is_over_with_its_end() -> None:
    one = Follows(EventFilter(job_id=1))
    topic = one.subscribed()
    assert topic == b"job/1/"
    one.answer(reply(5))
    with pytest.raises(StopIteration):
        one.answer([topic, *message(5, notice(6, "succeeded"))[1:]])
    assert one.found == [6]


def test_refusal_of_a_topic_is_raised() -> None:
    one = Follows()
    hello = one.step.topics[1]
    one.answer()
    with pytest.raises(QueueFull):
        one.answer([hello, *topics.pack_refusal(3, QueueFull("too many topics"))])
