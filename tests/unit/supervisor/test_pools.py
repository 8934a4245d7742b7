"""Pools and queues of the config in the terms of executors and the machine."""

from __future__ import annotations

import os
import pwd
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from jobyard.conf.allow import pool_allows
from jobyard.conf.paths import paths_for
from jobyard.conf.settings import JobSettings, LimitSettings, PoolSettings, QueueSettings, Settings
from jobyard.protocol.errors import InvalidConfig
from jobyard.supervisor.core.rules import Limits, PoolRule, QueueRule
from jobyard.supervisor.executors.base import PoolSpec
from jobyard.supervisor.pools import pool_spec, rules


def made(tmp_path: Path, pool: PoolSettings | None = None, **sections: Any) -> Settings:
    return Settings(file=tmp_path / "jobyard.toml", pools={"default": pool or PoolSettings()}, **sections)


def spec_of(settings: Settings, environ: dict[str, str] | None = None) -> PoolSpec:
    return pool_spec(settings, paths_for(settings, {}), "default", environ or {})


def test_paths_of_a_pool_are_absolute(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    spec = spec_of(made(tmp_path, PoolSettings(cwd="work", path=(".", "src", "/lib"))))
    assert spec.cwd == str(tmp_path / "work")
    assert spec.path == [str(tmp_path), str(tmp_path / "src"), "/lib"]
    assert spec.python == sys.executable
    assert spec.runtime_dir == str(tmp_path / ".jobyard" / "run")


def test_missing_working_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"pools\.default\.cwd = 'gone' is not a directory"):
        spec_of(made(tmp_path, PoolSettings(cwd="gone")))


def test_user_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"pools\.default\.user = 'no-such-user' is no user of this system"):
        spec_of(made(tmp_path, PoolSettings(user="no-such-user")))


def test_own_user_needs_nothing(tmp_path: Path) -> None:
    assert spec_of(made(tmp_path, PoolSettings(user=pwd.getpwuid(os.geteuid()).pw_name))).user is None


def test_another_user_needs_root_and_fork(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = next(entry for entry in pwd.getpwall() if entry.pw_uid not in (0, os.geteuid()))
    pool = PoolSettings(user=other.pw_name)
    monkeypatch.setattr(os, "geteuid", lambda: other.pw_uid + 1)
    with pytest.raises(InvalidConfig, match="which only root can become"):
        spec_of(made(tmp_path, pool))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(InvalidConfig, match='needs start = "fork"'):
        spec_of(made(tmp_path, PoolSettings(user=other.pw_name, start="spawn")))
    spec = spec_of(made(tmp_path, pool), {"HOME": "/root", "USER": "root", "LOGNAME": "root"})
    assert spec.user is not None and (spec.user.uid, spec.user.gid) == (other.pw_uid, other.pw_gid)
    assert [spec.env[name] for name in ("HOME", "USER", "LOGNAME")] == [other.pw_dir, other.pw_name, other.pw_name]


@pytest.mark.parametrize("python", ["gone/bin/python", "no-such-python-anywhere", "plain.txt", "."])
def test_interpreter_that_is_none_is_named(tmp_path: Path, python: str) -> None:
    (tmp_path / "plain.txt").write_text("")
    with pytest.raises(InvalidConfig, match=r"pools\.default\.python = .* is not an interpreter"):
        spec_of(made(tmp_path, PoolSettings(python=python)), {"PATH": "/nowhere"})


def test_interpreter_of_a_virtual_environment_is_not_resolved(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    assert spec_of(made(tmp_path, PoolSettings(python="bin/python"))).python == str(tmp_path / "bin" / "python")
    by_name = spec_of(made(tmp_path, PoolSettings(python="python")), {"PATH": str(tmp_path / "bin")})
    assert by_name.python == str(tmp_path / "bin" / "python")
    assert stat.S_ISLNK(os.lstat(by_name.python).st_mode)


def test_environment_is_inherited_less_what_is_not_for_jobs_then_the_file_then_env(tmp_path: Path) -> None:
    (tmp_path / "jobs.env").write_text("A=file\nB=file\n")
    environ = {
        "A": "inherited",
        "PATH": "/bin",
        "PYTHONPATH": "/lib",
        "LD_PRELOAD": "x",
        "DYLD_LIBRARY_PATH": "x",
        "JOBYARD_CONFIG": "x",
        "JOBYARD__POOLS__DEFAULT__NICE": "x",
        "NOTIFY_SOCKET": "x",
        "LISTEN_FDS": "x",
        "PYTHONSTARTUP": "x",
    }
    settings = made(tmp_path, PoolSettings(env_file="jobs.env", env={"B": "env", "LD_LIBRARY_PATH": "/asked/for"}))
    assert spec_of(settings, environ).env == {
        "A": "file",
        "B": "env",
        "PATH": "/bin",
        "PYTHONPATH": "/lib",
        "LD_LIBRARY_PATH": "/asked/for",
        "JOBYARD_SOCKET": str(tmp_path / ".jobyard" / "run" / "socket"),
    }


def test_mistake_in_env_file_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "jobs.env").write_text("A=1\nwhat\n")
    with pytest.raises(InvalidConfig, match=r"jobs\.env:2:1: error: not NAME=value"):
        spec_of(made(tmp_path, PoolSettings(env_file="jobs.env")))


def test_pool_allows_the_lines_of_the_file_its_own_and_its_aliases(tmp_path: Path) -> None:
    settings = Settings(
        file=tmp_path / "jobyard.toml",
        allow=("app:*", "app:*"),
        pools={"default": PoolSettings(allow=("own:f",)), "slow": PoolSettings(allow=("slow:*",))},
        queues={"default": QueueSettings(), "big": QueueSettings(pool="slow")},
        jobs={
            "One": JobSettings(target="app:f"),
            "Many": JobSettings(target="app:Class", methods=("a", "b")),
            "All": JobSettings(target="app:Other", methods=("*",)),
            "Big": JobSettings(target="big:f", options={"queue": "big"}),
        },
    )
    assert pool_allows(settings, "default") == ["app:*", "own:f", "app:f", "app:Class.a", "app:Class.b", "app:Other.*"]
    assert pool_allows(settings, "slow") == ["app:*", "slow:*", "big:f"]


def test_limits_of_the_pool_reach_its_executor(tmp_path: Path) -> None:
    pool = PoolSettings(
        memory_max_bytes=5 << 20,
        nofile=100,
        nproc=7,
        nice=3,
        start="spawn",
        setup="a:b",
        child_setup="c:d",
        preload=("m",),
    )
    spec = spec_of(made(tmp_path, pool, limits=LimitSettings(result_bytes=2048, traceback_bytes=4096)))
    assert (spec.memory_max_bytes, spec.nofile, spec.nproc, spec.nice, spec.start) == (5 << 20, 100, 7, 3, "spawn")
    assert (spec.setup, spec.child_setup, spec.preload) == ("a:b", "c:d", ["m"])
    assert (spec.result_bytes, spec.traceback_bytes, spec.max_job_bytes) == (2048, 4096, 16 << 20)


def test_rules_hold_what_the_machine_decides_by(tmp_path: Path) -> None:
    found = rules(
        Settings(
            file=tmp_path / "jobyard.toml",
            queues={"default": QueueSettings(), "mail": QueueSettings(concurrency=2, pool="small", paused=True)},
            pools={"default": PoolSettings(concurrency=8), "small": PoolSettings(concurrency=1, spare_children=5)},
            limits=LimitSettings(unfinished_jobs=5, losses=9),
        )
    )
    assert found.queues == {"default": QueueRule(), "mail": QueueRule(pool="small", concurrency=2, paused=True)}
    assert found.pools == {"default": PoolRule(8, 2), "small": PoolRule(1, 1)}
    assert found.limits == Limits(unfinished_jobs=5, losses=9)
