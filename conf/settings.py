"""Every setting: one frozen dataclass per section. ``default.toml`` says what each is for; a test keeps the two equal.

Owns the shape and the defaults. Reading files, environment and flags is ``loader.py``; where sockets and files then lie
is ``paths.py``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MIB = 1024 * 1024


@dataclass(frozen=True)
class SupervisorSettings:
    runtime_dir: str | None = None
    state_dir: str | None = None
    socket: str | None = None
    transport: str = "auto"
    clients: tuple[str, ...] = ()


@dataclass(frozen=True)
class QueueSettings:
    """``options`` are policy options of protocol/options.py, as parsed."""

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
    nice: int = 0
    allow: tuple[str, ...] = ()


@dataclass(frozen=True)
class JobSettings:
    """One alias. ``methods`` empty: ``target`` names a function or method itself."""

    target: str = ""
    methods: tuple[str, ...] = ()
    redact: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LoggingSettings:
    level: str = "info"
    file: str | None = None
    error_file: str | None = None
    error_level: str = "error"


@dataclass(frozen=True)
class OutputSettings:
    dir: str | None = None
    max_job_bytes: int = 16 * MIB


@dataclass(frozen=True)
class JournalSettings:
    segment_bytes: int = 32 * MIB
    group_bytes_max: int = 32 * MIB


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
    losses: int = 3
    kept_attempts: int = 20
    parked_requests: int = 10_000


@dataclass(frozen=True)
class Settings:
    """The whole config.

    Attributes:
        file: the main config file; relative paths inside it start at its directory.
        defaults: policy options of ``[defaults]``, as parsed, complete (shipped values where the file has none).
    """

    file: Path
    namespace: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    env: str = "local"
    supervisor: SupervisorSettings = SupervisorSettings()
    defaults: dict[str, Any] = field(default_factory=dict)
    queues: dict[str, QueueSettings] = field(default_factory=dict)
    pools: dict[str, PoolSettings] = field(default_factory=dict)
    jobs: dict[str, JobSettings] = field(default_factory=dict)
    logging: LoggingSettings = LoggingSettings()
    output: OutputSettings = OutputSettings()
    journal: JournalSettings = JournalSettings()
    limits: LimitSettings = LimitSettings()

    @property
    def directory(self) -> Path:
        return self.file.parent
