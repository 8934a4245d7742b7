"""Which changes of jobs reach the log, and as what."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from jobyard.conf.settings import Settings
from jobyard.protocol.codec import pack_arguments
from jobyard.protocol.job import AttemptInfo, ErrorInfo, Policy
from jobyard.supervisor.core import records as r
from jobyard.supervisor.core.effects import Notify
from jobyard.supervisor.core.state import Job
from jobyard.supervisor.story import Story


@pytest.fixture
def job() -> Job:
    return Job(
        r.NewJob(
            id=7,
            uid="0" * 32,
            ref="jobs:Mail.send",
            name="Mail@send",
            payload=pack_arguments((), {"to": "a@x"}),
            queue="default",
            priority=0,
            policy=Policy(),
            created_at=1.0,
            run_at=1.0,
            scheduled=False,
        ),
        Policy(),
    )


@pytest.fixture
def source(tmp_path: Path) -> Any:
    paths = SimpleNamespace(output_dir=tmp_path)
    return SimpleNamespace(settings=Settings(file=tmp_path / "x"), paths=paths, catalog=None, log_format="plain")


@pytest.fixture
def story(job: Job, source: Any) -> Story:
    return Story(cast(Any, SimpleNamespace(state=SimpleNamespace(jobs={7: job}))), source)


@pytest.fixture
def written(caplog: pytest.LogCaptureFixture) -> Any:
    """Log from this level on; the lines are the call's result."""
    logger = logging.getLogger("jobyard")
    before = logger.propagate
    logger.propagate = True

    def lines(story: Story) -> list[str]:
        caplog.clear()
        story.write()
        return [record.getMessage() for record in caplog.records]

    yield lines
    logger.propagate = before


def attempt(job: Job, **rest: Any) -> None:
    job.attempt, job.attempts = 1, (AttemptInfo(1, 5.0, 6.0, **rest),)


def test_failure_is_told_at_levels_at_which_starts_are_not(
    story: Story, job: Job, written: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "jobyard")
    attempt(job, outcome="error", error=ErrorInfo("builtins.OSError", "no route\nmore"))
    job.state, job.spent = "failed", 1
    for notice in (
        Notify("submitted", 7),
        Notify("started", 7, 1),
        Notify("ended", 7, 1, "error"),
        Notify("ended", 7, 1, "ok"),
    ):
        story.tell(notice)
    assert len(story) == 1
    assert written(story) == ["job 7 Mail@send: attempt 1/3 ended error: builtins.OSError: no route; failed"]
    assert len(story) == 0


def test_record_has_the_time_of_the_change_and_not_of_the_writing(
    story: Story, job: Job, written: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "jobyard")
    attempt(job, outcome="ok")
    job.state = "succeeded"
    story.tell(Notify("submitted", 7, at=4.0))
    story.tell(Notify("started", 7, 1, at=5.0))
    story.tell(Notify("ended", 7, 1, "ok", at=6.0))
    assert len(written(story)) == 3
    assert [record.created for record in caplog.records] == [4.0, 5.0, 6.0]


@pytest.mark.parametrize("log_format", ["string", "json", "laravel"])
def test_job_that_has_gone_on_meanwhile_is_told_as_it_was(
    story: Story, source: Any, job: Job, written: Any, caplog: pytest.LogCaptureFixture, log_format: str
) -> None:
    caplog.set_level(logging.INFO, "jobyard")
    source.log_format = log_format
    attempt(job, outcome="error", error=ErrorInfo("X", "no"))
    job.attempts += (AttemptInfo(2, 7.0),)
    job.state, job.attempt, job.spent = "running", 2, 1
    story.tell(Notify("ended", 7, 1, "error"))
    lines = written(story)
    assert any("no" in line for line in lines) and not any('"status":"running"' in line for line in lines)
    if log_format == "laravel":
        assert lines == ['Job attempt 1/3 failed: Mail@send {"error":"no","params":{"to":"a@x"},"status":"pending"}']


@pytest.mark.parametrize(
    ("rest", "says"),
    [
        ({"outcome": "signalled", "signal": "SIGSEGV"}, "ended signalled: SIGSEGV"),
        ({"outcome": "exited", "exit_code": 3}, "ended exited: exit code 3"),
        ({"outcome": "exited", "exit_code": 71}, "ended exited: exit code 71: did it close"),
        ({"outcome": "timeout", "signal": "SIGKILL"}, "ended timeout: SIGKILL"),
        ({"outcome": "lost"}, "ended lost; failed"),
        ({"outcome": "error", "error": ErrorInfo("X", "")}, "ended error: X: ; failed"),
    ],
)
def test_plain_says_what_ended_an_attempt(
    story: Story, job: Job, written: Any, caplog: pytest.LogCaptureFixture, rest: dict[str, Any], says: str
) -> None:
    caplog.set_level(logging.INFO, "jobyard")
    attempt(job, **rest)
    job.state = "failed"
    story.tell(Notify("ended", 7, 1, rest["outcome"]))
    (line,) = written(story)
    assert says in line


def test_plain_reads_neither_arguments_nor_output(
    story: Story, job: Job, written: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "jobyard")
    for name in ("excerpt.beginning", "params.shown"):
        monkeypatch.setattr(f"jobyard.supervisor.story.{name}", None)
    attempt(job, outcome="ok")
    job.state = "succeeded"
    story.tell(Notify("ended", 7, 1, "ok"))
    assert len(written(story)) == 1


def test_progress_is_not_told(story: Story, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "jobyard")
    story.tell(Notify("progress", 7, 1))
    assert len(story) == 0
