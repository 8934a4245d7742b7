"""A recorded supervisor in place of a real one, builders of jobs, and jobctl run inside the test's own process."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from jobyard.client.cli.main import main
from jobyard.protocol import messages
from jobyard.protocol.codec import pack_arguments, pack_value
from jobyard.protocol.errors import JobNotFound, JobyardError
from jobyard.protocol.job import AttemptInfo, JobInfo, Policy

NOON = 1_790_856_000.0  # 2026-10-01T12:00:00Z


@dataclass
class Ended:
    """What one run of jobctl left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.err)["error"]
        return found


class FakeSupervisor:
    """Answers from ``jobs`` and ``answers`` (request class -> reply, error or function), and records what was asked."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.timeouts: list[float | None] = []
        self.jobs: list[JobInfo] = []
        self.answers: dict[type, Any] = {
            messages.List: self._list,
            messages.Get: self._get,
            messages.Catalog: messages.CatalogReply([]),
            messages.Ping: messages.Pong(1, "0", True, 1),
        }
        self.closed = False

    def request(self, request: Any, timeout: float | None = None) -> Any:
        self.requests.append(request)
        self.timeouts.append(timeout)
        answer = self.answers[type(request)]
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def close(self) -> None:
        self.closed = True

    def asked(self, kind: type) -> list[Any]:
        return [request for request in self.requests if type(request) is kind]

    def _list(self, request: messages.List) -> messages.Jobs:
        wanted = request.filter
        found = [
            info
            for info in sorted(self.jobs, key=lambda info: -info.id)
            if (request.before is None or info.id < request.before)
            and (not wanted.states or info.state in wanted.states)
            and wanted.queue in (None, info.queue)
        ]
        return messages.Jobs(found[: request.limit], more=len(found) > request.limit)

    def _get(self, request: messages.Get) -> messages.Jobs | JobyardError:
        by_id = {info.id: info for info in self.jobs}
        for job_id in request.ids:
            if job_id not in by_id:
                return JobNotFound(f"there is no job {job_id}")
        return messages.Jobs([by_id[job_id] for job_id in request.ids])


@pytest.fixture(autouse=True)
def _plain_surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("JOBYARD_CONFIG", "JOBYARD_SOCKET", "JOBYARD_DEBUG", "JOBYARD_ENV", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    before = os.environ.get("TZ")
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr("jobyard.client.cli.context.time.time", lambda: NOON + 60)
    yield
    os.environ.pop("TZ", None) if before is None else os.environ.update(TZ=before)
    time.tzset()


@pytest.fixture
def supervisor() -> FakeSupervisor:
    return FakeSupervisor()


@pytest.fixture
def jobctl(supervisor: FakeSupervisor, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """``jobctl("list", "--json")`` against the recorded supervisor."""

    def run(*argv: str) -> Ended:
        capsys.readouterr()
        code = main(argv, connect=lambda context: supervisor)
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    return run


@pytest.fixture
def job() -> Callable[..., JobInfo]:
    """A builder: ``job(7, state="failed", args=(1,), result="x")``."""

    def build(
        job_id: int = 42, *, args: tuple[Any, ...] = (), kwargs: Any = None, result: Any = None, **rest: Any
    ) -> JobInfo:
        info = JobInfo(
            id=job_id,
            uid=f"{job_id:032x}",
            ref="jobs:hello",
            name="hello",
            state="queued",
            queue="default",
            pool="default",
            priority=0,
            created_at=NOON,
            run_at=NOON,
            policy=Policy(),
            payload=pack_arguments(args, kwargs or {}),
        )
        if rest.get("state") == "succeeded":
            rest.setdefault("result_payload", pack_value(result))
        rest.setdefault("spent", rest.get("attempt", 0) - (rest.get("state") == "running"))
        return replace(info, **rest)

    return build


@pytest.fixture
def attempt() -> Callable[..., AttemptInfo]:
    def build(number: int = 1, **rest: Any) -> AttemptInfo:
        return replace(AttemptInfo(number=number, started_at=NOON + 1, pid=4711, host="here", pool="default"), **rest)

    return build


@pytest.fixture
def accepting(supervisor: FakeSupervisor) -> FakeSupervisor:
    """A supervisor that takes every job as number 42."""
    name = messages.Parameter("name", "either", False, "str")
    loud = messages.Parameter("loud", "named", False, "bool")
    entry = messages.CatalogEntry("jobs:hello", "default", [name, loud])
    supervisor.answers[messages.Catalog] = messages.CatalogReply([entry])
    supervisor.answers[messages.Submit] = lambda request: messages.Submitted(
        [messages.Accepted(42, request.jobs[0].uid)]
    )
    return supervisor
