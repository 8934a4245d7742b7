"""Every key of the config and how its value is read: the one table that the loader checks files against.

Owns the shape of the file. Defaults are in ``settings.py``; the two are held together by a test over ``default.toml``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..protocol import options
from ..protocol.plain import dataclass
from . import kinds
from .kinds import Parse, Refused, not_yet
from .settings import MIB

KIB = 1024
GIB = 1024 * MIB
TIB = 1024 * GIB


@dataclass(frozen=True)
class Named:
    """A table whose keys the user chooses; ``name`` refuses bad ones, ``node`` is what stands below each."""

    name: Parse
    node: Any  # a Node; recursive aliases of frozen types need no more than this


Table = Mapping[str, Any]
Node = Parse | Table | Named

_POLICY: dict[str, Node] = {**options.POLICY_OPTIONS, "retry": options.RETRY_OPTIONS, "keep": not_yet("keep")}
_REDACT = kinds.list_of(kinds.hidden_name, 'redact = ["*password*", "token"]')
_DURABILITY = not_yet("durability in the config", hint="give it per job: client.options(durability=...)")

_QUEUE: dict[str, Node] = {
    **{key: node for key, node in _POLICY.items() if key != "queue"},
    "concurrency": kinds.or_none(kinds.whole(1, 100_000)),
    "pool": options.name,
    "paused": kinds.flag,
}

_POOL: dict[str, Node] = {
    "python": kinds.text,
    "cwd": kinds.text,
    "path": kinds.list_of(kinds.text, 'path = ["."]'),
    "env_file": kinds.text,
    "env": Named(kinds.variable_name, kinds.variable_value),
    "preload": kinds.list_of(kinds.module, 'preload = ["app.models"]'),
    "setup": kinds.hook,
    "child_setup": kinds.hook,
    "concurrency": kinds.whole(1, 10_000),
    "start": kinds.one_of("fork", "spawn"),
    "isolation": kinds.one_of("fresh", later="reuse"),
    "spare_children": kinds.whole(0, 1_000),
    "memory_max": kinds.or_none(kinds.size(16 * MIB, 64 * TIB)),
    "nofile": kinds.or_none(kinds.whole(64, 1 << 20)),
    "nproc": kinds.or_none(kinds.whole(1, 1 << 22)),
    "cpu": kinds.or_none(kinds.whole_seconds(1, 100 * 365 * 86400)),
    "nice": kinds.whole(-20, 19),
    "stack_dump": kinds.flag,
    "user": kinds.or_none(kinds.text),
    "allow": kinds.list_of(kinds.pattern, 'allow = ["app.jobs:*"]'),
    "max_jobs_per_child": not_yet("max_jobs_per_child"),
    "slot_env": not_yet("slot_env"),
}

_JOB: dict[str, Node] = {
    **_POLICY,
    "target": kinds.target,
    "methods": kinds.list_of(kinds.method, 'methods = ["send"]'),
    "redact": _REDACT,
    **{name: not_yet(f"{name} for an alias") for name in options.CALL_OPTIONS},
}

_LIMITS: dict[str, Node] = {
    "argument_bytes": kinds.size(1 * KIB, 8 * MIB),
    "result_bytes": kinds.size(1 * KIB, 8 * MIB),
    "traceback_bytes": kinds.size(1 * KIB, 1 * MIB),
    "unfinished_jobs": kinds.whole(1, 100_000_000),
    "unfinished_bytes": kinds.size(1 * MIB, 1 * TIB),
    "finished_jobs": kinds.whole(0, 100_000_000),
    "finished_bytes": kinds.size(0, 1 * TIB),
    "unarchived_bytes": kinds.size(1 * MIB, 1 * TIB),
    "losses": kinds.whole(1, 1_000),
    "kept_attempts": kinds.whole(1, 10_000),
    "parents": kinds.whole(1, 10_000),
    "parked_requests": kinds.whole(1, 1_000_000),
    "kept_notices": kinds.whole(1, 100_000),
    "kept_notice_bytes": kinds.size(64 * KIB, 1 * GIB),
    "unsent_notices": kinds.whole(16, 100_000),
    "notice_topics": kinds.whole(1, 1_000_000),
    "subscriptions": kinds.whole(1_000, 10_000_000),
    "connections": kinds.whole(16, 1_000_000),
    "connection_requests": kinds.whole(1, 1_000_000),
    "connection_waits": kinds.whole(1, 1_000_000),
    "keys": kinds.whole(1, 100_000),
    "logged_argument_bytes": kinds.size(0, 64 * KIB),
    "logged_output_bytes": kinds.size(0, 64 * KIB),
}

TOP: dict[str, Node] = {
    "namespace": kinds.namespaces,
    "allow": kinds.list_of(kinds.pattern, 'allow = ["app.jobs:*"]'),
    "redact": _REDACT,
    "supervisor": {
        "runtime_dir": kinds.text,
        "state_dir": kinds.text,
        "socket": kinds.socket_path,
        "transport": kinds.one_of("auto", "ipc", "tcp"),
        "host": kinds.address,
        "port": kinds.whole(0, 65_534),
        "beyond_loopback": kinds.flag,
        "clients": kinds.list_of(kinds.text, 'clients = ["www-data"]'),
    },
    "defaults": {**_POLICY, "durability": _DURABILITY},
    "queues": Named(options.name, _QUEUE),
    "pools": Named(options.name, _POOL),
    "jobs": Named(options.name, _JOB),
    "logging": {
        "level": kinds.one_of("debug", "info", "warning", "error", "critical"),
        "file": kinds.text,
        "error_file": kinds.text,
        "error_level": kinds.one_of("warning", "error", "critical"),
        "format": kinds.one_of(*options.LOG_FORMATS),
        "max_bytes": kinds.or_none(kinds.size(16 * KIB, 1 * TIB)),
        "keep_files": kinds.whole(1, 1_000),
    },
    "output": {
        "dir": kinds.text,
        "max_job_bytes": kinds.size(4 * KIB, 1 * TIB),
        "keep": options.duration_or_none,
        "keep_count": kinds.or_none(kinds.whole(1, 100_000_000)),
        "total": kinds.or_none(kinds.size(1 * MIB, 1024 * TIB)),
    },
    "journal": {
        "segment_bytes": kinds.size(1 * MIB, 4 * GIB),
        "group_bytes_max": kinds.size(16 * MIB, 256 * MIB),
        "hidden_within": options.duration,
        "durability": _DURABILITY,
    },
    "history": {
        "retention": options.duration_or_none,
        "answer_within": options.duration,
        "remove_within": options.duration,
    },
    "limits": _LIMITS,
    "env": Refused("overlays stand in files only", hint="write [env.NAME.SECTION] in the config"),
    "dashboard": not_yet("[dashboard]"),
}

# Keys whose setting has another name in settings.py.
FIELDS = {"memory_max": "memory_max_bytes", "cpu": "cpu_s", "keep": "keep_s", "total": "total_bytes"}


def child(node: Node | None, key: str) -> Node | None:
    """What stands below ``key``, or None if nothing may."""
    if isinstance(node, Named):
        inner: Node = node.node
        return inner
    return node.get(key) if isinstance(node, Mapping) else None


def keys(node: Node) -> list[str]:
    """The keys that may be used below ``node``, without those that are always refused."""
    return (
        sorted(key for key, inner in node.items() if not isinstance(inner, Refused))
        if isinstance(node, Mapping)
        else []
    )


def homes(key: str) -> list[str]:
    """The sections in which ``key`` may stand, as they are written; "" is the top of the file."""
    found = ["" for word in keys(TOP) if word == key]
    for section, node in TOP.items():
        if isinstance(node, Named) and key in keys(node.node):
            found.append(f"[{section}.NAME]")
        elif key in keys(node):
            found.append(f"[{section}]")
    return found
