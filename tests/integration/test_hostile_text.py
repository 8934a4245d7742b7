"""Text from jobs and clients that means to drive a terminal or to forge a line, on every output of jobctl."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import jobyard
import looks
import pytest
import tiers
from jobyard.client.cli.main import main
from live import Yard, wait_for

JOBS = """
import logging
import os
import sys
import time

from jobyard import current_job


def say(text, **more):
    "A doc \\x1b[31mline\\x1b[0m\\x9b31m \\u202e."
    print(text)
    sys.stdout.buffer.write(os.fsencode(text) + b"\\xff\\x1b[2J\\n")
    sys.stdout.flush()
    logging.getLogger("app").warning(text)
    current_job().log.error(text)
    current_job().progress(1, 2, text)
    raise type("Bad\\x1b[1mName", (Exception,), {})(text)


def wait(text, default="\\x1b]0;default\\x07"):
    current_job().progress(1, 2, text)
    print(text)
    while not os.path.exists("go"):
        time.sleep(0.01)
    return text
"""
CONFIG = """
[defaults]
retries = 0
grace = 1
[pools.default]
concurrency = 2
[logging]
level = "debug"
"""
MARK = "FORGED"
PAYLOADS = [
    *(f"a{chr(code)}{MARK} b" for code in (*range(0x20), 0x7F)),  # C0
    *(f"a{chr(code)}{MARK}" for code in (0x80, 0x84, 0x85, 0x8D, 0x90, 0x9B, 0x9C, 0x9D, 0x9F)),  # C1
    "\x1b[31mred\x1b[0m", "\x1b[2J\x1b[H", "\x1b[1A\x1b[2K", "\x1b[6n", "\x1b[?1049h", "\x1b[8mhidden",  # CSI
    "\x1b]0;title\x07", "\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "\x1b]52;c;ZXZpbA==\x07", "\x1bc",  # OSC, RIS
    "\x1bP$q\x1b\\",  # DCS
    f"good\r{MARK}", f"good\r\n{MARK}: x", f"x\n{MARK} error: y", "abc\b\b\bxyz", f"\v{MARK}", f"\u2028{MARK}",
    f"\u2029{MARK}",
    "\u202eevil\u202c", "\u2066a\u2069", "\u200fa\u200e", "\u061ca",  # bidi
    "ad\u200bmin", "\ufeffadmin", "\u2060a", "so\u00adft", "\U000e0041\U000e0042",  # no width
    "x" * 5000, "[bold red]rich[/]", "{braces} %s %(x)s", "\u0430dmin", "\U0001f469\u200d\U0001f4bb",
]  # fmt: skip
BAD = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f\ud800-\udfff]"
)


@pytest.fixture
def hostile_yard(make_yard: Callable[..., Yard]) -> Yard:
    return make_yard(CONFIG, JOBS)


def submit_all(client: jobyard.Client, payloads: list[str]) -> list[jobyard.Job[Any]]:
    """Every payload as argument, name, tag, key, reason, output, log, error and progress, as far as it may be one."""
    jobs: list[jobyard.Job[Any]] = []
    for number, payload in enumerate(payloads):
        jobs.append(client.submit("jobs:say", payload, **{payload: payload}))
        for options in ({"tags": {"t": payload}}, {"tags": {payload: "t"}}, {"key": f"{payload}{number}"}):
            with suppress(jobyard.JobyardError):
                jobs.append(client.options(**options).submit("jobs:say", payload))
        with suppress(jobyard.JobyardError):
            client.submit(payload, payload)
        with suppress(jobyard.JobyardError):
            client.options(queue=payload).submit("jobs:say", payload)
        with suppress(jobyard.JobyardError):
            client.options(delay=600).submit("jobs:say", payload).cancel(reason=payload)
    return jobs


def test_the_corpus_has_what_it_should() -> None:
    assert len(set(PAYLOADS)) >= 60


@pytest.mark.slow
def test_no_output_for_people_passes_hostile_text_on(hostile_yard: Yard, capfd: pytest.CaptureFixture[str]) -> None:
    client = hostile_yard.client()
    jobs = submit_all(client, PAYLOADS)
    assert not client.wait(jobs, 120).not_done
    running = [client.submit("jobs:wait", text) for text in ("\x1b[31mred", f"x\r\n{MARK}")]
    wait_for("both to say how far they are", lambda: all(one.info().progress for one in running))
    for look in looks.all_looks(hostile_yard, [job.id for job in jobs], [one.id for one in running], capfd):
        for text in (look.out, look.err):
            found = BAD.search(text)
            assert found is None, f"{look.line}: {text[max(0, found.start() - 50) : found.end() + 20]!r}"
            if not look.line.startswith("logs"):  # whose lines are the job's own
                assert not re.search(f"^{MARK}", text, re.MULTILINE), look.line
        if look.line.endswith("--json") and look.out:
            json.loads(look.out)
    hostile_yard.path("go").touch()
    assert not client.wait(running, 20).not_done


@pytest.mark.tier("T17")
def test_no_line_of_the_log_is_forged(hostile_yard: Yard) -> None:
    client = hostile_yard.client()
    jobs: list[jobyard.Job[Any]] = []
    step = tiers.size(4, 1, 1)  # a part of the corpus in each format, or all of it
    for number, log_format in enumerate(("plain", "string", "json", "laravel")):
        client.log_format(log_format)
        jobs += submit_all(client, PAYLOADS[number % step :: step])
    assert not client.wait(jobs, 120).not_done
    hostile_yard.stop()
    for path in hostile_yard.path(".jobyard").glob("background_jobs*.log"):
        text = path.read_text()
        found = BAD.search(text)
        assert found is None, f"{path.name}: {text[max(0, found.start() - 50) : found.end() + 20]!r}"
        assert not re.search(rf"^{MARK}", text, re.MULTILINE)
        assert "\t" not in text
    tiers.report("T17", "hostile text in the log, in each format", jobs=len(jobs), forged=0)


def test_raw_output_is_what_the_job_wrote(hostile_yard: Yard, capfd: pytest.CaptureFixture[str]) -> None:
    hostile_yard.path("go").touch()
    job = hostile_yard.client().submit("jobs:wait", "\x1b[31mred\x1b[0m\r")
    assert job.wait(20)
    capfd.readouterr()
    assert main(["--config", str(hostile_yard.config), "logs", str(job.id), "--raw"]) == 0
    assert capfd.readouterr().out == "\x1b[31mred\x1b[0m\r\n"


def test_names_from_clients_are_never_paths(hostile_yard: Yard, tmp_path: Path) -> None:
    """No name that somebody gives leads to a file: what is made on disk is named by numbers."""
    client = hostile_yard.client()
    before = {path for path in tmp_path.rglob("*") if ".jobyard" not in path.parts}
    names = [
        "../../evil",
        "/etc/passwd",
        "a/b",
        "..",
        ".",
        "a\0b",
        "~root/x",
        "%2e%2e/x",
        "..\\x",
        "con",
        "jobs:../x.y",
    ]
    for name in names:
        for ask in (
            lambda name=name: client.submit(name, "x"),
            lambda name=name: client.submit(f"jobs:{name}", "x"),
            lambda name=name: client.options(queue=name).submit("jobs:say", "x"),
            lambda name=name: client.pause(name),
            lambda name=name: client.recycle(name),
            lambda name=name: client.log_format(name),
            lambda name=name: client.list(queue=name, ref=name),
            lambda name=name: client.options(key=name, tags={"t": name}).submit("jobs:say", name).wait(20),
        ):
            with suppress(jobyard.JobyardError):
                ask()
    made = {path for path in tmp_path.rglob("*") if ".jobyard" not in path.parts} - before
    assert {path for path in made if "__pycache__" not in path.parts} == set()
    for path in hostile_yard.path(".jobyard").rglob("*"):
        assert re.fullmatch(r"[a-z0-9_.-]+", path.name), path
        assert "evil" not in path.name
