"""Where a setting comes from: files, environments, variables and overrides, and which of them wins."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jobyard.conf.loader import load
from jobyard.conf.settings import QueueSettings
from jobyard.protocol.errors import InvalidConfig
from toml_text import texts, values, written

# -- layers ------------------------------------------------------------------------------------------------------------


def test_later_layers_win_and_each_value_knows_where_it_is_from(tmp_path: Path, read: Any) -> None:
    (tmp_path / "jobyard.d").mkdir()
    (tmp_path / "jobyard.d" / "20-b.toml").write_text("[queues.mail]\nconcurrency = 3\n")
    (tmp_path / "jobyard.d" / "10-a.toml").write_text("[queues.mail]\nconcurrency = 2\npriority = 5\n")
    (tmp_path / "jobyard.d" / "notes.txt").write_text("not ours")
    (tmp_path / "jobyard.d" / ".hidden.toml").write_text("not ours")
    text = """
[queues.mail]
concurrency = 1
[queues.other]
[env.production.queues.mail]
concurrency = 4
grace = 1
[env.production.logging]
level = "warning"
"""
    assert read(text).settings.queues["mail"].concurrency == 3
    production = read(text, env="production")
    assert production.settings.env == "production"
    assert production.settings.queues["mail"] == QueueSettings(concurrency=4, options={"priority": 5, "grace": 1.0})
    assert production.settings.logging.level == "warning"
    assert production.origins["queues.mail.concurrency"] == f"{tmp_path}/jobyard.toml:7"
    assert production.origins["queues.mail.priority"] == f"{tmp_path}/jobyard.d/10-a.toml:3"
    environ = {"JOBYARD_ENV": "production", "JOBYARD__QUEUES__MAIL__CONCURRENCY": "5"}
    by_variable = read(text, environ=environ)
    assert by_variable.settings.queues["mail"].concurrency == 5
    assert by_variable.origins["queues.mail.concurrency"] == "environment JOBYARD__QUEUES__MAIL__CONCURRENCY"
    by_flag = read(text, environ=environ, sets=["queues.mail.concurrency=6"])
    assert by_flag.settings.queues["mail"].concurrency == 6
    assert by_flag.origins["queues.mail.concurrency"] == "--set"
    assert by_flag.origins["queues.mail.paused"] == "default"


def test_allow_lines_of_files_add_up_and_a_flag_replaces_them(tmp_path: Path, read: Any) -> None:
    (tmp_path / "jobyard.d").mkdir()
    (tmp_path / "jobyard.d" / "a.toml").write_text('allow = ["b:*"]')
    text = 'allow = ["a:*"]\n[env.local]\nallow = ["c:*"]\n'
    assert read(text).settings.allow == ("a:*", "b:*", "c:*")
    other = text + "[env.other]\n"
    assert read(other, env="other").settings.allow == ("a:*", "b:*")
    assert read(text, sets=['allow=["z:*"]']).settings.allow == ("z:*",)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("whose", ["jobyard.d", "jobyard.d/a.toml"])
def test_drop_in_of_another_user_is_refused(tmp_path: Path, problems: Any, whose: str) -> None:
    (tmp_path / "jobyard.d").mkdir()
    (tmp_path / "jobyard.d" / "a.toml").write_text('allow = ["os:*"]')
    os.chown(tmp_path / whose, 65534, 65534)
    (found,) = problems('allow = ["a:*"]')
    assert f"{whose}: error: belongs to user nobody, who has not written the config" in found


def test_overlay_that_is_not_chosen_still_has_to_be_right(problems: Any) -> None:
    assert problems('allow = ["a:*"]\n[env.production.logging]\nlevle = "info"\n') == [
        "jobyard.toml:3:1: error: there is no key logging.levle (did you mean 'level'?)"
    ]


def test_unknown_environment_is_refused_with_those_that_there_are(read: Any, problems: Any) -> None:
    text = 'allow = ["a:*"]\n[env.production.logging]\nlevel = "info"\n'
    assert problems(text, env="prodution") == [
        "--env: error: there is no section [env.prodution] (did you mean 'production'?)"
    ]
    assert problems(text, environ={"JOBYARD_ENV": "x"}) == [
        "environment JOBYARD_ENV: error: there is no section [env.x] (known: local, production)"
    ]
    assert problems('allow = ["a:*"]', env="staging") == [
        "--env: error: there is no section [env.staging] (known: local)"
    ]
    assert read(text).settings.env == read(text, env="local").settings.env == "local"


def test_environment_of_a_file_that_cannot_be_read_is_not_called_unknown(problems: Any) -> None:
    assert len(problems("allow = [", env="production")) == 1


@pytest.mark.parametrize(
    ("name", "value", "get", "expected"),
    [
        ("JOBYARD__QUEUES__MAIL__CONCURRENCY", "8", lambda s: s.queues["Mail"].concurrency, 8),
        ("JOBYARD__QUEUES__MAIL__CONCURRENCY", "none", lambda s: s.queues["Mail"].concurrency, None),
        ("jobyard__queues__mail__paused", "true", lambda s: s.queues["Mail"].paused, True),
        ("JOBYARD__QUEUES__FRESH__PRIORITY", "high", lambda s: s.queues["fresh"].options, {"priority": 10}),
        ("JOBYARD__QUEUES__TWO_WORDS__PAUSED", "true", lambda s: s.queues["two-words"].paused, True),
        ("JOBYARD__DEFAULTS__TIMEOUT", "15m", lambda s: s.defaults["timeout"], 900.0),
        ("JOBYARD__DEFAULTS__TIMEOUT", "15", lambda s: s.defaults["timeout"], 15.0),
        ("JOBYARD__DEFAULTS__TIMEOUT", "none", lambda s: s.defaults["timeout"], None),
        ("JOBYARD__DEFAULTS__RETRIES", "4", lambda s: s.defaults["retry"]["max_attempts"], 5),
        ("JOBYARD__DEFAULTS__RETRY__DELAY", "[1, '2m']", lambda s: s.defaults["retry"]["delay"], [1.0, 120.0]),
        ("JOBYARD__DEFAULTS__RETRY__DELAY", "1, 2m", lambda s: s.defaults["retry"]["delay"], [1.0, 120.0]),
        ("JOBYARD__DEFAULTS__RETRY", "{ max_attempts = 7 }", lambda s: s.defaults["retry"]["max_attempts"], 7),
        ("JOBYARD__ALLOW", '["a:*", "b:*"]', lambda s: s.allow, ("a:*", "b:*")),
        ("JOBYARD__ALLOW", "a:*, b:*", lambda s: s.allow, ("a:*", "b:*")),
        ("JOBYARD__NAMESPACE", "app", lambda s: s.namespace, ("app",)),
        ("JOBYARD__POOLS__DEFAULT__ENV__MY__Port", "080", lambda s: s.pools["default"].env, {"MY__Port": "080"}),
        ("JOBYARD__LIMITS__RESULT_BYTES", "2MiB", lambda s: s.limits.result_bytes, 2 << 20),
        ("JOBYARD__SUPERVISOR__STATE_DIR", '"a b"', lambda s: s.supervisor.state_dir, "a b"),
        ("JOBYARD__SUPERVISOR__STATE_DIR", "12", lambda s: s.supervisor.state_dir, "12"),
    ],
)
def test_variable_is_read_as_its_key_wants(read: Any, name: str, value: str, get: Any, expected: Any) -> None:
    text = "[queues.Mail]\nconcurrency = 1\n[queues.two-words]\n"
    assert get(read(text, environ={name: value, "JOBYARD_SOCKET": "/x"}).settings) == expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (
            "JOBYARD__QUEUES__MAIL__CONCURENCY",
            "8",
            "there is no key queues.mail.concurency (did you mean 'concurrency'?)",
        ),
        ("JOBYARD__DEFAULTS__TIMEOUT", "soon", "defaults.timeout: 'soon' is not a duration"),
        ("JOBYARD__LIMITS__LOSSES", "3\nx = 1", "limits.losses: '3\\nx = 1' is not a whole number"),
        ("JOBYARD__SUPERVISOR", "x", "supervisor is a section"),
        ("JOBYARD__", "x", 'there is no key ""'),
        ("JOBYARD__ENV__PRODUCTION__LOGGING__LEVEL", "info", "env: overlays stand in files only"),
        ("JOBYARD__ALLOW__X", "1", "allow: a table is not a list"),
        ("JOBYARD__QUEUES__A B__PAUSED", "true", "queues: 'a b' is not a name"),
    ],
)
def test_wrong_variable_is_named(problems: Any, name: str, value: str, expected: str) -> None:
    (found,) = problems('allow = ["a:*"]', environ={name: value})
    assert found.startswith(f"environment {name}: error: {expected}")


@pytest.mark.parametrize("override", ["", "=", "a b=1", "queues.mail.concurrency", "a..b=1", "a\nb=1", "[x]=1"])
def test_flag_that_is_no_assignment_is_refused(problems: Any, override: str) -> None:
    (found,) = problems('allow = ["a:*"]', sets=[override])
    assert "is not KEY.PATH=VALUE" in found
    assert "\n" not in found


def test_flag_takes_quoted_keys_and_values_with_equals_signs(read: Any) -> None:
    found = read("", sets=['pools."a.b".env.URL=x=y', "queues.q.pool=a.b"]).settings
    assert found.pools["a.b"].env == {"URL": "x=y"}
    assert found.queues["q"].pool == "a.b"


def test_bad_name_of_an_environment_is_refused(problems: Any) -> None:
    assert problems('allow = ["a:*"]', env="a b")[0].startswith("--env: error: 'a b' is not a name")
    assert problems('allow = ["a:*"]', environ={"JOBYARD_ENV": "../x"})[0].startswith("environment JOBYARD_ENV: error:")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.sampled_from(
        ["allow", "queues.a", "pools.default.env", "defaults.retry.delay", "jobs.A.target", "limits.losses", "x"]
    ),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20),
)
def test_no_text_of_a_flag_gets_past_the_checks_with_another_error(config: Any, key: str, value: str) -> None:
    try:
        load(config('allow = ["a:*"]'), environ={}, overrides=[f"{key}={value}"])
    except InvalidConfig as error:
        found = error.details["problems"]
    else:
        found = []
    assert all(": error: " in line and "\n" not in line for line in found)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(st.binary(max_size=60))
def test_no_bytes_in_the_file_give_another_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "jobyard.toml"
    path.write_bytes(data)
    with pytest.raises(InvalidConfig):
        load(path, environ={})


SECTIONS = (
    "supervisor defaults defaults.retry queues queues.a pools.a pools.a.env jobs jobs.A limits env env.local "
    "env.x.queues logging history journal output nonsense"
)
KEYS = (
    "allow namespace retries retry queue pool path env target methods timeout losses level start memory_max priority "
    "redact clients python env_file delay"
)
tables = st.dictionaries(st.sampled_from(KEYS.split()) | texts, values, max_size=4)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(st.dictionaries(st.sampled_from(SECTIONS.split()), tables, max_size=4))
def test_no_value_of_a_wrong_kind_gives_another_error(config: Any, tables: dict[str, dict[str, Any]]) -> None:
    lines = ['allow = ["app:*"]']
    for section, table in tables.items():
        lines += [f"[{section}]", *(f"{written(key)} = {written(value)}" for key, value in table.items())]
    path = config("\n".join(lines))
    try:
        load(path, environ={})
    except InvalidConfig as error:
        found = error.details["problems"]
    else:
        found = []
    for line in found:
        assert re.match(rf"{re.escape(str(path))}:\d+:\d+: error: ", line), line
        assert line.isprintable(), line
