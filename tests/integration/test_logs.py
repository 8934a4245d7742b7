"""The supervisor's log as a real one writes it: formats, environments, rotation, refusals, and what jobs say."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jobyard
import psutil
import pytest
from live import Yard, wait_for

JOBS = '''
"""Jobs that say something."""

from jobyard import BaseJob, current_job


class Invoice(BaseJob):
    def complete(self, number, token=""):
        self.log("starting invoice completion")
        if current_job().attempt == 1:
            raise RuntimeError("Sample ERROR")
        self.log(f"invoice completed: {number}")


class SendWelcomeEmail:
    def handle(self, user_id):
        return user_id


class ProcessUserReport:
    def generate(self, report_id):
        return report_id

    def send(self, report_id):
        raise RuntimeError("Some error message")


def chatty(lines):
    for number in range(lines):
        print("line", number)
'''
CONFIG = """
namespace = "jobs"
[defaults]
retry = { max_attempts = 3, delay = 0.05 }
[jobs.Invoice]
target = "jobs:Invoice"
methods = ["complete"]
redact = ["token"]
[pools.default]
allow = ["jobs:SendWelcomeEmail.*", "jobs:ProcessUserReport.generate", "jobs:ProcessUserReport.send"]
"""
STAMP = re.compile(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] ")


@pytest.fixture
def logging_yard(make_yard: Callable[..., Yard]) -> Callable[..., Yard]:
    def make(log_format: str, more: str = "") -> Yard:
        return make_yard(f'{CONFIG}[logging]\nformat = "{log_format}"\n{more}', JOBS)

    return make


def lines(yard: Yard, name: str = "background_jobs.log") -> list[str]:
    """Lines about jobs, without their times."""
    text = yard.path(f".jobyard/{name}").read_text()
    return [STAMP.sub("", line, count=1) for line in text.splitlines()]


def wait_for_line(yard: Yard, text: str, name: str = "background_jobs.log") -> str:
    return wait_for(f"a line with {text!r}", lambda: next((line for line in lines(yard, name) if text in line), ""))


def test_string_tells_a_job_that_fails_once_as_the_sample_does(logging_yard: Callable[..., Yard]) -> None:
    yard = logging_yard("string")
    yard.client().submit("Invoice.complete", 123).result(timeout=20)
    wait_for_line(yard, "SUCCEED")
    sample = (Path(__file__).parents[1] / "golden" / "logs" / "string.log").read_text().splitlines()
    wanted = [STAMP.sub("", line) for line in sample if "Invoice" in line]
    assert [line for line in lines(yard) if "Invoice" in line] == wanted
    assert lines(yard, "background_jobs_errors.log") == ["local.ERROR: Invoice -> Sample ERROR"] * 2


def test_laravel_tells_start_end_failure_retry_and_refusal(logging_yard: Callable[..., Yard]) -> None:
    yard = logging_yard("laravel")
    client = yard.client()
    client.submit("SendWelcomeEmail.handle", user_id=123).result(timeout=20)
    client.options(retries=1).submit("ProcessUserReport.send", report_id=456).wait(20)
    with pytest.raises(jobyard.NotAllowed):
        client.submit("jobs:UnauthorizedJob.method")
    wait_for_line(yard, "Job failed")
    email, report = "SendWelcomeEmail@handle", "ProcessUserReport@send"
    failed = f"local.ERROR: Job failed: {report} "
    failed += '{"error":"Some error message","params":{"report_id":456},"status":"failed"}'
    retried = f"local.ERROR: Job attempt 1/2 failed: {report} "
    retried += '{"error":"Some error message","params":{"report_id":456},"status":"pending"}'
    started = f'local.INFO: Job started: {report} {{"params":{{"report_id":456}},"status":"running"}}'
    unauthorised = (
        'local.ERROR: Unauthorized job execution attempt: jobs:UnauthorizedJob@method {"status":"unauthorized"}'
    )
    found = [line for line in lines(yard) if "Job " in line or "Unauthorized job" in line]
    assert [line for line in found if line != unauthorised] == [
        f'local.INFO: Job started: {email} {{"params":{{"user_id":123}},"status":"running"}}',
        f'local.INFO: Job completed: {email} {{"params":{{"user_id":123}},"status":"completed"}}',
        started,
        retried,
        started,
        failed,
    ]
    errors = lines(yard, "background_jobs_errors.log")
    assert {retried, failed, unauthorised} <= set(errors)
    assert any("refused submit from uid" in line and "not allowed" in line for line in errors)


def test_format_is_changed_while_it_runs_until_a_reload(logging_yard: Callable[..., Yard]) -> None:
    yard = logging_yard("plain")
    client = yard.client()
    assert client.log_format() == "plain"
    assert client.log_format("json") == "json"
    client.submit("SendWelcomeEmail.handle", 1).result(timeout=20)
    found = json.loads(wait_for_line(yard, "SUCCEED"))
    assert (found["job_name"], found["additional_info"]["params"]) == ("SendWelcomeEmail", [1])
    with pytest.raises(jobyard.BadArguments, match="no log format 'jsn'"):
        client.log_format("jsn")
    client.reload()
    assert client.log_format() == "plain"
    client.submit("SendWelcomeEmail.handle", 2).result(timeout=20)
    wait_for_line(yard, "job 2 SendWelcomeEmail@handle: attempt 1/3 ended ok; succeeded")


def test_redacted_argument_is_in_no_log_in_any_format(logging_yard: Callable[..., Yard]) -> None:
    yard = logging_yard("json", 'level = "debug"\n')
    client = yard.client()
    for log_format in ("json", "laravel", "string", "plain"):
        client.log_format(log_format)
        client.submit("Invoice.complete", 1, "hush-hush").result(timeout=20)
        client.submit("jobs:Invoice.complete", 1, token="hush-hush").result(timeout=20)
    wait_for_line(yard, "attempt 2/3 ended ok")
    assert '"***"' in yard.log
    assert "hush" not in yard.log + "".join(lines(yard) + lines(yard, "background_jobs_errors.log"))


def test_every_submit_that_is_refused_is_in_the_error_log(logging_yard: Callable[..., Yard]) -> None:
    yard = logging_yard("plain")
    with pytest.raises(jobyard.BadArguments):
        yard.client().submit("SendWelcomeEmail.handle")
    with pytest.raises(jobyard.JobNotFound):
        yard.client().get(99)
    (refused,) = lines(yard, "background_jobs_errors.log")
    assert "refused submit" in refused and "bad_arguments" in refused


def test_environment_chooses_level_format_and_file(make_yard: Callable[..., Yard]) -> None:
    more = '[env.production.logging]\nlevel = "warning"\nformat = "laravel"\nfile = "production.log"\n'
    yard = make_yard(CONFIG + more, JOBS, start=False)
    yard.start("--env", "production")
    client = yard.client()
    client.submit("SendWelcomeEmail.handle", 1).result(timeout=20)
    client.options(retries=0).submit("ProcessUserReport.send", 1).wait(20)
    (line,) = wait_for("the line", lambda: yard.path("production.log").read_text().splitlines())
    assert STAMP.sub("", line).startswith("production.ERROR: Job failed: ProcessUserReport@send {")
    assert not yard.path(".jobyard/background_jobs.log").exists()


def test_file_that_was_moved_away_is_opened_anew_also_on_sighup(logging_yard: Callable[..., Yard]) -> None:
    yard = logging_yard("plain")
    log, moved = yard.path(".jobyard/background_jobs.log"), yard.path(".jobyard/background_jobs.log.1")
    log.rename(moved)
    os.kill(yard.pid, signal.SIGHUP)
    wait_for("a new file", lambda: log.exists() and "the config is in force" in log.read_text())
    size = moved.stat().st_size
    yard.client().submit("SendWelcomeEmail.handle", 1).result(timeout=20)
    wait_for_line(yard, "ended ok")
    assert moved.stat().st_size == size


def test_large_log_is_rotated_by_the_supervisor_itself(logging_yard: Callable[..., Yard]) -> None:
    yard = logging_yard("laravel", 'max_bytes = "16KiB"\nkeep_files = 2\n')
    client = yard.client()
    jobs = client.submit_many("SendWelcomeEmail.handle", [("x" * 300,)] * 120)
    client.wait(jobs, 60)
    wait_for("two old files", lambda: len(list(yard.path(".jobyard").glob("background_jobs.log*"))) == 3)


def test_much_output_comes_into_the_log_in_part(logging_yard: Callable[..., Yard]) -> None:
    yard = logging_yard("string")
    yard.client().submit("chatty", 5000).result(timeout=20)
    wait_for_line(yard, "SUCCEED")
    said = [line for line in lines(yard) if "FROM_JOB_CLASS" in line]
    assert said[0].endswith("{line 0}") and "jobctl logs 1" in said[-1]
    assert sum(map(len, said)) < 100_000


# -- the helpers, as the documents that they are for call them ---------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: jobyard.run_background_job("SendWelcomeEmail", "handle", {"user_id": 123}), (3, [0.05], 0)),
        (lambda: jobyard.run_background_job("SendWelcomeEmail", "handle", {"user_id": 123}, 5, 10), (6, [10.0], 0)),
        (
            lambda: jobyard.run_background_job("ProcessUserReport", "generate", {"report_id": 1}, 3, 5, "high", 15),
            (4, [5.0], 10),
        ),
        (lambda: jobyard.run_background_job("jobs.SendWelcomeEmail", "handle", [1], 2, 5, "low", 0), (3, [5.0], -10)),
        (lambda: jobyard.queue_background_job("SendWelcomeEmail", "handle", {"user_id": 1}, 3, 5, 0), (3, [0.05], 5)),
        (lambda: jobyard.queue_background_job("SendWelcomeEmail", "handle", [1], 5, 10, 3600), (5, [0.05], 10)),
        (lambda: jobyard.run_background_job("Invoice", "complete", [7], delay=60), (3, [0.05], 0)),
    ],
)
def test_helpers_do_what_they_are_asked(
    logging_yard: Callable[..., Yard],
    monkeypatch: pytest.MonkeyPatch,
    call: Callable[[], Any],
    expected: tuple[int, list[float], int],
) -> None:
    yard = logging_yard("plain")
    client = yard.client()
    monkeypatch.setattr("jobyard.client.helpers.default_client", lambda: client)
    job = call()
    assert job, "a job that was accepted is true"
    info = job.info()
    assert (info.max_attempts, list(info.policy.retry.delays_s), info.priority) == expected
    refused = jobyard.run_background_job("UnauthorizedJob", "method", errors="return")
    assert not refused
    assert "UnauthorizedJob" in wait_for_line(yard, "refused submit", "background_jobs_errors.log")


# -- jobctl ------------------------------------------------------------------------------------------------------------


def jobctl(yard: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jobyard", *words]
    return subprocess.run(command, cwd=yard, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("words", "code", "last"),
    [
        (("success",), 0, "Email -> SUCCEED <===============>"),
        (("invoice", "--seed", "3"), 0, "Invoice -> SUCCEED <===============>"),
        (("fail",), 1, "Invoice -> FAILED <===============>"),
    ],
)
def test_demo_shows_the_log_of_a_sample_and_leaves_nothing_behind(
    tmp_path: Path, words: tuple[str, ...], code: int, last: str
) -> None:
    ended = jobctl(tmp_path, "demo", *words)
    assert ended.returncode == code, ended.stderr
    told = [line for line in ended.stderr.splitlines() if " -> " in line]
    assert told[0].endswith("RUNNING <===============>")
    assert told[-1].endswith(last)
    assert ended.stdout.startswith("ID  STATE")
    assert list(tmp_path.iterdir()) == []
    place = re.search(r"is up: (\S+)/jobyard.toml", ended.stderr)
    assert place is not None and not Path(place[1]).exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_demo_that_is_interrupted_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "jobyard", "demo", "fail"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    up = re.search(r"supervisor (\d+) is up: (\S+)/jobyard.toml", process.stderr.readline())
    assert up is not None
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert (process.returncode, "Traceback" in said) == (130, False), said
    assert not Path(up[2]).exists()
    assert not psutil.pid_exists(int(up[1]))


def test_job_that_make_job_wrote_runs(tmp_path: Path) -> None:
    (tmp_path / "jobyard.toml").write_text('allow = ["jobs:*"]\n')
    assert jobctl(tmp_path, "make-job", "SendReminder").returncode == 0
    assert jobctl(tmp_path, "up", "-d", "--log-format", "laravel").returncode == 0
    try:
        ended = jobctl(tmp_path, "run", "SendReminder")
        assert (ended.returncode, "at work" in ended.stderr) == (0, True)
        assert jobctl(tmp_path, "log-format").stdout == "laravel\n"
    finally:
        assert jobctl(tmp_path, "down").returncode == 0
    log = (tmp_path / ".jobyard" / "background_jobs.log").read_text()
    assert 'Job completed: SendReminder@handle {"params":[],"status":"completed"}' in log
