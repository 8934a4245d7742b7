"""One attempt of a job in this process: arguments and result go through the codec, output and progress are kept.

Owns what stands in for a child here. What becomes of the job afterwards is not decided here. Not as in a child: the
function shares this process, so nothing limits it or can kill it, and what subprocesses and C code print is not kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import io
import logging
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar, overload

from ...protocol import codec, failure, states, target
from ...protocol.current import CURRENT
from ...protocol.errors import CancelRequested, GiveUp, NotAllowed, ProtocolError
from ...protocol.job import ErrorInfo, Progress
from ...protocol.messages import LogChunk
from ...protocol.running import RunningJob, log_record
from ..lines import LOGGING, Lines, LogLine

P = ParamSpec("P")
R = TypeVar("R")
TRACEBACK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an attempt when it starts; see ``protocol/running.py``."""

    job_id: int = 1
    attempt: int = 1
    max_attempts: int = 3
    uid: str = "0" * 32
    ref: str = ""
    queue: str = "default"
    tags: dict[str, str] | None = None
    parents: Sequence[tuple[int, str]] = ()
    timeout_s: float | None = None


@dataclass(slots=True)
class JobRun(Generic[R]):
    """What came of one attempt.

    Attributes:
        outcome: "ok", "error" or "cancelled".
        result: what the function returned, after the way that results take; None unless the outcome is "ok".
        error: what it raised, ``RetryLater`` and ``GiveUp`` included; None if it returned.
        final: it would not be tried again, whatever the policy says.
        progress: all that it told, oldest first.
        chunks: its output as it would be stored.
    """

    outcome: str = states.OK
    result: R | None = None
    error: BaseException | None = None
    final: bool = False
    progress: list[Progress] = field(default_factory=list)
    chunks: list[LogChunk] = field(default_factory=list)

    @property
    def logs(self) -> list[LogLine]:
        """Its output, line by line, as ``job.logs()`` gives it."""
        lines = Lines()
        return [*lines.feed(self.chunks), *lines.end()]

    @property
    def error_info(self) -> ErrorInfo | None:
        """The error as it would be kept."""
        if self.error is None:
            return None
        kind, message, traceback, kinds = failure.describe(self.error, TRACEBACK_BYTES)
        return ErrorInfo(kind, message, traceback, tuple(kinds))


class _Output:
    """Keeps what is written to the streams of an attempt, in order."""

    def __init__(self, chunks: list[LogChunk]) -> None:
        self._chunks = chunks
        self._size = 0

    def write(self, stream: str, text: str) -> None:
        data = text.encode("utf-8", "backslashreplace")
        self._chunks.append(LogChunk(self._size, stream, time.time(), data))
        self._size += len(data)


class _Stream(io.TextIOBase):
    """stdout or stderr while an attempt runs."""

    def __init__(self, output: _Output, name: str) -> None:
        self._output = output
        self._name = name

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if text:
            self._output.write(self._name, text)
        return len(text)


class _Records(logging.Handler):
    """The records of ``logging`` while an attempt runs, in the form of a child."""

    def __init__(self, output: _Output) -> None:
        super().__init__()
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        self._output.write(LOGGING, log_record(record.levelname, record.name, self.format(record)))


class _LocalJob(RunningJob):
    def __init__(
        self, facts: Facts, run: JobRun[Any], output: _Output, scratch: Callable[[], Path], stop: bool
    ) -> None:
        self.begin(facts)
        self._run = run
        self._output = output
        self._make_scratch = scratch
        self._scratch: Path | None = None
        self._asked = "cancelled by the test" if stop else None

    @property
    def scratch(self) -> Path:
        if self._scratch is None:
            self._scratch = self._make_scratch()
        return self._scratch

    def heartbeat(self) -> None:
        """Nobody listens: nothing ends an attempt for being silent here."""

    def _tell(self, done: float, total: float | None, text: str, at: float) -> None:
        self._run.progress.append(Progress(done, total, text, at))

    def _write(self, level: str, text: str) -> None:
        self._output.write(LOGGING, log_record(level, "job", text))


def perform(find: Callable[[], Callable[..., Any]], payload: bytes, facts: Facts, *, stop: bool = False) -> JobRun[Any]:
    """Run one attempt.

    Args:
        find: gives the function to call; what it raises fails the attempt.
        payload: the packed arguments.
        stop: the attempt has been asked to stop from the beginning.
    """
    run: JobRun[Any] = JobRun()
    output = _Output(run.chunks)
    with contextlib.ExitStack() as around:

        def scratch() -> Path:
            return Path(around.enter_context(tempfile.TemporaryDirectory(prefix="jobyard-")))

        _keep_output(around, output)
        around.callback(CURRENT.reset, CURRENT.set(_LocalJob(facts, run, output, scratch, stop)))
        try:
            value = _call(find, payload, run)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            run.error = error
            run.outcome = states.CANCELLED_ATTEMPT if stop and isinstance(error, CancelRequested) else states.ERROR
        else:
            _returned(value, run)
    return run


def _call(find: Callable[[], Callable[..., Any]], payload: bytes, run: JobRun[Any]) -> Any:
    try:
        function = find()
        args, kwargs = codec.unpack_arguments(payload)
    except (NotAllowed, ProtocolError):
        run.final = True
        raise
    try:
        value = function(*args, **kwargs)
        return _run_coroutine(value) if inspect.iscoroutine(value) else value
    except GiveUp:
        run.final = True
        raise


def _returned(value: Any, run: JobRun[Any]) -> None:
    try:
        run.result = codec.unpack_value(codec.pack_value(value, "result"))
    except Exception as error:
        run.error, run.outcome, run.final = error, states.ERROR, True


def _keep_output(around: contextlib.ExitStack, output: _Output) -> None:
    around.enter_context(contextlib.redirect_stdout(_Stream(output, "stdout")))
    around.enter_context(contextlib.redirect_stderr(_Stream(output, "stderr")))
    root, handler = logging.getLogger(), _Records(output)
    root.addHandler(handler)
    around.callback(root.removeHandler, handler)
    around.callback(root.setLevel, root.level)
    root.setLevel(min(root.level, logging.INFO))


def _run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run it in a loop of its own: in this thread, or beside it where a loop is running here already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append((asyncio.run(coroutine), None))
        except BaseException as error:
            outcome.append((None, error))

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,))
    thread.start()
    thread.join()
    value, error = outcome[0]
    if error is not None:
        raise error
    return value


@overload
def run_job(job: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs) -> JobRun[R]: ...
@overload
def run_job(job: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> JobRun[R]: ...
@overload
def run_job(job: str, /, *args: Any, **kwargs: Any) -> JobRun[Any]: ...
def run_job(job: Callable[..., Any] | str, /, *args: Any, **kwargs: Any) -> JobRun[Any]:
    """Run a job function once, here and now, as a child would; see ``run_attempt``."""
    return run_attempt(job, args, kwargs)


def run_attempt(
    job: Callable[..., Any] | str,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    attempt: int = 1,
    max_attempts: int = 3,
    tags: Mapping[str, str] | None = None,
    parents: Mapping[int, str] | None = None,
    timeout: float | None = None,
    stop: bool = False,
) -> JobRun[Any]:
    """Run one attempt of a job function, here and now. No allow list is asked, and no config read.

    Args:
        job: a function, or a reference such as ``"app.mail:Mail.send"``.
        args, kwargs: its own arguments; they go through the codec as those of a submit do.
        attempt, max_attempts, tags, parents: what ``current_job()`` tells of them.
        timeout: seconds to the deadline that ``current_job()`` tells; it ends nothing.
        stop: the attempt has been asked to stop: ``is_cancelled()`` is true, ``check_cancelled()`` raises.

    Raises:
        NotSerializable: an argument cannot be sent. Whatever the function raises is in the outcome instead.
    """
    ref = job if isinstance(job, str) else f"{job.__module__}:{job.__qualname__}"
    facts = Facts(
        attempt=attempt,
        max_attempts=max_attempts,
        ref=ref,
        tags=dict(tags or {}),
        parents=[*(parents or {}).items()],
        timeout_s=timeout,
    )
    payload = codec.pack_arguments(tuple(args), dict(kwargs or {}))
    return perform(lambda: target.load(job, [job]) if isinstance(job, str) else job, payload, facts, stop=stop)
