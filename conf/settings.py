"""Every setting: one frozen dataclass per section. ``default.toml`` says what each is for; a test keeps the two equal.

Owns the shape and the defaults. Reading files, environment and flags is ``loader.py``; where sockets and files then lie
is ``paths.py``.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from ..protocol.plain import dataclass

MIB = 1024 * 1024

# The policy of a job for which nobody says otherwise.
SHIPPED_DEFAULTS: dict[str, Any] = {
    "queue": "default",
    "priority": 0,
    "timeout": None,
    "soft_timeout": None,
    "stall_timeout": None,
    "grace": 10.0,
    "retry": {
        "max_attempts": 3,
        "delay": 5.0,
        "backoff": 1.0,
        "max_delay": None,
        "jitter": 0.0,
        "on": [],
        "give_up_on": [],
    },
    "on_lost": "retry",
    "expires": None,
}


# Names of arguments and keys whose values are nobody's business; conf/redaction.py says what matches.
SHIPPED_REDACT = (
    "*password*",
    "*passwd*",
    "*passphrase*",
    "*secret*",
    "*token",
    "*api_key*",
    "*access_key*",
    "*private_key*",
    "*authorization*",
    "*credential*",
    "*cookie*",
)


@dataclass(frozen=True)
class SupervisorSettings:
    runtime_dir: str | None = None
    state_dir: str = ".jobyard"
    socket: str | None = None
    transport: str = "auto"
    host: str = "127.0.0.1"
    port: int = 0
    beyond_loopback: bool = False
    clients: tuple[str, ...] = ()


@dataclass(frozen=True)
class QueueSettings:
    """``options`` are policy options of protocol/options.py, as parsed; ``retries`` is part of ``retry`` then."""

    concurrency: int | None = None
    pool: str = "default"
    paused: bool = False
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PoolSettings:
    """``allow`` adds to the allow list at the top of the file, for this pool only."""

    python: str | None = None
    cwd: str | None = None
    path: tuple[str, ...] = (".",)
    env_file: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    preload: tuple[str, ...] = ()
    setup: str | None = None
    child_setup: str | None = None
    concurrency: int = field(default_factory=lambda: os.cpu_count() or 1)
    start: str = "fork"
    isolation: str = "fresh"
    spare_children: int = 2
    memory_max_bytes: int | None = None
    nofile: int | None = None
    nproc: int | None = None
    cpu_s: int | None = None
    nice: int = 0
    stack_dump: bool = True
    user: str | None = None
    allow: tuple[str, ...] = ()


@dataclass(frozen=True)
class JobSettings:
    """One alias. ``methods`` empty: ``target`` names a function or method itself; ``"*"`` is every public method."""

    target: str = ""
    methods: tuple[str, ...] = ()
    redact: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LoggingSettings:
    level: str = "info"
    format: str = "plain"
    file: str | None = None
    error_file: str | None = None
    error_level: str = "error"
    max_bytes: int | None = None
    keep_files: int = 5


@dataclass(frozen=True)
class OutputSettings:
    dir: str | None = None
    max_job_bytes: int = 16 * MIB
    keep_s: float | None = 30 * 86400.0
    keep_count: int | None = 100_000
    total_bytes: int | None = 10 * 1024 * MIB


@dataclass(frozen=True)
class JournalSettings:
    """``hidden_within``: seconds."""

    segment_bytes: int = 32 * MIB
    group_bytes_max: int = 32 * MIB
    hidden_within: float = 3600.0


@dataclass(frozen=True)
class HistorySettings:
    """``retention``: seconds for which finished jobs are kept there, None for ever. The others are seconds as well."""

    retention: float | None = 90 * 86400.0
    answer_within: float = 3.0
    remove_within: float = 30.0


@dataclass(frozen=True)
class LimitSettings:
    """Every bound by its name."""

    argument_bytes: int = 1 * MIB
    result_bytes: int = 1 * MIB
    traceback_bytes: int = 64 * 1024
    unfinished_jobs: int = 1_000_000
    unfinished_bytes: int = 1024 * MIB
    finished_jobs: int = 10_000
    finished_bytes: int = 64 * MIB
    unarchived_bytes: int = 256 * MIB
    losses: int = 3
    kept_attempts: int = 20
    parents: int = 1_000
    parked_requests: int = 10_000
    kept_notices: int = 10_000
    kept_notice_bytes: int = 8 * MIB
    unsent_notices: int = 256
    notice_topics: int = 10_000
    subscriptions: int = 100_000
    connections: int = 10_000
    connection_requests: int = 1_024
    connection_waits: int = 5_000
    keys: int = 1_000
    logged_argument_bytes: int = 4 * 1024
    logged_output_bytes: int = 8 * 1024


@dataclass(frozen=True)
class Settings:
    """The whole config.

    Attributes:
        file: the real path of the main config file; relative paths inside it start at its directory.
        defaults: policy options of ``[defaults]``, as parsed, complete (shipped values where the file has none).
        queues, pools: always hold one named "default".
    """

    file: Path
    namespace: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    redact: tuple[str, ...] = SHIPPED_REDACT
    env: str = "local"
    supervisor: SupervisorSettings = SupervisorSettings()
    defaults: dict[str, Any] = field(default_factory=lambda: copy.deepcopy(SHIPPED_DEFAULTS))
    queues: dict[str, QueueSettings] = field(default_factory=lambda: {"default": QueueSettings()})
    pools: dict[str, PoolSettings] = field(default_factory=lambda: {"default": PoolSettings()})
    jobs: dict[str, JobSettings] = field(default_factory=dict)
    logging: LoggingSettings = LoggingSettings()
    output: OutputSettings = OutputSettings()
    journal: JournalSettings = JournalSettings()
    history: HistorySettings = HistorySettings()
    limits: LimitSettings = LimitSettings()

    @property
    def directory(self) -> Path:
        return self.file.parent

    def absolute(self, text: str, environ: Mapping[str, str]) -> Path:
        """A path of the config: ``~`` is the home directory, relative paths start at the config's directory."""
        return Path(os.path.abspath(self.directory / expand_home(text, environ)))


def expand_home(text: str, environ: Mapping[str, str]) -> str:
    """``~`` and ``~/...`` as below HOME; ``~user`` as below the home of that user."""
    home = environ.get("HOME")
    if home and (text == "~" or text.startswith("~/")):
        return home + text[1:]
    return os.path.expanduser(text)
