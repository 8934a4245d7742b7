"""The JSON that jobctl prints: keys of each document. Times are RFC 3339 in UTC, durations ``_s``, sizes ``_bytes``.

All keys are always present; a new key may be added, none changes its meaning under the same schema number.
"""

from __future__ import annotations

import base64
import dataclasses
import math
from datetime import datetime
from typing import Any

from ...protocol import messages
from ...protocol.errors import ProtocolError
from ...protocol.job import AttemptInfo, ErrorInfo, JobInfo, utc
from ..lines import LogLine

JOBS = "jobctl.jobs/1"
SUBMITTED = "jobctl.submitted/1"
CANCELLED = "jobctl.cancelled/1"
RETRIED = "jobctl.retried/1"
LOGS = "jobctl.logs/1"
STATUS = "jobctl.status/1"
PING = "jobctl.ping/1"
CATALOG = "jobctl.catalog/1"
QUEUES = "jobctl.queues/1"
CONFIG = "jobctl.config/1"
CHECKED = "jobctl.config-check/1"
INIT = "jobctl.init/1"
UP = "jobctl.up/1"
DOWN = "jobctl.down/1"
RELOADED = "jobctl.reloaded/1"
EVENTS = "jobctl.events/1"

_INT_BITS_MAX = 10_000  # Python refuses to write much longer ones in decimal


def time(at: float | None) -> str | None:
    """RFC 3339 in UTC with microseconds."""
    stamp = utc(at)
    return stamp.isoformat(timespec="microseconds").replace("+00:00", "Z") if stamp else None


def plain(value: Any) -> Any:
    """A job's value as JSON can carry it: text for what JSON has no word for, ``{"base64": ...}`` for bytes."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if value.bit_length() <= _INT_BITS_MAX else hex(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set):
        return sorted((plain(item) for item in value), key=repr)
    return value.isoformat() if isinstance(value, datetime) else str(value)


def arguments(info: JobInfo) -> tuple[list[Any] | None, dict[str, Any] | None]:
    """Positional and named arguments as JSON values; None when they cannot be decoded."""
    try:
        return [plain(item) for item in info.args], plain(info.kwargs)
    except ProtocolError:
        return None, None


def result(info: JobInfo) -> Any:
    try:
        return plain(info.result)
    except ProtocolError:
        return None


def job(info: JobInfo) -> dict[str, Any]:
    args, kwargs = arguments(info)
    policy, retry = info.policy, info.policy.retry
    return {
        "id": info.id,
        "uid": info.uid,
        "ref": info.ref,
        "name": info.name,
        "state": info.state,
        "queue": info.queue,
        "pool": info.pool,
        "priority": info.priority,
        "args": args,
        "kwargs": kwargs,
        "result": result(info),
        "error": _error(info.error),
        "attempt": info.attempt,
        "spent": info.spent,
        "max_attempts": info.max_attempts,
        "losses": info.losses,
        "created_at": time(info.created_at),
        "run_at": time(info.run_at),
        "started_at": time(info.started_at),
        "finished_at": time(info.finished_at),
        "expires_at": time(info.expires_at),
        "timeout_s": policy.timeout_s,
        "soft_timeout_s": policy.soft_timeout_s,
        "stall_timeout_s": policy.stall_timeout_s,
        "grace_s": policy.grace_s,
        "on_lost": policy.on_lost,
        "retry": {
            "max_attempts": retry.max_attempts,
            "delays_s": list(retry.delays_s),
            "backoff": retry.backoff,
            "max_delay_s": retry.max_delay_s,
            "jitter": retry.jitter,
            "on": list(retry.on),
            "give_up_on": list(retry.give_up_on),
        },
        "cancel_requested": info.cancel_requested,
        "reason": info.reason,
        "key": info.key,
        "tags": dict(info.tags),
        "parent": info.parent,
        "progress": _progress(info),
        "attempts": [_attempt(item) for item in info.attempts],
        "durable": info.durable,
        "warnings": list(info.warnings),
    }


def _progress(info: JobInfo) -> dict[str, Any] | None:
    said = info.progress
    return None if said is None else {"done": said.done, "total": said.total, "text": said.text, "at": time(said.at)}


def _error(error: ErrorInfo | None) -> dict[str, Any] | None:
    return None if error is None else {"type": error.type, "message": error.message, "traceback": error.traceback}


def _attempt(attempt: AttemptInfo) -> dict[str, Any]:
    usage = attempt.usage
    return {
        "number": attempt.number,
        "started_at": time(attempt.started_at),
        "ended_at": time(attempt.ended_at),
        "outcome": attempt.outcome,
        "exit_code": attempt.exit_code,
        "signal": attempt.signal,
        "reason": attempt.reason,
        "error": _error(attempt.error),
        "cpu_user_s": usage.cpu_user_s if usage else None,
        "cpu_system_s": usage.cpu_system_s if usage else None,
        "peak_rss_bytes": usage.peak_rss_bytes if usage else None,
        "base_rss_bytes": usage.base_rss_bytes if usage else None,
        "usage_approximate": usage.approximate if usage else None,
        "wait_s": attempt.wait_s,
        "pid": attempt.pid or None,
        "host": attempt.host or None,
        "pool": attempt.pool or None,
        "log": attempt.log,
    }


def output(job_id: int, reply: messages.LogReply, lines: list[dict[str, Any]]) -> dict[str, Any]:
    """What was read of an attempt's output; ``lines`` are of ``log_line``."""
    return {
        "id": job_id,
        "attempt": reply.attempt,
        "path": reply.path,
        "ended": reply.ended,
        "printed_bytes": reply.size,
        "dropped_bytes": reply.dropped_bytes,
        "unwritten_bytes": reply.unwritten_bytes,
        "unwritten_why": reply.unwritten_why,
        "lines": lines,
    }


def log_line(line: LogLine) -> dict[str, Any]:
    return {"at": time(line.at), "stream": line.stream, "level": line.level, "text": line.text}


def status(reply: messages.SupervisorStatus) -> dict[str, Any]:
    body = dataclasses.asdict(reply)
    body["started_at"] = time(reply.started_at)
    return body


def catalog(reply: messages.CatalogReply) -> dict[str, Any]:
    return plain({"jobs": [dataclasses.asdict(entry) for entry in reply.entries], **_problems(reply)})  # type: ignore[no-any-return]


def _problems(reply: messages.CatalogReply) -> dict[str, Any]:
    return {"problems": [dataclasses.asdict(problem) for problem in reply.problems]}
