"""The small parent of a supervisor: starts it, passes signals on, starts it again when it crashed.

Owns the decision whether a supervisor that ended is started again. Knows nothing of jobs, sockets or the config: the
supervisor is a command line that writes one line of JSON to a descriptor when it is ready, ``{"pid", "socket"}``, or
when it gives up, ``{"error": {...}}``. ``jobctl up`` runs a guard in its own process, ``jobctl up -d`` this module as a
program.

SIGTERM and SIGINT end the supervisor and the guard; SIGUSR1 too, but leaves running jobs for the next supervisor.
SIGUSR2 puts another supervisor in the place of this one, which takes the running jobs over.

It sleeps until a signal arrives; a supervisor that lives costs it nothing. Nothing that it cannot do, such as to say
something on a full disk, is a reason to end: nobody else would start the supervisor again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...protocol.errors import JobyardError, StorageUnavailable
from ..guard_lock import GuardLock
from . import exits

RESTART_FIRST_S, RESTART_MAX_S = 0.2, 10.0
LONG_LIFE_S = 30.0  # after a life as long as this the next restart is a quick one
TRIES_MAX = 5  # lives that ended before the supervisor was ever ready
LINE_BYTES_MAX = 64 * 1024
KEEP, RESTART = signal.SIGUSR1, signal.SIGUSR2
_STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, KEEP})
_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, KEEP, RESTART)
_HELD_BACK = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, KEEP)  # from a supervisor, until it can handle them
_PASSING = frozenset({StorageUnavailable.code, "already_locked"})  # the latter: jobctl journal compact, or repair
_MANAGER = frozenset({"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"})  # a service manager's, who is told of no guard
_OWN_VERDICTS = frozenset({exits.OK, exits.USAGE, exits.REFUSED})

Report = Callable[[dict[str, Any]], None]


class Guard:
    """Keeps one supervisor alive until it ends by itself.

    Args:
        command: starts a supervisor; ``--ready-fd N`` is added.
        lock: held by the caller while the guard lives.
        report: is told ``{"pid", "socket"}`` of each supervisor that is ready, ``{"error"}`` of one that gave up.
        first: arguments for the supervisors until one was ready; those after it do without.
        hangup_stops: SIGHUP means that the terminal has gone, rather than reload.
    """

    def __init__(
        self,
        command: Sequence[str],
        lock: GuardLock,
        report: Report,
        *,
        first: Sequence[str] = (),
        hangup_stops: bool = False,
    ) -> None:
        self._command = list(command)
        self._first = list(first)
        self._lock = lock
        self._report = report
        self._hangup_stops = hangup_stops
        self._child: subprocess.Popen[bytes] | None = None
        self._stopping = False
        self._restarting = False
        self._owed: int | None = None  # a signal to stop that came while there was no supervisor
        self._passed: int | None = None  # one that was passed on to a supervisor
        self._is_ready = self._was_ready = False  # this supervisor, and any
        self._error: dict[str, Any] | None = None  # why the last one gave up
        self._tries = 0
        self._restart_s = RESTART_FIRST_S

    def run(self) -> int:
        """Until the supervisor has ended for good; its exit code."""
        signals = _Signals()
        try:
            while True:
                started_at = time.monotonic()
                status = self._live(signals)
                if self._restarting and not self._stopping:
                    self._restarting = False
                    continue
                if time.monotonic() - started_at >= LONG_LIFE_S:
                    self._restart_s = RESTART_FIRST_S
                code = self._verdict(status)
                if code is None:
                    self._pause(signals, status)
                    code = exits.OK if self._stopping and self._owed is None else None
                if code is not None:
                    return code
        finally:
            signals.close()

    def _live(self, signals: _Signals) -> int:
        """One life of a supervisor: its exit code, or minus the signal that ended it."""
        self._error, self._is_ready = None, False
        try:
            child, ready = self._start()
        except OSError as error:  # no room for another process just now, or no such program
            _say(f"the supervisor cannot be started: {error}")
            return exits.INTERNAL
        self._child = child
        if self._owed is not None:
            child.send_signal(self._owed)
            self._owed = None
        with contextlib.suppress(OSError):
            self._lock.name(child.pid)
        line = b""
        watched = [signals.fileno(), ready]
        try:
            while child.poll() is None:
                for fd in select.select(watched, [], [])[0]:
                    if fd == ready:
                        line, ended = _read_line(ready, line)
                        if ended:
                            watched.remove(ready)
                            self._take(line)
                    else:
                        self._pass_on(signals.take())
            if ready in watched:  # it may have said something just before its end
                self._take(_read_line(ready, line)[0])
        finally:
            os.close(ready)
            self._child = None
        return child.returncode

    def _start(self) -> tuple[subprocess.Popen[bytes], int]:
        """A supervisor, and the descriptor on which it will say that it is ready."""
        ready, theirs = os.pipe()
        os.set_blocking(ready, False)
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
        try:
            child = subprocess.Popen(
                [*self._command, *([] if self._was_ready else self._first), "--ready-fd", str(theirs)],
                stdin=subprocess.DEVNULL,
                env={key: value for key, value in os.environ.items() if key not in _MANAGER},
                pass_fds=[theirs],
                start_new_session=True,  # Ctrl-C reaches the guard alone, which passes it on once
            )
        except OSError:
            os.close(ready)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            os.close(theirs)
        return child, ready

    def _take(self, line: bytes) -> None:
        """What the supervisor said on its descriptor."""
        try:
            said = json.loads(line)
        except ValueError:
            return
        if isinstance(said, dict):
            self._error = said.get("error")
            self._is_ready = self._error is None
            self._was_ready = self._was_ready or self._is_ready
            self._tell(said)

    def _tell(self, said: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self._report(said)

    def _pass_on(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            if number not in _PASSED_ON:
                continue
            if number == signal.SIGHUP and self._hangup_stops:
                number = signal.SIGTERM
            if number in _STOP_SIGNALS:
                if self._stopping and self._child is not None and not self._is_ready:
                    self._child.kill()  # asked twice: it hangs, perhaps before it can handle signals
                self._stopping = True
            if number == RESTART:
                self._restarting, number = self._child is not None, KEEP
            if self._child is not None and self._child.poll() is None:
                self._child.send_signal(number)
                self._passed = number if number in _STOP_SIGNALS and number != KEEP else self._passed
            elif number in _STOP_SIGNALS and number != KEEP and self._was_ready:
                self._owed = number  # what the last one has left running is for one more to stop

    def _verdict(self, status: int) -> int | None:
        """The exit code of the guard, or None to start another supervisor."""
        if self._stopping and status < 0 and self._passed is not None and self._is_ready:
            self._owed, self._passed = self._passed, None  # it may have died of something else, and heard nothing
        if self._stopping and self._owed is None:
            return max(status, exits.OK)  # a signal that it was sent before it could handle it stopped it as well
        if self._was_ready and self._error is not None and self._may_pass(status, self._error):
            return None
        if self._error is not None or status in _OWN_VERDICTS:
            return status
        self._tries += 1
        if self._was_ready or self._tries < TRIES_MAX:
            return None
        message = f"the supervisor ended {self._tries} times before it was ready; the last one {_how(status)}"
        self._tell({"error": {"code": "supervisor_unavailable", "message": message, "hint": "", "details": {}}})
        return exits.NO_SUPERVISOR

    def _may_pass(self, status: int, error: dict[str, Any]) -> bool:
        """Whether what kept it from starting may be gone by itself: a config that is being edited, a full disk, a
        journal that somebody is at work on.

        It has worked before, and what it has left running would have nobody.
        """
        return status == exits.USAGE or (status == exits.REFUSED and error.get("code") in _PASSING)

    def _pause(self, signals: _Signals, status: int) -> None:
        """Wait before the next start; a signal to stop cuts it short."""
        _say(f"the supervisor {_how(status)}; starting it again in {self._restart_s:g} s")
        until = time.monotonic() + self._restart_s
        self._restart_s = min(2 * self._restart_s, RESTART_MAX_S)
        while not self._stopping and (left := until - time.monotonic()) > 0:
            if select.select([signals.fileno()], [], [], left)[0]:
                self._pass_on(signals.take())


class _Signals:
    """Signals as readable bytes. One that was ignored when the guard was started (``nohup``) stays ignored."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        watched = [number for number in _PASSED_ON if signal.getsignal(number) is not signal.SIG_IGN]
        self._before = {number: signal.signal(number, _noted) for number in [*watched, signal.SIGCHLD]}
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def fileno(self) -> int:
        return self._read

    def take(self) -> bytes:
        try:
            return os.read(self._read, 4096)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        signal.set_wakeup_fd(-1)
        for number, before in self._before.items():
            signal.signal(number, before)
        os.close(self._read)
        os.close(self._write)


def _noted(number: int, frame: object) -> None:
    """The byte in the pipe is all that is wanted."""


def _read_line(fd: int, line: bytes) -> tuple[bytes, bool]:
    """``line`` with what has come, and whether it is complete."""
    try:
        data = os.read(fd, LINE_BYTES_MAX)
    except BlockingIOError:
        return line, False
    line += data
    return line, not data or b"\n" in data or len(line) > LINE_BYTES_MAX


def _how(status: int) -> str:
    if status >= 0:
        return f"ended with exit code {status}"
    names = {number.value: number.name for number in signal.Signals}  # of the real-time signals only two have one
    return f"was killed by {names.get(-status, f'signal {-status}')}"


def _say(text: str) -> None:
    """Without a buffer, in which what could not be written would lie in the way of all that follows."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            os.write(sys.stderr.fileno(), f"jobctl up: {text}\n".encode())


def main() -> int:
    """The guard as a program of its own, in the background."""
    parser = argparse.ArgumentParser(prog="jobyard guard")
    parser.add_argument("--ready-fd", type=int, required=True, help="where to pass on the supervisor's first line")
    parser.add_argument("--lock", type=Path, required=True)
    parser.add_argument("--first", action="append", default=[], help="argument of the first supervisor alone")
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()
    starter: list[int] = [args.ready_fd]

    def report(said: dict[str, Any]) -> None:
        if not starter and "error" in said:  # nobody waits for it any more, but somebody may look
            hint = said["error"].get("hint")
            _say(f"the supervisor gave up: {said['error'].get('message')}" + (f"; try: {hint}" if hint else ""))
        while starter:  # only the first line is waited for
            fd = starter.pop()
            try:
                os.write(fd, json.dumps(said).encode() + b"\n")
            except BrokenPipeError:
                _say("whoever started this has gone")
            os.close(fd)

    try:
        with GuardLock(args.lock) as lock:
            return Guard(args.command, lock, report, first=args.first).run()
    except JobyardError as error:
        report({"error": error.to_wire()})
        return exits.for_error(error)


if __name__ == "__main__":
    sys.exit(main())
