"""The JSON that jobctl prints, from what the supervisor said. Its shape is in ``shapes.py``.

Times are RFC 3339 in UTC, durations ``_s``, sizes ``_bytes``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from ...protocol import messages
from ...protocol.errors import ProtocolError
from ...protocol.job import AttemptInfo, ErrorInfo, JobInfo, utc
from ...protocol.states import CANCELLED_ATTEMPT, OK, SCHEDULED
from ...protocol.text import json_number
from ..lines import LogLine

if TYPE_CHECKING:
    from . import shapes, shapes_told

JOBS = "jobctl.jobs/1"
SUBMITTED = "jobctl.submitted/1"
CANCELLED = "jobctl.cancelled/1"
RETRIED = "jobctl.retried/1"
CHANGED = "jobctl.changed/1"
REMOVED = "jobctl.removed/1"
PRUNED = "jobctl.pruned/1"
WHY = "jobctl.why/1"
LOGS = "jobctl.logs/1"
STATUS = "jobctl.status/1"
PING = "jobctl.ping/1"
CATALOG = "jobctl.catalog/1"
QUEUE_MODE = "jobctl.queue-mode/1"
QUEUES = "jobctl.queues/1"
POOLS = "jobctl.pools/1"
RECYCLED = "jobctl.recycled/1"
STATS = "jobctl.stats/1"
METRICS = "jobctl.metrics/1"
TOP = "jobctl.top/1"
CHECKS = "jobctl.checks/1"
PROCESS = "jobctl.process/1"
JOURNAL = "jobctl.journal/1"
CONFIG = "jobctl.config/1"
CHECKED = "jobctl.config-check/1"
INIT = "jobctl.init/1"
UP = "jobctl.up/1"
DOWN = "jobctl.down/1"
RESTARTED = "jobctl.restarted/1"
RELOADED = "jobctl.reloaded/1"
EVENTS = "jobctl.events/1"
LOG_FORMAT = "jobctl.log-format/1"
RETRIES = "jobctl.retries/1"
MADE_JOB = "jobctl.made-job/1"

_NO_FAILURE = (None, OK, CANCELLED_ATTEMPT)  # outcomes


def time(at: float | None) -> str | None:
    """RFC 3339 in UTC with microseconds."""
    stamp = utc(at)
    return stamp.isoformat(timespec="microseconds").replace("+00:00", "Z") if stamp else None


def plain(value: Any) -> Any:
    """A job's value as JSON can carry it: text for what JSON has no word for, ``{"base64": ...}`` for bytes."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return json_number(value)
    if isinstance(value, bytes):
        import base64

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


def job(info: JobInfo) -> shapes.Job:
    args, kwargs = arguments(info)
    policy, retry = info.policy, info.policy.retry
    return {
        "id": info.id,
        "uid": info.uid,
        "ref": info.ref,
        "name": info.name,
        "state": info.state,
        "status": info.status,
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
        "parents": [{"id": one.id, "state": one.state} for one in info.parents],
        "on_parent_failure": info.on_parent_failure,
        "children_count": info.children_count,
        "progress": progress(info),
        "attempts": [_attempt(item) for item in info.attempts],
        "durable": info.durable,
        "warnings": list(info.warnings),
    }


def retry(info: JobInfo) -> dict[str, Any]:
    """A row of the retry table."""
    return {
        "id": info.id,
        "ref": info.ref,
        "name": info.name,
        "queue": info.queue,
        "status": info.status,
        "state": info.state,
        "attempt": info.attempt,
        "max_attempts": info.max_attempts,
        "next_run_at": time(info.run_at) if info.state == SCHEDULED else None,
        "last_error": last_error(info),
    }


def last_error(info: JobInfo) -> str | None:
    """The message of the last error that is remembered, or in a word how that attempt ended; None if none failed."""
    failed = next((one for one in reversed(info.attempts) if one.outcome not in _NO_FAILURE), None)
    if failed is None or failed.error is None:
        return failed.outcome if failed else None
    return failed.error.message or failed.error.type


def progress(info: JobInfo) -> shapes_told.Progress | None:
    said = info.progress
    return None if said is None else {"done": said.done, "total": said.total, "text": said.text, "at": time(said.at)}


def _error(error: ErrorInfo | None) -> shapes.Error | None:
    return None if error is None else {"type": error.type, "message": error.message, "traceback": error.traceback}


def _attempt(attempt: AttemptInfo) -> shapes.Attempt:
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
        "code_version": attempt.code_version or None,
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


def why(found: messages.Explanation) -> dict[str, Any]:
    return {**dataclasses.asdict(found), "text": str(found)}


def log_line(line: LogLine) -> dict[str, Any]:
    return {"at": time(line.at), "stream": line.stream, "level": line.level, "text": line.text}


def fields(body: Mapping[str, object]) -> dict[str, Any]:
    """A body that holds lists of messages, with those as the dicts that their shape stands for."""
    return {key: list(map(dataclasses.asdict, cast(Any, items))) for key, items in body.items()}


def status(reply: messages.SupervisorStatus) -> shapes.Status:
    return cast("shapes.Status", {**dataclasses.asdict(reply), "started_at": time(reply.started_at)})


def catalog(reply: messages.CatalogReply) -> shapes.Catalog:
    body = {"jobs": reply.entries, "problems": reply.problems}
    return cast("shapes.Catalog", plain(fields(body)))
