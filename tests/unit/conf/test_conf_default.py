"""``default.toml`` against the dataclasses and the schema: neither may know a key that the others do not."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jobyard.conf.schema as schema
import pytest
from jobyard.conf import show
from jobyard.conf.kinds import Refused
from jobyard.conf.loader import load
from jobyard.conf.settings import JobSettings, PoolSettings, Settings

DEFAULT = Path(schema.__file__).with_name("default.toml")
KEY = re.compile(r"(?:# )?([a-z_]+) = ")
SECTION = re.compile(r"(?:# )?\[([a-z.]+|jobs\.Email)\]\Z")


def named_keys() -> dict[str, list[str]]:
    """The keys that default.toml names in each section, those behind ``#`` included."""
    found: dict[str, list[str]] = {"": []}
    section = ""
    for line in DEFAULT.read_text().splitlines():
        if match := SECTION.match(line):
            section = match[1]
            found[section] = []
        elif match := KEY.match(line):
            found[section].append(match[1])
    return found


def usable(node: Any) -> set[str]:
    assert isinstance(node, Mapping)
    return {key for key, inner in node.items() if not isinstance(inner, Refused)}


def test_loading_it_gives_the_defaults_of_the_dataclasses() -> None:
    found = load(DEFAULT, environ={}, overrides=['allow=["app:*"]']).settings
    assert found == Settings(file=DEFAULT, allow=("app:*",))


def test_it_names_every_key_of_the_schema_and_no_other() -> None:
    keys = {name: set(words) for name, words in named_keys().items()}
    top: Any = schema.TOP
    policy = usable(top["defaults"])
    assert keys.pop("defaults.retry") == usable(top["defaults"]["retry"])
    assert keys.pop("defaults") == policy - {"retry"}
    assert keys.pop("queues.default") == usable(top["queues"].node) - policy
    assert keys.pop("pools.default") == usable(top["pools"].node)
    assert keys.pop("jobs.Email") == usable(top["jobs"].node) - policy
    assert keys.pop("") == {key for key in usable(top) if callable(top[key])}
    for section, words in keys.items():
        assert words == usable(top[section]), section
    assert set(keys) == {key for key, node in top.items() if isinstance(node, dict)} - {"defaults"}


def test_every_key_has_a_sentence_above_it() -> None:
    lines = DEFAULT.read_text().splitlines()
    for before, line in itertools.pairwise(lines):
        if KEY.match(line):
            assert re.match(r"# .*[.:)]\Z", before), line


def fields(kind: type) -> Iterator[str]:
    return (field.name for field in dataclasses.fields(kind) if field.name != "options")


def test_every_setting_can_be_set() -> None:
    top: Any = schema.TOP
    shipped = Settings(file=DEFAULT)
    for name in ("supervisor", "logging", "output", "journal", "limits"):
        settable = {schema.FIELDS.get(key, key) for key in usable(top[name])}
        assert settable == set(fields(type(getattr(shipped, name)))), name
    assert {schema.FIELDS.get(key, key) for key in usable(top["pools"].node)} == set(fields(PoolSettings))
    assert set(fields(JobSettings)) <= usable(top["jobs"].node)
    assert set(shipped.defaults) == usable(top["defaults"]) - {"retries"}
    assert set(shipped.defaults["retry"]) == usable(top["defaults"]["retry"])


def test_shown_settings_have_an_origin_each_and_the_keys_of_the_file() -> None:
    loaded = load(DEFAULT, environ={}, overrides=["pools.default.memory_max=1GiB", 'jobs.A={target="a:f",retries=1}'])
    shown = show.values(loaded.settings)
    assert shown.keys() == loaded.origins.keys()
    assert shown["pools.default.memory_max"] == 1 << 30
    assert loaded.origins["pools.default.memory_max"] == "--set"
    assert shown["jobs.A.retry.max_attempts"] == 2
    assert loaded.origins["jobs.A.retry.max_attempts"] == "--set"
    assert loaded.origins["pools.default.python"] == "default"
    assert re.match(r".*default\.toml:\d+\Z", loaded.origins["defaults.retry.delay"])


def test_changing_shipped_defaults_of_one_config_leaves_those_of_others_alone() -> None:
    Settings(file=DEFAULT).defaults["retry"]["max_attempts"] = 99
    assert Settings(file=DEFAULT).defaults["retry"]["max_attempts"] == 3


@pytest.mark.parametrize("text", ["~", "~/x", "a/b", "/abs", "../up", "~nobody-such-user"])
def test_paths_start_at_the_config_and_at_home(text: str, tmp_path: Path) -> None:
    found = Settings(file=tmp_path / "d" / "jobyard.toml").absolute(text, {"HOME": "/home/me"})
    expected = {
        "~": "/home/me",
        "~/x": "/home/me/x",
        "a/b": f"{tmp_path}/d/a/b",
        "/abs": "/abs",
        "../up": f"{tmp_path}/up",
        "~nobody-such-user": f"{tmp_path}/d/~nobody-such-user",
    }
    assert str(found) == expected[text]
