"""Every verb with ``--json`` against a real supervisor: one value, as its schema says, with every key."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from jobyard.client.cli import schemas, verbs
from jobyard.client.cli.main import main
from json_schema import mistakes

_JOBS = """
def double(number: int) -> int:
    print(number)
    return 2 * number

def fail() -> None:
    raise ValueError("as it should")
"""
_CONFIG = """\
allow = ["jobs:*"]
[defaults]
retry = { max_attempts = 2, delay = 0.05 }
[queues.mail]
concurrency = 1
"""
# One run of each verb, in an order in which each has something to tell; then what it prints, and its exit code.
_RUNS: list[tuple[str, str, int]] = [
    ("init new", "init", 0),
    ("up -d", "up", 0),
    ("ping", "ping", 0),
    ("submit jobs:double 21 --tag user=7", "submitted", 0),
    ("run jobs:double 4", "jobs", 0),
    ("run jobs:fail", "jobs", 1),
    ("submit jobs:double 1 --delay 1h --queue mail", "submitted", 0),
    ("status", "status", 0),
    ("wait 1-3", "jobs", 1),
    ("list", "jobs", 0),
    ("show last:4", "jobs", 0),
    ("logs 2", "logs", 0),
    ("why 4", "why", 0),
    ("set 4 --priority high", "changed", 0),
    ("cancel 4", "cancelled", 0),
    ("retries", "retries", 0),
    ("retry --error should --yes", "retried", 0),
    ("run-job jobs double 3", "submitted", 0),
    ("events", "events", 0),
    ("catalog", "catalog", 0),
    ("pause mail", "queue-mode", 0),
    ("drain mail", "queue-mode", 0),
    ("resume mail", "queue-mode", 0),
    ("queue list", "queues", 0),
    ("queue show mail", "queues", 0),
    ("queue set mail open", "queue-mode", 0),
    ("pool list", "pools", 0),
    ("pool recycle default", "recycled", 0),
    ("top", "top", 0),
    ("stats", "stats", 0),
    ("metrics", "metrics", 0),
    ("doctor", "checks", 0),
    ("check", "checks", 0),
    ("config check", "config-check", 0),
    ("config show", "config", 0),
    ("process", "process", 0),
    ("log-format", "log-format", 0),
    ("rm 2", "removed", 0),
    ("prune", "pruned", 0),
    ("make-job Later", "made-job", 0),
    ("reload", "reloaded", 0),
    ("restart", "restarted", 0),
    ("down", "down", 0),
    ("journal check", "journal", 0),
    ("journal repair", "journal", 0),
    ("process", "process", 0),
    ("selftest", "checks", 0),
]
# What these print is no document of ours: a schema, a script, records as they are stored, a log.
_OTHERS = {"config schema", "schema", "completion", "journal dump", "demo"}


class Ran(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def jobctl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Ran]]:
    (tmp_path / "jobs.py").write_text(_JOBS)
    (tmp_path / "jobyard.toml").write_text(_CONFIG)
    monkeypatch.chdir(tmp_path)

    def run(*argv: str) -> Ran:
        capfd.readouterr()
        code = main(argv)
        return Ran(code, *capfd.readouterr())

    yield run
    run("down", "--now")


@pytest.mark.slow
def test_every_verb_prints_what_its_schema_says(jobctl: Callable[..., Ran]) -> None:
    seen = set()
    for line, name, code in _RUNS:
        ran = jobctl(*line.split(), "--json")
        assert ran.code == code, f"jobctl {line}: {ran}"
        document = json.loads(ran.out)
        assert list(mistakes(document, schemas.schema(name))) == [], f"jobctl {line}"
        assert line.startswith("run ") or ran.err == "", f"jobctl {line}"  # run passes on what the job wrote
        seen.add(next(verb for verb in verbs.VERBS if f"{line} ".startswith(f"{verb} ")))
    assert set(verbs.VERBS) - seen == _OTHERS


def test_lines_of_jobs_and_ids_are_as_their_schemas_say(jobctl: Callable[..., Ran]) -> None:
    jobctl("up", "-d")
    found: dict[str, Any] = {"accepted": jobctl("submit", "jobs:double", "2", "-o", "jsonl").out}
    found["job"] = jobctl("wait", "last", "-o", "jsonl").out
    found["id"] = jobctl("retry", "last", "-o", "jsonl").out
    for name, line in found.items():
        assert list(mistakes(json.loads(line), schemas.schema(name))) == [], name


@pytest.mark.parametrize(
    "line",
    [
        *(f"{verb} --no-such-option" for verb in verbs.VERBS),
        "list",
        "top",
        "submit jobs:double 1",
        "config check /nowhere/jobyard.toml",
    ],
)
def test_an_error_is_one_line_of_json_and_nothing_else(jobctl: Callable[..., Ran], line: str) -> None:
    ran = jobctl(*line.split(), "--json")
    assert ran.code != 0
    assert ran.out == ""
    assert list(mistakes(json.loads(ran.err), schemas.schema("error"))) == []


def test_a_bulk_deed_without_a_terminal_needs_to_be_told_so(jobctl: Callable[..., Ran]) -> None:
    jobctl("up", "-d")
    jobctl("run", "jobs:fail")
    refused = jobctl("retry", "--state", "failed")
    assert (refused.code, refused.out) == (2, "")
    assert "add --yes" in refused.err
    assert jobctl("retry", "--state", "failed", "--yes").out == "requeued 1\n"
