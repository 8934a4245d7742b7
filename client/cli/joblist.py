"""Several jobs in whichever form was asked for."""

from __future__ import annotations

from collections.abc import Sequence

from ...protocol.job import JobInfo
from . import documents, views
from .context import Context


def print_jobs(context: Context, infos: Sequence[JobInfo], *, more: bool = False) -> None:
    """One table, one JSON document, one JSON line per job, or their ids; ``more`` says that others match."""
    out, form = context.out, context.args.output
    if form == "text":
        now = context.now()
        rows = [views.job_row(info, now) for info in infos]
        if getattr(context.args, "coarse", False):
            rows = [[row[0], info.status, *row[2:]] for row, info in zip(rows, infos, strict=True)]
        out.table(views.JOB_COLUMNS, rows)
    else:
        print_as_data(context, infos, more=more)


def print_as_data(context: Context, infos: Sequence[JobInfo], *, more: bool = False) -> None:
    """The forms for programs."""
    out, form = context.out, context.args.output
    if form == "json":
        body = {"jobs": [documents.job(info) for info in infos], "more": more, "incomplete": context.incomplete}
        out.document(documents.JOBS, body)
    elif form == "jsonl":
        for info in infos:
            out.json_line(documents.job(info))
    else:
        print_ids(context, [info.id for info in infos])


def print_ids(context: Context, ids: Sequence[int]) -> None:
    """One per line; as ``{"id": ...}`` with ``-o jsonl``."""
    for job_id in ids:
        if context.args.output == "jsonl":
            context.out.json_line({"id": job_id})
        else:
            context.out.line(str(job_id))
