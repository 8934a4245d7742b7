"""What jobs print, from the pipe to whoever reads or follows it, across deaths on the way."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jobyard.conf.settings import OutputSettings
from jobyard.protocol import logfile
from jobyard.protocol.messages import LOG_BYTES_MAX, LogReply
from jobyard.supervisor import output_retention
from jobyard.supervisor.output_retention import Retention
from live import Yard, wait_for


def jobctl(yard: Yard, *words: str) -> list[str]:
    return [sys.executable, "-m", "jobyard", *words, "--config", str(yard.config)]


def of_attempt(text: str, attempt: int) -> list[str]:
    """What follows the number of the attempt in each line that was ended."""
    lines = [line.split() for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return [words[1] for words in lines if words[0] == str(attempt)]


def test_follower_sees_each_line_of_each_attempt_once_across_kills_of_supervisor_and_zygote(yard: Yard) -> None:
    job = yard.client().options(retries=3).submit("jobs:print_until", str(yard.path("go")))
    shown = yard.path("shown")
    with shown.open("wb") as file, yard.path("said").open("wb") as said:
        follower = subprocess.Popen(jobctl(yard, "logs", "-f", str(job.id)), stdout=file, stderr=said)
    for attempt in (1, 2):
        wait_for("lines", lambda attempt=attempt: len(of_attempt(shown.read_text(), attempt)) > 100)
        yard.restart()
        more = len(of_attempt(shown.read_text(), attempt)) + 100
        wait_for("more of them", lambda attempt=attempt, more=more: len(of_attempt(shown.read_text(), attempt)) > more)
        os.kill(yard.zygotes()[0], signal.SIGKILL)
    wait_for("lines of the last attempt", lambda: len(of_attempt(shown.read_text(), 3)) > 100)
    yard.path("go").touch()
    count = job.result(timeout=20)
    assert follower.wait(20) == 0, yard.path("said").read_text()
    for attempt in (1, 2, 3):
        stored = yard.jobctl("logs", str(job.id), "--attempt", str(attempt)).stdout
        numbers = of_attempt(stored, attempt)
        assert of_attempt(shown.read_text(), attempt) == numbers
        whole = [str(number) for number in range(len(numbers))]
        assert numbers == (whole if attempt < 3 else [*whole[:-1], "done"])
    assert of_attempt(stored, 3) == [*map(str, range(count)), "done"]
    assert "attempt 1:" in yard.path("said").read_text()


def test_python_follower_goes_on_across_a_kill_of_the_supervisor(yard: Yard) -> None:
    job = yard.client().options(retries=3).submit("jobs:print_until", str(yard.path("go")))
    seen: list[str] = []
    for line in job.logs(follow=True):
        seen.append(line.text)
        if len(seen) == 200:
            yard.restart()
        elif len(seen) == 400:
            yard.path("go").touch()
    assert seen == [*(f"1 {number}" for number in range(len(seen) - 1)), "1 done"]


def test_several_jobs_are_followed_with_their_ids(yard: Yard) -> None:
    client = yard.client()
    jobs = [client.submit("jobs:print_until", str(yard.path("go"))) for _ in range(2)]
    shown = yard.path("shown")
    with shown.open("wb") as file:
        follower = subprocess.Popen(jobctl(yard, "logs", "-f", "--json", *(str(job.id) for job in jobs)), stdout=file)
    yard.path("go").touch()
    assert follower.wait(20) == 0
    outputs = json.loads(shown.read_text())["outputs"]
    assert sorted((one["id"], one["lines"][-1]["text"]) for one in outputs) == [
        (job.id, "1 done") for job in sorted(jobs, key=lambda job: job.id)
    ]


def test_long_output_is_read_from_its_files_and_its_tail_from_their_end(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = yard.client()
    job = client.submit("jobs:print_lines", 200_000)
    job.result(timeout=60)
    sent = []

    def request(*args: Any) -> Any:
        reply = ask(*args)
        sent.extend(reply.chunks if isinstance(reply, LogReply) else ())
        return reply

    ask = client.request
    monkeypatch.setattr(client, "request", request)
    assert [line.text for line in client.logs(job.id)] == [str(number) for number in range(200_000)]
    assert sum(len(chunk.data) for chunk in sent) <= LOG_BYTES_MAX
    assert yard.jobctl("logs", str(job.id), "--tail", "3").stdout == "199997\n199998\n199999\n"


def prune(directory: Path, running: Callable[[], list[str]], settings: OutputSettings) -> None:
    """Let one attempt end and wait for what follows."""
    watched: dict[int, Callable[[], None]] = {}
    retention = Retention(str(directory), lambda: settings, running, watched.__setitem__, lambda fd: watched.pop(fd))
    retention.attempt_ended()
    assert watched, "it has begun to look"
    while watched:
        for fd in select.select(list(watched), [], [], 20)[0]:
            watched[fd]()
    retention.close()


def test_what_an_interpreter_says_of_itself_is_no_answer_of_the_pruner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It came before the listing, so that what runs was asked too early, and in place of the last line."""
    monkeypatch.setattr(output_retention, "PAUSE_S", 0.0)
    monkeypatch.setenv("PYTHONVERBOSE", "1")
    (tmp_path / "0").mkdir()
    base = str(tmp_path / logfile.name(1, 1))
    Path(logfile.data_file(base, logfile.HEAD)).write_bytes(b"x")
    late = Path(logfile.data_file(str(tmp_path / logfile.name(2, 1)), logfile.HEAD))
    prune(tmp_path, lambda: [str(late.write_bytes(b"y"))], OutputSettings(keep_count=0))
    assert late.exists() and not Path(logfile.data_file(base, logfile.HEAD)).exists()


def test_retention_removes_the_oldest_and_spares_what_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(output_retention, "PAUSE_S", 0.0)
    (tmp_path / "0").mkdir()
    for job_id in range(1, 7):
        Path(logfile.data_file(str(tmp_path / logfile.name(job_id, 1)), logfile.HEAD)).write_bytes(b"x" * 100)
    later = tmp_path / logfile.name(7, 1)

    def running() -> list[str]:
        """Asked once the directory is listed: what begins from then on is safe."""
        later.with_suffix(".1.log").write_bytes(b"y" * 10)
        return [logfile.name(1, 1)]

    with caplog.at_level("INFO", "jobyard"):
        prune(tmp_path, running, OutputSettings(keep_count=2))
    left = sorted(path.name for path in (tmp_path / "0").iterdir())
    assert "1.1.log" in left and later.with_suffix(".1.log").name in left
    assert len(left) == 3, left
    assert "removed that of 4 attempts, 400 bytes; that of 2 is left" in caplog.text


def test_pruner_without_an_answer_removes_nothing(tmp_path: Path) -> None:
    """As when the supervisor is killed meanwhile."""
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "1.1.log").write_bytes(b"x")
    with (tmp_path / "list").open("wb") as empty:
        command = [sys.executable, "-P", "-m", "jobyard.supervisor.output_pruner", str(tmp_path), str(empty.fileno())]
        ended = subprocess.run(
            [*command, "0", "none", "none"], pass_fds=[empty.fileno()], input=b"", capture_output=True, check=False
        )
    assert ended.returncode == 1 and b"cannot be pruned" in ended.stdout
    assert (tmp_path / "0" / "1.1.log").exists()


def test_output_that_is_not_there_is_told_beside_it(yard: Yard) -> None:
    job = yard.client().submit("jobs:add", 1, 2)
    assert job.result(20) == 3
    told = yard.jobctl("logs", str(job.id))
    nothing = f"job {job.id}, attempt 1: it printed nothing, or that was removed by [output] keep_count or total\n"
    assert (told.returncode, told.stdout, told.stderr) == (0, "", nothing)
    told = yard.jobctl("--set", "output.keep=0.001", "logs", str(job.id))
    assert (told.returncode, told.stdout) == (0, "")
    assert "was removed: it ended over 0.001 s ago ([output] keep)" in told.stderr
