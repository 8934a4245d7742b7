"""The status stream without a socket: numbers, what goes out under which topic, and what an answer holds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from jobyard.conf.settings import LimitSettings
from jobyard.protocol import messages, topics
from jobyard.protocol.errors import BadArguments, NotAllowed, OutcomeUnknown, QueueFull, WrongState
from jobyard.protocol.job import AttemptInfo, ErrorInfo, Progress
from jobyard.protocol.notices import EventFilter, Events, EventsReply, Notice
from jobyard.supervisor import stream as stream_module
from jobyard.supervisor.core.effects import Notify
from jobyard.supervisor.stream import BATCH_MAX, PATIENCE_S, PAUSE_MAX_S, TEXT_CHARS_MAX, WOKEN_PER_S, Stream

EPOCH = 3


class FakePublisher:
    """Keeps what is sent; ``coming`` are subscriptions that the loop has not seen yet."""

    told, window, socket = "/run/events", 128, object()

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, list[bytes]]] = []
        self.coming: list[tuple[bool, bytes]] = []
        self.keys_valid = True

    def subscriptions(self) -> list[tuple[bool, bytes]]:
        coming, self.coming = self.coming, []
        return coming

    def mind_keys(self) -> bool:
        return self.keys_valid

    def close(self) -> None:
        pass

    def send(self, topic: bytes, frames: list[bytes]) -> None:
        self.sent.append((topic, frames))


class Bench:
    def __init__(self, **limits: int) -> None:
        self.publisher = FakePublisher()
        self.machine: Any = SimpleNamespace(state=SimpleNamespace(generation=EPOCH, jobs={}), progress={})
        self.stream = Stream(self.machine, self.publisher, LimitSettings(**limits))  # type: ignore[arg-type]

    def subscribe(self, *found: bytes) -> None:
        self.publisher.coming += [(True, topic) for topic in found]
        self.stream.take_subscriptions()

    def unsubscribe(self, topic: bytes) -> None:
        self.publisher.coming.append((False, topic))
        self.stream.take_subscriptions()

    def follow(self, topic: bytes, count: int) -> None:
        """So many followers of a topic, who have been greeted."""
        self.subscribe(topic, *(b"hello/%d/" % number + topic for number in range(count)))
        self.publisher.sent.clear()

    def sent(self) -> list[tuple[bytes, tuple[int, int], list[Notice]]]:
        self.stream.publish()
        sent, self.publisher.sent = self.publisher.sent, []
        found = [(topic, topics.unpack([topic, *frames])) for topic, frames in sent]
        return [(topic, (message.before, message.last), message.notices()) for topic, message in found]

    def ask(self, seq: int | None = None, epoch: int | None = EPOCH, ended: bool = False, **rest: Any) -> EventsReply:
        request = Events(epoch if seq is not None else None, seq, **rest)
        self.stream.check(request)
        return self.stream.read(request, ended)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def fact(kind: str = "started", job_id: int = 1, **rest: Any) -> Notify:
    return Notify(kind, job_id, at=10.0, ref="app:f", name="f", queue="mail", **{"state": "running", **rest})


def kinds(notices: list[Notice]) -> list[tuple[int, str]]:
    return [(one.seq, one.kind) for one in notices]


def test_nothing_waits_to_be_sent_while_nobody_subscribes_and_all_is_kept(bench: Bench) -> None:
    bench.stream.tell(fact("submitted"))
    bench.stream.tell(fact("started"))
    assert bench.stream.wait_s() is None
    assert kinds(bench.ask(0).notices) == [(1, "submitted"), (2, "started")]


def test_each_topic_gets_its_notices_in_one_message_with_what_was_published_before(bench: Bench) -> None:
    bench.stream.tell(fact("submitted"))
    bench.subscribe(b"all/", b"job/1/", b"kind/ended/")
    bench.stream.tell(fact("started"))
    bench.stream.tell(fact("started", 2))
    assert bench.stream.wait_s() == 0
    assert [(topic, span, kinds(found)) for topic, span, found in bench.sent()] == [
        (b"all/", (1, 3), [(2, "started"), (3, "started")]),
        (b"job/1/", (1, 2), [(2, "started")]),
    ]
    bench.stream.tell(fact("started", 1))
    assert [(topic, span) for topic, span, _ in bench.sent()] == [(b"all/", (3, 4)), (b"job/1/", (2, 4))]
    assert bench.sent() == []


@pytest.mark.parametrize(
    ("state", "following"),
    [("succeeded", "succeeded"), ("failed", "failed"), ("cancelled", "cancelled"), ("scheduled", "retry_scheduled")],
)
def test_end_of_an_attempt_is_told_with_what_becomes_of_the_job(bench: Bench, state: str, following: str) -> None:
    bench.stream.tell(fact("ended", state=state, outcome="error"))
    assert kinds(bench.ask(0).notices) == [(1, "ended"), (2, following)]


def test_why_an_attempt_failed_is_told_shortened(bench: Bench) -> None:
    error = ErrorInfo("ValueError", "x" * 5000, "", ())
    attempt = AttemptInfo(1, 1.0, 2.0, "error", error=error)
    bench.machine.state.jobs[1] = SimpleNamespace(attempts=[attempt])
    bench.stream.tell(fact("ended", attempt=1, state="failed", outcome="error"))
    for notice in bench.ask(0).notices:
        assert notice.text is not None and notice.text.startswith("ValueError: xxx")
        assert len(notice.text) <= TEXT_CHARS_MAX


def test_what_a_notice_says_is_what_was_so_when_it_was_decided(bench: Bench) -> None:
    bench.machine.state.jobs[1] = SimpleNamespace(attempts=[], state="running", name="other")
    bench.stream.tell(fact("submitted", state="queued"))
    (notice,) = bench.ask(0).notices
    assert (notice.state, notice.name, notice.ref, notice.queue) == ("queued", "f", "app:f", "mail")


def test_progress_is_sent_but_neither_numbered_nor_kept(bench: Bench) -> None:
    bench.stream.tell(fact("started"))
    bench.machine.progress[1] = Progress(1, 2)
    bench.stream.tell(fact("progress"))
    bench.subscribe(b"job/1/")
    bench.stream.tell(fact("progress"))
    ((_, span, found),) = bench.sent()
    assert (span, kinds(found), found[0].progress) == ((1, 1), [(1, "progress")], Progress(1, 2))
    assert kinds(bench.ask(0).notices) == [(1, "started")]


def test_progress_of_an_attempt_that_has_ended_meanwhile_is_not_told(bench: Bench) -> None:
    bench.subscribe(b"all/")
    bench.stream.tell(fact("progress"))
    assert bench.sent() == []


def test_hello_is_answered_when_its_topic_is_in_effect(bench: Bench) -> None:
    bench.subscribe(b"job/1/", b"hello/word/job/1/")
    assert bench.sent() == [(b"hello/word/job/1/", (0, 0), [])]


def test_hello_is_refused_for_one_topic_too_many_and_for_one_that_is_none() -> None:
    bench = Bench(notice_topics=1)
    bench.subscribe(b"job/1/", b"job/2/", b"hello/word/job/2/", b"nonsense", b"hello/word/nonsense")
    for _ in range(2):
        topic, frames = bench.publisher.sent.pop()
        with pytest.raises(QueueFull, match="1 topics"):
            topics.unpack([topic, *frames]).notices()


def test_topics_of_jobs_leave_room_for_the_few_that_are_not() -> None:
    bench = Bench(notice_topics=1)
    bench.subscribe(b"job/1/", b"all/", b"kind/failed/")
    bench.stream.tell(fact("failed", 7))
    assert [topic for topic, _, _ in bench.sent()] == [b"all/", b"kind/failed/"]


def test_topic_without_subscribers_gets_nothing_and_begins_anew_later(bench: Bench) -> None:
    bench.subscribe(b"all/")
    bench.unsubscribe(b"all/")
    bench.stream.tell(fact())
    assert bench.sent() == []
    bench.subscribe(b"all/")
    bench.stream.tell(fact())
    assert [span for _, span, _ in bench.sent()] == [(1, 2)]


def test_many_notices_at_once_go_out_in_bounded_messages(bench: Bench) -> None:
    bench.subscribe(b"all/")
    for _ in range(2 * BATCH_MAX + 1):
        bench.stream.tell(fact())
    spans = [span for _, span, _ in bench.sent()]
    assert spans == [(0, BATCH_MAX), (BATCH_MAX, 2 * BATCH_MAX), (2 * BATCH_MAX, 2 * BATCH_MAX + 1)]


def test_answer_without_a_position_is_the_position_of_now(bench: Bench) -> None:
    bench.stream.tell(fact())
    reply = bench.ask()
    assert (reply.epoch, reply.seq, reply.notices, reply.more) == (EPOCH, 1, [], False)
    assert (reply.socket, reply.window) == ("/run/events", 128)


def test_answer_holds_a_bounded_number_and_says_where_to_go_on(bench: Bench) -> None:
    for _ in range(messages.EVENT_NOTICES_MAX + 1):
        bench.stream.tell(fact())
    first = bench.ask(0, ended=True)
    assert (len(first.notices), first.seq, first.more, first.ended) == (500, 500, True, False)
    second = bench.ask(first.seq, ended=True)
    assert (kinds(second.notices), second.more, second.ended) == ([(501, "started")], False, True)


def test_answer_is_filtered_and_its_position_is_behind_what_was_left_out(bench: Bench) -> None:
    for job_id in (1, 2, 1, 3):
        bench.stream.tell(fact(job_id=job_id))
    reply = bench.ask(0, filter=EventFilter(job_id=1))
    assert (kinds(reply.notices), reply.seq) == ([(1, "started"), (3, "started")], 4)


@pytest.mark.parametrize("epoch", [EPOCH - 1, EPOCH + 1])
def test_position_of_another_epoch_is_answered_with_the_word_of_a_gap_and_all_that_is_kept(epoch: int) -> None:
    bench = Bench()
    bench.stream.tell(fact())
    reply = bench.ask(700, epoch)
    assert kinds(reply.notices) == [(0, "events_truncated"), (1, "started")]
    assert reply.notices[0].text is not None and "started again" in reply.notices[0].text


def test_position_that_is_no_longer_kept_is_answered_with_the_word_of_a_gap() -> None:
    bench = Bench(kept_notices=2)
    for _ in range(5):
        bench.stream.tell(fact())
    assert kinds(bench.ask(2).notices) == [(3, "events_truncated"), (4, "started"), (5, "started")]
    assert kinds(bench.ask(3).notices) == [(4, "started"), (5, "started")]
    assert kinds(bench.ask(oldest=True).notices) == [(4, "started"), (5, "started")]


@pytest.mark.parametrize("seq", [2, 10**15])
def test_position_that_is_still_to_come_is_refused(bench: Bench, seq: int) -> None:
    bench.stream.tell(fact())
    with pytest.raises(BadArguments, match=f"no event {seq:,} yet: the last is 1"):
        bench.ask(seq)


def test_unknown_kind_is_refused_with_a_guess(bench: Bench) -> None:
    with pytest.raises(BadArguments, match="'fail'") as caught:
        bench.ask(filter=EventFilter(kinds=["fail"]))
    assert caught.value.hint == "did you mean 'failed'?"


def test_refused_submits_and_whatever_is_not_allowed_are_told_and_no_other_errors(bench: Bench) -> None:
    peer = SimpleNamespace(who="uid 7 pid 8")
    for verb, error in [
        ("submit", BadArguments("no such argument")),
        ("cancel", NotAllowed("not yours")),
        ("retry", WrongState("it runs")),
        ("submit", OutcomeUnknown("the disk")),
    ]:
        bench.stream.refused(SimpleNamespace(verb=verb, peer=peer), error)  # type: ignore[arg-type]
    assert [one.text for one in bench.ask(0).notices] == [
        "submit from uid 7 pid 8: no such argument (bad_arguments)",
        "cancel from uid 7 pid 8: not yours (not_allowed)",
    ]
    assert bench.ask(0).notices[0].job_id is None


# -- the pause between messages ----------------------------------------------------------------------------------------

MANY = 100


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Monotonic time of the stream, which goes on when a test says so."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(stream_module.time, "monotonic", lambda: clock.now)
    return clock


def told(bench: Bench, *job_ids: int) -> list[tuple[bytes, tuple[int, int], int]]:
    """What is sent once these have started: topic, span, how many notices."""
    for job_id in job_ids:
        bench.stream.tell(fact(job_id=job_id))
    return [(topic, span, len(found)) for topic, span, found in bench.sent()]


def test_many_followers_are_told_at_once_and_after_that_all_of_a_pause_in_one_message(
    bench: Bench, clock: SimpleNamespace
) -> None:
    bench.follow(b"all/", MANY)
    assert told(bench, 1) == [(b"all/", (0, 1), 1)]
    assert bench.stream.wait_s() is None
    assert told(bench, 2) == told(bench, 3) == []
    assert bench.stream.wait_s() == pytest.approx(MANY / WOKEN_PER_S)
    assert not bench.stream.overdue
    clock.now += MANY / WOKEN_PER_S
    assert bench.stream.wait_s() == 0
    assert told(bench) == [(b"all/", (1, 3), 2)]
    clock.now += MANY / WOKEN_PER_S
    assert told(bench, 4) == [(b"all/", (3, 4), 1)]


def test_few_followers_are_told_at_once_whatever_many_others_follow(bench: Bench, clock: SimpleNamespace) -> None:
    bench.follow(b"all/", MANY)
    bench.follow(b"job/1/", int(PATIENCE_S * WOKEN_PER_S))
    assert told(bench, 1) == [(b"all/", (0, 1), 1), (b"job/1/", (0, 1), 1)]
    assert told(bench, 1) == [(b"job/1/", (1, 2), 1)]


def test_followers_that_have_gone_are_not_waited_for(bench: Bench, clock: SimpleNamespace) -> None:
    bench.follow(b"all/", MANY)
    for number in range(MANY - 1):
        bench.unsubscribe(b"hello/%d/all/" % number)
    assert told(bench, 1) == [(b"all/", (0, 1), 1)]
    assert told(bench, 2) == [(b"all/", (1, 2), 1)]


def test_pause_is_bounded_however_many_follow_and_so_is_what_is_held_in_it(
    bench: Bench, clock: SimpleNamespace
) -> None:
    bench.follow(b"all/", 10 * int(PAUSE_MAX_S * WOKEN_PER_S))
    assert len(told(bench, 1)) == 1
    assert told(bench, *range(2, BATCH_MAX + 3)) == [(b"all/", (1, BATCH_MAX + 1), BATCH_MAX)]
    assert bench.stream.wait_s() == PAUSE_MAX_S


def test_loop_that_never_rests_waits_little_longer_than_the_pause(bench: Bench, clock: SimpleNamespace) -> None:
    bench.follow(b"all/", MANY)
    assert len(told(bench, 1)) == 1
    assert told(bench, 2) == []
    clock.now += MANY / WOKEN_PER_S
    assert not bench.stream.overdue
    clock.now += 2 * PATIENCE_S
    assert bench.stream.overdue
    assert len(told(bench)) == 1
    assert not bench.stream.overdue


def test_what_is_held_when_the_last_follower_goes_is_nobody_s(bench: Bench, clock: SimpleNamespace) -> None:
    bench.follow(b"all/", MANY)
    assert len(told(bench, 1)) == 1
    assert told(bench, 2) == []
    bench.unsubscribe(b"all/")
    assert bench.stream.wait_s() is None
    bench.subscribe(b"all/")
    assert told(bench, 3) == [(b"all/", (2, 3), 1)]


def test_what_is_held_goes_out_before_the_end(bench: Bench, clock: SimpleNamespace) -> None:
    bench.follow(b"all/", MANY)
    assert len(told(bench, 1)) == 1
    assert told(bench, 2) == []
    bench.stream.close()
    assert len(bench.publisher.sent) == 1


def test_what_is_held_is_not_for_those_who_come_again_after_a_key_was_revoked(
    bench: Bench, clock: SimpleNamespace
) -> None:
    bench.follow(b"all/", MANY)
    assert len(told(bench, 1)) == 1
    assert told(bench, 2) == []
    bench.publisher.keys_valid = False
    assert told(bench, 3) == []
    assert bench.stream.wait_s() is None
    bench.publisher.keys_valid = True
    assert told(bench, 4) == []
    clock.now += MANY / WOKEN_PER_S
    assert told(bench) == [(b"all/", (1, 4), 1)], "the gap shows"
