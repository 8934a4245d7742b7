"""One look at everything that runs, for ``jobctl top``: asked for, as text and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from ...protocol import messages, states
from ...protocol.job import JobInfo
from ..processes import tree_rss_bytes
from . import documents, views
from .context import REQUEST_TIMEOUT_S, Context
from .render import Column, clean, duration, size

if TYPE_CHECKING:
    from . import shapes

JOBS = 200  # more rows than a screen has
_BAR_CHARS = 12
COLUMNS = (
    Column("ID", right=True),
    Column("JOB"),
    Column("QUEUE"),
    Column("TRY", right=True),
    Column("TIME", right=True),
    Column("MEMORY", right=True),
    Column("PROGRESS"),
)


@dataclass(frozen=True, slots=True)
class Look:
    """``at`` in seconds since the epoch; ``more``: others run beside ``jobs``, which have run longest."""

    at: float
    status: messages.SupervisorStatus
    jobs: list[JobInfo]
    more: bool


def take(context: Context, timeout_s: float = REQUEST_TIMEOUT_S) -> Look:
    status: messages.SupervisorStatus = context.request(messages.Status(), timeout_s)
    running = messages.List(messages.Filter(states=[states.RUNNING]), JOBS, sort="oldest")
    reply: messages.Jobs = context.request(running, timeout_s)
    return Look(context.now(), status, reply.jobs, reply.more)


def heading(seen: Look) -> str:
    status = seen.status
    counts = ", ".join(f"{status.counts[name]:,} {name}" for name in states.STATES if status.counts.get(name))
    lines = [
        f"jobyard {status.version}  pid {status.pid}  up {duration(max(0.0, seen.at - status.started_at))}"
        + ("  stopping" if status.stopping else ""),
        f"jobs: {counts or 'none'}",
    ]
    return clean("\n".join(lines + [f"warning: {warning}" for warning in status.warnings]), "\n")


def row(info: JobInfo, now: float) -> list[str]:
    return [
        str(info.id),
        info.ref,
        info.queue,
        views.tries(info),
        duration(_elapsed_s(info, now)),
        size(_rss_bytes(info)),
        _bar(info) + views.note(info, now),
    ]


def document(seen: Look) -> shapes.Top:
    status = seen.status
    body = {
        "at": documents.time(seen.at),
        "counts": status.counts,
        "running": [_running(info, seen.at) for info in seen.jobs],
        "more": seen.more,
        **documents.fields({"queues": status.queues, "pools": status.pools}),
        "warnings": status.warnings,
    }
    return cast("shapes.Top", body)


def _running(info: JobInfo, now: float) -> shapes.Running:
    last = info.last_attempt
    return {
        "id": info.id,
        "ref": info.ref,
        "queue": info.queue,
        "attempt": info.attempt,
        "started_at": documents.time(last.started_at if last else None),
        "elapsed_s": _elapsed_s(info, now),
        "pid": _pid(info),
        "rss_bytes": _rss_bytes(info),
        "progress": documents.progress(info),
    }


def _elapsed_s(info: JobInfo, now: float) -> float:
    last = info.last_attempt
    return max(0.0, now - last.started_at) if last else 0.0


def _pid(info: JobInfo) -> int | None:
    last = info.last_attempt
    return last.pid or None if last else None


def _rss_bytes(info: JobInfo) -> int | None:
    pid = _pid(info)
    return None if pid is None else tree_rss_bytes(pid)


def _bar(info: JobInfo) -> str:
    """How far a job is as a bar, where it has said out of how much."""
    said = info.progress
    if said is None or not said.total or info.cancel_requested:
        return ""
    full = round(_BAR_CHARS * min(1.0, max(0.0, said.done / said.total)))
    return f"[{'#' * full}{'.' * (_BAR_CHARS - full)}] "
