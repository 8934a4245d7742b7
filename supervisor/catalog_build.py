"""Runs ``catalog_builder.py`` for one pool beside the loop: read when readable, killed when it hangs.

Owns the process: its descriptors, its deadline, and starting it again without a module that killed it. Checks every
field of the outcome, since user code shared the process that wrote it. Imports none of it.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
from typing import IO, Any, TypeVar

from ..conf.catalog import Built
from ..protocol import codec, refs, schema
from ..protocol.errors import JobyardError, ProtocolError
from ..protocol.messages import CatalogEntry, CatalogProblem
from . import clock
from .executors import run_as
from .executors.base import PoolSpec
from .executors.orphans import no_orphan_left, note_own

T = TypeVar("T")

IMPORT_TIMEOUT_S = 60.0
BUILD_TIMEOUT_S = 600.0
_SKIPPED_MAX = 100  # modules that have ended the process; with one more it is not started again
_BEGIN_TIMEOUT_S = 60.0  # for the interpreter to start
_REPORT_BYTES_MAX = 16 << 20
_STDERR_BYTES_KEPT = 8 << 10
_READ_BYTES, _READS_MAX = 1 << 16, 16  # a pipe holds one such read
_KILLED_S = 2.0  # between looks at a process that does not die of a signal
_PLACE = re.compile(r'File "([^"\n]+)", line (\d+)')


class CatalogBuild:
    """One build of one pool's catalogue. ``poll`` when ``fileno`` is readable and when ``deadline`` has come.

    Once ``poll`` has given the outcome, the descriptor is closed.

    Args:
        timeout_s: the longest that the import of one module may take.
        whole_s: the longest that all of it may take, modules that end the process included.
    """

    def __init__(self, spec: PoolSpec, timeout_s: float = IMPORT_TIMEOUT_S, whole_s: float = BUILD_TIMEOUT_S) -> None:
        self.pool = spec.name
        self._spec = spec
        self._timeout_s = timeout_s
        self._whole_s = whole_s
        self._until = clock.now().boot + whole_s
        self._epoll = select.epoll()
        self._skip: dict[str, str] = {}
        self._run: _Run | None = None
        self._built: Built | None = None
        self._start()

    def fileno(self) -> int:
        """One descriptor for the loop; stays the same over restarts of the process."""
        return self._epoll.fileno()

    @property
    def deadline(self) -> float:
        """Boot time at which to call ``poll`` even if nothing is readable."""
        return clock.now().boot if self._run is None else self._run.deadline

    def poll(self) -> Built | None:
        """The outcome, or None while it is not there yet. Never blocks."""
        if self._run is not None and self._run.finished():
            run, self._run = self._run, None
            self._conclude(run)
        if self._built is not None:
            self.close()
        return self._built

    def close(self) -> None:
        """Kill what still runs, and close the descriptors."""
        if self._run is not None:
            self._run.close()
            self._run = None
        self._epoll.close()

    def _start(self) -> None:
        try:
            self._run = _Run(self._spec, self._skip, self._timeout_s, self._until, self._epoll)
        except OSError as error:
            self._fail(f"{self._spec.python} cannot be started in {self._spec.cwd}: {error.strerror or error}")

    def _conclude(self, run: _Run) -> None:
        run.close()
        if run.outcome is not None:
            self._built = self._read(run.outcome)
        elif clock.now().boot >= self._until:
            self._fail(f"the catalogue could not be built: its imports took over {self._whole_s:g} s in all{_at(run)}")
        elif run.module is not None and run.module not in self._skip and len(self._skip) < _SKIPPED_MAX:
            self._skip[run.module] = f"{run.module} failed to import: {run.why()}"
            self._start()
        elif run.setup is not None:
            self._fail(f"setup = {run.setup!r} failed: {run.why()}")
        else:
            self._fail(self._never_began(run))

    def _never_began(self, run: _Run) -> str:
        said = run.stderr.decode(errors="backslashreplace").strip().rpartition("\n")[2]
        if "No module named" in said and "jobyard" in said:
            return f"{self._spec.python} has no jobyard; try: {self._spec.python} -m pip install jobyard"
        return f"the catalogue could not be built: {run.why()}" + (f": {said[:500]}" if said else "")

    def _fail(self, why: str) -> None:
        self._built = Built(self.pool, [], [CatalogProblem(f"pool {self.pool}", why, self.pool)])

    def _read(self, outcome: dict[str, Any]) -> Built:
        try:
            entries = [self._entry(item) for item in outcome["entries"]]
            problems = [_typed(CatalogProblem, item, self.pool) for item in outcome["problems"]]
        except (JobyardError, TypeError, KeyError) as error:
            why = f"the catalogue could not be read: {error}; a module writes where it should not while it is imported"
            return Built(self.pool, [], [CatalogProblem(f"pool {self.pool}", why, self.pool)])
        return Built(self.pool, entries, problems)

    def _entry(self, item: dict[str, Any]) -> CatalogEntry:
        entry = _typed(CatalogEntry, item, self.pool)
        if not refs.allowed(self._spec.allow, entry.ref):
            raise ProtocolError(f"{entry.ref!r} is not allowed")
        if "\0" in (entry.module_file or ""):
            raise ProtocolError(f"{entry.ref} is in {entry.module_file!r}, which names no file")
        return entry


def _typed(kind: type[T], item: dict[str, Any], pool: str) -> T:
    """What clients can be told as well: JSON has numbers, depths and texts that a message has not."""
    return schema.from_wire(kind, codec.unpack(codec.pack({**item, "pool": pool})))


def _name(said: object) -> str | None:
    return said if isinstance(said, str) else None


def _at(run: _Run) -> str:
    return "" if run.module is None else f"; the last one was {run.module:.200}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class _Run:
    """One process. ``module`` and ``setup`` name what it was at when it was last heard of."""

    def __init__(
        self, spec: PoolSpec, skip: dict[str, str], timeout_s: float, until: float, epoll: select.epoll
    ) -> None:
        self.module: str | None = None
        self.setup: str | None = None
        self.outcome: dict[str, Any] | None = None
        self.stderr = b""
        self.deadline = min(clock.now().boot + _BEGIN_TIMEOUT_S, until)
        self._until = until
        self._limit_s = _BEGIN_TIMEOUT_S
        self._timeout_s = timeout_s
        self._why: str | None = None
        self._report = b""
        self._epoll = epoll
        self._path = spec.path
        with os.fdopen(os.memfd_create("catalog-request"), "w+b") as request:  # works on a full disk
            request.write(_request(spec, skip))
            request.seek(0)
            self._process = subprocess.Popen(
                run_as.command(spec.user, [spec.python, "-P", "-m", "jobyard.supervisor.catalog_builder"]),
                cwd=spec.cwd,
                env=run_as.environment(spec.user, spec.env),
                stdin=request,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        note_own(self._process.pid)
        self._pipes: list[IO[bytes]] = [pipe for pipe in (self._process.stdout, self._process.stderr) if pipe]
        try:
            self._pidfd = os.pidfd_open(self._process.pid)
        except OSError:
            self._kill()
            self._process.communicate()
            raise
        for pipe in self._pipes:
            os.set_blocking(pipe.fileno(), False)
            epoll.register(pipe.fileno(), select.EPOLLIN)
        epoll.register(self._pidfd, select.EPOLLIN)

    def finished(self) -> bool:
        """Take in what there is; whether the process has ended. One that is late, too talkative or done is killed."""
        ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        self._read()
        if ended:
            return True
        if clock.now().boot >= self.deadline:
            number = signal.SIGKILL if self._why else signal.SIGABRT  # the latter makes it say where it is
            self._stop(self._why or f"it took over {self._limit_s:g} s", number)
        elif self.outcome is not None:
            self._stop("it did not end", signal.SIGKILL)
        elif len(self._report) > _REPORT_BYTES_MAX:
            self._stop(f"its description is over {_REPORT_BYTES_MAX:,} bytes", signal.SIGKILL)
        return False

    def _stop(self, why: str, number: signal.Signals) -> None:
        self._why = why
        self.deadline = clock.now().boot + _KILLED_S
        self._kill(number)

    def why(self) -> str:
        """How the process ended, for people, with the place where it was if that is known."""
        code = self._process.returncode
        if code >= 0 and not self._why:
            return f"it ended the process with exit code {code}"
        places = _PLACE.findall(self.stderr.decode(errors="backslashreplace"))  # innermost first
        in_pool = [place for place in places if place[0].startswith(tuple(self._path))]
        what = self._why or f"it ended the process with {_signal_name(-code)}"
        return what + "".join(f" ({file}:{line})" for file, line in (in_pool or places)[:1])

    def close(self) -> None:
        """Kill the process group, then reap: until then no other group has its number. Then kill what has left it."""
        self._kill()
        self._process.wait()
        no_orphan_left()
        for pipe in self._pipes:
            self._close_pipe(pipe)
        self._epoll.unregister(self._pidfd)
        os.close(self._pidfd)

    def _kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            pass

    def _close_pipe(self, pipe: IO[bytes]) -> None:
        if not pipe.closed:
            self._epoll.unregister(pipe.fileno())
            pipe.close()

    def _read(self) -> None:
        """What is in the pipes; bounded, so that a module that never stops printing does not hold up the loop."""
        for pipe in self._pipes:
            for _ in range(_READS_MAX):
                if pipe.closed:
                    break
                try:
                    data = os.read(pipe.fileno(), _READ_BYTES)
                except BlockingIOError:
                    break
                if not data:
                    self._close_pipe(pipe)
                elif pipe is self._process.stderr:
                    self.stderr = (self.stderr + data)[-_STDERR_BYTES_KEPT:]
                elif len(self._report) <= _REPORT_BYTES_MAX:
                    self._take(data)

    def _take(self, data: bytes) -> None:
        *lines, self._report = (self._report + data).split(b"\n")
        for line in lines:
            try:
                said = json.loads(line)
            except (ValueError, RecursionError):
                said = None  # not ours
            if not isinstance(said, dict) or self.outcome is not None:
                continue
            if "entries" in said:
                self.outcome = said
            elif "module" in said or "setup" in said:
                self.module, self.setup = _name(said.get("module")), _name(said.get("setup"))
                self._limit_s = self._timeout_s
                self.deadline = min(clock.now().boot + self._limit_s, self._until)


def _request(spec: PoolSpec, skip: dict[str, str]) -> bytes:
    return json.dumps({"path": spec.path, "setup": spec.setup, "allow": spec.allow, "skip": skip}).encode()
