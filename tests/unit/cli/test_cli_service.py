"""The verbs about the supervisor, its queues and its config."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jobyard.protocol import messages
from jobyard.protocol.errors import InvalidConfig, SupervisorUnavailable, UnknownQueue

NOON = 1_790_856_000.0
Run = Callable[..., Any]

STATUS = messages.SupervisorStatus(
    pid=4711,
    version="0.1.0",
    generation=3,
    started_at=NOON,
    config="/p/jobyard.toml",
    state_dir="/p/.jobyard",
    socket="/p/.jobyard/run/socket",
    stopping=False,
    durable=True,
    counts={"queued": 2, "running": 1, "failed": 0},
    refused=4,
    queues=[
        messages.QueueStatus("default", "open", "default", None, 1, 2, 0),
        messages.QueueStatus("mail", "paused", "default", 2, 0, 0, 5, 3),
    ],
    pools=[messages.PoolStatus("default", "failed", 4, 1, 0, problem="preload: No module named 'x'")],
    journal_bytes=2048,
    warnings=["code changed: /p/jobs.py; try jobctl reload", "app:* is allowed but cannot be used"],
)


def test_status_tells_what_runs_and_what_is_wrong(jobctl: Run, supervisor: Any) -> None:
    supervisor.answers[messages.Status] = STATUS
    ended = jobctl("status")
    assert ended.code == 0
    assert ended.out == (
        "supervisor  running  (pid 4711, version 0.1.0, up 1m 00s)\n"
        "config      /p/jobyard.toml\n"
        "state       /p/.jobyard  (journal 2.0 KiB)\n"
        "socket      /p/.jobyard/run/socket\n"
        "jobs        2 queued, 1 running\n"
        "refused     4 requests\n"
        "\n"
        "QUEUE    MODE    POOL     LIMIT  RUNNING  QUEUED  SCHEDULED  BLOCKED\n"
        "default  open    default      -        1       2          0        0\n"
        "mail     paused  default      2        0       0          5        3\n"
        "\n"
        "POOL     STATE   SLOTS  RUNNING  READY  PID  PROBLEM\n"
        "default  failed      4        1      0    -  preload: No module named 'x'\n"
        "\n"
        "warning: code changed: /p/jobs.py; try jobctl reload\n"
        "warning: app:* is allowed but cannot be used\n"
    )


def test_jobctl_alone_is_status(jobctl: Run, supervisor: Any) -> None:
    supervisor.answers[messages.Status] = STATUS
    assert jobctl().out == jobctl("status").out


def test_status_as_json_has_the_pid_and_utc_times(jobctl: Run, supervisor: Any) -> None:
    supervisor.answers[messages.Status] = STATUS
    document = jobctl("--json").json
    assert document["schema"] == "jobctl.status/1"
    assert document["pid"] == 4711
    assert document["started_at"] == "2026-10-01T12:00:00.000000Z"
    assert document["queues"][1]["mode"] == "paused"


def test_status_without_a_supervisor_ends_with_3(jobctl: Run, supervisor: Any) -> None:
    supervisor.answers[messages.Status] = SupervisorUnavailable("no supervisor answers; tried x", hint="jobctl up")
    ended = jobctl("status")
    assert (ended.code, ended.out, ended.err) == (3, "", "error: no supervisor answers; tried x\ntry: jobctl up\n")


@pytest.mark.parametrize("ready, state", [(True, "ready"), (False, "starting")])
def test_ping_says_who_answers(jobctl: Run, supervisor: Any, ready: bool, state: str) -> None:
    supervisor.answers[messages.Ping] = messages.Pong(4711, "0.1.0", ready, 3)
    assert jobctl("ping").out == f"pid 4711, version 0.1.0, {state}\n"
    assert jobctl("ping", "--json").json["ready"] is ready


CATALOG = messages.CatalogReply(
    [
        messages.CatalogEntry(
            "jobs:hello",
            "default",
            [messages.Parameter("name", "either", False, "str", "'World'")],
            aliases=["Hi"],
            doc="Greet somebody.",
            file="jobs.py",
            line=8,
        ),
        messages.CatalogEntry("app.mail:Send.run", "mail", [], is_async=True),
    ],
    [messages.CatalogProblem("broken:*", "it failed to import:\nModuleNotFoundError: x", "default")],
)


def test_catalog_lists_signatures_and_problems(jobctl: Run, supervisor: Any) -> None:
    supervisor.answers[messages.Catalog] = CATALOG
    assert jobctl("catalog").out == (
        "jobs:hello(name: str = 'World')\n"
        "    Greet somebody.\n"
        "    alias Hi  pool default  jobs.py:8\n"
        "async app.mail:Send.run()\n"
        "    pool mail\n"
        "\n"
        "problems:\n"
        "broken:* (pool default)\n"
        "    it failed to import:\n"
        "    ModuleNotFoundError: x\n"
    )


def test_catalog_can_be_narrowed_by_name_or_alias(jobctl: Run, supervisor: Any) -> None:
    supervisor.answers[messages.Catalog] = CATALOG
    assert [entry["ref"] for entry in jobctl("catalog", "hi", "--json").json["jobs"]] == ["jobs:hello"]
    assert [entry["ref"] for entry in jobctl("catalog", "MAIL", "--json").json["jobs"]] == ["app.mail:Send.run"]
    assert "problems" not in jobctl("catalog", "MAIL").out
    broken = jobctl("catalog", "Broken")
    assert broken.out.startswith("\nproblems:\nbroken:*") and broken.err == ""
    assert jobctl("catalog", "nope").err == "nothing matches 'nope'\n"


@pytest.mark.parametrize("verb, mode", [("pause", "paused"), ("resume", "open"), ("drain", "draining")])
def test_queues_are_set_by_name_or_all_at_once(jobctl: Run, supervisor: Any, verb: str, mode: str) -> None:
    supervisor.answers[messages.SetQueue] = lambda request: messages.QueuesSet([request.queue or "default"])
    assert jobctl(verb, "mail").out == f"mail: {mode}\n"
    assert jobctl(verb, "--json").json == {"schema": "jobctl.queue-mode/1", "mode": mode, "queues": ["default"]}
    assert supervisor.requests == [messages.SetQueue(mode, "mail"), messages.SetQueue(mode, None)]


def test_an_unknown_queue_is_not_found(jobctl: Run, supervisor: Any) -> None:
    supervisor.answers[messages.SetQueue] = UnknownQueue(
        "the config declares no queue 'mial'", hint="did you mean 'mail'?"
    )
    ended = jobctl("pause", "mial")
    assert (ended.code, ended.err) == (4, "error: the config declares no queue 'mial'\ndid you mean 'mail'?\n")


def test_reload_tells_mistakes_of_the_config_one_per_line(jobctl: Run, supervisor: Any) -> None:
    problems = ["/p/jobyard.toml:3:1: error: x", "/p/jobyard.toml:7:1: error: y"]
    supervisor.answers[messages.Reload] = InvalidConfig("2 mistakes", details={"problems": problems})
    ended = jobctl("reload")
    assert (ended.code, ended.err) == (2, "\n".join(problems) + "\n")
    supervisor.answers[messages.Reload] = messages.Reloaded(True, ["slow"])
    ended = jobctl("reload")
    assert (ended.code, ended.out, ended.err) == (0, "reloaded\n", "warning: slow\n")


# -- init and config ---------------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_init_writes_a_config_and_jobs_that_load(jobctl: Run, project: Path) -> None:
    ended = jobctl("init")
    assert (ended.code, ended.out) == (0, f"wrote {project}/jobyard.toml\nwrote {project}/jobs.py\n")
    assert "jobctl up -d" in ended.err
    assert tomllib.loads((project / "jobyard.toml").read_text()) == {"allow": ["jobs:*"]}
    compile((project / "jobs.py").read_text(), "jobs.py", "exec")
    assert jobctl("config", "check").code == 0


def test_what_the_written_config_shows_as_comments_is_valid_too(jobctl: Run, project: Path) -> None:
    jobctl("init")
    config = project / "jobyard.toml"
    lines = [
        line.removeprefix("# ")
        for line in config.read_text().splitlines()
        if line.startswith(("# [", "# t", "# r", "# c"))
    ]
    config.write_text('allow = ["jobs:*"]\n' + "\n".join(lines) + "\n")
    ended = jobctl("config", "check")
    assert (ended.code, ended.err) == (0, "")
    assert tomllib.loads(config.read_text())["jobs"]["Hello"]["target"] == "jobs:hello"


def test_init_into_a_new_directory(jobctl: Run, project: Path) -> None:
    ended = jobctl("init", "a/b", "--json")
    assert ended.json["written"] == [f"{project}/a/b/jobyard.toml", f"{project}/a/b/jobs.py"]
    assert "cd a/b && jobctl up -d" in jobctl("init", "c/d").err + jobctl("init", "a/c").err.replace("a/c", "a/b")


def test_init_overwrites_nothing(jobctl: Run, project: Path) -> None:
    (project / "jobs.py").write_text("mine")
    ended = jobctl("init")
    assert (ended.code, ended.out) == (0, f"wrote {project}/jobyard.toml\n")
    assert (project / "jobs.py").read_text() == "mine"
    (project / "jobyard.toml").write_text("mine")
    ended = jobctl("init")
    assert (ended.code, ended.out) == (2, "")
    assert "exists already" in ended.err
    assert (project / "jobyard.toml").read_text() == "mine"


def test_init_does_not_follow_a_dangling_link(jobctl: Run, project: Path) -> None:
    (project / "jobyard.toml").symlink_to(project / "elsewhere")
    assert jobctl("init").code == 2
    assert not (project / "elsewhere").exists()


def test_init_where_nothing_can_be_written_says_so(jobctl: Run, project: Path) -> None:
    (project / "file").write_text("")
    ended = jobctl("init", "file/sub")
    assert (ended.code, ended.out) == (2, "")
    assert "cannot write to" in ended.err


def test_every_mistake_of_a_config_is_reported(jobctl: Run, project: Path) -> None:
    (project / "jobyard.toml").write_text('allow = ["jobs:*"]\nallwo = 1\n[queues.mail]\nconcurency = 2\n')
    ended = jobctl("config", "check")
    assert (ended.code, ended.out) == (2, "")
    lines = ended.err.splitlines()
    assert [line.partition(": error: ")[0] for line in lines] == [
        f"{project}/jobyard.toml:2:1",
        f"{project}/jobyard.toml:4:1",
    ]
    ended = jobctl("config", "check", "--json")
    assert ended.error["details"]["problems"] == lines


def test_config_check_of_a_file_that_is_named(jobctl: Run, project: Path) -> None:
    (project / "other.toml").write_text('allow = ["jobs:*"]\n')
    assert jobctl("config", "check", "other.toml").out == f"{project}/other.toml: good\n"
    assert jobctl("config", "check", "nowhere.toml").code == 2


def test_config_show_prints_what_is_in_force_and_where_it_comes_from(jobctl: Run, project: Path) -> None:
    (project / "jobyard.toml").write_text('allow = ["jobs:*"]\n[queues.mail]\nconcurrency = 2\n')
    assert "queues.mail.concurrency = 2\n" in jobctl("config", "show").out
    document = jobctl("config", "show", "--set", "queues.mail.concurrency=3", "--json").json
    assert document["settings"]["queues.mail.concurrency"] == 3
    assert document["origins"]["queues.mail.concurrency"] == "--set"
    table = jobctl("config", "show", "--origin").out
    assert [line.split()[-1] for line in table.splitlines() if line.startswith("queues.mail.concurrency ")] == [
        f"{project}/jobyard.toml:3"
    ]


@pytest.mark.parametrize("argv", [["up"], ["status"], ["config", "check"], ["config", "show"]])
def test_without_a_config_the_hint_is_init(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, argv: list[str]
) -> None:
    from jobyard.client.cli.main import main

    monkeypatch.setenv("XDG_CONFIG_HOME", str(project))
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"error: no jobyard.toml in {project} or above")
    assert captured.err.endswith("try: jobctl init\n")
