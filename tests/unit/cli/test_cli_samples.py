"""The verbs for those who come from other job runners: run-job, retries, log-format, make-job, demo, init --config."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jobyard.client import samples
from jobyard.client.cli.commands import demo
from jobyard.conf.loader import load
from jobyard.conf.settings import Settings
from jobyard.protocol import messages
from jobyard.protocol.codec import unpack_arguments
from jobyard.protocol.errors import BadArguments
from jobyard.protocol.job import ErrorInfo
from jobyard.protocol.states import COARSE, STATES

NOON = 1_790_856_000.0
Run = Callable[..., Any]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# -- run-job -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "args", "kwargs"),
    [
        (["param1"], ["param1"], {}),
        (["param1,param2"], ["param1,param2"], {}),
        (["--csv", "param1,param2,param3"], ["param1", "param2", "param3"], {}),
        (["--csv", '"Hopper, Grace",1906'], ["Hopper, Grace", 1906], {}),
        (["--csv", "a,user_id=123"], ["a"], {"user_id": 123}),
        (["--csv", ""], [""], {}),
        (["--csv"], [], {}),
    ],
)
def test_run_job_takes_class_method_and_parameters(
    jobctl: Run, supervisor: Any, words: list[str], args: list[Any], kwargs: dict[str, int]
) -> None:
    entry = messages.CatalogEntry("app.jobs:SampleJob.process", "default", [])
    supervisor.answers[messages.Catalog] = messages.CatalogReply([entry])
    supervisor.answers[messages.Submit] = lambda request: messages.Submitted([messages.Accepted(42, "u")])
    ended = jobctl("run-job", "SampleJob", "process", *words, "--priority", "high", "--delay", "10")
    assert (ended.code, ended.out) == (0, "42\n")
    (submission,) = supervisor.asked(messages.Submit)[0].jobs
    assert (submission.ref, submission.method) == ("SampleJob", "process")
    assert unpack_arguments(submission.payload) == (args, kwargs)
    assert submission.options == {"priority": 10, "delay": 10.0}


def test_parameters_that_are_no_csv_are_refused_before_anything_is_asked(jobctl: Run, supervisor: Any) -> None:
    ended = jobctl("run-job", "SampleJob", "process", "--csv", 'a,"b')
    assert ended.code == 2
    assert "cannot be split at its commas" in ended.err
    assert supervisor.requests == []


def test_console_script_is_the_verb() -> None:
    script = "from jobyard.client.cli.commands.run_job import main; main()"
    ended = subprocess.run([sys.executable, "-c", script, "--help"], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0
    assert "jobctl run-job [options] CLASS METHOD" in ended.stdout


def test_class_that_nobody_knows_is_refused_together_with_its_method(jobctl: Run, supervisor: Any) -> None:
    supervisor.answers[messages.Submit] = BadArguments("refused")
    jobctl("submit", "UnauthorizedJob", "method", "x")
    (submission,) = supervisor.asked(messages.Submit)[0].jobs
    assert (submission.ref, submission.method, submission.arg_count) == ("UnauthorizedJob", "method", 1)


# -- retries, coarse states --------------------------------------------------------------------------------------------


@pytest.fixture
def retried(supervisor: Any, job: Any, attempt: Any) -> Any:
    failed = attempt(1, outcome="error", ended_at=NOON + 2, error=ErrorInfo("builtins.OSError", "no route\nmore"))
    lost = attempt(1, outcome="lost", ended_at=NOON + 2)
    supervisor.jobs = [
        job(1, state="queued"),
        job(2, state="succeeded", attempt=1, attempts=[attempt(1, outcome="ok")]),
        job(3, state="succeeded", attempt=2, attempts=[failed, attempt(2, outcome="ok")]),
        job(4, state="scheduled", attempt=1, attempts=[failed], run_at=NOON + 65),
        job(5, state="running", attempt=2, attempts=[failed, attempt(2)]),
        job(6, state="failed", attempt=1, attempts=[lost]),
    ]
    return supervisor


def test_retries_lists_jobs_that_failed_with_next_attempt_and_last_error(jobctl: Run, retried: Any) -> None:
    ended = jobctl("retries")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == (
        "ID  JOB         STATUS   ATTEMPT  NEXT       LAST ERROR\n"
        " 6  jobs:hello  failed       1/3  -          lost\n"
        " 5  jobs:hello  running      2/3  -          no route\n"
        " 4  jobs:hello  pending      1/3  in 5.00 s  no route\n"
    )


def test_retries_as_data_has_every_column(jobctl: Run, retried: Any) -> None:
    (row,) = jobctl("retries", "--status", "pending", "--json").json["retries"]
    assert row == {
        "id": 4,
        "ref": "jobs:hello",
        "name": "hello",
        "queue": "default",
        "status": "pending",
        "state": "scheduled",
        "attempt": 1,
        "max_attempts": 3,
        "next_run_at": "2026-10-01T12:01:05.000000Z",
        "last_error": "no route\nmore",
    }
    assert jobctl("retries", "--status", "failed,completed", "-o", "id").out == "6\n3\n"
    assert jobctl("retries", "-o", "jsonl").out.count("\n") == 3


def test_retries_says_when_there_are_more_and_when_there_are_none(jobctl: Run, retried: Any) -> None:
    ended = jobctl("retries", "--limit", "2")
    assert ended.out.count("\n") == 3 and "--limit 20 shows more" in ended.err
    assert jobctl("retries", "--limit", "2", "--json").json["more"] is True
    retried.jobs = []
    assert jobctl("retries").err == "no job has failed\n"


@pytest.mark.parametrize(
    ("words", "says"), [(["--status", "compleetd"], "did you mean 'completed'?"), (["--limit", "0"], "--limit 0")]
)
def test_retries_refuses_what_makes_no_sense(jobctl: Run, words: list[str], says: str) -> None:
    ended = jobctl("retries", *words)
    assert ended.code == 2 and says in ended.err


def test_every_state_has_one_of_the_four_coarse_ones() -> None:
    assert set(COARSE) == set(STATES)
    assert set(COARSE.values()) == {"pending", "running", "completed", "failed"}


def test_list_says_coarse_states_when_asked_and_json_has_both(jobctl: Run, retried: Any) -> None:
    states = [line.split()[1] for line in jobctl("list", "--coarse").out.splitlines()[1:]]
    assert states == ["failed", "running", "pending", "completed", "completed", "pending"]
    shown = jobctl("list", "--json").json["jobs"]
    assert [(one["status"], one["state"]) for one in shown[:3]] == [
        ("failed", "failed"),
        ("running", "running"),
        ("pending", "scheduled"),
    ]


# -- log-format --------------------------------------------------------------------------------------------------------


def test_log_format_is_asked_and_set(jobctl: Run, supervisor: Any) -> None:
    supervisor.answers[messages.LogFormat] = lambda request: messages.LogFormatSet(request.format or "plain")
    assert jobctl("log-format").out == "plain\n"
    assert jobctl("log-format", "laravel", "--json").json == {"schema": "jobctl.log-format/1", "format": "laravel"}
    assert supervisor.requests == [messages.LogFormat(None), messages.LogFormat("laravel")]


def test_log_format_that_does_not_exist_is_refused_with_those_that_do(jobctl: Run, supervisor: Any) -> None:
    ended = jobctl("log-format", "jsn")
    assert ended.code == 2
    assert all(name in ended.err for name in ("plain", "string", "json", "laravel"))
    assert supervisor.requests == []


# -- make-job ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def config(project: Path) -> Path:
    path = project / "jobyard.toml"
    path.write_text('allow = ["jobs:*"]')  # no line end
    return path


def read(path: Path) -> Settings:
    return load(path, environ={}).settings


def test_make_job_writes_a_class_and_its_alias(jobctl: Run, config: Path) -> None:
    ended = jobctl("make-job", "SendReminder")
    module = config.parent / "send_reminder.py"
    assert (ended.code, ended.out) == (0, f"wrote {module}\nadded [jobs.SendReminder] to {config}\n")
    found = read(config)
    assert found.allow == ("jobs:*",)
    alias = found.jobs["SendReminder"]
    assert (alias.target, alias.methods) == ("send_reminder:SendReminder", ("handle",))
    names: dict[str, Any] = {}
    exec(compile(module.read_text(), str(module), "exec"), names)
    assert callable(names["SendReminder"]().handle)


def test_make_job_writes_a_function_too(jobctl: Run, config: Path) -> None:
    ended = jobctl("make-job", "clean_up", "--function", "--json")
    assert ended.json == {
        "schema": "jobctl.made-job/1",
        "module": str(config.parent / "clean_up.py"),
        "config": str(config),
        "alias": "clean_up",
    }
    assert read(config).jobs["clean_up"].target == "clean_up:clean_up"


def test_make_job_follows_the_namespace_and_the_path_of_the_pool(jobctl: Run, config: Path) -> None:
    config.write_text('namespace = "app.jobs"\nallow = ["a:*"]\n[pools.default]\npath = ["src"]\n')
    (config.parent / "src").mkdir()
    assert jobctl("make-job", "SendMail", "--method", "send").code == 0
    assert read(config).jobs["SendMail"].target == "app.jobs.send_mail:SendMail"
    made = {path.relative_to(config.parent).as_posix() for path in config.parent.rglob("*.py")}
    assert made == {"src/app/__init__.py", "src/app/jobs/__init__.py", "src/app/jobs/send_mail.py"}


def test_make_job_does_not_hide_a_module_behind_a_package(jobctl: Run, config: Path) -> None:
    config.write_text('namespace = "jobs"\nallow = ["jobs:*"]\n')
    (config.parent / "jobs.py").write_text("")
    assert jobctl("make-job", "Mail").code == 0
    assert read(config).jobs["Mail"].target == "mail:Mail"


@pytest.mark.parametrize("name", ["1a", "a-b", "class", "_hidden", "a.b", "../x", "ü", ""])
def test_make_job_refuses_what_is_no_name(jobctl: Run, config: Path, name: str) -> None:
    before = config.read_text()
    ended = jobctl("make-job", "--", name)
    assert ended.code == 2
    assert config.read_text() == before and not list(config.parent.rglob("*.py"))


def test_make_job_overwrites_neither_alias_nor_file(jobctl: Run, config: Path) -> None:
    (config.parent / "mail.py").write_text("mine")
    before = config.read_text()
    ended = jobctl("make-job", "Mail")
    assert ended.code == 2 and "exists already" in ended.err
    assert (config.read_text(), (config.parent / "mail.py").read_text()) == (before, "mine")
    config.write_text(before + '\n[jobs.POST]\ntarget = "jobs:post"\n')
    ended = jobctl("make-job", "Post")
    assert ended.code == 2 and "has a [jobs.Post] already" in ended.err
    assert not (config.parent / "post.py").exists()


def test_make_job_leaves_a_config_alone_to_which_nothing_can_be_added(jobctl: Run, config: Path) -> None:
    config.write_text('jobs = { A = { target = "a:b" } }\n')
    ended = jobctl("make-job", "Mail")
    assert ended.code == 2 and "[jobs.NAME]" in ended.err
    assert not (config.parent / "mail.py").exists()


def test_make_job_takes_the_module_back_when_the_config_cannot_be_written(
    jobctl: Run, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(config: Path, alias: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("jobyard.client.cli.commands.make_job._append", refuse)
    ended = jobctl("make-job", "Mail")
    assert ended.code == 2 and "No space left on device; nothing was changed" in ended.err
    assert not (config.parent / "mail.py").exists()


# -- init --config -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["--config"], "jobyard.toml"),
        (["--config", "conf/x.toml"], "conf/x.toml"),
        (["sub", "--config"], "sub/jobyard.toml"),
    ],
)
def test_init_config_writes_every_key_with_its_default_and_nothing_else(
    jobctl: Run, project: Path, words: list[str], name: str
) -> None:
    ended = jobctl("init", *words)
    path = project / name
    assert (ended.code, ended.out) == (0, f"wrote {path}\n")
    assert read(path) == Settings(file=path, allow=("jobs:*",))
    assert [one for one in project.rglob("*") if one.is_file()] == [path]
    before = path.read_text()
    assert jobctl("init", *words).code == 2
    assert path.read_text() == before


# -- demo and samples --------------------------------------------------------------------------------------------------


def test_demo_runs_samples_that_its_config_allows(tmp_path: Path) -> None:
    path = tmp_path / "jobyard.toml"
    path.write_text(demo._CONFIG)
    jobs = read(path).jobs
    for sample in demo.SAMPLES.values():
        module, _, name = jobs[sample.job].target.partition(":")
        assert module == samples.__name__
        assert callable(getattr(getattr(samples, name)(), sample.method))


@pytest.mark.parametrize("words", [["nosuch"], ["fail", "--error-rate", "2"], ["fail", "--seed", "x"], []])
def test_demo_refuses_what_makes_no_sense(jobctl: Run, words: list[str]) -> None:
    assert jobctl("demo", *words).code == 2


def test_sample_job_says_that_it_is_done() -> None:
    assert samples.SampleJob().process("example") == {"processed": True}
