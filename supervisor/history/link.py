"""The supervisor's side of the history process: starts it when something is asked, and never waits for it.

One question is under way at a time, the others wait here. A process that ends before it has answered is started once
more for the same question; one that does not answer in time is killed. Knows nothing of what is asked.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...protocol import errors
from ...protocol.errors import HistoryUnavailable, JobyardError, OutcomeUnknown, QueueFull
from ..executors.orphans import note_own
from . import wire
from .wire import LOST

log = logging.getLogger("jobyard.history")
_TRIES = 2
_PIECE_BYTES = 1 << 20
Answer = Callable[[Any], None]


@dataclass(slots=True)
class _Question:
    """``answer`` takes the value, or a JobyardError. ``tries``: how often it was sent. ``once``: it changes something,
    and is not sent again when the process may have done it."""

    number: int
    verb: str
    body: Any
    until: float
    answer: Answer
    once: bool
    tries: int = 0


class HistoryLink:
    """One per supervisor. ``watch`` and ``unwatch`` are set by the driver; times are on the loop's clock.

    ``lost`` is called with what to say when the history turned out to be damaged and was set aside.

    Args:
        answer_within_s: after so long a question is answered with an error.
        asked_max: bound of questions that wait.
    """

    def __init__(self, path: Path, answer_within_s: Callable[[], float], asked_max: int) -> None:
        self._path = path
        self._within_s = answer_within_s
        self._asked_max = asked_max
        self._questions: deque[_Question] = deque()
        self._sent: _Question | None = None  # the first of them, if the process has it
        self._sending = False
        self._count = 0
        self._line: socket.socket | None = None
        self._inbox = wire.Inbox()
        self._unsent = memoryview(b"")
        self._process: subprocess.Popen[bytes] | None = None
        self._ending: dict[int, subprocess.Popen[bytes]] = {}
        self.watch: Callable[[int, Callable[[], None], bool], None]
        self.unwatch: Callable[[int], None]
        self.lost: Callable[[str], None]

    def ask(self, verb: str, body: Any, now: float, answer: Answer, once: bool = False) -> None:
        """``answer`` is called once, later; with OutcomeUnknown if that is not known of what is to be done ``once``.

        Raises:
            QueueFull: too many questions wait.
        """
        if len(self._questions) >= self._asked_max:
            raise QueueFull(f"{self._asked_max:,} requests wait already", hint="raise [limits] parked_requests")
        self._count += 1
        self._questions.append(_Question(self._count, verb, body, now + self._within_s(), answer, once))
        self._send_next()

    def wake_at(self) -> float | None:
        """When the first question has waited long enough."""
        return self._questions[0].until if self._questions else None

    def mind_deadlines(self, now: float) -> None:
        """Give up questions whose time is over; they are in the order of their times."""
        late: list[_Question] = []
        while self._questions and self._questions[0].until <= now:
            late.append(self._questions.popleft())
        if not late:
            return
        if late[0] is self._sent:
            self._drop()  # it is stuck, and would hold up all that follows
        for question in late:
            error = f"the history did not answer within {self._within_s():g} s"
            question.answer(HistoryUnavailable(error, hint="try again, or raise [history] answer_within"))
        self._send_next()

    def close(self) -> None:
        self._questions.clear()
        self._drop()

    # -- one question after the other ----------------------------------------------------------------------------------

    def _send_next(self) -> None:
        """Send the first question, unless it is under way. What is asked anew by who is answered meanwhile waits."""
        if self._sending:
            return
        self._sending = True
        try:
            while self._questions and self._questions[0] is not self._sent:
                self._send(self._questions[0])
        finally:
            self._sending = False

    def _send(self, question: _Question) -> None:
        self._sent = question
        question.tries += 1
        self._unsent = memoryview(wire.pack([question.number, question.verb, question.body, self._within_s()]))
        try:
            line = self._line or self._start()
        except OSError as error:
            self._refuse_all(str(error))
            return
        try:
            self._go_on_sending(line)
        except OSError as error:
            self._failed(str(error))

    def _go_on_sending(self, line: socket.socket) -> None:
        """As much as the line takes now; the rest when it takes more. Raises OSError."""
        with contextlib.suppress(BlockingIOError):
            self._unsent = self._unsent[line.send(self._unsent) :]
        self.watch(line.fileno(), self._ready, bool(self._unsent))

    def _ready(self) -> None:
        """The line takes more, or has an answer."""
        assert self._line is not None
        heard: list[Any] = []
        try:
            if self._unsent:
                self._go_on_sending(self._line)
            else:
                heard = self._heard(self._line)
        except OSError as error:
            self._failed(str(error))
        for number, kind, value in heard:
            self._answered(number, kind, value)
        self._send_next()

    def _heard(self, line: socket.socket) -> list[Any]:
        """Raises OSError."""
        with contextlib.suppress(BlockingIOError):
            if piece := line.recv(_PIECE_BYTES):
                return self._inbox.feed(piece)
            raise ConnectionError("it has ended")
        return []

    def _answered(self, number: int, kind: str, value: Any) -> None:
        if self._sent is None or self._sent.number != number:
            return
        question, self._sent = self._questions.popleft(), None
        if kind == LOST:
            self.lost(value[0])
        question.answer(value if kind == "ok" else _error(kind, *value))

    def _failed(self, why: str) -> None:
        """The process is gone: what was asked stays, to be asked once more, or not."""
        question, arrived = self._sent, not self._unsent
        self._drop()
        if question is None or (question.tries < _TRIES and not (question.once and arrived)):
            return
        self._questions.popleft()
        if question.once and arrived:
            unknown = "the history process ended while it changed the history: it may have done so or not"
            question.answer(OutcomeUnknown(unknown, hint="look before you try again: jobctl list"))
            return
        log.warning("the history process cannot be used: %s", why)
        question.answer(_unusable(why))

    def _refuse_all(self, why: str) -> None:
        """No process can be had: to try it for each of those who wait would hold up the loop."""
        self._drop()
        waiting, self._questions = self._questions, deque()
        log.warning("the history process cannot be started: %s", why)
        for question in waiting:
            question.answer(_unusable(why))

    # -- the process ---------------------------------------------------------------------------------------------------

    def _start(self) -> socket.socket:
        """The line to a fresh process. Raises OSError."""
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-P", "-m", "jobyard.supervisor.history.server", str(self._path)]
            try:
                self._process = subprocess.Popen(
                    [*command, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                note_own(self._process.pid)
            except OSError:
                ours.close()
                raise
        ours.setblocking(False)
        self._line, self._inbox = ours, wire.Inbox()
        self.watch(ours.fileno(), self._ready, True)
        return ours

    def _drop(self) -> None:
        """Be done with the process, and with what it was asked; it is reaped when it has ended."""
        self._sent = None
        if self._line is not None:
            self.unwatch(self._line.fileno())
            self._unsent = memoryview(b"")
            self._line.close()
            self._line = None
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        try:
            pidfd = os.pidfd_open(process.pid)
        except OSError:
            return  # no descriptors left: the next process that subprocess starts reaps it
        self._ending[pidfd] = process
        self.watch(pidfd, lambda: self._reap(pidfd), False)

    def _reap(self, pidfd: int) -> None:
        if self._ending[pidfd].poll() is not None:
            del self._ending[pidfd]
            self.unwatch(pidfd)
            os.close(pidfd)


def _unusable(why: str) -> HistoryUnavailable:
    return HistoryUnavailable(f"the history process cannot be used: {why}", hint="try again")


def _error(code: str, message: str, hint: str) -> JobyardError:
    code = HistoryUnavailable.code if code == LOST else code
    return errors.from_wire({"code": code, "message": message, "hint": hint})
