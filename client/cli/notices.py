"""Notices of the status stream for people, one line each, and for programs."""

from __future__ import annotations

import dataclasses
from typing import Any

from ...protocol import notices as n
from ...protocol.notices import Notice
from . import documents
from .render import clean, counted, moment


def line(notice: Notice) -> str:
    """``2026-10-01 12:00:05  3:812  ended  job 42 build, attempt 1: error: ValueError: no``."""
    what = ", ".join(part for part in (_subject(notice), _detail(notice)) if part)
    said = f"{what}: {notice.text}" if what and notice.text else what or notice.text or ""
    epoch, seq = notice.position
    return clean(f"{moment(notice.at)}  {f'{epoch}:{seq}':<8}  {notice.kind:<15}  {said}".rstrip())


def _subject(notice: Notice) -> str:
    if notice.job_id is not None:
        return f"job {notice.job_id} {notice.name}"
    return f"queue {notice.queue}" if notice.queue is not None else ""


def _detail(notice: Notice) -> str:
    progress = notice.progress
    if progress is not None:
        total = "" if progress.total is None else f" of {progress.total:g}"
        return f"{progress.done:g}{total}" + (f" {progress.text}" if progress.text else "")
    match notice.kind:
        case n.STARTED:
            return f"attempt {notice.attempt}"
        case n.ENDED:
            return f"attempt {notice.attempt} {notice.outcome}"
        case n.SUBMITTED | n.RETRY_SCHEDULED if notice.run_at is not None:
            return f"for {moment(notice.run_at)}"
        case n.PRUNED:
            return counted(len(notice.ids), "job")
    return ""


def document(notice: Notice) -> dict[str, Any]:
    """All of it as JSON."""
    body = dataclasses.asdict(notice)
    body["at"], body["run_at"] = documents.time(notice.at), documents.time(notice.run_at)
    if notice.progress is not None:
        body["progress"]["at"] = documents.time(notice.progress.at)
    told: dict[str, Any] = documents.plain(body)
    return told
