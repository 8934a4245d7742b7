"""What a config file turns into, and what is said of one that is wrong."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from jobyard.conf.find import NoConfig, find_config
from jobyard.conf.loader import load
from jobyard.conf.settings import JobSettings, PoolSettings, QueueSettings, Settings
from jobyard.protocol.errors import InvalidConfig

DURATION_WANTED = (
    '\'soon\' is not a duration (give a number of seconds, a timedelta, or text such as "90s", "15m", "1h30m", "2d")'
)


def test_allow_alone_is_a_complete_file(read: Any, tmp_path: Path) -> None:
    loaded = read('allow = ["jobs:*"]')
    assert loaded.settings == Settings(file=tmp_path / "jobyard.toml", allow=("jobs:*",))
    assert loaded.warnings == []


def test_every_section_is_read(read: Any) -> None:
    found = read(
        """
        namespace = ["app.jobs", "lib"]
        allow = ["app:*", "lib.x:Class.run"]
        [supervisor]
        state_dir = "state"
        [defaults]
        timeout = "1h30m"
        retry = { delay = [1, "1m"], on = ["ValueError"] }
        [queues.mail]
        concurrency = 3
        pool = "slow"
        paused = true
        priority = "high"
        [pools.slow]
        env = { A = "1", "B" = "" }
        memory_max = "1GiB"
        path = ["src", "lib"]
        [jobs.Email]
        target = "app.mail:Send"
        methods = ["send", "check"]
        queue = "mail"
        retries = 0
        [limits]
        argument_bytes = "2MiB"
        """
    ).settings
    assert found.namespace == ("app.jobs", "lib")
    assert found.supervisor.state_dir == "state"
    assert found.defaults["timeout"] == 5400.0
    assert found.defaults["retry"] == Settings(file=Path()).defaults["retry"] | {
        "delay": [1.0, 60.0],
        "on": ["ValueError"],
    }
    assert found.queues["mail"] == QueueSettings(concurrency=3, pool="slow", paused=True, options={"priority": 10})
    assert found.pools["slow"] == PoolSettings(env={"A": "1", "B": ""}, memory_max_bytes=1 << 30, path=("src", "lib"))
    options = {"queue": "mail", "retry": {"max_attempts": 1}}
    assert found.jobs == {"Email": JobSettings(target="app.mail:Send", methods=("send", "check"), options=options)}
    assert found.limits.argument_bytes == 2 << 20
    assert "default" in found.queues
    assert "default" in found.pools


def test_all_problems_are_told_at_once_in_the_order_of_the_file(problems: Any) -> None:
    assert problems(
        'allow = ["app:*"]\n'
        "[defaults]\n"
        "retires = 1\n"
        'timeout = "soon"\n'
        "[queues.mail]\n"
        'pool = "fats"\n'
        '  concurrency = "8"\n'
        "[pools.fast]\n"
        "[pools.fast.env]\n"
        "PORT = 8080\n"
        "[quues.x]\n"
    ) == [
        "jobyard.toml:3:1: error: there is no key defaults.retires (did you mean 'retries'?)",
        f"jobyard.toml:4:1: error: defaults.timeout: {DURATION_WANTED}",
        "jobyard.toml:6:1: error: queues.mail.pool: there is no pool 'fats' (did you mean 'fast'?)",
        "jobyard.toml:7:3: error: queues.mail.concurrency: '8' is not a whole number from 1 to 100,000, nor \"none\"",
        "jobyard.toml:10:1: error: pools.fast.env.PORT: 8080 is not text (put it in quotes)",
        "jobyard.toml:11:2: error: there is no section [quues] (did you mean 'queues'?)",
    ]


LONG = "not valid TOML: %sa whole number of more than 64 bits"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '[supervisor]\nallow = ["a:*"]',
            "2:1: error: allow belongs at the top of the file (move it above the first section)",
        ),
        (
            "[logging]\nnamespace = 'a'",
            "2:1: error: namespace belongs at the top of the file (move it above the first section)",
        ),
        (
            "timeout = 5",
            "1:1: error: there is no key timeout (timeout belongs in [defaults] or [queues.NAME] or [jobs.NAME])",
        ),
        ("supervisor = 5", "1:1: error: supervisor is a section: write [supervisor] and its keys below"),
        ("[[queues]]\nname = 'x'", "1:3: error: queues is a section: write [queues] and its keys below"),
        ("queues.mail = 5", "1:8: error: queues.mail is a section: write [queues.mail] and its keys below"),
        ("allow = 'a:*'", "1:1: error: allow: 'a:*' is not a list (write allow = [\"app.jobs:*\"])"),
        ("allow = [\n'a:*',\n'a.b']", "3:1: error: allow: 'a.b' is not something that can be allowed"),
        ("allow = ['a:*', 7]", "1:17: error: allow: 7 is not something that can be allowed"),
        ("namespace = 'a b'", "1:1: error: namespace: 'a b' is not the name of a module"),
        ("[defaults]\nqueue = 'x'", "2:1: error: defaults.queue: there is no queue 'x' (declare it with [queues.x])"),
        ("[defaults]\nretry = 3", "2:1: error: defaults.retry is a section"),
        ("[defaults]\nretry = { delay = -1 }", "2:11: error: defaults.retry.delay: -1 is not a duration"),
        ("[defaults]\nretry.delay = 1\nretries = 2", "3:1: error: defaults: both retry and retries are given"),
        ("[queues.a]\nqueue = 'default'", "2:1: error: there is no key queues.a.queue"),
        ("[queues.'a b']", "1:9: error: queues: 'a b' is not a name"),
        ("[pools.a.env]\n'A-B' = '1'", "2:1: error: pools.a.env: 'A-B' is not the name of an environment variable"),
        ("[jobs.A]\nretries = 1", "1:7: error: jobs.A has no target"),
        ("[jobs.A]\ntarget = 'a.b.C'", "2:1: error: jobs.A.target: 'a.b.C' is not a target"),
        ("[jobs.A]\ntarget = 'a:*'", "2:1: error: jobs.A.target: 'a:*' is not a target"),
        (
            "[jobs.A]\ntarget = 'a:B.c'\nmethods = ['d']",
            "3:1: error: jobs.A: the target 'a:B.c' names a method already",
        ),
        ("[jobs.A]\ntarget='a:f'\n[jobs.a]\ntarget='a:g'", "3:7: error: jobs.a and jobs.A differ in case only"),
        ("[jobs.A]\ntarget='a:f'\nqueue='b'", "3:1: error: jobs.A.queue: there is no queue 'b'"),
        ("[logging]\nlevel = 'inof'", "2:1: error: logging.level: 'inof' is not one of"),
        ("[limits]\nargument_bytes = '1 elephant'", "2:1: error: limits.argument_bytes: '1 elephant' is not a size"),
        (f"[limits]\nargument_bytes = '{'9' * 400}'", "2:1: error: limits.argument_bytes: '999"),
        (f"[limits]\nlosses = 0x{'f' * 5000}", f"2:1: error: {LONG % 'limits.losses is '}"),
        (f"[limits]\nlosses = {1 << 63}", f"2:1: error: {LONG % 'limits.losses is '}"),
        (f"[limits]\nlosses = {'9' * 5000}", f"2:10: error: {LONG % ''}"),
        (f"redact = ['a', 0x{'f' * 5000}]", f"1:16: error: {LONG % 'redact.1 is '}"),
        ("[limits]\nlosses = true", "2:1: error: limits.losses: true is not a whole number from 1 to 1,000"),
        ('[supervisor]\nhost = "localhost"', "2:1: error: supervisor.host: 'localhost' is not an IP address"),
        ('[supervisor]\nhost = "0.0.0.0"', "2:1: error: supervisor.host: 0.0.0.0 can be reached from other machines"),
        (
            '[supervisor]\ntransport = "tcp"\nclients = ["www"]',
            "3:1: error: supervisor.clients: over tcp users are not known (give each a key: jobctl key new NAME)",
        ),
        ('[supervisor]\nsocket = "tcp://x:1"', "2:1: error: supervisor.socket: 'tcp://x:1' is not the path"),
        ("[pools.default]\nconcurrency = 0", "2:1: error: pools.default.concurrency: 0 is not a whole number"),
        ("[pools.default]\npreload = 'a'", "2:1: error: pools.default.preload: 'a' is not a list"),
        ("env = 'production'", "1:1: error: env is a section"),
        ("[env]\nproduction = 1", "2:1: error: env.production is not a section with a name"),
        ("a = 1\na = 2", "2:6: error: not valid TOML: a is there twice"),
        ("[q]\nx.y = 1\nx.y  = 2 # again\n", "3:9: error: not valid TOML: x.y is there twice"),
        ("a = 1\n[a]\n", "2:3: error: not valid TOML: a is there twice"),
        ("a = 1\na = [\n2]\n", "3:3: error: not valid TOML: a key is there twice"),
        ("a = 1 b = 2", "1:7: error: not valid TOML: expected newline or end of document after a statement"),
        ("allow = [", "1:10: error: not valid TOML: "),
        ("", '1:1: error: nothing may run: there is no allow line and no [jobs.NAME] (begin with allow = ["jobs:*"])'),
        ("allow = []", "1:1: error: nothing may run"),
    ],
)
def test_mistake_is_told_with_its_place(problems: Any, text: str, expected: str) -> None:
    found = problems(text)
    assert any(line.startswith(f"jobyard.toml:{expected}") for line in found), found


def test_class_written_as_elsewhere_is_refused_with_how_it_is_written_here(problems: Any) -> None:
    (found,) = problems(r"allow = ['App\Jobs\Mail']")
    assert found.endswith("is not something that can be allowed (for a class in a module write App.Jobs:Mail.*)")


def test_a_socket_may_be_written_as_zeromq_writes_it(read: Any) -> None:
    loaded = read('[supervisor]\nsocket = "ipc:///run/jobs"')
    assert loaded.settings.supervisor.socket == "/run/jobs"


@pytest.mark.parametrize(
    "text",
    [
        "[dashboard]\nport = 1",
        "[pools.default]\nisolation = 'reuse'",
        "[pools.default]\nslot_env = ['A']",
        "[pools.default]\nmax_jobs_per_child = 5",
        "[journal]\ndurability = 'memory'",
        "[defaults]\nkeep = '1d'",
        "[defaults]\ndurability = 'memory'",
        "[jobs.A]\ntarget = 'a:f'\ntags = { a = 'b' }",
        "[jobs.A]\ntarget = 'a:f'\ndelay = 5",
    ],
)
def test_what_this_version_does_not_do_is_refused(problems: Any, text: str) -> None:
    (found,) = problems('allow = ["app:*"]\n' + text)
    assert "not in this version" in found


def test_keys_of_later_versions_are_never_suggested(problems: Any) -> None:
    (found,) = problems('allow = ["a:*"]\n[pools.default]\nslot_en = 1')
    assert "slot_env" not in found


def test_only_the_unreadable_file_is_reported_and_not_what_it_would_declare(problems: Any, tmp_path: Path) -> None:
    (tmp_path / "jobyard.d").mkdir()
    (tmp_path / "jobyard.d" / "a.toml").write_text("[queues.mail\n")
    found = problems('allow = ["a:*"]\n[defaults]\nqueue = "mail"\n')
    assert [line.partition(" error: ")[0] for line in found] == ["jobyard.d/a.toml:1:13:"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x00\x01\x02\xff", "jobyard.toml:1:4: error: is not UTF-8: byte 0xff"),
        (b"a = 1\nb = '\xe9'\n", "jobyard.toml:2:6: error: is not UTF-8: byte 0xe9; save it as UTF-8"),
        ("allow = 1".encode("utf-16"), "jobyard.toml:1:1: error: is UTF-16; save it as UTF-8"),
        (b"#" * (1 << 20) + b"#", "jobyard.toml: error: is over 1,048,576 bytes"),
        (b"\x7fELF\x00", "jobyard.toml:1:1: error: not valid TOML"),
        (b"a = " + b"[" * 100_000, "jobyard.toml:1:1: error: not valid TOML: nested too deeply"),
    ],
)
def test_file_that_is_no_text_is_refused(tmp_path: Path, data: bytes, expected: str) -> None:
    path = tmp_path / "jobyard.toml"
    path.write_bytes(data)
    with pytest.raises(InvalidConfig) as caught:
        load(path, environ={})
    (found,) = caught.value.details["problems"]
    assert found.replace(f"{tmp_path}/", "").startswith(expected)


def test_byte_order_mark_of_utf8_is_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "jobyard.toml"
    path.write_bytes(b'\xef\xbb\xbfallow = ["a:*"]\r\n[queues.x]\r\n')
    loaded = load(path, environ={})
    assert "x" in loaded.settings.queues
    assert loaded.origins["queues.x.pool"] == "default"
    assert loaded.origins["allow"] == f"{path}:1"


def test_directory_pipe_and_missing_file_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, expected in (
        (".", "is a directory"),
        ("pipe", "is not a file"),
        ("gone", "cannot be read: No such file"),
    ):
        with pytest.raises(InvalidConfig, match=expected):
            load(tmp_path / name, environ={})


def test_drop_ins_that_are_no_directory_or_no_file_are_refused(problems: Any, tmp_path: Path) -> None:
    drop_ins = tmp_path / "jobyard.d"
    drop_ins.write_text("")
    assert problems('allow = ["a:*"]') == ["jobyard.d: error: cannot be read: Not a directory"]
    drop_ins.unlink()
    (drop_ins / "a.toml").mkdir(parents=True)
    (drop_ins / "loop.toml").symlink_to(drop_ins / "loop.toml")
    assert problems('allow = ["a:*"]') == [
        "jobyard.d/a.toml: error: is a directory; name the file in it",
        "jobyard.d/loop.toml: error: cannot be read: Too many levels of symbolic links",
    ]


def test_config_that_is_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "jobyard.toml").symlink_to(tmp_path / "jobyard.toml")
    with pytest.raises(InvalidConfig, match="cannot be read: Too many levels"):
        load(find_config(None, tmp_path, {}), environ={})


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file_says_why(config: Any) -> None:
    path = config("")
    path.chmod(0)
    with pytest.raises(InvalidConfig, match="cannot be read: Permission denied"):
        load(path, environ={})


def test_config_that_anyone_may_write_is_warned_of(config: Any) -> None:
    path = config('allow = ["a:*"]')
    path.chmod(0o666)
    assert f"every user of this machine may change {path}" in load(path, environ={}).warnings[0]


def test_names_that_are_also_keys_are_only_names(read: Any) -> None:
    words = ("queue", "retries", "pool", "allow", "retry", "env", "target", "default")
    text = "".join(
        f"[queues.{word}]\n[pools.{word}.env]\n{word} = '1'\n[jobs.{word}]\ntarget = 'a:f'\n" for word in words
    )
    found = read('allow = ["a:*"]\n' + text).settings
    assert set(words) <= found.queues.keys()
    assert set(words) <= found.jobs.keys()
    assert all(found.pools[word].env == {word: "1"} for word in words)


# -- finding -----------------------------------------------------------------------------------------------------------


def test_config_is_searched_in_order(tmp_path: Path) -> None:
    below = tmp_path / "project" / "src" / "deep"
    below.mkdir(parents=True)
    home = tmp_path / "home"
    places = {
        "xdg": home / "xdg" / "jobyard" / "jobyard.toml",
        "upward": tmp_path / "project" / "jobyard.toml",
        "variable": tmp_path / "variable.toml",
        "explicit": tmp_path / "explicit.toml",
    }
    environ = {"XDG_CONFIG_HOME": str(home / "xdg")}
    for path in places.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    assert find_config("../../../explicit.toml", below, environ) == places["explicit"]
    environ["JOBYARD_CONFIG"] = str(places["variable"])
    assert find_config(None, below, environ) == places["variable"]
    del environ["JOBYARD_CONFIG"]
    assert find_config(None, below, environ) == places["upward"]
    places["upward"].unlink()
    assert find_config(None, below, environ) == places["xdg"]
    assert find_config("~/xdg/jobyard/jobyard.toml", below, {"HOME": str(home)}) == places["xdg"]


def test_no_config_anywhere_names_the_directory_and_the_next_command(tmp_path: Path) -> None:
    with pytest.raises(NoConfig) as caught:
        find_config(None, tmp_path, {"HOME": str(tmp_path / "home")})
    assert f"no jobyard.toml in {tmp_path} or above" in caught.value.message
    assert caught.value.hint == "jobctl init"
    assert caught.value.details["tried"][0] == str(tmp_path / "jobyard.toml")
    assert isinstance(caught.value, InvalidConfig)


@pytest.mark.parametrize(("explicit", "environ"), [("gone.toml", {}), (None, {"JOBYARD_CONFIG": "gone.toml"})])
def test_config_that_was_asked_for_is_not_replaced_by_another(tmp_path: Path, explicit: Any, environ: Any) -> None:
    (tmp_path / "jobyard.toml").write_text("")
    with pytest.raises(InvalidConfig, match=r"gone\.toml: there is no such file"):
        find_config(explicit, tmp_path, environ)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("place", ["jobyard.toml", "home/.config/jobyard/jobyard.toml"])
def test_config_of_another_user_is_used_only_where_it_is_asked_for(tmp_path: Path, place: str) -> None:
    below = tmp_path / "below"
    below.mkdir()
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    os.chown(path, 65534, 65534)
    environ = {"HOME": str(tmp_path / "home")}
    with pytest.raises(InvalidConfig, match="who could run programs as you by it") as caught:
        find_config(None, below, environ)
    assert f"--config {path}" in str(caught.value.hint)
    assert find_config(str(path), below, environ) == path
    assert find_config(None, below, {**environ, "JOBYARD_CONFIG": str(path)}) == path
    link = below / "jobyard.toml"
    link.symlink_to(tmp_path / "ours.toml")
    (tmp_path / "ours.toml").write_text("")
    os.chown(link, 65534, 65534, follow_symlinks=False)
    with pytest.raises(InvalidConfig, match="who could run programs as you by it"):
        find_config(None, below, environ)


def test_link_to_a_config_is_followed_so_that_all_agree_on_its_directory(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (real / "jobyard.toml").write_text('allow = ["a:*"]')
    (tmp_path / "jobyard.toml").symlink_to(real / "jobyard.toml")
    assert find_config(None, tmp_path, {}) == real / "jobyard.toml"
    assert load(tmp_path / "jobyard.toml", environ={}).settings.directory == real
