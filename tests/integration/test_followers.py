"""The status stream of a real supervisor: followers that are slow, stopped or killed, restarts, and an idle system."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import stat
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import zmq
from followers import Followers
from jobyard import Client
from jobyard.protocol.errors import (
    BadArguments,
    JobNotFound,
    NotAllowed,
    QueueFull,
    SupervisorUnavailable,
    UnknownQueue,
)
from jobyard.protocol.messages import Events
from jobyard.protocol.notices import Notice
from live import Yard, wait_for

Follow = Callable[..., Generator[Notice, None, None]]
HELD = "[queues.held]\npaused = true\n"


@pytest.fixture
def start(yard_of_followers: list[Followers]) -> Callable[..., Followers]:
    def begin(yard: Yard, count: int = 1, name: str = "followers") -> Followers:
        followers = Followers(yard.config, count, name)
        yard_of_followers.append(followers)
        return followers

    return begin


@pytest.fixture
def yard_of_followers(make_yard: Callable[..., Yard]) -> Iterator[list[Followers]]:
    """Ended before the yards are, whose directory they have."""
    made: list[Followers] = []
    yield made
    for followers in made:
        followers.end()


@pytest.fixture
def follow(make_yard: Callable[..., Yard]) -> Iterator[Follow]:
    """``client.events``, closed before the client is."""
    with contextlib.ExitStack() as opened:

        def begin(client: Client, *since: Any, **wanted: Any) -> Generator[Notice, None, None]:
            return opened.enter_context(contextlib.closing(client.events(*since, **wanted)))

        yield begin


def head(yard: Yard) -> tuple[int, int]:
    reply = yard.client().request(Events())
    return reply.epoch, reply.seq


def hold(yard: Yard, count: int) -> None:
    """Submit jobs that stay in their queue: one notice each."""
    yard.client().options(queue="held").submit_many("jobs:add", [(1, 2)] * count)


def subscribed(yard: Yard, followers: Followers) -> None:
    """Wait until each has got a notice as it was published."""
    client = yard.client()

    def all_hear() -> bool:
        client.pause("default")
        client.resume("default")
        return all(any(one[-1] for one in followers.seen(number)) for number in range(followers.count))

    wait_for("all followers to be subscribed", all_hear, 60)


def test_life_of_a_job_is_told_in_order_and_ends_with_the_job(yard: Yard) -> None:
    job = yard.client().submit("jobs:add", 1, 2)
    told = list(job.events())
    assert [(one.kind, one.state, one.attempt) for one in told] == [
        ("submitted", "queued", 0),
        ("started", "running", 1),
        ("ended", "succeeded", 1),
        ("succeeded", "succeeded", 1),
    ]
    assert [one.seq for one in told] == list(range(told[0].seq, told[0].seq + 4))
    assert {(one.job_id, one.name, one.ref, one.queue) for one in told} == {(job.id, "add", "jobs:add", "default")}
    assert list(job.events()) == told


def test_failure_is_told_with_its_cause_and_the_time_of_the_next_attempt(yard: Yard) -> None:
    job = yard.client().options(retry={"max_attempts": 2, "delay": 0.05}).submit("jobs:fail", "no\x1b[31m")
    told = list(job.events())
    assert [one.kind for one in told if one.kind not in ("submitted", "started")] == [
        "ended",
        "retry_scheduled",
        "ended",
        "failed",
    ]
    again = next(one for one in told if one.kind == "retry_scheduled")
    assert again.run_at == pytest.approx(again.at + 0.05)
    assert {one.text for one in told if one.outcome} == {"ValueError: no\x1b[31m"}


def test_progress_is_told_while_the_job_runs(yard: Yard) -> None:
    job = yard.client().submit("jobs:count_up", 40)
    done = [one.progress.done for one in job.events() if one.progress is not None]
    assert done and done == sorted(done)


def test_changes_of_queues_and_refused_submits_are_told_to_who_follows_them(yard: Yard, follow: Follow) -> None:
    client = yard.client()
    queue, refused = follow(client, queue="default"), follow(client, kinds="refused")
    client.pause("default")
    client.drain("default")
    client.resume("default")
    with pytest.raises(NotAllowed):
        client.submit("os:system", "true")
    assert [next(queue).kind for _ in range(3)] == ["queue_paused", "queue_draining", "queue_resumed"]
    told = next(refused)
    assert told.text is not None and f"uid {os.geteuid()} pid {os.getpid()}: 'os:system' is not allowed" in told.text


def test_cancel_requeue_and_prune_are_told(make_yard: Callable[..., Yard], follow: Follow) -> None:
    yard = make_yard(HELD)
    client = yard.client()
    following = follow(client, kinds=["cancelled", "requeued", "pruned"])
    first, second = (client.options(queue="held").submit("jobs:add", 1) for _ in range(2))
    first.cancel(reason="not needed")
    first.retry()
    first.cancel()
    second.cancel()
    client.remove(first)
    told = [next(following) for _ in range(5)]
    assert [(one.kind, one.job_id) for one in told] == [
        ("cancelled", first.id),
        ("requeued", first.id),
        ("cancelled", first.id),
        ("cancelled", second.id),
        ("pruned", None),
    ]
    assert (told[0].text, told[-1].ids) == ("not needed", [first.id])
    assert [one.kind for one in client.get(second.id).events()] == ["submitted", "cancelled"]
    assert [one.kind for one in first.events()][-1] == "cancelled", "a job that was pruned has ended"


def test_mistakes_are_refused_when_they_are_made(yard: Yard) -> None:
    client = yard.client()
    with pytest.raises(BadArguments, match="fail"):
        client.events(kinds="fail")
    with pytest.raises(UnknownQueue):
        client.events(queue="maill")
    with pytest.raises(JobNotFound):
        client.events(job=99)
    with pytest.raises(BadArguments, match="no event 99 yet"):
        client.events(since=99)


def test_follower_begins_where_another_one_left_off(yard: Yard, follow: Follow) -> None:
    client = yard.client()
    following = follow(client)
    client.pause("default")
    first = next(following)
    following.close()
    client.resume("default")
    assert next(follow(client, since=first.position)).kind == "queue_resumed"
    assert next(follow(client, since=first.seq)).kind == "queue_resumed"
    assert next(follow(client, since="oldest")) == first


def test_a_hundred_followers_get_everything_while_one_of_them_is_stopped_and_then_that_one_too(
    make_yard: Callable[..., Yard], start: Callable[..., Followers]
) -> None:
    yard = make_yard("[limits]\nunsent_notices = 16\n" + HELD)
    others, stopped = start(yard, 99, "others"), start(yard, 1, "stopped")
    subscribed(yard, others)
    subscribed(yard, stopped)
    os.kill(stopped.process.pid, signal.SIGSTOP)
    for _ in range(10):
        hold(yard, 200)
    last = head(yard)

    def complete(followers: Followers, number: int) -> bool:
        return followers.numbers(number)[-1:] == [last]

    wait_for("the others to have all", lambda: all(complete(others, number) for number in range(99)), 60)
    assert not complete(stopped, 0)
    os.kill(stopped.process.pid, signal.SIGCONT)
    wait_for("the one that was stopped to have all", lambda: complete(stopped, 0), 30)
    for followers in (others, stopped):
        for number in range(followers.count):
            numbers = followers.numbers(number)
            first = numbers[0][1]
            assert numbers == [(1, seq) for seq in range(first, last[1] + 1)]


def miss_some(yard: Yard, followers: Followers) -> tuple[int, int]:
    """Have more happen than is kept for followers that are stopped meanwhile: the last of it, as ``head``."""
    subscribed(yard, followers)
    os.kill(followers.process.pid, signal.SIGSTOP)
    for _ in range(3):
        hold(yard, 3000)
    last = head(yard)
    os.kill(followers.process.pid, signal.SIGCONT)
    return last


def test_stopped_follower_is_told_what_it_has_lost_though_nothing_happens_any_more(
    make_yard: Callable[..., Yard], start: Callable[..., Followers]
) -> None:
    yard = make_yard("[limits]\nunsent_notices = 16\n" + HELD)
    stopped = start(yard)
    last = miss_some(yard, stopped)
    wait_for("the stopped one to have all", lambda: stopped.numbers()[-1:] == [last], 30)
    numbers = stopped.numbers()
    assert numbers == [(1, seq) for seq in range(numbers[0][1], last[1] + 1)]
    asked = [seq for kind, _, seq, _, published in stopped.seen() if kind == "submitted" and not published]
    assert asked[-1:] == [last[1]], "the last notices were lost, or this test shows nothing"


def test_stopped_follower_is_told_where_its_gap_is_if_it_is_no_longer_kept(
    make_yard: Callable[..., Yard], start: Callable[..., Followers]
) -> None:
    yard = make_yard("[limits]\nunsent_notices = 16\nkept_notices = 100\n" + HELD)
    stopped = start(yard)
    epoch, last = miss_some(yard, stopped)
    wait_for("the stopped one to be at the end", lambda: stopped.numbers()[-1:] == [(epoch, last)], 30)
    seen = stopped.seen()
    assert [kind for kind, *_ in seen].count("events_truncated") >= 1
    known = seen[0][2] - 1
    for kind, _, seq, _, _ in seen:
        assert seq > known if kind == "events_truncated" else seq == known + 1
        known = seq


def test_follower_goes_on_over_kill_9_of_the_supervisor_and_is_told_of_the_gap(yard: Yard, follow: Follow) -> None:
    client = yard.client(timeout=60)
    following = follow(client)
    client.submit("jobs:add", 1, 2).result(timeout=20)
    told = [next(following).kind for _ in range(4)]
    assert told[-1] == "succeeded"
    yard.restart()
    job = client.submit("jobs:add", 3, 4)
    assert next(following).kind == "events_truncated"
    after = [next(following) for _ in range(4)]
    assert [(one.kind, one.job_id, one.epoch) for one in after][-1] == ("succeeded", job.id, 2)


def test_events_of_a_job_end_with_it_though_the_supervisor_was_killed_in_between(
    make_yard: Callable[..., Yard],
) -> None:
    yard = make_yard()
    job = yard.client(timeout=60).options(delay=1.0).submit("jobs:add", 1, 2)
    told: list[str] = []
    thread = threading.Thread(target=lambda: told.extend(one.kind for one in job.events()))
    thread.start()
    yard.restart()
    thread.join(30)
    assert told[-3:] == ["started", "ended", "succeeded"]


def test_events_of_a_job_that_ended_in_an_earlier_epoch_end_at_once(yard: Yard) -> None:
    job = yard.client().submit("jobs:add", 1, 2)
    job.result(timeout=20)
    yard.restart()
    assert list(yard.client().get(job.id).events()) == []


def test_what_was_told_is_there_after_kill_9(
    make_yard: Callable[..., Yard], start: Callable[..., Followers], follow: Follow
) -> None:
    yard = make_yard(HELD)
    for _ in range(5):
        client = yard.client(timeout=60)
        following = follow(client, kinds="submitted")
        sender = threading.Thread(target=hold, args=(yard, 50))
        sender.start()
        told = next(following)
        yard.restart()
        sender.join()
        following.close()
        assert told.job_id is not None
        assert client.get(told.job_id).state == "queued"


def test_followers_that_are_killed_disturb_nobody(yard: Yard, start: Callable[..., Followers]) -> None:
    killed, stays = start(yard, 10, "killed"), start(yard, 1, "stays")
    subscribed(yard, killed)
    subscribed(yard, stays)
    killed.end()
    job = yard.client().submit("jobs:add", 1, 2)
    assert job.result(timeout=20) == 3
    wait_for("the other to have all", lambda: ("succeeded", job.id) in [(one[0], one[3]) for one in stays.seen()])


def test_followers_of_an_idle_system_wake_nobody_up(yard: Yard, follow: Follow) -> None:
    client = yard.client()
    following = follow(client)
    woken = threading.Event()

    def follow() -> None:
        for _ in range(2):
            next(following)
        woken.set()

    thread = threading.Thread(target=follow)
    thread.start()
    client.pause("default")
    supervisor = psutil.Process(yard.pid)

    def switches() -> int:
        return sum(psutil.Process(one.id).num_ctx_switches().voluntary for one in supervisor.threads())

    def is_still() -> bool:
        before = switches()
        return not woken.wait(0.5) and switches() == before

    assert wait_for("half a second without a wake-up", is_still)
    client.resume("default")
    assert woken.wait(20)
    thread.join()


def test_socket_of_the_stream_is_its_owner_s_alone_and_goes_with_the_supervisor(yard: Yard) -> None:
    path = Path(yard.client().request(Events()).socket)
    assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert yard.stop() == 0
    assert not path.exists()


def test_garbage_and_too_many_topics_leave_the_stream_to_the_others(
    make_yard: Callable[..., Yard], follow: Follow
) -> None:
    yard = make_yard("[limits]\nnotice_topics = 50\n")
    client = yard.client()
    path = client.request(Events()).socket
    context: zmq.Context[Any] = zmq.Context()
    with context, context.socket(zmq.SUB) as flood, context.socket(zmq.XSUB) as garbage:
        flood.linger = garbage.linger = 0
        garbage.connect(f"ipc://{path}")
        for frame in (b"", b"\xff" * 100, b"\1" + b"x" * 100_000, b"\1\xff\0", b"\0all/"):
            garbage.send(frame)
        flood.set_hwm(0)  # or the flood would end in its own socket
        flood.connect(f"ipc://{path}")
        for number in range(2000):
            flood.subscribe(b"job/%d/" % (number + 100))
        flood.subscribe(b"hello/flood/all/")
        assert flood.recv_multipart()[0] == b"hello/flood/all/"
        job = client.submit("jobs:sleep", 0.3)
        with pytest.raises(QueueFull, match="topics"):
            list(job.events())
        assert [one.kind for one in itertools.islice(follow(client, since="oldest"), 4)][-1] == "succeeded"
    wait_for("room for topics", lambda: _kinds_or_none(client.submit("jobs:add", 1).events()))


def _kinds_or_none(events: Any) -> list[str]:
    try:
        return [one.kind for one in events]
    except QueueFull:
        return []


def test_removed_socket_of_the_stream_is_told_and_not_waited_for_in_vain(yard: Yard, follow: Follow) -> None:
    client = yard.client(timeout=0.5)
    Path(client.request(Events()).socket).unlink()
    with pytest.raises(SupervisorUnavailable, match=r"its status stream at .* cannot be reached"):
        next(follow(client))
