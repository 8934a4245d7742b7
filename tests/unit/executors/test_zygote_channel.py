"""Messages and packets."""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobyard.protocol.errors import JobyardError, ProtocolError, TooLarge
from jobyard.supervisor.executors.zygote import channel
from jobyard.supervisor.executors.zygote.loop import Loop
from jobyard.supervisor.executors.zygote.wire import Outbox, Wire

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with left, right:
        yield left, right


def test_messages_come_back_as_they_were() -> None:
    start = channel.Start(1, 2, 3, "0/2.3", 1.5, None, None, 10.0)
    assert channel.decode(channel.encode(start), channel.TO_ZYGOTE) == start
    end = channel.End("ok", b"\xc0", None, None, False, [0.1, 0.2, 3, 4, False])
    assert channel.decode_foreign(channel.encode(end), channel.FROM_CHILD) == end


def test_message_of_another_conversation_is_refused() -> None:
    for decode in (channel.decode, channel.decode_foreign):
        with pytest.raises(ProtocolError):
            decode(channel.encode(channel.Retire()), channel.FROM_CHILD)


@given(st.binary(max_size=300))
def test_garbage_is_refused_by_a_named_error(data: bytes) -> None:
    for decode in (channel.decode, channel.decode_foreign):
        try:
            decode(data, channel.FROM_CHILD)
        except JobyardError:
            continue


def test_message_over_the_limit_is_refused() -> None:
    with pytest.raises(TooLarge, match="16,777,216"):
        channel.encode(channel.Refused("x" * (17 << 20)))
    assert channel.decode(channel.encode(channel.Poke()), channel.FROM_CHILD) == channel.Poke(), "and the next one goes"


@pytest.mark.parametrize("size", [0, 1000, channel.INLINE_BYTES_MAX, channel.INLINE_BYTES_MAX + 1, 3_000_000])
def test_content_of_any_size_goes_through_a_packet(pair: Pair, size: int) -> None:
    data = os.urandom(size) or b"-"
    packet, fds = channel.packet(data)
    assert channel.send(pair[0], packet, fds)
    channel.close_all(fds)
    got, got_fds = channel.receive(pair[1])
    try:
        assert channel.content(got, got_fds) == data
    finally:
        channel.close_all(got_fds)


@pytest.mark.parametrize("size", [0, -1, 5, 1 << 40, "x"])
def test_large_message_that_lies_about_its_size_is_refused(size: object) -> None:
    fd = channel.file_of(b"four", "test")
    try:
        with pytest.raises(ProtocolError):
            channel.content(channel.encode(("Large", size)[1:]).replace(b"tuple", b"Large"), [fd])
    finally:
        os.close(fd)


def test_end_of_the_connection_is_empty(pair: Pair) -> None:
    pair[0].close()
    assert channel.receive(pair[1]) == (b"", [])


def test_what_was_sent_before_an_unread_close_is_still_received(pair: Pair) -> None:
    pair[1].send(b"never read")
    pair[0].send(b"last words")
    pair[0].close()
    assert channel.receive(pair[1]) == (b"last words", [])
    assert channel.receive(pair[1]) == (b"", [])


def test_outbox_keeps_order_when_the_queue_is_full(pair: Pair) -> None:
    outbox = Outbox(pair[0])
    sent: list[int] = []
    count = 2000
    for number in range(count):
        outbox.put(channel.Discard(number), then=functools.partial(sent.append, number))
    assert outbox and 0 < len(sent) < count
    received = []
    while len(received) < count:
        try:
            data, _ = channel.receive(pair[1], socket.MSG_DONTWAIT)
            received.append(channel.decode(data, channel.TO_ZYGOTE).kid)
        except BlockingIOError:
            outbox.flush()
    assert received == sent == list(range(count)) and not outbox


def test_outbox_reports_that_the_other_side_is_gone(pair: Pair) -> None:
    outbox = Outbox(pair[0])
    pair[1].close()
    with pytest.raises(OSError):
        outbox.put(channel.Retire())
    outbox.clear()
    assert not outbox


def test_connection_may_end_with_what_follows_a_message_that_had_to_wait(pair: Pair) -> None:
    loop = Loop()
    wire = Wire(loop, pair[0], channel.TO_WRITER, lambda message, fds: None, lambda: None)
    for _ in range(1000):  # more than a socket holds
        wire.put(channel.Retire())
    wire.put(channel.Retire(), then=wire.close)
    while wire.sock.fileno() >= 0:
        pair[1].recv(100)
        loop.run_once(0)
    loop.close()


def test_what_was_sent_before_the_other_side_went_is_read_also_if_it_is_noticed_by_sending() -> None:
    loop, heard, ended = Loop(), [], []
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    wire = Wire(loop, ours, channel.TO_ZYGOTE, lambda message, fds: heard.append(message), lambda: ended.append(True))
    channel.send(theirs, channel.encode(channel.Prepare(1)))
    channel.send(theirs, channel.encode(channel.Prepare(2)))
    theirs.close()
    wire.put(channel.Ready([], ""))
    assert not ended
    loop.run_once(0)
    assert heard == [channel.Prepare(1), channel.Prepare(2)] and ended == [True]
    loop.close()
