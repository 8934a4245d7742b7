"""The supervisor's side of the history process, where that process cannot be had."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from jobyard.protocol.errors import HistoryUnavailable
from jobyard.supervisor.history.link import HistoryLink

MANY = 500  # more than calls may nest


class Loop:
    """As the driver's: what is not watched cannot be forgotten."""

    def __init__(self) -> None:
        self.poller = zmq.Poller()
        self.handlers: dict[int, Callable[[], None]] = {}

    def watch(self, fd: int, handler: Callable[[], None], writable: bool) -> None:
        self.handlers[fd] = handler
        self.poller.register(fd, zmq.POLLIN)

    def unwatch(self, fd: int) -> None:
        del self.handlers[fd]
        self.poller.unregister(fd)

    def turn(self) -> None:
        for fd, _ in self.poller.poll(10_000):
            self.handlers[fd]()


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def link(tmp_path: Path, loop: Loop) -> Iterator[HistoryLink]:
    link = HistoryLink(tmp_path / "history.db", lambda: 30.0, MANY + 1)
    link.watch, link.unwatch = loop.watch, loop.unwatch
    yield link
    link.close()
    while loop.handlers:  # until its processes are reaped
        loop.turn()


def test_process_that_ends_before_it_is_asked_is_one_that_cannot_be_used(
    link: HistoryLink, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = subprocess.Popen

    def dead(*args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
        process = start(["true"], **kwargs)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        return process

    monkeypatch.setattr(subprocess, "Popen", dead)
    answers: list[Any] = []
    link.ask("ids", [1], 0.0, answers.append)
    assert [type(one) for one in answers] == [HistoryUnavailable]


def test_process_that_dies_and_cannot_be_started_again_is_told_to_all_who_wait(
    link: HistoryLink, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Any] = []
    for _ in range(MANY):
        link.ask("ids", [1], 0.0, answers.append)
    assert not answers, "one is under way, and the others wait for it"
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert link._process is not None
    link._process.kill()
    while len(answers) < MANY:
        loop.turn()
    assert {type(one) for one in answers} == {HistoryUnavailable}


def test_who_is_refused_may_ask_again(link: HistoryLink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    answers: list[Any] = []

    def again(error: Any) -> None:
        answers.append(error)
        if len(answers) < MANY:
            link.ask("ids", [1], 0.0, again)

    link.ask("ids", [1], 0.0, again)
    assert len(answers) == MANY


def test_question_over_which_two_processes_have_died_is_refused_and_the_next_is_asked(
    link: HistoryLink, loop: Loop
) -> None:
    answers: list[Any] = []
    link.ask("ids", [1], 0.0, answers.append)
    link.ask("ids", [2], 0.0, answers.append)
    for _ in range(2):
        assert link._process is not None and link._sent is not None and link._sent.body == [1]
        process = link._process
        process.kill()
        while link._process is process:
            loop.turn()
    while len(answers) < 2:
        loop.turn()
    assert isinstance(answers[0], HistoryUnavailable) and answers[1] == []
