"""Deadlines of an attempt and the escalation, with a child that only exists on paper."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator

import pytest
from jobyard.supervisor.executors.zygote import channel, control
from jobyard.supervisor.executors.zygote.control import Control, Kid
from jobyard.supervisor.executors.zygote.deadlines import Deadlines
from jobyard.supervisor.executors.zygote.page import Page


class Bench:
    """A control with a clock of its own, and what it did."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.signals: list[tuple[int, int]] = []
        self.slain: list[int] = []
        self.stuck: list[int] = []
        monkeypatch.setattr(control, "now", lambda: self.now)
        monkeypatch.setattr(control, "signal_group", lambda pid, number: self.signals.append((pid, number)))
        monkeypatch.setattr(control, "signal_one", lambda pid, number: self.signals.append((-pid, number)))
        self.deadlines = Deadlines()
        self.control = Control(
            self.deadlines, lambda kid: self.slain.append(kid.pid), lambda kid: self.stuck.append(kid.pid)
        )
        self.page = Page.create()
        ours, self.its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.kid = Kid(1, 42, ours, 0, self.page.slot(0))

    def bind(self, hard: float | None = None, soft: float | None = None, stall: float | None = None) -> None:
        self.control.bind(self.kid, channel.Start(1, 7, 1, "0/7.1", hard, soft, stall, 5.0))

    def at(self, now: float) -> None:
        self.now = now
        for what, _ in self.deadlines.due(now):
            self.control.expire(what, self.kid)

    def told(self) -> list[channel.Stop]:
        found = []
        while True:
            try:
                found.append(channel.decode(self.its.recv(9999, socket.MSG_DONTWAIT), channel.TO_CHILD))
            except BlockingIOError:
                return found

    def close(self) -> None:
        self.kid.sock.close()
        self.its.close()
        self.page.close()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    bench = Bench(monkeypatch)
    yield bench
    bench.close()


TERM_GROUP = [(42, signal.SIGTERM), (42, signal.SIGCONT)]


def test_timeout_asks_then_kills_then_reports(bench: Bench) -> None:
    bench.bind(hard=10.0)
    bench.at(1009.9)
    assert bench.signals == []
    bench.at(1010.0)
    assert bench.signals == TERM_GROUP and bench.kid.killed == "timeout"
    assert bench.told() == [channel.Stop("timeout", "ran longer than its timeout of 10 s")]
    bench.at(1014.9)
    assert bench.slain == []
    bench.at(1015.0)
    assert bench.slain == [42] and bench.stuck == []
    bench.at(1016.0)
    assert bench.stuck == [42]
    assert bench.deadlines.next_at() is None


def test_soft_timeout_goes_to_the_child_alone_and_the_hard_one_still_counts(bench: Bench) -> None:
    bench.bind(hard=10.0, soft=4.0)
    bench.at(1004.0)
    assert bench.signals == [(-42, signal.SIGTERM), (-42, signal.SIGCONT)] and bench.kid.killed is None
    assert [stop.kind for stop in bench.told()] == ["soft"]
    bench.at(1010.0)
    assert bench.kid.killed == "timeout"


def test_cancel_disarms_the_timeouts(bench: Bench) -> None:
    bench.bind(hard=10.0, soft=4.0, stall=3.0)
    bench.control.stop(bench.kid, "cancel", 100.0, None)
    bench.at(1050.0)
    assert bench.signals == TERM_GROUP and bench.kid.killed == "cancel" and bench.slain == []


def test_sign_of_life_puts_the_stall_off(bench: Bench) -> None:
    bench.bind(stall=3.0)
    bench.kid.slot.beat(1002.0)
    bench.at(1003.0)
    assert bench.kid.killed is None and bench.deadlines.next_at() == 1005.0
    bench.at(1005.0)
    assert bench.kid.killed == "stall"


def test_first_reason_stands_and_only_a_shorter_grace_counts(bench: Bench) -> None:
    bench.bind()
    bench.control.stop(bench.kid, "cancel", 10.0, "first")
    bench.control.stop(bench.kid, "stop", 20.0, "second")
    assert bench.deadlines.next_at() == 1010.0
    bench.control.stop(bench.kid, "stop", 2.0, "third")
    assert bench.deadlines.next_at() == 1002.0
    assert bench.kid.killed == "cancel" and bench.signals == TERM_GROUP
    assert [stop.reason for stop in bench.told()] == ["first"]


def test_stop_after_the_kill_does_nothing(bench: Bench) -> None:
    bench.bind()
    bench.control.stop(bench.kid, "cancel", 0.0, None)
    bench.control.stop(bench.kid, "cancel", 0.0, None)
    assert bench.slain == [42] and bench.signals == []


def test_released_child_has_no_deadlines_left(bench: Bench) -> None:
    bench.bind(hard=1.0, soft=1.0, stall=1.0)
    bench.control.stop(bench.kid, "cancel", 1.0, None)
    bench.control.release(bench.kid)
    assert len(bench.deadlines) == 0


def test_child_that_has_ended_is_never_signalled(bench: Bench) -> None:
    bench.control.release(bench.kid)
    bench.bind(hard=1.0)
    bench.control.stop(bench.kid, "cancel", 0.0, None)
    bench.control.stop(bench.kid, "cancel", 1.0, None)
    bench.control.slay(bench.kid)
    bench.at(2000.0)
    assert bench.signals == [] and bench.slain == [] and bench.kid.start is None and len(bench.deadlines) == 0


def test_very_long_reason_is_cut(bench: Bench) -> None:
    bench.bind()
    bench.control.stop(bench.kid, "cancel", 1.0, "x" * 1_000_000)
    (stop,) = bench.told()
    assert stop.reason is not None and len(stop.reason) == 1000


def test_child_that_hears_nothing_any_more_is_still_signalled(bench: Bench) -> None:
    bench.bind()
    bench.its.close()
    bench.control.stop(bench.kid, "cancel", 1.0, None)
    assert bench.signals == TERM_GROUP
