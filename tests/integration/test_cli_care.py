"""doctor, process, pool recycle and top against real processes, a real disk and a real terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jobyard import Client
from jobyard.client.cli.main import main
from live import wait_for

_JOBS = """
import time

def add(a: int, b: int) -> int:
    return a + b

def wait_for(path: str) -> None:
    import os
    print("waiting", flush=True)
    while not os.path.exists(path):
        time.sleep(0.05)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "jobs.py").write_text(_JOBS)
    (tmp_path / "jobyard.toml").write_text('allow = ["jobs:*"]\n[queues.off]\npaused = true\n')
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    main(["down", "--now"])


@pytest.fixture
def checks(place: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, dict[str, Any]]]:
    def run(*argv: str) -> tuple[int, dict[str, Any]]:
        import json

        capfd.readouterr()
        code = main([*argv, "--json"])
        found = json.loads(capfd.readouterr().out)["checks"]
        return code, {check["name"]: check for check in found}

    return run


def test_doctor_without_a_supervisor_looks_at_all_that_is_there(checks: Callable[..., Any]) -> None:
    code, found = checks("doctor")
    assert code == 0
    assert found["supervisor"]["verdict"] == "warn"
    assert found["supervisor"]["advice"] == "jobctl up"
    assert "2 callables" in found["code"]["text"]


@pytest.mark.parametrize("running", [False, True])
def test_doctor_names_a_module_that_fails_to_import_and_why(
    checks: Callable[..., Any], place: Path, running: bool
) -> None:
    (place / "jobs.py").write_text("import no_such_thing\n")
    if running:
        main(["up", "-d"])
    code, found = checks("doctor")
    assert (code, found["code"]["verdict"]) == (1, "fail")
    assert "no_such_thing" in found["code"]["text"]


def test_doctor_fails_where_others_may_look_into_the_state(checks: Callable[..., Any], place: Path) -> None:
    state = place / ".jobyard"
    state.mkdir()
    state.chmod(0o755)
    code, found = checks("doctor")
    state.chmod(0o700)
    assert (code, found["state dir"]["advice"]) == (1, f"chmod 700 {state}")


def test_doctor_tells_every_mistake_of_a_config_and_goes_on(checks: Callable[..., Any], place: Path) -> None:
    (place / "jobyard.toml").write_text("allow = 1\nconcurency = 2\n")
    code, found = checks("doctor")
    assert code == 1
    assert len(found["config"]["text"].splitlines()) == 2
    assert found["python"]["verdict"] == "ok"
    (place / "jobyard.toml").write_text('allow = ["jobs:*"]\n')


def test_doctor_names_a_zygote_with_threads(checks: Callable[..., Any], place: Path) -> None:
    (place / "busy.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()"
    )
    with (place / "jobyard.toml").open("a") as config:
        config.write('[pools.default]\npreload = ["busy"]\n')
    main(["up", "-d"])
    code, found = checks("doctor")
    assert (code, found["pool default"]["verdict"]) == (1, "fail"), found
    assert "thread" in found["pool default"]["text"]


def test_check_names_the_three_things_that_a_job_needs(checks: Callable[..., Any], place: Path) -> None:
    code, found = checks("check")
    assert code == 0
    needed = [found[name]["verdict"] for name in ("helper", "log", "error log", "approved")]
    assert needed == ["ok"] * 4
    (place / "jobyard.toml").write_text("")
    code, found = checks("check")
    assert (code, list(found)[-1]) == (1, "config")
    assert "nothing may run" in found["config"]["text"]
    (place / "jobyard.toml").write_text('allow = ["jobs:*"]\n')


def test_process_runs_what_is_due_and_ends(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    main(["up", "-d"])
    with Client() as client:
        client.pause("default")
        due = [client.submit("jobs:add", number, 1) for number in range(5)]
        later = client.options(delay="1h").submit("jobs:add", 1, 1)
        off = client.options(queue="off").submit("jobs:add", 1, 1)
        client.resume("default")
        client.stop(now=True)
    main(["down", "--now"])
    assert main(["process"]) == 0
    assert main(["ping"]) == 3
    main(["up", "-d"])
    with Client() as client:
        states = [info.state for info in client.infos([*(job.id for job in due), later.id, off.id])]
    assert states == ["succeeded"] * 5 + ["scheduled", "queued"]


def test_process_beside_a_supervisor_has_nothing_to_do(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    main(["up", "-d"])
    capfd.readouterr()
    assert main(["process"]) == 0
    assert "runs already" in capfd.readouterr().err


def test_a_recycled_pool_has_a_new_zygote_and_keeps_its_running_job(place: Path) -> None:
    main(["up", "-d"])
    with Client() as client:
        job = client.submit("jobs:wait_for", str(place / "go"))
        next(iter(job.logs(follow=True)))
        before = client.status().pools[0].pid
        client.recycle("default")

        def fresh() -> Any:
            pool = client.status().pools[0]
            return pool if pool.state == "up" and pool.pid != before else None

        assert wait_for("a fresh zygote", fresh).retiring == 1
        (place / "go").touch()
        job.result(20)
        assert job.info().attempt == 1


@pytest.mark.parametrize("columns", [80, 200])
def test_top_shows_what_runs_and_gives_the_terminal_back(place: Path, columns: int) -> None:
    main(["up", "-d"])
    with Client() as client:
        job = client.submit("jobs:wait_for", str(place / "go"))
        next(iter(job.logs(follow=True)))
        ours, theirs = pty.openpty()
        before = termios.tcgetattr(theirs)
        environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": "30"}
        top = subprocess.Popen([sys.executable, "-m", "jobyard", "top"], stdin=theirs, stdout=theirs, env=environ)
        shown = b""
        while b"jobs:wait_for" not in shown and select.select([ours], [], [], 20)[0]:
            shown += os.read(ours, 65536)
        os.write(ours, b"q")
        while b"\x1b[?1049l" not in shown and select.select([ours], [], [], 20)[0]:
            shown += os.read(ours, 65536)
        assert top.wait(20) == 0
        assert b"\x1b[?1049h" in shown and shown.rstrip().endswith((b"\x1b[?1049l", b"\x1b[?25h"))
        assert termios.tcgetattr(theirs) == before
        os.close(ours)
        os.close(theirs)
        (place / "go").touch()
        job.result(20)
