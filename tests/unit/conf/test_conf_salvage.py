"""What a config with mistakes still says of where its supervisor is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jobyard.conf.loader import load, salvage
from jobyard.conf.settings import SupervisorSettings
from jobyard.protocol.errors import InvalidConfig

GOOD = """allow = ["jobs:*"]
[supervisor]
state_dir = "elsewhere"
transport = "ipc"
[queues.mail]
concurrency = 2
[env.production.supervisor]
state_dir = "there"
"""


def state_dir(file: Path, **over: Any) -> str | None:
    found = salvage(file, **{"environ": {}, **over})
    return None if found is None else found.supervisor.state_dir


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("concurrency", "concurency"),
        ("= 2", "="),
        ("[queues.mail]", "[queues.mail"),
        ("[queues.mail]", "[supervisor]\nport = 1\n[queues.mail]"),
        ('transport = "ipc"', "transport = ipc"),
        ('transport = "ipc"', 'transport = "smoke"'),
        ('allow = ["jobs:*"]', "allow = [\n"),
        ('allow = ["jobs:*"]', "# f\u00fcr"),
    ],
)
def test_one_mistake_hides_nothing_else(tmp_path: Path, good: str, bad: str) -> None:
    file = tmp_path / "jobyard.toml"
    file.write_bytes(GOOD.replace(good, bad).encode("latin-1"))
    with pytest.raises(InvalidConfig):
        load(file, environ={})
    assert state_dir(file) == "elsewhere"
    assert state_dir(file, environ={"JOBYARD_ENV": "production"}) == "there"
    assert state_dir(file, overrides=["supervisor.state_dir=here"]) == "here"
    assert state_dir(file, environ={"JOBYARD__SUPERVISOR__STATE_DIR": "v"}) == "v"


@pytest.mark.parametrize(
    "over",
    [
        {"env_name": "prodution"},
        {"environ": {"JOBYARD_ENV": "prodution"}},
        {"environ": {"JOBYARD__SUPERVISOR__STATE_DRI": "x"}},
        {"overrides": ["supervisor.state_dri=x"]},
        {"overrides": ["x"]},
    ],
)
@pytest.mark.parametrize("broken", ["", "= 2"])
def test_a_mistake_in_what_goes_on_top_could_mean_another_supervisor(
    tmp_path: Path, over: dict[str, Any], broken: str
) -> None:
    file = tmp_path / "jobyard.toml"
    file.write_text(GOOD.replace("= 2", "=") if broken else GOOD)
    assert state_dir(file, **over) is None


@pytest.mark.parametrize("content", [b"", b"[[[[", b"\0\xff\xfe", b"supervisor = 3", b"x = " + b"[" * 9000, None])
def test_of_what_is_no_config_at_all_the_defaults_are_left(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "jobyard.toml"
    if content is not None:
        file.write_bytes(content)
    found = salvage(file, environ={})
    assert found is not None and found.supervisor == SupervisorSettings()
