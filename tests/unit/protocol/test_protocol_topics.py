"""Topics: what is one, under which a notice is published, and which one a filter needs."""

from __future__ import annotations

import pytest
from jobyard.protocol import topics
from jobyard.protocol.notices import KINDS, EventFilter


@pytest.mark.parametrize("topic", [b"all/", b"job/42/", b"queue/mail.eu-1_x/", b"kind/queue_paused/"])
def test_topics_are_known(topic: bytes) -> None:
    assert topics.is_topic(topic)


@pytest.mark.parametrize(
    "topic",
    [
        b"",
        b"all",
        b"job/",
        b"job/4",
        b"job/0/",
        b"job/x/",
        b"queue//",
        b"all/x",
        b"all/\n",
        b"kind/\xff/",
        b"kind/other/",
    ],
)
def test_beginnings_of_topics_and_other_text_are_none(topic: bytes) -> None:
    assert not topics.is_topic(topic)


def test_no_topic_is_the_beginning_of_another() -> None:
    found = [*topics.of("started", 4, "m"), *topics.of("started", 42, "ma"), *(b"kind/%b/" % k.encode() for k in KINDS)]
    for one in set(found):
        assert [other for other in set(found) if other.startswith(one)] == [one]


@pytest.mark.parametrize(
    "wanted",
    [
        EventFilter(),
        EventFilter(job_id=42),
        EventFilter(queue="mail"),
        EventFilter(kinds=["ended"]),
        EventFilter(kinds=["ended", "failed"]),
        EventFilter(job_id=42, queue="mail", kinds=["ended"]),
        EventFilter(queue="mail", kinds=["ended", "failed"]),
    ],
)
def test_whatever_a_filter_lets_through_is_published_under_its_topic(wanted: EventFilter) -> None:
    assert topics.matches(wanted, "ended", 42, "mail")
    assert topics.for_filter(wanted) in topics.of("ended", 42, "mail")


@pytest.mark.parametrize("wanted", [EventFilter(job_id=1), EventFilter(queue="x"), EventFilter(kinds=["failed"])])
def test_filter_keeps_back_what_does_not_fit(wanted: EventFilter) -> None:
    assert not topics.matches(wanted, "ended", 42, "mail")
    assert not topics.matches(wanted, "pruned", None, None)


def test_longest_hello_fits_into_the_socket_s_limit() -> None:
    hello = topics.HELLO + b"0" * 16 + b"/" + topics.of("started", 1, "q" * 64)[-1]
    assert len(hello) + len(b"\x09SUBSCRIBE") <= topics.TOPIC_BYTES_MAX


@pytest.mark.parametrize(
    ("wanted", "exact"),
    [
        (EventFilter(), True),
        (EventFilter(job_id=42), True),
        (EventFilter(queue="mail"), True),
        (EventFilter(kinds=["ended"]), True),
        (EventFilter(kinds=["ended", "failed"]), False),
        (EventFilter(job_id=42, queue="mail"), False),
        (EventFilter(queue="mail", kinds=["ended"]), False),
    ],
)
def test_filter_that_is_no_more_than_its_topic_has_nothing_to_keep_back(wanted: EventFilter, exact: bool) -> None:
    assert topics.is_exact(wanted) is exact
