"""What a config with mistakes still says of where its supervisor is."""

from __future__ import annotations

from pathlib import Path

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
    assert salvage(file, environ={}).supervisor.state_dir == "elsewhere"
    assert salvage(file, environ={"JOBYARD_ENV": "production"}).supervisor.state_dir == "there"
    assert salvage(file, environ={}, overrides=["supervisor.state_dir=here", "x"]).supervisor.state_dir == "here"
    assert salvage(file, environ={"JOBYARD__SUPERVISOR__STATE_DIR": "v"}).supervisor.state_dir == "v"


@pytest.mark.parametrize("content", [b"", b"[[[[", b"\0\xff\xfe", b"supervisor = 3", b"x = " + b"[" * 9000, None])
def test_of_what_is_no_config_at_all_the_defaults_are_left(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "jobyard.toml"
    if content is not None:
        file.write_bytes(content)
    assert salvage(file, environ={}).supervisor == SupervisorSettings()
